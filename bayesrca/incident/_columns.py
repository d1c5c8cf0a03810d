"""Checks shared by the tables of spans and logs: columns of whole numbers, tables of names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from bayesrca.errors import InvalidIncidentError
from bayesrca.incident._checks import require_unicode

MISSING = -1  # in every column of indices: no such thing, or it was not received


def is_immutable(array: NDArray[Any]) -> bool:
    """Whether neither the array nor what it is a view of can be written to."""
    owner: object = array
    while isinstance(owner, np.ndarray):
        if owner.flags.writeable:
            return False
        owner = owner.base
    return owner is None or isinstance(owner, bytes)


def freeze_integers(data: object, dtype: DTypeLike, what: str, field: str) -> NDArray[Any]:
    """Return the data as a read-only vector of this integer type that nobody else can write to.

    Raises:
        InvalidIncidentError: not one-dimensional whole numbers, or a number the type cannot hold.
    """
    try:
        raw = np.asarray(data)
    except ValueError:
        raw = np.empty(0, dtype=object)  # ragged: fails the check on the type below
    if raw.ndim != 1 or raw.dtype.kind not in ("iu" if raw.size else "iuf"):
        msg = f"{what} must be one column of whole numbers, got {raw.dtype} of shape {raw.shape}"
        raise InvalidIncidentError(msg, field=field)
    wanted = np.dtype(dtype)
    if raw.dtype == wanted and raw.flags.c_contiguous and is_immutable(raw):
        return raw
    limits = np.iinfo(wanted)
    reject_rows((raw < limits.min) | (raw > limits.max), raw, f"{what} cannot hold", field)
    frozen = np.array(raw, dtype=wanted, order="C")
    frozen.setflags(write=False)
    return frozen


def reject_rows(bad: NDArray[np.bool_], values: NDArray[Any], what: str, field: str) -> None:
    """Raise, naming the first bad row and its value, if there is any bad row."""
    rows = np.flatnonzero(bad)
    if rows.size:
        row = int(rows[0])
        msg = f"{what} {values[row]} in row {row} (rows count from 0)"
        raise InvalidIncidentError(msg, field=f"{field}[{row}]")


def require_lengths(columns: dict[str, NDArray[Any]], what: str) -> int:
    """Return the number of rows; raise unless all columns have equally many, and at least one."""
    name, first = next(iter(columns.items()))
    for other, column in columns.items():
        if len(column) != len(first):
            msg = f"{what} have {len(first)} rows in {name} and {len(column)} in {other}; even out"
            raise InvalidIncidentError(msg, field=other)
    if len(first) == 0:
        msg = f"a table of {what} has no row; leave the table out instead"
        raise InvalidIncidentError(msg, field=name)
    return len(first)


def require_index(
    column: NDArray[Any], size: int, what: str, field: str, *, optional: bool = False
) -> None:
    """Require positions 0 to `size` - 1, or -1 where the entry may be missing."""
    least = MISSING if optional else 0
    remedy = f"give {least} to {size - 1}" if size else "there is nothing to refer to"
    reject_rows((column < least) | (column >= size), column, f"{what} ({remedy}) is", field)


def require_names(values: object, what: str, field: str, *, empty: bool = False) -> tuple[str, ...]:
    """Return the names as a tuple; raise unless they are valid text, each occurring once."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        msg = f"{field} must be a sequence of texts, got {values!r}"
        raise InvalidIncidentError(msg, field=field)
    names: tuple[str, ...] = tuple(values)
    try:
        "".join(names).encode()
    except (TypeError, UnicodeEncodeError):
        # Only now one by one, to name the offender: a table may hold a million of them.
        for i, name in enumerate(names):
            require_unicode(name, f"{what} {i}", f"{field}[{i}]")
    if not empty and "" in names:
        i = names.index("")
        msg = f"{what} {i} is empty; give it a name"
        raise InvalidIncidentError(msg, field=f"{field}[{i}]")
    if len(set(names)) != len(names):
        seen: dict[str, int] = {}
        for i, name in enumerate(names):
            first = seen.setdefault(name, i)
            if first != i:
                msg = f"{what} {name!r} is listed twice (positions {first} and {i}); keep one"
                raise InvalidIncidentError(msg, field=f"{field}[{i}]")
    return names


def require_notes(values: object) -> tuple[str, ...]:
    """Return the notes as a tuple of texts."""
    return require_names(values, "note", "notes")


def find_cycles(parent: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which rows are their own ancestors, by the row of each one's parent, -1 for none.

    After as many doublings as a path can have levels, every step that is left ends on a cycle, and
    every row of a cycle is where the step of another one ends.
    """
    step = parent.copy()
    rows = np.flatnonzero(step >= 0)
    for _ in range(len(parent).bit_length()):
        if not rows.size:
            break
        step[rows] = step[step[rows]]
        rows = rows[step[rows] >= 0]
    found = np.zeros(len(parent), dtype=bool)
    found[step[rows]] = True
    return found


class ColumnTable:
    """What `Spans` and `Logs` share: n rows in frozen columns, compared and pickled by content."""

    __slots__ = ()

    component: NDArray[np.int32]
    notes: tuple[str, ...]

    def freeze(
        self, names: Mapping[str, tuple[str, ...]], columns: Mapping[str, DTypeLike], what: str
    ) -> None:
        """Put checked names and frozen columns in place of what was given.

        Args:
            names: the tables of names, checked.
            columns: type of each column.
            what: what a row is, in the plural.

        Raises:
            InvalidIncidentError: a column that is no vector of such numbers, or of another length.
        """
        frozen = {
            name: freeze_integers(getattr(self, name), dtype, f"column {name} of the {what}", name)
            for name, dtype in columns.items()
        }
        notes = require_notes(self.notes)
        for name, value in {**names, **frozen, "notes": notes}.items():
            object.__setattr__(self, name, value)
        require_lengths(frozen, what)

    def __len__(self) -> int:
        return len(self.component)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        for part in fields(self):  # type: ignore[arg-type]  # those who share this are dataclasses
            a, b = getattr(self, part.name), getattr(other, part.name)
            if not (np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b):
                return False
        return True

    __hash__ = None  # type: ignore[assignment]  # arrays have no cheap, stable hash

    def __reduce__(self) -> tuple[type[Self], tuple[object, ...]]:
        # NumPy forgets the read-only flag when it pickles; building anew restores it.
        return type(self), tuple(getattr(self, f.name) for f in fields(self))  # type: ignore[arg-type]
