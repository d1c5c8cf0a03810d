"""Tables of spans and log records, whoever wrote them: columns found by name, texts interned."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
from numpy.typing import NDArray

from bayesrca.ingest._files import expect_list, expect_object, read_json, reject, shorten

_LOG = logging.getLogger(__name__)
_METADATA = b"bayesrca"
# The id of a span's trace may be given once, and this word in the spans that follow.
_SAME = "same"
_SECOND = timedelta(seconds=1)
LATEST = 1 << 62
"""Nanoseconds; times and durations beyond (the year 2116) are none, so that no sum overflows."""
_DIGITS = len(str(LATEST // 10**9))

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Text:
    """A column of texts.

    Attributes:
        codes: [n] positions in `values`, -1 where there is no text.
        values: the distinct texts, in the order of their first row.
        mended: rows whose bytes were not UTF-8; the wrong bytes became U+FFFD.
    """

    codes: Ints
    values: tuple[str, ...]
    mended: int = 0


@dataclass(frozen=True, slots=True)
class TableFile:
    """The columns of a file, by their names in lower case without any but letters and digits.

    Attributes:
        path: the file.
        rows: number of rows.
        columns: the columns, as they were read or as texts.
        own: what `save_incident` wrote beside the columns, None for a file of another origin.
        notes: what was left out when the columns were read.
    """

    path: Path
    rows: int
    columns: Mapping[str, pa.ChunkedArray | Text]
    own: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()

    def find(self, names: Sequence[str]) -> str | None:
        """Return the first of these names that is a column."""
        return next((name for name in names if name in self.columns), None)

    def require(self, names: Sequence[str], what: str) -> str:
        """Return the first of these names that is a column; reject the file if none is."""
        found = self.find(names)
        if found is None:
            reject(self.path, f"has no column for {what}; name one of them {names[0]!r}")
        return found

    def text(self, names: Sequence[str]) -> Text:
        """Return the first of these columns as texts; nothing but missing ones if none is there."""
        name = self.find(names)
        if name is None:
            return Text(np.full(self.rows, -1), ())
        column = self.columns[name]
        return column if isinstance(column, Text) else encode_text(self.path, name, column)

    def array(self, name: str) -> pa.ChunkedArray:
        """Return a column as it was read; reject the file if it is not of numbers or times."""
        column = self.columns[name]
        if isinstance(column, Text):
            reject(self.path, f"column {name!r} holds texts; write numbers", field=name)
        return column


def plain_name(name: str) -> str:
    """Return the name in lower case, without any but letters and digits."""
    return "".join(c for c in name.lower() if c.isalnum())


def open_parquet(path: Path) -> TableFile | None:
    """Read a parquet file of spans or log records; None without the file or without a row in it.

    Raises:
        IncidentFormatError: it cannot be read, or two columns have one name.
    """
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            table = file.read()
            metadata = (file.schema_arrow.metadata or {}).get(_METADATA)
    except FileNotFoundError:
        return None
    except (pa.ArrowException, OSError, ValueError) as error:
        first_line = str(error).partition("\n")[0]
        reject(
            path,
            f"is not a readable parquet file ({first_line}); it may be cut short: write it anew",
        )
    if table.num_rows == 0:
        _LOG.warning("%s: has no row and was passed over", path)
        return None
    columns: dict[str, pa.ChunkedArray] = {}
    for name, column in zip(table.schema.names, table.columns, strict=True):
        if plain_name(name) in columns:
            reject(path, f"has two columns that read {plain_name(name)!r}; keep one", field=name)
        columns[plain_name(name)] = column
    return TableFile(path, table.num_rows, columns, _read_metadata(path, metadata))


def _read_metadata(path: Path, metadata: bytes | None) -> dict[str, Any] | None:
    if metadata is None:
        return None
    try:
        return expect_object(path, json.loads(metadata), "its metadata")
    except (ValueError, RecursionError):
        reject(path, "has damaged metadata; write the file anew")


def open_json(path: Path) -> TableFile | None:
    """Read a JSON array of objects; those in ``attributes`` count as columns too.

    Raises:
        IncidentFormatError: it cannot be read, or is no array of objects.
    """
    content = read_json(path)
    if content is None:
        return None
    rows = expect_list(path, content, "its content")
    if not rows:
        _LOG.warning("%s: has no row and was passed over", path)
        return None
    columns: dict[str, dict[int, str]] = {}
    trace = None
    for i, entry in enumerate(rows):
        fields = expect_object(path, entry, f"[{i}]")
        attributes = fields.get("attributes")
        flat = fields | (attributes if isinstance(attributes, dict) else {})
        for key, value in flat.items():
            if value is not None and not isinstance(value, dict | list):
                column = columns.setdefault(plain_name(key), {})
                column[i] = value if isinstance(value, str) else json.dumps(value)
        ids = columns.get("traceid", {})
        if ids.get(i) == _SAME and trace:
            ids[i] = trace
        trace = ids.get(i)
    return TableFile(path, len(rows), _Sparse(len(rows), columns))


class _Sparse(Mapping[str, pa.ChunkedArray]):
    """Columns of which most may be empty, made when they are asked for: every row may have its own.

    Args:
        rows: number of rows.
        cells: texts by column and row.
    """

    def __init__(self, rows: int, cells: dict[str, dict[int, str]]) -> None:
        self._rows, self._cells = rows, cells

    def __getitem__(self, name: str) -> pa.ChunkedArray:
        cells = self._cells[name]
        # Lone surrogates are legal in JSON and in nothing else.
        texts = {i: text.encode(errors="replace") for i, text in cells.items()}
        return pa.chunked_array([pa.array([texts.get(i) for i in range(self._rows)])])

    def __iter__(self) -> Iterator[str]:
        return iter(self._cells)

    def __len__(self) -> int:
        return len(self._cells)


def encode_text(path: Path, name: str, column: pa.ChunkedArray) -> Text:
    """Intern a column: texts, bytes (read as UTF-8, ids in hexadecimal), numbers, truth values.

    Raises:
        IncidentFormatError: a column of lists or other things that are no text.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if pa.types.is_null(kind):
        return Text(np.full(len(column), -1), ())
    raw = pa.types.is_fixed_size_binary(kind)
    try:
        if not (raw or pa.types.is_large_binary(kind) or pa.types.is_binary(kind)):
            column = column.cast(pa.large_string()).cast(pa.large_binary())
    except pa.ArrowException:
        reject(path, f"column {name!r} holds {kind} values; write text", field=name)
    encoded = pa.chunked_array([pc.drop_null(column).combine_chunks()]).dictionary_encode()
    codes = np.full(len(column), -1, dtype=np.int64)
    if len(encoded):
        codes[~_is_null(column)] = np.from_dlpack(encoded.chunk(0).indices)
        values = encoded.chunk(0).dictionary.to_pylist()
        return _decode(codes, [v.hex().encode() for v in values] if raw else values)
    return Text(codes, ())


