"""What happens within a component's own span paths, and which code region changed first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayesrca.columns.spans import FAILURE, LOG, OPERATION, REMOTE
from bayesrca.evidence.trace_columns import TraceColumns
from bayesrca.evidence.trace_evidence import RegionShare, TraceTest
from bayesrca.evidence.trace_fold import fold, fold_contexts
from bayesrca.evidence.trace_tests import PatternTests, TestTable

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

GRAVE = 17
"""Least OpenTelemetry severity of an error."""
GRAVE_WEIGHT = 4.0
"""Prior weight of a failed span or an error line, against 1 of anything else that may change."""
VANISHED_WEIGHT = 4.0
"""Prior weight of a vanished line's being where the change lies, against 1 of others: the flow left
its course before a line that is no longer reached, while a new line may be a reaction to it."""
SUSPICION = 0.05
"""Prior odds of an event's having changed, in telling which of a span's changes came first."""
VANISHED = 0.02
"""Share below which an event counts as gone, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patterns:
    """Tests of a component's own patterns, by location: a line, an operation, a failure.

    Attributes:
        own: [n] log Bayes factor of each component.
        regions: code regions, the most probable first within each component.
        tests: a row per location, as the test of its loudest context.
    """

    own: Floats
    regions: tuple[RegionShare, ...]
    tests: tuple[TraceTest, ...]


def read_patterns(columns: TraceColumns, found: PatternTests, n: int) -> Patterns:
    """Join the tests of events into one factor per component, and rank its code regions.

    An event's tests "at all" and "at least twice" count once within a path; paths in which the same
    line of code, or the same operation, stands are contexts of one location; locations are weighed
    by `GRAVE_WEIGHT` and averaged.
    """
    ratio = found.tests.log_ratio
    keys, context = _number(found.component, found.kind, found.subject, found.context)
    at_all = fold(context, ratio, len(keys))
    places, place = _number(*keys[:, :3].T)
    joined = fold_contexts(place, at_all, len(places))
    weight = np.array([_weight(columns, int(k), int(s)) for _, k, s in places])
    rank = np.full(len(keys), np.inf)
    np.minimum.at(rank, context, found.rank)
    first = fold(place, np.log(_come_first(at_all, keys[:, 3], rank)), len(places))
    rows = zip(places[:, 0], _tests(columns, found, places, place[context], joined), strict=True)
    tests = tuple(row for component, row in rows if component < n)
    return Patterns(
        own=fold(places[:, 0], joined, n, weight),
        regions=tuple(_regions(tests, (joined + first)[places[:, 0] < n])),
        tests=tests,
    )


def _number(*keys: Ints) -> tuple[Ints, Ints]:
    """Distinct rows of keys, and the number of each among them."""
    rows = np.stack(keys, axis=1) if len(keys[0]) else np.empty((0, len(keys)), dtype=np.int64)
    distinct, inverse = np.unique(rows, axis=0, return_inverse=True)
    return distinct, np.asarray(inverse.reshape(-1))


def _weight(columns: TraceColumns, kind: int, subject: int) -> float:
    grave = kind == FAILURE or (kind == LOG and columns.keys[subject].severity >= GRAVE)
    return GRAVE_WEIGHT if grave else 1.0


def _come_first(log_ratio: Floats, context: Ints, rank: Floats) -> Floats:
    """Probability, [e], that no event that comes earlier in the same path has changed.

    After the first change in a span most of what follows changes too: a thrown exception skips all
    the rest. Events stand where they usually do, new ones where they now do.
    """
    odds = SUSPICION * np.exp(np.minimum(log_ratio, 50.0))
    log_unchanged = -np.log1p(odds)
    out = np.zeros(len(odds))
    order = np.lexsort([rank, context])
    for rows in np.split(order, np.flatnonzero(np.diff(context[order])) + 1):
        if not len(rows) or context[rows[0]] < 0:
            continue  # minutes have no order
        before = np.concatenate([[0.0], np.cumsum(log_unchanged[rows])])
        # Events at the same place do not come before each other.
        out[rows] = before[np.searchsorted(rank[rows], rank[rows] - 1e-9)]
    return np.exp(np.maximum(out, -30.0))


def _tests(
    columns: TraceColumns, found: PatternTests, places: Ints, place: Ints, ratio: Floats
) -> Iterator[TraceTest]:
    """Return one row per location, with the counts of its loudest test."""
    table = found.tests
    loudest = np.full(len(places), -1)
    for r in np.argsort(table.log_ratio, kind="stable"):
        loudest[place[r]] = r
    for g, (component, kind, subject) in enumerate(places.tolist()):
        r = loudest[g]
        region, words = _name(columns, kind, subject)
        if kind in (LOG, OPERATION) and found.context[r] >= 0:
            operation = columns.tables.paths[found.context[r], 1]
            words = f"{words} in {columns.operations[operation]}"
        yield TraceTest(
            component=component,
            callee=-1,
            name="pattern",
            subject=words,
            region=region,
            change=_change(table, r),
            n=int(table.n[r]),
            n0=int(table.n0[r]),
            contrast=float(table.contrast[r]),
            scale=float(table.scale[r]),
            log_ratio=float(ratio[g]),
        )


def _name(columns: TraceColumns, kind: int, subject: int) -> tuple[str, str]:
    """Code region and words for what a location is."""
    if kind == LOG:
        key = columns.keys[subject]
        return key.region or key.text, key.text
    operation = columns.operations[subject]
    if kind == OPERATION:
        return operation, operation
    return operation, f"{'call' if kind == REMOTE else 'failure'} of {operation}"


def _change(table: TestTable, r: int) -> str:
    if table.log_ratio[r] < 0:
        return "unchanged"
    share, n0 = table.share[r], table.n0[r]
    share0 = (table.share0[r] * (n0 + 1.0) - 0.5) / n0  # as it was counted
    if share <= VANISHED and share0 > 5 * VANISHED:
        return "vanished"
    if share0 <= VANISHED and share > share0:
        return "new"
    return "more often" if share > share0 else "rarer"


def _regions(tests: tuple[TraceTest, ...], log_ratio: Floats) -> Iterator[RegionShare]:
    """Shares of regions, by component, then probability."""
    prior = [VANISHED_WEIGHT if t.change == "vanished" else 1.0 for t in tests]
    log_weight = log_ratio + np.log(prior)
    owners = np.array([t.component for t in tests], dtype=np.int64)
    for component in np.unique(owners).tolist():
        rows = np.flatnonzero(owners == component)
        share = np.exp(log_weight[rows] - np.logaddexp.reduce(log_weight[rows]))
        total: dict[str, float] = {}
        leading: dict[str, tuple[float, str]] = {}
        for r, p in zip(rows.tolist(), share.tolist(), strict=True):
            region = tests[r].region
            total[region] = total.get(region, 0.0) + p
            leading[region] = max(leading.get(region, (-1.0, "")), (p, tests[r].change))
        for region in sorted(total, key=lambda name: (-total[name], name)):
            yield RegionShare(
                component=component,
                region=region,
                change=leading[region][1],
                probability=total[region],
            )
