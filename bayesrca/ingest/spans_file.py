"""traces.parquet and traces.json: spans of any origin become `Spans` (docs/incident-folder.md)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
from numpy.typing import NDArray

from bayesrca.incident import ComponentKind, Spans
from bayesrca.ingest._files import naming, reject
from bayesrca.ingest.code_regions import read_code
from bayesrca.ingest.forest import Forest, build_forest
from bayesrca.ingest.intern import rename, take
from bayesrca.ingest.own_names import intern_named, own_notes, to_ids, write_table
from bayesrca.ingest.places import Naming, Place, read_component, read_peer, read_places
from bayesrca.ingest.table_file import (
    TableFile,
    open_json,
    open_parquet,
    read_nanoseconds,
)

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_TRACE = ("traceid",)
_SPAN = ("spanid",)
_PARENT = ("parentspanid", "parentid")
_OPERATION = ("operation", "operationname", "spanname", "name")
_START = (
    ("startns", 1),
    ("starttimeunixnano", 1),
    ("startus", 10**3),
    ("startms", 10**6),
    ("starttime", None),
    ("start", None),
    ("timestamp", None),
    ("time", None),
)
_END = (("endns", 1), ("endtimeunixnano", 1), ("endtime", None), ("end", None))
_DURATION = (
    ("durationns", 1),
    ("durationus", 10**3),
    ("durationms", 10**6),
    ("durations", 10**9),
)
_KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")
_STATUS = ("unset", "ok", "error")
_NAMES = {
    "components": ("component", "peer"),
    "operations": ("operation",),
    "codes": ("code",),
    "trace_ids": ("trace",),
}


@dataclass(frozen=True, slots=True)
class SpansFile:
    """What a file of spans holds.

    Attributes:
        spans: the spans.
        forest: which span an id belongs to, for the log records that name it.
        places: what the components were seen to run on.
        peer_kinds: what those components are that make no spans of their own.
        own: whether we wrote the file.
    """

    spans: Spans
    forest: Forest
    places: tuple[Place, ...]
    peer_kinds: dict[str, ComponentKind]
    own: bool


def read_spans(path: Path, names: Naming) -> SpansFile | None:
    """Read a file of spans, parquet or JSON by its ending; None if it is absent or empty.

    Raises:
        IncidentFormatError: as `read_span_columns`, or the file cannot be read.
    """
    file = (open_json if path.suffix == ".json" else open_parquet)(path)
    return None if file is None else read_span_columns(file, names)


def read_span_columns(file: TableFile, names: Naming) -> SpansFile:
    """Make spans of columns.

    Rows that say too little (no trace, component, operation or time) are left out, ids that occur
    twice too, parents that were not received or go in circles are cut, negative durations become
    0; the notes of the spans count them.

    Args:
        file: the columns.
        names: how names become names of components.

    Raises:
        IncidentFormatError: a column that is needed is missing or cannot be read, or no row can be
            used.
    """
    notes = list(file.notes)
    component = read_component(file, names)
    trace = rename(file.text(_TRACE), str)
    operation = file.text(_OPERATION)
    start, timed = read_nanoseconds(file, _START, "the start of a span")
    duration, lasting = _read_durations(file, start)
    kept = (component.codes >= 0) & (trace.codes >= 0) & (operation.codes >= 0) & timed & lasting
    _note(notes, ~kept, "without a trace, component, operation, start or duration were left out")
    forest, single = build_forest(trace, file.text(_SPAN), file.text(_PARENT), kept)
    _note(notes, kept & ~single, "repeated the ids of an earlier span and were left out")
    if not single.any():
        reject(file.path, f"none of its {file.rows} rows is a span; {_REMEDY}")
    _note(notes, forest.orphans, "name a parent that was not received and count as first spans")
    _note(notes, forest.cut, "were their own ancestors and count as first spans")
    late = (duration < 0)[single]
    _note(notes, late, "ended before they began and count as lasting no time")
    kinds = _read_words(file, ("kind", "spankind"), _KINDS, "spankind")
    peer, peer_kinds = read_peer(file, kinds, names)
    columns = {
        "component": take(component, single),
        "peer": take(peer, single),
        "operation": take(operation, single),
        "code": take(read_code(file), single),
        "trace": take(trace, single),
    }
    mended = sum(column.mended for column in columns.values())
    if mended:
        notes.append(f"{mended} texts of spans were not UTF-8; the wrong bytes were replaced.")
    status = _read_words(file, ("status", "statuscode", "otelstatuscode"), _STATUS, "statuscode")
    parts = intern_named(file, columns, _NAMES)
    with naming(file.path):
        spans = Spans(
            **parts,
            parent=forest.parent,
            start_ns=start[single],
            duration_ns=np.maximum(duration[single], 0),
            kind=kinds[single],
            status=status[single],
            notes=own_notes(file, notes),
        )
    spans = spans if file.own is not None else _keep_unanswered(spans)
    return SpansFile(spans, forest, read_places(file, component), peer_kinds, file.own is not None)


_REMEDY = "each needs a trace id, a component or service, an operation, a start and a duration"


def _note(notes: list[str], rows: Bools, what: str) -> None:
    count = int(rows.sum())
    if count:
        notes.append(f"{count} spans {what}.")


def _read_durations(file: TableFile, start: Ints) -> tuple[Ints, Bools]:
    if file.find([name for name, _ in _END]) is None:
        return read_nanoseconds(file, _DURATION, "the duration of a span")
    end, ended = read_nanoseconds(file, _END, "the end of a span")
    return end - start, ended


def _read_words(
    file: TableFile, names: tuple[str, ...], words: tuple[str, ...], prefix: str
) -> NDArray[np.int8]:
    """Read numbers or words of one of OpenTelemetry's enumerations; anything else is 0."""
    column = file.text(names)
    numbers = {str(i): i for i in range(len(words))} | {w: i for i, w in enumerate(words)}
    plain = ("".join(c for c in value.lower() if c.isalnum()) for value in column.values)
    places = [numbers.get(word.removeprefix(prefix), 0) for word in plain]
    return np.array([*places, 0], dtype=np.int8)[column.codes]


def _keep_unanswered(spans: Spans) -> Spans:
    """Drop the peer of a span that another component answered, and of what is no call."""
    inner = np.flatnonzero(spans.parent >= 0)
    outer = spans.parent[inner]
    answered = np.zeros(len(spans), dtype=bool)
    answered[outer[spans.component[inner] != spans.component[outer]]] = True
    answered |= spans.peer == spans.component
    if not (answered & (spans.peer >= 0)).any():
        return spans
    return replace(spans, peer=np.where(answered, -1, spans.peer))


def write_spans(path: Path, spans: Spans) -> None:
    """Write a file of spans that reads back as these; a span's id is made from its row."""
    more = {
        "span_id": to_ids(np.arange(len(spans))),
        "parent_span_id": to_ids(spans.parent),
        "start_ns": pa.array(spans.start_ns),
        "duration_ns": pa.array(spans.duration_ns),
        "kind": pa.array(spans.kind),
        "status": pa.array(spans.status),
    }
    write_table(path, spans, _NAMES, more)
