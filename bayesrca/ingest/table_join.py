"""Tables of several sources behind one another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]

from bayesrca.ingest.intern import rename
from bayesrca.ingest.table_file import TableFile, Text, encode_text


def join_files(what: str, files: Sequence[TableFile | None]) -> TableFile | None:
    """Put the rows of tables that no file of ours holds behind one another; None without a table.

    Args:
        what: what to call them, for messages.
        files: the tables, their columns by plain name; a column that a table lacks is missing in
            its rows.

    Raises:
        IncidentFormatError: a column that is text in one table is no text in another.
    """
    found = [file for file in files if file is not None]
    if len(found) < 2:
        return found[0] if found else None
    names = dict.fromkeys(name for file in found for name in file.columns)
    columns = {name: _join(name, found) for name in names}
    notes = tuple(dict.fromkeys(note for file in found for note in file.notes))
    return TableFile(Path(what), sum(file.rows for file in found), columns, notes=notes)


def _join(name: str, files: Sequence[TableFile]) -> pa.ChunkedArray | Text:
    parts = [file.columns.get(name) for file in files]
    kinds = {None if isinstance(part, Text) else part.type for part in parts if part is not None}
    kind = kinds.pop()
    if kinds or kind is None:
        return _join_texts([_text(file, name) for file in files])
    chunks = [
        pa.nulls(file.rows, kind) if part is None or isinstance(part, Text) else part
        for file, part in zip(files, parts, strict=True)
    ]
    whole = [part if isinstance(part, pa.Array) else part.combine_chunks() for part in chunks]
    return pa.chunked_array(whole, kind)


def _text(file: TableFile, name: str) -> Text:
    column = file.columns.get(name)
    if column is None:
        return Text(np.full(file.rows, -1), ())
    return column if isinstance(column, Text) else encode_text(file.path, name, column)


def _join_texts(parts: Sequence[Text]) -> Text:
    values: list[str] = []
    codes = []
    for part in parts:
        codes.append(np.where(part.codes >= 0, part.codes + len(values), -1))
        values += part.values
    mended = sum(part.mended for part in parts)
    # By position: two parts may have the same text, which must become one.
    by_place = Text(np.concatenate(codes), tuple(map(str, range(len(values)))), mended)
    return rename(by_place, lambda place: values[int(place)])
