"""What was received over OpenTelemetry's protocol becomes spans and log records of an incident."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
from numpy.typing import NDArray

from bayesrca.columns.otlp import Kind, Table
from bayesrca.errors import InvalidTelemetryError
from bayesrca.ingest.intern import choose, rename
from bayesrca.ingest.places import Naming
from bayesrca.ingest.table_file import TableFile, Text, plain_name
from bayesrca.ingest.tables import Tables, join_tables, read_usable

# The attributes that docs/incident-folder.md and docs/topology.md speak of, by OpenTelemetry's
# semantic conventions, the older names of some among them.
_RESOURCE = (
    "service.name",
    "service.namespace",
    "cloud.account.id",
    "cloud.region",
    "host.name",
    "k8s.node.name",
    "k8s.pod.name",
    "container.id",
)
_OWN = (
    "code.function.name",
    "code.function",
    "code.namespace",
    "code.file.path",
    "code.filepath",
    "code.line.number",
    "code.lineno",
    "db.query.text",
    "db.statement",
    "db.namespace",
    "db.name",
    "db.system.name",
    "db.system",
    "peer.service",
    "messaging.destination.name",
    "messaging.destination",
    "messaging.system",
    "server.address",
    "net.peer.name",
)


def read_received(spans: Table | None, logs: Table | None, names: Naming | None = None) -> Tables:
    """Return received spans and log records as an incident holds them.

    Rows are read, linked and mended as those of a file (docs/incident-folder.md), and what was left
    out is told in the notes of the tables. A table none of whose records can be used (they name no
    service, say) is left out, and told in the notes of the whole.

    Args:
        spans: a table of spans, or None.
        logs: a table of log records, or None.
        names: how names become names of components; by default as they are.

    Raises:
        InvalidTelemetryError: a table of another kind.
    """
    names = names or Naming()
    for table, kind in ((spans, Kind.SPANS), (logs, Kind.LOGS)):
        if table is not None and table.kind is not kind:
            msg = f"a table of {kind} is needed, got one of {table.kind}"
            raise InvalidTelemetryError(msg)
    traced, logged, notes = read_usable(
        span_columns(spans) if spans is not None and len(spans) else None,
        log_columns(logs) if logs is not None and len(logs) else None,
        names,
    )
    return replace(join_tables((traced, logged), (None, None)), notes=notes)


@dataclass(frozen=True, slots=True)
class Gap:
    """What of one kind is not held.

    Attributes:
        before: seconds since the epoch before which it is missing; None where nothing is held.
        why: what became of it.
    """

    before: float | None
    why: str


def find_gap(kind: Kind, tables: Sequence[Table], evicted: Mapping[Kind, int]) -> Gap | None:
    """Return what of a kind was never received, or is no longer held; None for nothing.

    Args:
        kind: which records.
        tables: what is held, of any kind.
        evicted: records by kind that were received too.
    """
    count = evicted.get(kind, 0)
    # Whoever logs nothing for a while has lost nothing: what counts is when anything came.
    kinds = frozenset({kind} if count else Kind)
    periods = [t.period for t in tables if t.kind in kinds and t.period is not None]
    if not periods:
        return Gap(None, f"{count} {kind} were evicted and none is held") if count else None
    why = f"{count} were evicted" if count else "nothing was received before"
    return Gap(min(begin for begin, _ in periods) / 1e9, why)


def span_columns(table: Table) -> TableFile:
    """Return received spans as the columns that the readers of files take."""
    columns = table.columns
    trace, ids = table.traces()
    return _file(
        table,
        {
            "traceid": Text(trace.astype(np.int64), tuple(ids)),
            "spanid": _ids(columns["id"]),
            "parentspanid": _ids(columns["parent"]),
            "operation": _texts(table, "name", mended=table.invalid_texts),
            # By the names that spans of other sources have: all of them may be put together.
            "starttimeunixnano": pa.chunked_array([pa.array(columns["time"])]),
            "endtimeunixnano": pa.chunked_array([pa.array(columns["time"] + columns["duration"])]),
            "kind": _numbers(columns["kind"]),
            "statuscode": _numbers(columns["status"]),
        },
    )


def log_columns(table: Table) -> TableFile:
    """Return received log records as the columns that the readers of files take."""
    columns = table.columns
    severity = _numbers(columns["severity"])
    known = Text(np.where(columns["severity"] > 0, severity.codes, -1), severity.values)
    return _file(
        table,
        {
            "traceid": _pairs(columns["trace_high"], columns["trace_low"]),
            "spanid": _ids(columns["span"]),
            # A record that is an event may say nothing besides its name.
            "body": choose(
                [
                    rename(_texts(table, "body", mended=table.invalid_texts), str),
                    _texts(table, "event"),
                ]
            ),
            "timeunixnano": pa.chunked_array([pa.array(columns["time"])]),
            "severity": choose([known, _texts(table, "severity_text")]),
        },
    )


def _file(table: Table, columns: dict[str, Any]) -> TableFile:
    """Add the attributes that are read, and what the decoder left out."""
    resource = table.columns["resource"]
    attributes = [(key, table.resource_attribute(key)[resource]) for key in _RESOURCE]
    attributes += [(key, table.attribute(key)) for key in _OWN]
    for key, numbers in attributes:
        if (numbers >= 0).any():
            columns[plain_name(key)] = _values(table, numbers)
    if "servicename" not in columns:
        columns["servicename"] = Text(np.full(len(table), -1), ())
    notes = [f"{n} {table.kind} were rejected: {why}." for why, n in table.rejected.items() if n]
    return TableFile(Path(f"received {table.kind}"), len(table), columns, notes=tuple(notes))


def _values(table: Table, numbers: NDArray[np.int32]) -> Text:
    used, codes = np.unique(numbers, return_inverse=True)
    values = ["" if i < 0 else str(table.values[i]) for i in used.tolist()]
    by_number = Text(codes, tuple(map(str, range(len(values)))))
    return rename(by_number, lambda i: values[int(i)])


def _texts(table: Table, name: str, *, mended: int = 0) -> Text:
    used, codes = np.unique(table.columns[name], return_inverse=True)
    return Text(codes, tuple([table.strings[i] for i in used.tolist()]), mended)


def _numbers(column: NDArray[np.integer[Any]]) -> Text:
    used, codes = np.unique(column, return_inverse=True)
    return Text(codes, tuple(map(str, used.tolist())))


def _ids(column: NDArray[np.uint64]) -> Text:
    used, codes = np.unique(column, return_inverse=True)
    return _hide_zero(codes, column == 0, (f"{i:016x}" for i in used.tolist()))


def _pairs(high: NDArray[np.uint64], low: NDArray[np.uint64]) -> Text:
    upper, first = np.unique(high, return_inverse=True)
    lower, second = np.unique(low, return_inverse=True)
    used, codes = np.unique(first * len(lower) + second, return_inverse=True)
    texts = (f"{upper[i // len(lower)]:016x}{lower[i % len(lower)]:016x}" for i in used.tolist())
    return _hide_zero(codes, (high == 0) & (low == 0), texts)


def _hide_zero(codes: NDArray[np.intp], zero: NDArray[np.bool_], texts: Iterable[str]) -> Text:
    return Text(np.where(zero, -1, codes), tuple(texts))
