"""Incident -> TraceEvidence: what its spans, log lines and changes say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bayesrca.evidence.changes import find_changes
from bayesrca.evidence.trace_columns import WINDOW, TraceColumns, build_trace_columns
from bayesrca.evidence.trace_evidence import TraceEvidence, TraceTest
from bayesrca.evidence.trace_fold import fold
from bayesrca.evidence.trace_laws import LARGEST_LOG_RATIO
from bayesrca.evidence.trace_patterns import read_patterns
from bayesrca.evidence.trace_tests import (
    TestTable,
    compare_gaps,
    compare_orders,
    compare_patterns,
    compare_self_times,
    compare_terminals,
)
from bayesrca.incident import Incident, TimeWindow

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def build_trace_evidence(incident: Incident, window: TimeWindow) -> TraceEvidence | None:
    """Reduce an incident's spans and log lines to log Bayes factors; None without any.

    Args:
        incident: what happened.
        window: the time in question.
    """
    n = len(incident.topology)
    if incident.spans is None and incident.logs is None:
        changes = find_changes(incident, window)
        return replace(TraceEvidence.empty(n), changes=changes) if changes else None
    columns = build_trace_columns(incident, window)
    tables = columns.tables
    compared = compare_patterns(columns)
    patterns = read_patterns(columns, compared, n)
    selves = compare_self_times(columns)
    edges = _Edges(n)
    edges.add("gap", tables.gap_keys[:, [0, 2]], compare_gaps(columns))
    callers = tables.paths[tables.terminal_keys[:, 0], 0]
    calls = np.stack([callers, tables.terminal_keys[:, 1]], axis=1)
    edges.add("terminal", calls, compare_terminals(columns))
    edges.add("order", *compare_orders(columns, compared))
    source, target, factors = edges.fold()
    tests = [
        *patterns.tests,
        *_self_rows(columns, selves, n),
        *edges.rows(columns),
    ]
    return TraceEvidence(
        own_pattern=_cut(patterns.own),
        own_self_time=_cut(fold(tables.self_keys[selves.row, 0], selves.log_ratio, n)),
        edge_source=source,
        edge_target=target,
        edge_gap=_cut(factors["gap"]),
        edge_terminal=_cut(factors["terminal"]),
        edge_order=_cut(factors["order"]),
        regions=patterns.regions,
        changes=find_changes(incident, window, tests),
        has_spans=columns.has_spans,
        tests=tuple(sorted(tests, key=lambda t: t.component)),
        notes=tuple(_notes(columns, incident)),
    )


def _cut(log_ratio: Floats) -> Floats:
    """Cut at `LARGEST_LOG_RATIO`: busy services tell more than a quiet law can tell apart."""
    return np.clip(log_ratio, -LARGEST_LOG_RATIO, LARGEST_LOG_RATIO)


class _Edges:
    """Tests of call edges between components of the topology."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.families: dict[str, tuple[Ints, TestTable]] = {}

    def add(self, name: str, keys: Ints, table: TestTable) -> None:
        """Add a family whose tests belong to edges ``keys[table.row]``, int64 [., 2]."""
        self.families[name] = keys, table

    def fold(self) -> tuple[Ints, Ints, dict[str, Floats]]:
        """Join every family's tests into one factor per edge, over the edges of all families."""
        keys = np.concatenate([keys for keys, _ in self.families.values()])
        keys = np.unique(keys[(keys < self.n).all(axis=1)], axis=0)
        number = keys[:, 0] * self.n + keys[:, 1]  # ascending, as rows are
        factors = {}
        for name, (of, table) in self.families.items():
            pairs = of[table.row]
            inside = (pairs < self.n).all(axis=1)
            edge = np.searchsorted(number, pairs[:, 0] * self.n + pairs[:, 1])
            factors[name] = fold(np.where(inside, edge, -1), table.log_ratio, len(keys))
        return keys[:, 0], keys[:, 1], factors

    def rows(self, columns: TraceColumns) -> Iterator[TraceTest]:
        """Return one row per edge and family: its loudest test."""
        tables = columns.tables
        for name, (of, table) in self.families.items():
            for r in _loudest(of[table.row], table.log_ratio):
                caller, callee = (int(i) for i in of[table.row[r]])
                if max(caller, callee) >= self.n:
                    continue
                subject = ""
                if name == "gap":
                    subject = columns.operations[tables.gap_keys[table.row[r], 1]]
                elif name == "terminal":
                    path = tables.paths[tables.terminal_keys[table.row[r], 0]]
                    subject = columns.operations[path[1]]
                yield _row(table, r, name, subject, (caller, callee))


def _self_rows(columns: TraceColumns, table: TestTable, n: int) -> Iterator[TraceTest]:
    keys = columns.tables.self_keys[table.row]
    for r in _loudest(keys[:, :1], table.log_ratio):
        component, operation = (int(i) for i in keys[r])
        if component < n:
            yield _row(table, r, "self time", columns.operations[operation], (component, -1))


def _row(table: TestTable, r: int, name: str, subject: str, ends: tuple[int, int]) -> TraceTest:
    up = table.contrast[r] > 0
    times = np.isnan(table.share[r])
    return TraceTest(
        component=ends[0],
        callee=ends[1],
        name=name,
        subject=subject,
        region=subject if name == "self time" else "",
        change=("slower" if up else "faster") if times else ("more often" if up else "rarer"),
        n=int(table.n[r]),
        n0=int(table.n0[r]),
        contrast=float(table.contrast[r]),
        scale=float(table.scale[r]),
        log_ratio=float(table.log_ratio[r]),
    )


def _loudest(keys: Ints, log_ratio: Floats) -> list[int]:
    """Row of the largest ratio for each distinct row of keys."""
    best: dict[tuple[int, ...], int] = {}
    for r in np.argsort(log_ratio, kind="stable").tolist():
        best[tuple(keys[r].tolist())] = r
    return list(best.values())


def _notes(columns: TraceColumns, incident: Incident) -> Iterator[str]:
    if incident.spans is None:
        return
    if columns.spans[WINDOW] == 0:
        yield "No span lies in the incident window, so that spans say nothing."
    elif columns.spans[WINDOW + 1 :].sum() == 0:
        yield (
            "No span lies in the baseline or in a normal run: what they show has nothing "
            "to be compared with and is not read."
        )
    if columns.tables.left_out:
        yield (
            f"{columns.tables.left_out} counts of spans were not kept: there are more distinct "
            "operations than are counted apart; names that hold numbers should not."
        )