def _is_null(column: pa.ChunkedArray) -> Bools:
    return np.from_dlpack(column.is_null().cast(pa.uint8()).combine_chunks()).astype(bool)


def _decode(codes: Ints, values: list[bytes]) -> Text:
    try:
        return Text(codes, tuple([value.decode() for value in values]))
    except UnicodeDecodeError:
        pass
    # Different wrong bytes may become the same text.
    index: dict[str, int] = {}
    broken = np.zeros(len(values) + 1, dtype=bool)
    places = np.full(len(values) + 1, -1)
    for i, value in enumerate(values):
        text = value.decode(errors="replace")
        broken[i] = text.encode() != value
        places[i] = index.setdefault(text, len(index))
    return Text(places[codes], tuple(index), int(broken[codes].sum()))


def read_numbers(file: TableFile, name: str) -> tuple[NDArray[Any], Bools]:
    """Return a column as int64 where it holds whole numbers, else as float64, and what is there.

    Raises:
        IncidentFormatError: the column holds something that is no number.
    """
    column = file.array(name)
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        column = _cast(file, name, column, pa.large_string())
    whole = pa.types.is_integer(kind) or pa.types.is_timestamp(kind)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        column = _cast_whole(column)
        whole = pa.types.is_integer(column.type)
    column = _cast(file, name, column, pa.int64() if whole else pa.float64())
    present = ~_is_null(column)
    numbers = np.zeros(len(column), dtype=np.int64 if whole else np.float64)
    numbers[present] = np.from_dlpack(pc.drop_null(column).combine_chunks())
    return numbers, present & np.isfinite(numbers)


