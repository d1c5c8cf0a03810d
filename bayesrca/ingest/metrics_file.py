"""metrics.parquet: one time column and one float column per series."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
from numpy.typing import NDArray

from bayesrca.ingest._files import reject

TIME = "time"
SEPARATOR = "|"


@dataclass(frozen=True, slots=True)
class Table:
    """What a metrics file holds.

    Attributes:
        time: [n] seconds, finite and strictly increasing, read-only.
        series: (component, metric, values [n] with NaN for missing, read-only), in file order.
    """

    time: NDArray[np.float64]
    series: tuple[tuple[str, str, NDArray[np.float64]], ...]


def read_metrics(path: Path) -> Table:
    """Read a metrics file.

    Raises:
        IncidentFormatError: not a readable parquet file, or columns that break the format; the
            message names the file, the column or the row.
    """
    table = _read_parquet(path)
    keys = _split_names(path, table.schema.names)
    if table.num_rows == 0:
        reject(path, "has no row; write one row per instant")
    columns = dict(zip(table.schema.names, table.columns, strict=True))
    time = _to_numbers(path, TIME, columns[TIME])
    _check_time(path, time)
    series = tuple(
        (component, metric, _to_numbers(path, name, columns[name]))
        for name, (component, metric) in keys.items()
    )
    return Table(time, series)


def _read_parquet(path: Path) -> pa.Table:
    try:
        # One file, taken as it is: the data set reader would also look for partitions in the path.
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            return file.read()
    except (pa.ArrowException, OSError, ValueError) as error:
        first_line = str(error).partition("\n")[0]
        reject(
            path,
            f"is not a readable parquet file ({first_line}); it may be cut short: write it anew",
        )


def _split_names(path: Path, names: list[str]) -> dict[str, tuple[str, str]]:
    keys: dict[str, tuple[str, str]] = {}
    if TIME not in names:
        reject(path, f"has no {TIME!r} column; add one with the time of each row in seconds")
    for i, name in enumerate(names):
        if name in names[:i] if name == TIME else name in keys:
            reject(path, f"has column {name!r} twice; keep one", field=name)
        if name == TIME:
            continue
        component, separator, metric = name.partition(SEPARATOR)
        if not (separator and component and metric):
            reject(
                path,
                f"column {name!r} is not named <component>{SEPARATOR}<metric>; rename it, or drop "
                "it if it is an index",
                field=name,
            )
        keys[name] = (component, metric)
    if not keys:
        reject(path, f"has no series; add columns named <component>{SEPARATOR}<metric>")
    return keys


def _to_numbers(path: Path, name: str, column: pa.ChunkedArray) -> NDArray[np.float64]:
    kind = column.type
    plain = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    if not (plain or pa.types.is_null(kind)):
        remedy = (
            "seconds" if name == TIME else "numbers, with null or NaN where a sample is missing"
        )
        reject(path, f"column {name!r} holds {kind} values; write {remedy}", field=name)
    try:
        floats = column.cast(pa.float64(), safe=False)
    except pa.ArrowException as error:
        reject(path, f"column {name!r} cannot be read as numbers ({error})", field=name)
    # Not by `to_numpy`, which loads pandas for two CPU seconds.
    present = floats.is_valid().cast(pa.uint8()).combine_chunks()
    numbers = np.full(len(floats), np.nan)
    numbers[np.from_dlpack(present) == 1] = np.from_dlpack(floats.drop_null().combine_chunks())
    numbers.setflags(write=False)
    return numbers


def _check_time(path: Path, time: NDArray[np.float64]) -> None:
    bad = np.flatnonzero(~np.isfinite(time))
    if bad.size:
        reject(path, f"row {bad[0]} has no finite time; give every row its second", field=TIME)
    bad = np.flatnonzero(time[1:] <= time[:-1]) + 1
    if bad.size:
        row = int(bad[0])
        problem = "repeats" if time[row] == time[row - 1] else "is earlier than"
        reject(
            path,
            f"the time of row {row} ({time[row]}) {problem} the row before ({time[row - 1]}); sort "
            "the rows by time and keep one per instant (rows count from 0)",
            field=TIME,
        )


def write_metrics(path: Path, table: Table) -> None:
    """Write a metrics file, compressed with zstd."""
    names = [f"{component}{SEPARATOR}{metric}" for component, metric, _ in table.series]
    arrays = [pa.array(table.time), *(pa.array(values) for _, _, values in table.series)]
    content = pa.Table.from_arrays(arrays, names=[TIME, *names])
    # Measured values hardly repeat, so no dictionary; wide tables of few rows would otherwise be
    # mostly the columns' own statistics and a second copy of the schema.
    pq.write_table(
        content,
        path,
        compression="zstd",
        use_dictionary=False,
        use_byte_stream_split=True,
        write_statistics=False,
        store_schema=False,
        write_page_checksum=True,
    )
