"""logs.parquet: log records of any origin become `Logs` (docs/incident-folder.md)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
from numpy.typing import NDArray

from bayesrca.incident import Logs, Spans
from bayesrca.incident.logs import LONGEST_TEXT
from bayesrca.ingest._files import naming, reject
from bayesrca.ingest.code_regions import find_place, read_code
from bayesrca.ingest.intern import choose, rename, take
from bayesrca.ingest.own_names import intern_named, own_notes, to_ids, to_strings, write_table
from bayesrca.ingest.places import Naming, Place, read_component, read_places
from bayesrca.ingest.spans_file import SpansFile
from bayesrca.ingest.table_file import TableFile, Text, open_parquet, read_nanoseconds

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_BODY = ("body", "text", "log", "msg", "message", "line")
_TIME = (
    ("timens", 1),
    ("timeunixnano", 1),
    ("timestamp", None),
    ("time", None),
    ("observedtimeunixnano", 1),
)
_SEVERITY = ("severity", "severitynumber", "severitytext", "level", "loglevel")
# The lowest of the four numbers that OpenTelemetry gives each word.
_WORDS = {
    "TRACE": 1,
    "DEBUG": 5,
    "INFO": 9,
    "INFORMATION": 9,
    "NOTICE": 10,
    "WARN": 13,
    "WARNING": 13,
    "ERROR": 17,
    "ERR": 17,
    "SEVERE": 17,
    "CRITICAL": 21,
    "FATAL": 21,
    "EMERGENCY": 24,
}
_NAMES = {"components": ("component",), "texts": ("text",), "codes": ("code",)}


@dataclass(frozen=True, slots=True)
class LogsFile:
    """What a file of log records holds.

    Attributes:
        logs: the records.
        places: what the components were seen to run on.
    """

    logs: Logs
    places: tuple[Place, ...]


def read_logs(path: Path, names: Naming, spans: SpansFile | None) -> LogsFile | None:
    """Read a file of log records; None if it is absent or empty.

    Raises:
        IncidentFormatError: as `read_log_columns`, or the file cannot be read.
    """
    file = open_parquet(path)
    return None if file is None else read_log_columns(file, names, spans)


def read_log_columns(file: TableFile, names: Naming, spans: SpansFile | None) -> LogsFile:
    """Make log records of columns.

    Rows without component, body or time are left out, and so are lines that were collected twice:
    same time, trace, span, component and source text, where the time is finer than a second or
    the span is known. The notes of the records count both.

    Args:
        file: the columns.
        names: how names become names of components.
        spans: the spans of the same recording, for records that name theirs.

    Raises:
        IncidentFormatError: a column that is needed is missing or cannot be read, or no row can be
            used.
    """
    notes = list(file.notes)
    component = read_component(file, names)
    file.require(_BODY, "what each record says")
    source = file.text(_BODY)
    time, timed = read_nanoseconds(file, _TIME, "the time of each record")
    trace, span = file.text(("traceid",)), file.text(("spanid",))
    usable = (component.codes >= 0) & (source.codes >= 0) & timed
    kept = usable
    if file.own is None:
        _note(notes, ~usable, "without a component, body or time were left out")
        kept = usable & _find_first(usable, time, trace, span, component, source)
        _note(notes, usable & ~kept, "were collected twice and were left out")
    if not kept.any():
        reject(file.path, f"none of its {file.rows} rows has a component, a body and a time")
    found = spans.forest.find(trace, span) if spans is not None else np.full(file.rows, -1)
    named = kept & (span.codes >= 0) & (found < 0)
    severity = _read_severity(file)
    text, place = source, read_code(file)
    if file.own is None:
        _note(notes, named, "name a span that was not received")
        text, place, said = _read_bodies(source, kept, notes)
        place = choose([read_code(file), place])
        severity = np.where(severity > 0, severity, said).astype(np.int8)
    columns = {"component": component, "text": text, "code": place}
    mended = sum(column.mended for column in columns.values())
    if mended:
        notes.append(f"{mended} texts of log records were not UTF-8; wrong bytes were replaced.")
    parts = intern_named(file, {k: take(c, kept) for k, c in columns.items()}, _NAMES)
    with naming(file.path):
        logs = Logs(
            **parts,
            time_ns=time[kept],
            severity=severity[kept],
            span=found[kept],
            notes=own_notes(file, notes),
        )
    return LogsFile(logs, read_places(file, component))


def _note(notes: list[str], rows: Bools, what: str) -> None:
    count = int(rows.sum())
    if count:
        notes.append(f"{count} log records {what}.")


def _find_first(usable: Bools, time: Ints, trace: Text, span: Text, *texts: Text) -> Bools:
    """Return which rows are the first of their time, trace, span and texts."""
    keys = [time, trace.codes, span.codes, *(text.codes for text in texts)]
    order = np.lexsort([np.arange(len(time)), *keys])
    same = np.ones(len(order) - 1, dtype=bool)
    for key in (*keys, usable):
        same &= key[order[1:]] == key[order[:-1]]
    # Two requests may well log the same within a second, if that is all the clock tells.
    same &= ((span.codes >= 0) | (time % 10**9 != 0))[order[1:]]
    first = np.ones(len(time), dtype=bool)
    first[order[1:][same]] = False
    return first


def _read_severity(file: TableFile) -> NDArray[np.int8]:
    column = file.text(_SEVERITY)
    return np.array([*map(_to_severity, column.values), 0], dtype=np.int8)[column.codes]


def _to_severity(word: str) -> int:
    """Return OpenTelemetry's number for a word such as ``WARN`` or ``Error3``, 0 if unknown."""
    if word.isdecimal():
        return int(word) if len(word) <= 2 and int(word) <= 24 else 0
    plain = word.strip().upper()
    step = int(plain[-1]) - 1 if plain[-1:] in {"2", "3", "4"} else 0
    return _WORDS.get(plain.rstrip("1234"), -step) + step


