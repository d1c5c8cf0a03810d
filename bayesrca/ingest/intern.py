"""Interned names: one table of distinct texts in the order in which rows first use them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from bayesrca.ingest.table_file import Text

Ints = NDArray[np.int64]


def intern(*columns: Text) -> tuple[tuple[str, ...], tuple[Ints, ...]]:
    """Return one table of names for some columns, and each column's positions in it.

    Names that no row uses are left out; those of the first column come first.
    """
    index: dict[str, int] = {}
    coded = []
    for column in columns:
        places = np.full(len(column.values) + 1, -1)
        for old in _first_seen(column.codes):
            places[old] = index.setdefault(column.values[old], len(index))
        coded.append(places[column.codes])
    return tuple(index), tuple(coded)


def _first_seen(codes: Ints) -> list[int]:
    used, first = np.unique(codes[codes >= 0], return_index=True)
    return [int(code) for code in used[np.argsort(first)]]


def rename(column: Text, change: Callable[[str], str]) -> Text:
    """Return the column with another text for each distinct text; an empty one counts as none."""
    changed = [change(value) for value in column.values]
    index: dict[str, int] = {}
    places = [index.setdefault(value, len(index)) if value else -1 for value in changed]
    return Text(np.array([*places, -1])[column.codes], tuple(index), column.mended)


def choose(columns: Sequence[Text]) -> Text:
    """Return in each row the text of the first column that has one."""
    names, coded = intern(*columns)
    chosen = np.full(len(coded[0]), -1)
    for codes in reversed(coded):
        chosen = np.where(codes >= 0, codes, chosen)
    return Text(chosen, names, sum(column.mended for column in columns))


def take(column: Text, rows: NDArray[np.bool_]) -> Text:
    """Return some rows of a column."""
    return Text(column.codes[rows], column.values, column.mended)


def combine(first: Text, second: Text, join: Callable[[str, str], str]) -> Text:
    """Return a column made of pairs of texts; a missing text counts as an empty one."""
    width = len(second.values) + 1
    pairs, codes = np.unique((first.codes + 1) * width + second.codes + 1, return_inverse=True)
    lefts, rights = ("", *first.values), ("", *second.values)
    made = tuple(join(lefts[pair // width], rights[pair % width]) for pair in pairs)
    joined = Text(codes, tuple(map(str, range(len(made)))), first.mended + second.mended)
    return rename(joined, lambda i: made[int(i)])


def reorder(
    names: tuple[str, ...], wanted: Sequence[str], columns: Sequence[Ints]
) -> tuple[Ints, ...] | None:
    """Return positions in `wanted` instead of in `names`; None unless it holds all of them."""
    index = {name: i for i, name in enumerate(wanted)}
    if not all(name in index for name in names):
        return None
    places = np.array([*(index[name] for name in names), -1])
    return tuple(places[column] for column in columns)
