"""Series that say the same thing twice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from bayesrca.evidence.batch import CHUNK, Batch

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

UNCORRELATED = 1e-12
"""By how much the correlation of a series with its affine copy may fall short of one."""


def find_copies(batch: Batch, cell: Ints) -> Bools:
    """Return which series repeat an earlier one of their cell: [m].

    A series repeats another if both have the same samples missing and either equal values or,
    where they vary, a correlation of one (the same thing in another unit).

    Args:
        batch: the series.
        cell: [m] number of the cell each belongs to.
    """
    copies = np.zeros(len(cell), dtype=bool)
    for rows in _cells_by_size(cell):
        earlier = np.tri(rows.shape[1], k=-1, dtype=bool)
        for part in _parts(rows, batch):
            values = np.concatenate([batch.normal[part], batch.window[part]], axis=2)
            repeats = _repeats(values, batch.exponent[part])
            copies[part] = (repeats & earlier).any(axis=2)
    return copies


def find_twins(batches: Sequence[Batch], family: Ints) -> list[int]:
    """Return positions of varying series that equal an earlier one of their family.

    Once copies are left out, the two belong to different components.

    Args:
        batches: series by clock, without copies.
        family: [n] family of the series at each position.
    """
    twins: list[int] = []
    for batch in batches:
        seen: set[tuple[int, int, bytes]] = set()
        values = np.concatenate([batch.normal, batch.window], axis=1)
        low, high = np.fmin.reduce(values, axis=1), np.fmax.reduce(values, axis=1)
        for row in np.flatnonzero(low < high).tolist():
            position = int(batch.position[row])
            digest = blake2b(values[row] + 0.0, digest_size=16).digest()  # -0 equals 0
            key = (int(family[position]), int(batch.exponent[row]), digest)
            if key in seen:
                twins.append(position)
            seen.add(key)
    return twins


def _repeats(values: Floats, exponent: NDArray[np.int32]) -> Bools:
    """[c, i, j] whether the series i and j of each cell, [c, i, n], say the same."""
    missing = np.isnan(values)
    filled = np.where(missing, 0.0, values)
    low, high = np.fmin.reduce(values, axis=2), np.fmax.reduce(values, axis=2)
    constant = low == high
    n = np.count_nonzero(~missing, axis=2)[:, :, None]
    deviation = np.where(missing, 0.0, filled - filled.sum(axis=2, keepdims=True) / n)
    length = np.sqrt(np.einsum("cin,cin->ci", deviation, deviation))[:, :, None]
    unit = deviation / np.where(length > 0, length, 1.0)
    alike = unit @ unit.transpose(0, 2, 1) >= 1.0 - UNCORRELATED
    alike &= ~(constant[:, :, None] | constant[:, None, :])
    equal = (low[:, :, None] == low[:, None, :]) & (exponent[:, :, None] == exponent[:, None, :])
    alike |= equal & constant[:, :, None] & constant[:, None, :]
    if missing.any():
        there = (~missing).astype(np.float64)
        differ = missing.astype(np.float64) @ there.transpose(0, 2, 1)
        alike &= (differ + differ.transpose(0, 2, 1)) == 0
    return np.asarray(alike)


def _cells_by_size(cell: Ints) -> Iterator[Ints]:
    """Series of the cells of two and more: one [c, size] array of positions for each size."""
    order = np.argsort(cell, kind="stable")
    _, start, size = np.unique(cell[order], return_index=True, return_counts=True)
    for n in np.unique(size[size > 1]).tolist():
        yield order[start[size == n][:, None] + np.arange(n)]


def _parts(rows: Ints, batch: Batch) -> Iterator[Ints]:
    samples = rows.shape[1] * (batch.normal.shape[1] + batch.window.shape[1])
    step = max(1, CHUNK // max(1, samples))
    for start in range(0, len(rows), step):
        yield rows[start : start + step]
