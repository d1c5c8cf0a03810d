"""The spans and log records of a folder, those of the incident and those of a normal time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bayesrca.incident import ComponentKind, Incident, Logs, Run, Spans
from bayesrca.ingest._files import reject
from bayesrca.ingest.logs_file import LogsFile, read_logs, write_logs
from bayesrca.ingest.places import Naming, Place
from bayesrca.ingest.spans_file import SpansFile, read_spans, write_spans

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
    """

    spans: Spans | None
    logs: Logs | None
    runs: tuple[Run, ...]
    places: tuple[Place, ...]
    peer_kinds: dict[str, ComponentKind]
    own: bool


def read_tables(folder: Path, names: Naming) -> Tables:
    """Read the tables of a folder, each of which may be absent.

    Raises:
        IncidentFormatError: a file cannot be read as the format says, or there are two of spans.
    """
    if (folder / SPANS).exists() and (folder / SPANS_JSON).exists():
        reject(folder, f"holds both {SPANS} and {SPANS_JSON}; keep one")
    own = folder / (SPANS_JSON if (folder / SPANS_JSON).exists() else SPANS)
    spans, logs = _read(own, folder / LOGS, names)
    normal_spans, normal_logs = _read(folder / NORMAL_SPANS, folder / NORMAL_LOGS, names)
    normal: tuple[Run, ...] = ()
    if normal_spans is not None or normal_logs is not None:
        normal = (Run(NORMAL_RUN, (), _spans(normal_spans), _logs(normal_logs)),)
    files = [file for file in (spans, logs, normal_spans, normal_logs) if file is not None]
    kinds = [file.peer_kinds for file in (normal_spans, spans) if file is not None]
    return Tables(
        spans=_spans(spans),
        logs=_logs(logs),
        runs=normal,
        places=tuple(place for file in files for place in file.places),
        peer_kinds={name: kind for part in kinds for name, kind in part.items()},
        own=all(file.own for file in (spans, normal_spans) if file is not None),
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
