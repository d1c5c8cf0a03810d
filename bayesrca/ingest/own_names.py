"""What `save_incident` writes beside the columns of a table, so that it reads back unchanged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
from numpy.typing import NDArray

from bayesrca.incident import Logs, Spans
from bayesrca.ingest._files import expect_list, expect_object, expect_text, reject
from bayesrca.ingest.intern import intern, reorder
from bayesrca.ingest.table_file import TableFile, Text, write_parquet

Ints = NDArray[np.int64]
Members = Mapping[str, tuple[str, ...]]

_COLUMNS = {"trace": "trace_id", "text": "body"}


def intern_named(file: TableFile, columns: Mapping[str, Text], tables: Members) -> dict[str, Any]:
    """Return the tables of names, as they were if we wrote the file, and the columns in them.

    Args:
        file: the file the columns come from.
        columns: texts by column.
        tables: for each table of names the columns that refer to it.
    """
    parts: dict[str, Any] = {}
    stated = expect_object(file.path, (file.own or {}).get("names", {}), "names of its metadata")
    for table, members in tables.items():
        names, coded = intern(*(columns[member] for member in members))
        if table in stated:
            wanted = expect_list(file.path, stated[table], table)
            found = reorder(names, wanted, coded)
            if found is None:
                reject(file.path, f"its metadata does not list all of its {table}; write it anew")
            names, coded = tuple(wanted), found
        parts |= {table: names} | dict(zip(members, coded, strict=True))
    return parts


def own_notes(file: TableFile, notes: Sequence[str]) -> tuple[str, ...]:
    """Return the notes of a file that we wrote, else these."""
    if file.own is None:
        return tuple(notes)
    stated = expect_list(file.path, file.own.get("notes", []), "notes")
    return tuple(expect_text(file.path, note, "a note") for note in stated)


def write_table(
    path: Path, table: Spans | Logs, tables: Members, more: Mapping[str, pa.Array]
) -> None:
    """Write texts in columns of their own, and what their order of appearance does not tell.

    Args:
        path: the file.
        table: spans or log records.
        tables: for each table of names the columns that refer to it.
        more: the columns that refer to none.
    """
    columns: dict[str, pa.Array] = {}
    own: dict[str, Any] = {"notes": list(table.notes), "names": {}}
    for name, members in tables.items():
        values: tuple[str, ...] = getattr(table, name)
        texts = [Text(getattr(table, member).astype(np.int64), values) for member in members]
        if intern(*texts)[0] != values:
            own["names"][name] = list(values)
        for member, text in zip(members, texts, strict=True):
            columns[_COLUMNS.get(member, member)] = to_strings(text)
    write_parquet(path, columns | dict(more), own)


def to_strings(text: Text) -> pa.Array:
    """Return a column of texts, null where there is none."""
    codes = pa.array(text.codes, mask=text.codes < 0)
    return pa.DictionaryArray.from_arrays(codes, pa.array(text.values, pa.string())).cast(
        pa.string()
    )


def to_ids(rows: Ints) -> pa.Array:
    """Return rows as ids in hexadecimal, null for -1."""
    return to_strings(
        Text(rows, tuple([f"{i:016x}" for i in range(1, int(rows.max(initial=-1)) + 2)]))
    )
