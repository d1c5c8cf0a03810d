"""OpenTelemetry's export requests as tables of columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import IntEnum, StrEnum
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesrca import _core

Value = str | bool | int | float | None
Ints = NDArray[np.int64]


class Kind(StrEnum):
    """What a table holds: spans, metric points or log records."""

    SPANS = "spans"
    POINTS = "points"
    LOGS = "logs"


class MetricKind(IntEnum):
    """What a metric's points hold, the column ``metric_kind``."""

    GAUGE = 0
    SUM = 1
    HISTOGRAM = 2
    EXPONENTIAL_HISTOGRAM = 3
    SUMMARY = 4


class Temporality(IntEnum):
    """Since when a sum or histogram counts, the column ``metric_temporality``."""

    UNSPECIFIED = 0
    DELTA = 1
    CUMULATIVE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one request may hold; more is an error.

    Attributes:
        records: spans, points or log records.
        attributes: attributes of one span, event, point, log record, resource or scope.
        text_bytes: bytes of one text, attribute or body.
        depth: how deeply lists and maps may be nested in a value.
    """

    records: int = 1 << 20
    attributes: int = 1024
    text_bytes: int = 1 << 20
    depth: int = 32


DEFAULT_LIMITS = Limits()


class Table:
    """Records in columns; what they say is kept once and referred to by number.

    Columns of every table, n records: ``time`` int64 [n] nanoseconds since 1970; ``resource`` and
    ``scope`` int32 [n]; ``attributes`` int32, the numbers of all records' attributes one after the
    other, ``attribute_ends`` int64 [n] where each record's end; ``resource_attributes`` and
    ``resource_attribute_ends``, and the same for ``scope``, by resource and scope; ``key`` int32
    and ``value_type`` int8 (0 none, 1 text, 2 bool, 3 int, 4 double, 5 bytes, 6 list or map) by
    attribute. Texts are numbers of `strings`.

    Of spans: ``trace_high``, ``trace_low``, ``id`` and ``parent`` uint64 [n]; ``duration`` int64
    [n] nanoseconds; ``name`` and ``message`` int32 [n] texts; ``kind`` int8 [n] 0 to 5; ``status``
    int8 [n], 2 an error; their events in ``event_span`` (row), ``event_time``, ``event_name``,
    ``event_attributes`` and ``event_attribute_ends``.

    Of points: ``metric_name``, ``metric_unit`` (texts), ``metric_kind`` (`MetricKind`),
    ``metric_temporality`` (`Temporality`) and ``metric_monotonic`` by metric; ``metric`` int32 [n];
    ``start`` int64 [n]; ``value`` float64 [n] of gauges and sums; ``count``, ``sum``, ``min``,
    ``max`` [n] of histograms and summaries, NaN where not told; ``bucket_upper`` float64 and
    ``bucket_count`` uint64 one histogram after the other, ``bucket_ends`` int64 [n]; ``quantile``,
    ``quantile_value`` and ``quantile_ends`` likewise. A bucket begins where the one before ends.

    Of logs: ``severity`` int8 [n]; ``severity_text``, ``body`` and ``event`` int32 [n] texts;
    ``trace_high``, ``trace_low`` and ``span`` uint64 [n], 0 for none.

    Attributes:
        kind: what it holds.
        n_bytes: bytes it takes in memory.
        rejected: records that were left out, by why.
        invalid_texts: texts that were not UTF-8; they have U+FFFD for what could not be read.
        period: earliest and latest time, nanoseconds since 1970; None without a record.
    """

    def __init__(self, kind: Kind, native: _core.OtlpTable) -> None:
        self.kind = kind
        self._native = native
        self.n_bytes = native.n_bytes
        self.rejected: Mapping[str, int] = dict(native.rejected)
        self.invalid_texts = native.invalid_texts
        self.period: tuple[int, int] | None = native.period

    def __len__(self) -> int:
        return len(self._native)

    @cached_property
    def columns(self) -> Mapping[str, NDArray[Any]]:
        """The columns by name."""
        return self._native.columns()

    @cached_property
    def strings(self) -> list[str]:
        """The texts by number; number 0 is the empty one."""
        return self._native.strings()

    @cached_property
    def values(self) -> list[Value]:
        """The attributes' values by number: bytes as hexadecimal digits, lists and maps as JSON."""
        return self._native.values()

    def attribute(self, key: str) -> NDArray[np.int32]:
        """Return for each record the number of its attribute with a key, -1 for none: int32 [n]."""
        return self._native.attribute(key)

    def resource_attribute(self, key: str) -> NDArray[np.int32]:
        """Return the same for each distinct resource."""
        return self._native.resource_attribute(key)

    def traces(self) -> tuple[Ints, list[str]]:
        """Return the number of each span's trace, and the traces' ids in hexadecimal.

        Raises:
            ValueError: the table does not hold spans.
        """
        return self._native.traces()


def decode(kind: Kind, request: bytes, limits: Limits = DEFAULT_LIMITS) -> Table:
    """Decode a serialised export request of traces, metrics or logs, without the GIL.

    Records that the specification calls invalid are left out and counted in `Table.rejected`.

    Raises:
        InvalidTelemetryError: it is no such request or beyond the limits; names the byte.
    """
    return Table(kind, _core.decode_otlp(kind, request, **asdict(limits)))


def merge(kind: Kind, tables: Iterable[Table], begin: int, end: int) -> Table:
    """Return the records of tables of one kind with a time in ``[begin, end)`` as one table.

    Args:
        kind: what they hold.
        tables: in the order that the records are to have.
        begin: nanoseconds since 1970, like `end`.
        end: the nanosecond after the window.

    Raises:
        InvalidEvidenceError: more than 2^32 records or attributes.
        ValueError: a table of another kind.
    """
    native = [table._native for table in tables]
    return Table(kind, _core.merge_otlp(kind, native, begin, end))
