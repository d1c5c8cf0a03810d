"""Every comparison of the window's spans with normal ones: log Bayes factors, one per test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayesrca.columns.spans import LOG, OPERATION
from bayesrca.evidence.trace_columns import PARTS, WINDOW, TraceColumns
from bayesrca.evidence.trace_laws import (
    FOLLOWS,
    log_beta_binomial,
    log_changed_count,
    log_quiet_count,
    log_risen_count,
)
from bayesrca.evidence.trace_onset import compare_parts
from bayesrca.evidence.trace_reference import compare_times

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MIN_INSTANCES = 2
"""Instances on either side below which a share says nothing."""
UNUSUAL = 3.0
"""Log Bayes factor from which an event's presence or absence counts as a change of its span."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TestTable:
    """Tests of one family, j of them.

    Attributes:
        row: int64 [j] key of the reduction's table that each is about.
        n: [j] instances in the window; of a share, those from its most probable onset on.
        n0: [j] instances in all references.
        contrast: [j] share, or mean logarithm, in these less that of the references.
        scale: [j] its standard deviation when quiet.
        log_ratio: [j] log Bayes factor, affected against quiet.
        share: [j] share of these instances; NaN for times.
        share0: [j] share of the references' instances; NaN for times.
    """

    __test__ = False  # not for pytest

    row: Ints
    n: Floats
    n0: Floats
    contrast: Floats
    scale: Floats
    log_ratio: Floats
    share: Floats
    share0: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class PatternTests:
    """Tests of what happens within components, j of them.

    Attributes:
        component: int64 [j] the component.
        kind: int64 [j] sort of event, see `bayesrca.columns.spans`.
        subject: int64 [j] log key, or operation: that of the child, or for a call to another
            component and a failure that of the span itself.
        context: int64 [j] path, or -1 for a minute of log lines outside spans.
        rank: [j] how many other things usually happened before in the span; of one that has become
            more frequent, now.
        tests: the tests; rows are those of ``events``, then, from there on, of ``minutes.keys``.
    """

    component: Ints
    kind: Ints
    subject: Ints
    context: Ints
    rank: Floats
    tests: TestTable


def compare_patterns(columns: TraceColumns) -> PatternTests:
    """Compare in how many instances of each path, or in how many minutes, each event happens.

    Log lines in spans are compared over instances with log coverage only, those outside spans over
    minutes in which the component logged anything there.
    """
    tables, minutes = columns.tables, columns.minutes
    path, kind, what, _ = tables.events.T
    own = tables.paths[path]
    of_logs = (kind == LOG)[:, None]
    parts = tables.parts
    n_parts = np.where(of_logs, parts.covered[path], parts.instances[path])
    n = np.where(of_logs, tables.covered[path], tables.instances[path])
    found = _compare_shares(
        (
            np.concatenate([parts.present, _as_one_part(minutes.present)]),
            np.concatenate([n_parts, _as_one_part(minutes.minutes)]),
        ),
        (
            np.concatenate([tables.present, minutes.present])[:, 1:],
            np.concatenate([n, minutes.minutes])[:, 1:],
        ),
        columns.trust,
        log_changed_count,
    )
    row, lines = found.row, len(minutes.keys)
    rank = np.concatenate([_ranks(tables.present, tables.ranks), np.zeros((lines, 2))])[row]
    return PatternTests(
        component=np.concatenate([own[:, 0], minutes.keys[:, 0]])[row],
        kind=np.concatenate([kind, np.full(lines, LOG)])[row],
        subject=np.concatenate(
            [np.where(np.isin(kind, (LOG, OPERATION)), what, own[:, 1]), minutes.keys[:, 1]]
        )[row],
        context=np.concatenate([path, np.full(lines, -1)])[row],
        rank=np.where(found.contrast > 0, rank[:, 0], rank[:, 1]),
        tests=found,
    )


def _ranks(present: Ints, ranks: Floats) -> Floats:
    """[e, 2] mean place of each event within its spans: in the window, and in the references."""
    now = ranks[:, WINDOW] / np.maximum(present[:, WINDOW], 1)
    before = np.delete(ranks, WINDOW, axis=1).sum(axis=1)
    times = np.delete(present, WINDOW, axis=1).sum(axis=1)
    return np.stack([now, before / np.maximum(times, 1)], axis=1)


def compare_terminals(columns: TraceColumns) -> TestTable:
    """Compare how often a call is the last thing that happens; rows: ``terminal_keys``."""
    tables = columns.tables
    return _compare_shares(
        (tables.parts.last, tables.parts.calls),
        (tables.last[:, 1:], tables.calls[:, 1:]),
        columns.trust,
        log_risen_count,
    )


