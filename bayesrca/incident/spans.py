"""Spans of traces as columns: who called whom, when, for how long, and whether it failed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayesrca.errors import InvalidIncidentError
from bayesrca.incident._columns import (
    ColumnTable,
    find_cycles,
    reject_rows,
    require_index,
    require_names,
)
from bayesrca.incident.moment import TimeWindow

COLUMNS = {
    "component": np.int32,
    "operation": np.int32,
    "code": np.int32,
    "trace": np.int64,
    "parent": np.int64,
    "start_ns": np.int64,
    "duration_ns": np.int64,
    "kind": np.int8,
    "status": np.int8,
    "peer": np.int32,
}
LARGEST_KIND = 5
LARGEST_STATUS = 2


@dataclass(frozen=True, slots=True, eq=False)
class Spans(ColumnTable):
    """n spans of one recording, in any order; names are interned.

    Columns are kept as read-only arrays of the types below; an input that somebody could still
    write to is copied. Equality compares content, and tables are not hashable.

    Attributes:
        components: names of the components that made the spans and of the `peer`s; unique.
        operations: names of operations, unique; one may be empty.
        codes: code regions, unique: ``Class#line``, a function, a database statement.
        trace_ids: names of the traces (hexadecimal where tracing made them), unique.
        component: int32[n] which of `components` made the span.
        operation: int32[n] which of `operations` it was.
        code: int32[n] which of `codes` it ran, -1 unknown.
        trace: int64[n] which of `trace_ids` it belongs to.
        parent: int64[n] row of the span that it was made within, -1 for a root and for a parent
            that was not received. Of the same trace; never a cycle.
        start_ns: int64[n] start, nanoseconds since the epoch.
        duration_ns: int64[n] duration in nanoseconds, >= 0.
        kind: int8[n] OpenTelemetry's span kind: 0 unspecified, 1 internal, 2 server, 3 client,
            4 producer, 5 consumer.
        status: int8[n] 0 unset, 1 ok, 2 error.
        peer: int32[n] which of `components` a client or producer span calls, where that one makes
            no spans of its own (a database, a queue, an external); -1 none.
        notes: what was mended or left out when the spans were read, for the answer.

    Raises:
        InvalidIncidentError: no row, columns of different lengths, a number out of its range, a
            repeated name, or a parent of another trace; the message names the row.
    """

    components: tuple[str, ...]
    operations: tuple[str, ...]
    codes: tuple[str, ...]
    trace_ids: tuple[str, ...]
    component: NDArray[np.int32]
    operation: NDArray[np.int32]
    code: NDArray[np.int32]
    trace: NDArray[np.int64]
    parent: NDArray[np.int64]
    start_ns: NDArray[np.int64]
    duration_ns: NDArray[np.int64]
    kind: NDArray[np.int8]
    status: NDArray[np.int8]
    peer: NDArray[np.int32]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names = {
            "components": require_names(self.components, "component", "components"),
            "operations": require_names(self.operations, "operation", "operations", empty=True),
            "codes": require_names(self.codes, "code region", "codes"),
            "trace_ids": require_names(self.trace_ids, "trace", "trace_ids"),
        }
        self.freeze(names, COLUMNS, "spans")
        self._check_indices()
        self._check_times()
        self._check_parents()

    def within(self, window: TimeWindow) -> NDArray[np.bool_]:
        """Return which spans [n] start in the window."""
        return window.contains(self.start_ns / 1e9)

    def _check_indices(self) -> None:
        components = len(self.components)
        require_index(self.component, components, "the component of a span", "component")
        require_index(self.operation, len(self.operations), "the operation of a span", "operation")
        require_index(self.code, len(self.codes), "the code of a span", "code", optional=True)
        require_index(self.trace, len(self.trace_ids), "the trace of a span", "trace")
        require_index(self.parent, len(self), "the parent of a span", "parent", optional=True)
        require_index(self.kind, LARGEST_KIND + 1, "the kind of a span", "kind")
        require_index(self.status, LARGEST_STATUS + 1, "the status of a span", "status")
        require_index(self.peer, components, "the peer of a span", "peer", optional=True)

    def _check_times(self) -> None:
        what = "a span cannot last less than no time; correct or drop it: duration_ns is"
        reject_rows(self.duration_ns < 0, self.duration_ns, what, "duration_ns")
        latest = np.iinfo(np.int64).max - self.duration_ns
        what = "a span ends beyond what nanoseconds of 64 bits can hold: duration_ns is"
        reject_rows(self.start_ns > latest, self.duration_ns, what, "duration_ns")

    def _check_parents(self) -> None:
        rows = np.flatnonzero(self.parent >= 0)
        up = self.parent[rows]
        bad = np.zeros(len(self), dtype=np.bool_)
        bad[rows] = self.trace[rows] != self.trace[up]
        what = "the parent of a span belongs to another trace; correct it or give -1: parent is"
        reject_rows(bad, self.parent, what, "parent")
        cycles = np.flatnonzero(find_cycles(self.parent))
        if cycles.size:
            row = int(cycles[0])
            msg = f"parents of spans form a cycle at row {row}; give one of them -1"
            raise InvalidIncidentError(msg, field=f"parent[{row}]")
