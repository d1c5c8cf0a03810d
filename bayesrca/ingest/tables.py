"""The spans and log records of a folder, those of the incident and those of a normal time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bayesrca.errors import IncidentFormatError
from bayesrca.incident import ComponentKind, Incident, Logs, Run, Spans
from bayesrca.ingest._files import reject
from bayesrca.ingest.logs_file import LogsFile, read_log_columns, read_logs, write_logs
from bayesrca.ingest.places import Naming, Place
from bayesrca.ingest.spans_file import SpansFile, read_span_columns, read_spans, write_spans
from bayesrca.ingest.table_file import TableFile

SPANS = "traces.parquet"
SPANS_JSON = "traces.json"
LOGS = "logs.parquet"
NORMAL_SPANS = "traces_normal.parquet"
NORMAL_LOGS = "logs_normal.parquet"
NORMAL_RUN = "normal"


@dataclass(frozen=True, slots=True)
class Tables:
    """What the tables of a folder hold.

    Attributes:
        spans: the incident's spans, or None.
        logs: its log records, or None.
        runs: the run of the normal tables, or nothing.
        places: what components were seen to run on.
        peer_kinds: what those components are that make no spans of their own.
        own: whether `save_incident` wrote the spans, if there are any.
        notes: which tables were left out, and why.
    """

    spans: Spans | None
    logs: Logs | None
    runs: tuple[Run, ...]
    places: tuple[Place, ...]
    peer_kinds: dict[str, ComponentKind]
    own: bool
    notes: tuple[str, ...] = ()


def read_tables(folder: Path, names: Naming) -> Tables:
    """Read the tables of a folder, each of which may be absent.

    Raises:
        IncidentFormatError: a file cannot be read as the format says, or there are two of spans.
    """
    if (folder / SPANS).exists() and (folder / SPANS_JSON).exists():
        reject(folder, f"holds both {SPANS} and {SPANS_JSON}; keep one")
    own = folder / (SPANS_JSON if (folder / SPANS_JSON).exists() else SPANS)
    return join_tables(
        _read(own, folder / LOGS, names),
        _read(folder / NORMAL_SPANS, folder / NORMAL_LOGS, names),
    )


def read_usable(
    spans: TableFile | None, logs: TableFile | None, names: Naming
) -> tuple[SpansFile | None, LogsFile | None, tuple[str, ...]]:
    """Make spans and log records of columns, and notes of what cannot be used.

    Nobody can correct what was sent, as one can a file: a table of which no row can be used costs
    nothing but itself.
    """
    traced = logged = None
    notes: list[str] = []
    try:
        traced = None if spans is None else read_span_columns(spans, names)
    except IncidentFormatError as error:
        notes.append(f"No span was used: {error}.")
    try:
        logged = None if logs is None else read_log_columns(logs, names, traced)
    except IncidentFormatError as error:
        notes.append(f"No log record was used: {error}.")
    return traced, logged, tuple(notes)


def join_tables(
    found: tuple[SpansFile | None, LogsFile | None],
    normal: tuple[SpansFile | None, LogsFile | None],
) -> Tables:
    """Put together the tables of an incident and those of a normal time."""
    runs: tuple[Run, ...] = ()
    if normal != (None, None):
        runs = (Run(NORMAL_RUN, (), _spans(normal[0]), _logs(normal[1])),)
    files = [file for file in (*found, *normal) if file is not None]
    traced = [file for file in (normal[0], found[0]) if file is not None]
    return Tables(
        spans=_spans(found[0]),
        logs=_logs(found[1]),
        runs=runs,
        places=tuple(place for file in files for place in file.places),
        peer_kinds={name: kind for file in traced for name, kind in file.peer_kinds.items()},
        own=all(file.own for file in traced),
    )


def _read(spans: Path, logs: Path, names: Naming) -> tuple[SpansFile | None, LogsFile | None]:
    found = read_spans(spans, names)
    return found, read_logs(logs, names, found)


def _spans(file: SpansFile | None) -> Spans | None:
    return None if file is None else file.spans


def _logs(file: LogsFile | None) -> Logs | None:
    return None if file is None else file.logs


def write_tables(folder: Path, incident: Incident) -> None:
    """Write the incident's spans and log records, and those of its normal run, if it has one."""
    _write(incident, folder / SPANS, folder / LOGS)
    for run in incident.normal_runs:
        _write(run, folder / NORMAL_SPANS, folder / NORMAL_LOGS)


def _write(tables: Incident | Run, spans: Path, logs: Path) -> None:
    if tables.spans is not None:
        write_spans(spans, tables.spans)
    if tables.logs is not None:
        write_logs(logs, tables.logs, tables.spans)