def _read_bodies(
    source: Text, kept: Bools, notes: list[str]
) -> tuple[Text, Text, NDArray[np.int8]]:
    """Return what was said, the code region and the severity that the bodies themselves tell."""
    used = np.zeros(len(source.values), dtype=bool)
    used[source.codes[kept]] = True
    texts, places, severities, long = [], [], [], np.zeros(len(used) + 1, dtype=bool)
    for i, (value, needed) in enumerate(zip(source.values, used.tolist(), strict=True)):
        body, word = _unwrap(value) if needed else ("", "")
        level, place = find_place(body)
        severities.append(_to_severity(word or level))
        long[i] = len(body) > LONGEST_TEXT
        texts.append(body[:LONGEST_TEXT])
        places.append(place)
    _note(notes, kept & long[source.codes], f"were cut at {LONGEST_TEXT} characters")
    by_place = Text(source.codes, tuple(map(str, range(len(places)))))
    index: dict[str, int] = {}
    codes = np.array([*(index.setdefault(text, len(index)) for text in texts), -1])
    return (
        Text(codes[source.codes], tuple(index), source.mended),
        rename(by_place, lambda i: places[int(i)]),
        np.array([*severities, 0], dtype=np.int8)[source.codes],
    )


def _unwrap(value: str) -> tuple[str, str]:
    """Return the message inside JSON that collectors and loggers wrap round it, and its level."""
    level = ""
    for _ in range(2):  # a logger's JSON within a container engine's
        if not value.startswith("{"):
            break
        try:
            content = json.loads(value)
        except (ValueError, RecursionError):
            break
        inner = next((content[k] for k in ("log", "message", "msg", "body") if k in content), None)
        if not isinstance(inner, str):
            break
        word = next((content[k] for k in ("severity", "level") if k in content), "")
        level = word if isinstance(word, str) and word else level
        value = inner
    return value.strip().encode(errors="replace").decode(), level


def write_logs(path: Path, logs: Logs, spans: Spans | None) -> None:
    """Write a file of log records that reads back as these.

    Args:
        path: the file.
        logs: the records.
        spans: the spans that they lie in, which `write_spans` writes.
    """
    more = {
        "time_ns": pa.array(logs.time_ns),
        "severity": pa.array(logs.severity),
        "span_id": to_ids(logs.span),
    }
    if spans is not None:
        traces = np.where(logs.span >= 0, spans.trace[logs.span], -1)
        more["trace_id"] = to_strings(Text(traces, spans.trace_ids))
    write_table(path, logs, _NAMES, more)
