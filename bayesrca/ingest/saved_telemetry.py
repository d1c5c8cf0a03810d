"""Received telemetry of some time, written as Parquet files and read again.

``spans.parquet`` and ``logs.parquet`` have the columns that the readers of files take, and
``points.parquet`` one row for each metric point; all have every attribute of a record and of its
resource too, as maps. ``window.json`` tells what of it there is.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from bayesrca.columns.otlp import Kind, Table, merge
from bayesrca.errors import BayesRcaError, IncidentFormatError
from bayesrca.incident import TimeWindow
from bayesrca.ingest.received import Gap, find_gap, log_columns, span_columns
from bayesrca.ingest.saved_points import SavedPoints, attribute_maps, point_arrays
from bayesrca.ingest.table_file import TableFile, Text, open_parquet

MANIFEST = "window.json"
_MAPS = ("attributes", "resourceattributes")
_TIMES = {Kind.SPANS: "starttimeunixnano", Kind.LOGS: "timeunixnano"}
_ROW_GROUP = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What ``window.json`` tells.

    Attributes:
        window: the time that was saved, in seconds since the epoch.
        created: when, in the same.
        records: by kind, 0 of a kind without a file.
        notes: by kind, what reading the records told.
        gaps: by kind, what of the time was not there to be saved.
    """

    window: TimeWindow
    created: float
    records: Mapping[Kind, int]
    notes: Mapping[Kind, tuple[str, ...]]
    gaps: Mapping[Kind, Gap]


def write_window(
    folder: Path,
    tables: Sequence[Table],
    window: TimeWindow,
    *,
    created: float,
    evicted: Mapping[Kind, int],
) -> dict[Kind, int]:
    """Write what tables hold of a time into a folder that exists, and wait until the disk holds it.

    Args:
        folder: where; without files of these names.
        tables: of any kind, in the order of their arrival.
        window: the time, in seconds since the epoch.
        created: the time that it is now, likewise.
        evicted: records by kind that were received too and are no longer held.

    Returns:
        Records by kind; of a kind without any there is no file.

    Raises:
        OSError: it could not be written; what was is left for the caller to remove.
    """
    begin, end = _nanoseconds(window)
    counts, notes, gaps = {}, {}, {}
    for kind, arrays in _ARRAYS.items():
        held = merge(kind, [table for table in tables if table.kind is kind], begin, end)
        counts[kind] = len(held)
        gap = find_gap(kind, tables, evicted)
        if gap is not None:
            gaps[kind] = asdict(gap)
        if len(held):
            columns, notes[kind] = arrays(held)
            _write(folder / f"{kind}.parquet", columns)
    manifest = {
        "created": created,
        "start": window.start,
        "end": window.end,
        "records": counts,
        "notes": notes,
        "gaps": gaps,
    }
    with (folder / MANIFEST).open("xb") as file:
        file.write(json.dumps(manifest).encode())
        _flush(file.fileno(), file.flush)
    return counts


def read_manifest(folder: Path) -> Manifest:
    """Return what `write_window` told of a folder.

    Raises:
        IncidentFormatError: it cannot be read.
    """
    try:
        told: dict[str, Any] = dict(json.loads((folder / MANIFEST).read_bytes()))
        return Manifest(
            window=TimeWindow(told["start"], told["end"]),
            created=float(told["created"]),
            records={Kind(kind): int(n) for kind, n in told["records"].items()},
            notes={Kind(kind): tuple(notes) for kind, notes in told["notes"].items()},
            gaps={Kind(kind): Gap(**gap) for kind, gap in told["gaps"].items()},
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError, BayesRcaError) as error:
        msg = f"{MANIFEST} of the saved telemetry cannot be read; save it anew"
        raise IncidentFormatError(msg) from error


def read_points(folder: Path, window: TimeWindow, manifest: Manifest) -> SavedPoints | None:
    """Return the saved points of a time; None where there is none.

    Raises:
        IncidentFormatError: the file cannot be read, or is gone.
    """
    path = _file(folder, Kind.POINTS, manifest)
    if path is None:
        return None
    points = SavedPoints(path, *_nanoseconds(window))
    return points if len(points) else None


def read_rows(folder: Path, kind: Kind, window: TimeWindow, manifest: Manifest) -> TableFile | None:
    """Return the saved spans or log records of a time; None where there is none.

    Raises:
        IncidentFormatError: the file cannot be read, or is gone.
    """
    path = _file(folder, kind, manifest)
    found = None if path is None else open_parquet(path)
    if found is None:
        return None
    begin, end = _nanoseconds(window)
    time = np.asarray(found.array(_TIMES[kind]).to_numpy())
    inside = (time >= begin) & (time < end)
    if not inside.any():
        return None
    rows = pa.array(inside)
    columns = {
        name: column.filter(rows)
        for name, column in found.columns.items()
        if name not in _MAPS and not isinstance(column, Text)
    }
    notes = manifest.notes.get(kind, ())
    return TableFile(Path(f"saved {kind}"), int(inside.sum()), columns, notes=notes)


def _file(folder: Path, kind: Kind, manifest: Manifest) -> Path | None:
    """Return the file of a kind; None where nothing of it was saved."""
    if not manifest.records.get(kind):
        return None
    path = folder / f"{kind}.parquet"
    if not path.exists():
        msg = f"{path.name} of the saved telemetry is gone; save it anew"
        raise IncidentFormatError(msg)
    return path


def _nanoseconds(window: TimeWindow) -> tuple[int, int]:
    return round(window.start * 1e9), round(window.end * 1e9) + 1


_Arrays = tuple[dict[str, pa.Array], list[str]]


def _rows_of(file: TableFile, table: Table) -> _Arrays:
    columns = {
        name: _text_array(column) if isinstance(column, Text) else column
        for name, column in file.columns.items()
    }
    return columns | attribute_maps(table), list(file.notes)


def _points_of(table: Table) -> _Arrays:
    return point_arrays(table), []


def _text_array(column: Text) -> pa.Array:
    codes = pa.array(column.codes.astype(np.int32), mask=column.codes < 0)
    return pa.DictionaryArray.from_arrays(codes, pa.array(column.values, pa.string()))


_ARRAYS: Mapping[Kind, Callable[[Table], _Arrays]] = {
    Kind.POINTS: _points_of,
    Kind.SPANS: lambda table: _rows_of(span_columns(table), table),
    Kind.LOGS: lambda table: _rows_of(log_columns(table), table),
}


def _write(path: Path, columns: dict[str, pa.Array]) -> None:
    with path.open("xb") as file:
        pq.write_table(
            pa.table(columns),
            file,
            compression="zstd",
            write_page_checksum=True,
            row_group_size=_ROW_GROUP,
            store_schema=False,  # texts are to be read as texts, whoever reads
        )
        _flush(file.fileno(), file.flush)


def _flush(descriptor: int, flush: Callable[[], None]) -> None:
    flush()
    os.fsync(descriptor)
