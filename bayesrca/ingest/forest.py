"""Spans name their parents by id: find the rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayesrca.incident._columns import find_cycles
from bayesrca.ingest.intern import intern
from bayesrca.ingest.table_file import Text

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_NO_PARENT = {"root", "none", "null", "nan"}


@dataclass(frozen=True, slots=True)
class Forest:
    """Which span is within which, for the n spans that were kept.

    Attributes:
        parent: [n] row of the parent, -1 for a first span.
        orphans: [n] whether a parent was named that is not there.
        cut: [n] whether the named parent was a descendant of the span, or itself.
    """

    parent: Ints
    orphans: Bools
    cut: Bools
    _traces: dict[str, int]
    _ids: dict[str, int]
    _keys: Ints
    _rows: Ints

    def find(self, trace: Text, span: Text) -> Ints:
        """Return the rows of spans named by trace and id, -1 where there is no such span."""
        traces = np.array([*(self._traces.get(value, -1) for value in trace.values), -1])
        ids = np.array([*(self._ids.get(value, -1) for value in span.values), -1])
        t, s = traces[trace.codes], ids[span.codes]
        found = _search(self._keys, t * (len(self._ids) + 1) + s)
        found[(t < 0) | (s < 0)] = -1
        return np.append(self._rows, -1)[found]


def build_forest(trace: Text, span: Text, parent: Text, kept: Bools) -> tuple[Forest, Bools]:
    """Link spans to their parents; an id is one span's within its trace.

    Args:
        trace: [m] the trace of each row.
        span: [m] its id; a row without one is nobody's parent.
        parent: [m] the id of its parent.
        kept: [m] which rows count.

    Returns:
        The forest of n spans, and which rows [m] they are: of rows with the same ids the first.
    """
    names, (ids, parents) = intern(span, parent)
    width = len(names) + 1
    rows = np.flatnonzero(kept & (ids >= 0))
    keys, first = np.unique(trace.codes[rows] * width + ids[rows], return_index=True)
    single = kept.copy()
    single[rows] = False
    single[rows[first]] = True
    places = (np.cumsum(single) - 1)[rows[first]]
    t, p = trace.codes[single], parents[single]
    at = _search(keys, t * width + p)
    at[p < 0] = -1
    up = np.where(at >= 0, places[at], -1) if len(keys) else at
    orphans = (at < 0) & (p >= 0)
    # Few names are missing, and they alone are looked at.
    blank = [code for code in np.unique(p[orphans]).tolist() if _is_no_parent(names[code])]
    cut = find_cycles(up)
    forest = Forest(
        parent=np.where(cut, -1, up),
        orphans=orphans & ~np.isin(p, blank),
        cut=cut,
        _traces={name: i for i, name in enumerate(trace.values)},
        _ids={name: i for i, name in enumerate(names)},
        _keys=keys,
        _rows=places,
    )
    return forest, single


def _is_no_parent(name: str) -> bool:
    return not name.strip("0") or name.lower() in _NO_PARENT


def _search(keys: Ints, wanted: Ints) -> Ints:
    """Return the positions of the wanted among increasing keys, -1 where missing."""
    at = np.searchsorted(keys, wanted)
    at[at == len(keys)] = 0
    if not len(keys):
        return np.full(len(wanted), -1)
    return np.where(keys[at] == wanted, at, -1)