def _cast_whole(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return texts as int64, if all are whole numbers; a float would lose nanoseconds of today."""
    try:
        return column.cast(pa.int64())
    except pa.ArrowException:
        return column


def _cast(
    file: TableFile, name: str, column: pa.ChunkedArray, kind: pa.DataType
) -> pa.ChunkedArray:
    try:
        return column.cast(kind)
    except pa.ArrowException as error:
        first_line = shorten(str(error).partition("\n")[0])
        reject(file.path, f"column {name!r} cannot be read as numbers ({first_line})", field=name)


def read_nanoseconds(
    file: TableFile, names: Sequence[tuple[str, int | None]], what: str
) -> tuple[Ints, Bools]:
    """Return times or durations in nanoseconds and which rows have one.

    Args:
        file: the file.
        names: columns to look for, with nanoseconds per unit; None for one that holds ISO 8601
            text (UTC unless it says otherwise), time stamps, or seconds.
        what: what the column says, for the error.

    Raises:
        IncidentFormatError: no such column, or one that cannot be read.
    """
    name = file.require([name for name, _ in names], what)
    scale = dict(names)[name]
    kind = file.array(name).type
    if scale is None and not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return _read_stamps(file, name)
    numbers, present = read_numbers(file, name)
    scale = 10**9 if scale is None else scale
    if file.own is None or scale != 1:
        limit = LATEST // scale
        present &= (numbers > -limit) & (numbers < limit)
    numbers[~present] = 0
    if numbers.dtype == np.int64:
        return numbers * scale, present
    whole = np.floor(numbers)  # a float of nanoseconds since the epoch would lose some of them
    rest = np.round((numbers - whole) * scale).astype(np.int64)
    return whole.astype(np.int64) * scale + rest, present


def _read_stamps(file: TableFile, name: str) -> tuple[Ints, Bools]:
    column = file.array(name)
    if not pa.types.is_timestamp(column.type):
        text = encode_text(file.path, name, column)
        parsed = [*(_parse_stamp(file, name, v) for v in text.values), LATEST]
        known = np.array([abs(moment) < LATEST for moment in parsed])
        moments = np.array([moment if abs(moment) < LATEST else 0 for moment in parsed])
        return moments[text.codes], known[text.codes]
    column = _cast(file, name, column, pa.timestamp("ns", column.type.tz))
    numbers, present = read_numbers(TableFile(file.path, file.rows, {name: column}), name)
    return numbers, present


def _parse_stamp(file: TableFile, name: str, value: str) -> int:
    """Read seconds or ISO 8601; Python's own reader of the latter knows no nanoseconds."""
    try:
        number = Decimal(value)
    except InvalidOperation:
        pass  # no number
    else:
        # By the exponent first: arithmetic with a huge one is an error.
        known = number.is_finite() and number.adjusted() < _DIGITS
        known = known and abs(number) < LATEST // 10**9
        return int(number.scaleb(9).quantize(1)) if known else LATEST
    head, dot, rest = value.partition(".")
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))] if dot else ""
    try:
        moment = datetime.fromisoformat(head + rest[len(digits) :])
    except ValueError:
        reject(file.path, f"column {name!r} holds {shorten(value)}, which is no time", field=name)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    seconds = (moment - datetime.fromtimestamp(0, UTC)) // _SECOND
    return seconds * 10**9 + int(f"{digits:0<9}"[:9])


def write_parquet(path: Path, columns: dict[str, pa.Array], own: dict[str, Any]) -> None:
    """Write a table that reads back as ours, compressed with zstd."""
    table = pa.table(columns).replace_schema_metadata({_METADATA: json.dumps(own)})
    pq.write_table(table, path, compression="zstd", write_page_checksum=True)
