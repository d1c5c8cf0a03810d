"""Spans and log lines reduced to counts and moments: the door to the core's reduction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayesrca import _core
from bayesrca.incident import Spans

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MOST_KEYS = 1_000_000
"""Distinct keys that a table of a reduction holds."""
OPERATION, REMOTE, LOG, FAILURE = range(4)
"""Sorts of events: a child of the same component, one of another, a log line, a failed span."""

SpanBatch = _core.SpanBatch
"""Whole traces of one recording, ready to be reduced; opaque."""


def build_batch(
    spans: Spans,
    *,
    components: ArrayLike,
    operations: ArrayLike,
    side: ArrayLike,
    covered: ArrayLike,
    log_span: ArrayLike,
    log_key: ArrayLike,
    log_time_ns: ArrayLike,
) -> SpanBatch:
    """Return spans and the log lines within them in the numbers that a reduction shares.

    Args:
        spans: n spans.
        components: number of each of ``spans.components`` among those of the reduction.
        operations: the same of each of ``spans.operations``.
        side: [n] which count each span goes to, -1 for none; see `reduce_spans`.
        covered: bool [n] whether log lines of the component are there for the time of the span.
        log_span: [l] row of the span that a log line lies in, -1 for none.
        log_key: [l] number of its template or code region (>= 0).
        log_time_ns: [l] its time in nanoseconds since the epoch.

    Raises:
        InvalidEvidenceError: an array that is not contiguous.
    """
    names = np.asarray(components, dtype=np.int32)
    # A component that calls itself waits for nobody else.
    others = (spans.peer >= 0) & (spans.peer != spans.component)
    peer = np.where(others, names[np.maximum(spans.peer, 0)], -1)
    return _core.SpanBatch(
        component=names[spans.component],
        operation=np.asarray(operations, dtype=np.int32)[spans.operation],
        parent=spans.parent,
        start_ns=spans.start_ns,
        duration_ns=spans.duration_ns,
        kind=spans.kind,
        status=spans.status,
        peer=np.asarray(peer, dtype=np.int32),
        side=np.asarray(side, dtype=np.int8),
        covered=np.asarray(covered, dtype=np.bool_),
        log_span=np.asarray(log_span, dtype=np.int64),
        log_key=np.asarray(log_key, dtype=np.int32),
        log_time_ns=np.asarray(log_time_ns, dtype=np.int64),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PartCounts:
    """Counts of the first side's q parts, in their order; rows as in `SpanTables`.

    Attributes:
        instances: int64 [p, q].
        covered: int64 [p, q].
        present: int64 [e, q].
        calls: int64 [t, q].
        last: int64 [t, q].
    """

    instances: Ints
    covered: Ints
    present: Ints
    calls: Ints
    last: Ints


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SpanTables:
    """What a reduction keeps: counts by key (rows) and by side (columns, s of them).

    The batches are kept too: `count_order` goes through them again.

    Attributes:
        paths: int64 [p, 6] component and operations of each local path: the span's own, then those
            of up to four ancestors of the same component, -1 beyond.
        instances: int64 [p, s] spans of the path.
        covered: int64 [p, s] of them, those with log coverage.
        events: int64 [e, 4] what happens within spans of a path: the path, the sort of event, its
            number (an operation, a log key, or 0), and 1 for "at least twice".
        present: int64 [e, s] spans in which it happened.
        ranks: [e, s] over these spans, the sum of how many other things had happened before.
        self_keys: int64 [k, 2] component and operation of all but client spans with a callee's
            span within.
        self_moments: [k, s, 3] number, mean and sum of squared deviations of the logarithm of self
            time in microseconds + 100.
        gap_keys: int64 [g, 3] caller, its operation, callee.
        gap_moments: [g, s, 3] the same of the time that the client's span spends outside the
            server's.
        terminal_keys: int64 [t, 3] path within which a call is made, callee, and 1 where log lines
            count as something that happens after it.
        calls: int64 [t, s] spans with such a call.
        last: int64 [t, s] of them, those in which it was the last thing to happen.
        parts: the counts of the first side, part by part.
        left_out: numbers that were not kept because a table was full.
    """

    paths: Ints
    instances: Ints
    covered: Ints
    events: Ints
    present: Ints
    ranks: Floats
    self_keys: Ints
    self_moments: Floats
    gap_keys: Ints
    gap_moments: Floats
    terminal_keys: Ints
    calls: Ints
    last: Ints
    parts: PartCounts
    left_out: int
    _batches: list[SpanBatch]
    _reduction: _core.SpanReduction

    def count_order(self, marks: ArrayLike) -> tuple[Ints, Ints]:
        """Count in which order callers and callees changed within the visits of the first side.

        A visit is all that one entry into a component makes it do. It has changed from the first
        time on at which a span of it shows an event marked 1, or, from that span's end on, lacks
        one marked -1. A call has failed or changed if the client's or the server's span failed, or
        the visit to the callee has changed.

        Args:
            marks: [e] one mark per event: 1, -1, or 0 for neither.

        Returns:
            int64 [c, 4]: caller, callee, visits of the caller that changed after a failed or
            changed call, visits that did not change and had such a call. And int64 [v, 3]:
            component, its visits that changed, and those that did not.

        Raises:
            InvalidEvidenceError: another number of marks than there are events.
        """
        return self._reduction.count_order(
            self._batches,
            sides=self.parts.present.shape[1],
            marks=np.asarray(marks, dtype=np.int8),
        )


def reduce_spans(
    batches: Sequence[SpanBatch], *, sides: int, parts: int = 1, limit: int = MOST_KEYS
) -> SpanTables:
    """Reduce batches of whole traces, one after the other, to counts and moments by side.

    Time is that of sorting siblings by start. What is counted takes memory by the number of
    distinct keys; the batches are kept besides, for `SpanTables.count_order`. A span whose
    ancestors lead back to itself counts as a root.

    Args:
        batches: the spans; no trace may be divided among them. Sides 0 to ``parts - 1`` of a batch
            are the parts of the first side here, ``parts`` is the second, and so on.
        sides: how many sides are counted apart (>= 1).
        parts: parts of the first side that are told apart too (>= 1).
        limit: most keys of each table; what does not fit is counted in ``left_out``.

    Raises:
        InvalidEvidenceError: columns of different lengths, or a number out of its range.
    """
    columns = sides + parts - 1 if sides else 0
    reduction = _core.SpanReduction(sides=columns, limit=limit)
    for batch in batches:
        reduction.push(batch)
    counts = {
        name: getattr(reduction, name)
        for name in ("instances", "covered", "present", "calls", "last")
    }
    return SpanTables(
        paths=reduction.paths,
        events=reduction.events,
        ranks=_join(reduction.ranks, parts),
        self_keys=reduction.self_keys,
        self_moments=_join_moments(reduction.self_moments.reshape(-1, columns, 3), parts),
        gap_keys=reduction.gap_keys,
        gap_moments=_join_moments(reduction.gap_moments.reshape(-1, columns, 3), parts),
        terminal_keys=reduction.terminal_keys,
        parts=PartCounts(**{name: table[:, :parts] for name, table in counts.items()}),
        left_out=reduction.left_out,
        _batches=list(batches),
        _reduction=reduction,
        **{name: _join(table, parts) for name, table in counts.items()},
    )


def _join[T: np.number](table: NDArray[T], parts: int) -> NDArray[T]:
    """Sum the first columns into one."""
    out = table[:, parts - 1 :].copy()
    out[:, 0] = table[:, :parts].sum(axis=1)
    return out


def _join_moments(table: Floats, parts: int) -> Floats:
    """Join numbers, means and squared deviations of the first columns (Chan et al. 1979)."""
    n, mean, squares = np.moveaxis(table[:, :parts], -1, 0)
    total = n.sum(axis=1)
    middle = (n * mean).sum(axis=1) / np.maximum(total, 1.0)
    spread = (squares + n * (mean - middle[:, None]) ** 2).sum(axis=1)
    first = np.stack([total, middle, spread], axis=-1)
    return np.asarray(np.concatenate([first[:, None], table[:, parts:]], axis=1))
