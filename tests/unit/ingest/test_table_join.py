"""Tables of several sources become one, row by row what they were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from bayesrca.ingest.table_file import TableFile, Text
from bayesrca.ingest.table_join import join_files

CELLS = st.none() | st.sampled_from(["a", "b", "", "é"])


def text_of(cells: list[str | None]) -> Text:
    values = tuple(dict.fromkeys(c for c in cells if c is not None))
    codes = np.array([-1 if c is None else values.index(c) for c in cells], dtype=np.int64)
    return Text(codes, values)


def cells_of(column: Text) -> list[str | None]:
    return [None if code < 0 else column.values[code] for code in column.codes.tolist()]


def table(rows: int, **columns: pa.ChunkedArray | Text) -> TableFile:
    return TableFile(Path("t"), rows, columns)


@given(st.lists(st.lists(CELLS, min_size=1, max_size=6), min_size=2, max_size=4))
def test_texts_stay_in_their_rows(parts: list[list[str | None]]) -> None:
    joined = join_files("all", [table(len(cells), x=text_of(cells)) for cells in parts])
    assert joined is not None
    # An empty text counts as none, as it does wherever texts are read.
    wanted = [cell or None for cells in parts for cell in cells]
    column = joined.columns["x"]
    assert isinstance(column, Text)
    assert cells_of(column) == wanted
    assert len(set(column.values)) == len(column.values)
    assert joined.rows == len(wanted)


def test_columns_that_some_lack_and_numbers() -> None:
    first = table(2, t=pa.chunked_array([pa.array([1, 2])]), x=text_of(["a", None]))
    second = table(1, t=pa.chunked_array([pa.array([3])]), y=text_of(["b"]))
    third = table(1, y=pa.chunked_array([pa.array([b"c"], pa.large_binary())]))
    joined = join_files("all", [first, None, second, third])
    assert joined is not None
    t, x, y = (joined.columns[name] for name in "txy")
    assert isinstance(t, pa.ChunkedArray)
    assert t.to_pylist() == [1, 2, 3, None]
    assert isinstance(x, Text)
    assert isinstance(y, Text)
    assert (cells_of(x), cells_of(y)) == (["a", None, None, None], [None, None, "b", "c"])


def test_one_table_stays_as_it_is() -> None:
    only = table(1, x=text_of(["a"]))
    assert join_files("all", [None, only]) is only
    assert join_files("all", [None]) is None