def compare_self_times(columns: TraceColumns) -> TestTable:
    """Compare self times of operations; rows are those of ``self_keys``."""
    return _compare_moments(columns.tables.self_moments, columns)


def compare_gaps(columns: TraceColumns) -> TestTable:
    """Compare client time outside the server's; rows are those of ``gap_keys``."""
    return _compare_moments(columns.tables.gap_moments, columns)


def compare_orders(columns: TraceColumns, patterns: PatternTests) -> tuple[Ints, TestTable]:
    """Compare how often a caller's change follows a changed call with how often one is there.

    Quiet is: changes of the caller do not depend on the call, so that a changed call precedes them
    as often as it occurs in visits in which the caller does not change. A callee that never changed
    nor failed may be at fault in silence, and there is nothing to tell.

    Returns:
        int64 [j, 2] caller and callee, and the tests, whose ``row`` counts them.
    """
    marks = np.zeros(len(columns.tables.events), dtype=np.int8)
    found = patterns.tests
    changed = (found.log_ratio >= UNUSUAL) & (found.row < len(marks))
    marks[found.row[changed]] = np.where(found.contrast[changed] > 0, 1, -1)
    edges, visits = columns.tables.count_order(marks)
    of = {int(c): (int(a), int(b)) for c, a, b in visits}
    spoke = [of.get(int(r), (0, 0))[0] + k1 + k0 > 0 for _, r, k1, k0 in edges]
    edges = edges[np.array(spoke, dtype=np.bool_)]
    both = np.array([of[int(c)] for c in edges[:, 0]], dtype=np.float64).reshape(-1, 2)
    k1, n1 = edges[:, 2].astype(np.float64), both[:, 0]
    k0, n0 = edges[:, 3].astype(np.float64), both[:, 1]
    share = (k0 + 0.5) / (n0 + 1.0)
    a, b = (np.full_like(k1, x) for x in FOLLOWS)
    ratio = log_beta_binomial(k1, n1, a, b) - log_quiet_count(k1, n1, share, n0)
    return edges[:, :2], _kept(n1, n0, ratio, k1 / np.maximum(n1, 1.0), share, least=0)


def _as_one_part(counts: Ints) -> Ints:
    """Counts of minutes, which are few, as if all of the window lay in its first part."""
    out = np.zeros((len(counts), PARTS), dtype=np.int64)
    out[:, 0] = counts[:, WINDOW]
    return out


def _compare_shares(
    window: tuple[Ints, Ints],
    references: tuple[Ints, Ints],
    trust: Floats,
    log_change: Callable[[Floats, Floats, Floats], Floats],
) -> TestTable:
    """Compare what shows, and instances, [j, parts] of the window and [j, r] of the references."""
    k0, n0 = (counts.astype(np.float64) for counts in references)
    found = compare_parts(*window, (k0, n0), trust, log_change)
    share0 = (k0.sum(axis=1) + 0.5) / (n0.sum(axis=1) + 1.0)
    share = found.k / np.maximum(found.n, 1.0)
    return _kept(found.n, n0.sum(axis=1), found.log_ratio, share, share0, least=MIN_INSTANCES)


def _kept(
    n1: Floats, n0: Floats, ratio: Floats, share: Floats, share0: Floats, *, least: int
) -> TestTable:
    row = np.flatnonzero((n1 >= MIN_INSTANCES) & (n0 >= least))
    noise = share0[row] * (1.0 - share0[row]) * (1.0 / n1[row] + 1.0 / (n0[row] + 1.0))
    return TestTable(
        row=row,
        n=n1[row],
        n0=n0[row],
        contrast=(share - share0)[row],
        scale=np.sqrt(noise),
        log_ratio=ratio[row],
        share=share[row],
        share0=share0[row],
    )


def _compare_moments(moments: Floats, columns: TraceColumns) -> TestTable:
    found = compare_times(moments, columns.drift, columns.trust)
    row = np.flatnonzero(np.isfinite(found.log_ratio))
    nothing = np.full(len(row), np.nan)
    return TestTable(
        row=row,
        n=moments[row, WINDOW, 0],
        n0=moments[row, 1:, 0].sum(axis=1),
        contrast=found.contrast[row],
        scale=found.scale[row],
        log_ratio=found.log_ratio[row],
        share=nothing,
        share0=nothing,
    )
