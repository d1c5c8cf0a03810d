"""How new a window's readings are among fault-free recordings, as ratios of densities.

What was seen is reduced to a category whose quiet law the recordings give, each judged by the
others; under a fault the category has a law that is written down here. Both sum to one, so that the
mean of a ratio under the quiet law is one (docs/concepts.md, "States").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

EDGES = (0.0, 0.1, 0.5)
"""Share of recordings in which a state is new (none), rare (to .1), uncommon (to .5), or common."""
COMMON = len(EDGES)
LAW = np.array([0.60, 0.15, 0.10, 0.15])
"""Probability of each category for a component that shows what is wrong with it."""
OUTSIDE = 0.75
"""The same, of a reading outside the range of all recordings."""
PSEUDO = 0.5
"""Recordings that each category is worth beforehand."""
FAULT_SHOWN, DISTURBED_SHOWN = 0.95, 0.6
"""Probability that a component at fault, or reached by a fault, shows it at all."""
PEERS, LEVEL = 0.05, 0.06
"""Least unit of an excess over the range, in whole ranges and in levels, where the extremes of the
recordings vary less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Novelty:
    """How new one series is in s footprints; the attributes are those of a `StateTable` row."""

    log_fault: Floats
    log_disturbed: Floats
    state: Floats
    visits: Floats
    units: int
    onset: float


def compare_states(
    units: Sequence[Floats], absent: int, values: Floats, times: Floats, inside: Floats
) -> Novelty:
    """Compare states by how many recordings visit them; their values are names without order.

    Args:
        units: samples of each recording that holds the series; at least one, none of them empty.
        absent: recordings in which it rested unrecorded.
        values: [n] samples of the window, none missing.
        times: [n] their seconds, increasing.
        inside: [s, n] 1 where a sample lies in a footprint, else NaN.
    """
    states, of = np.unique(np.concatenate([np.unique(u) for u in units]), return_inverse=True)
    owner = np.repeat(np.arange(len(units)), [len(np.unique(u)) for u in units])
    visits = np.bincount(of, minlength=len(states))
    visits = visits + absent * (visits == visits.max())
    total = len(units) + absent
    ratio = LAW / quiet_law(_count_categories(visits, of, owner, absent))
    at = np.minimum(np.searchsorted(states, values), len(states) - 1)
    seen = np.where(states[at] == values, visits[at], 0)
    first, some = _first_largest(-seen, inside)
    ratio = ratio[_categorise(seen[first] / total)]
    rarest = int(np.argmin(seen))
    return Novelty(
        log_fault=np.where(some, _mix(ratio, FAULT_SHOWN), np.nan),
        log_disturbed=np.where(some, _mix(ratio, DISTURBED_SHOWN), np.nan),
        state=np.where(some, values[first], np.nan),
        visits=np.where(some, seen[first], np.nan),
        units=total,
        onset=float(times[rarest]) if seen[rarest] / total <= EDGES[1] else np.nan,
    )


def compare_range(
    units: Sequence[Floats], absent: int, values: Floats, times: Floats, inside: Floats
) -> Novelty:
    """Compare readings with the range of all recordings: whether they leave it, and how far.

    Args:
        units: samples of each recording that holds the series; at least one, none of them empty.
        absent: recordings in which it rested unrecorded.
        values: [n] samples of the window, none missing.
        times: [n] their seconds, increasing.
        inside: [s, n] 1 where a sample lies in a footprint, else NaN.
    """
    low, high = np.array([[u.min(), u.max()] for u in units]).T
    size = _excess(units, low, high, values)
    total = len(units) + absent
    first, some = _first_largest(size, inside)
    ratio = range_ratio(size[first], _outside_rate(low, high, total))
    holding = ((low <= values[first, None]) & (values[first, None] <= high)).sum(axis=1)
    return Novelty(
        log_fault=np.where(some, _mix(ratio, FAULT_SHOWN), np.nan),
        log_disturbed=np.where(some, _mix(ratio, DISTURBED_SHOWN), np.nan),
        state=np.where(some, values[first], np.nan),
        visits=np.where(some, holding, np.nan),
        units=total,
        onset=float(times[np.argmax(size > 0)]) if size.any() else np.nan,
    )


def compare_nothing(units: int, n_footprints: int) -> Novelty:
    """Return what an unrecorded series says that did not change, among as many recordings.

    It is taken to have done what most of them do: it visited a common state.
    """
    counts = np.zeros(COMMON + 1)
    counts[COMMON] = units
    ratio = (LAW / quiet_law(counts))[COMMON]
    unknown = np.full(n_footprints, np.nan)
    return Novelty(
        log_fault=np.full(n_footprints, _mix(ratio, FAULT_SHOWN)),
        log_disturbed=np.full(n_footprints, _mix(ratio, DISTURBED_SHOWN)),
        state=unknown,
        visits=unknown,
        units=units,
        onset=np.nan,
    )


def quiet_law(counts: Floats) -> Floats:
    """Probability of each category when nothing is wrong, from how often recordings showed it."""
    law: Floats = (counts + PSEUDO) / (counts.sum() + PSEUDO * len(counts))
    return law


def range_ratio(size: Floats, rate: float) -> Floats:
    """Density of leaving the range by `size` (0: not at all) if it shows, over the quiet one.

    Outside, sizes have the density (1 + e)^-2 when quiet and (1 + e)^-1.5 / 2 under a fault.
    """
    return np.where(
        size > 0, OUTSIDE / rate * 0.5 * np.sqrt(1.0 + size), (1.0 - OUTSIDE) / (1.0 - rate)
    )


def _mix(ratio: Floats, shown: float) -> Floats:
    return np.asarray(np.log(shown * ratio + 1.0 - shown))


def _count_categories(visits: Ints, of: Ints, owner: Ints, absent: int) -> Floats:
    """Recordings whose rarest state is of each category, each judged by all the others."""
    n_units = int(owner[-1]) + 1
    total = n_units + absent
    fewest = np.full(n_units, total)
    np.minimum.at(fewest, owner, visits[of])
    # A single recording has no others: it counts as common.
    share = (fewest - 1) / (total - 1) if total > 1 else np.ones(n_units)
    counts = np.bincount(_categorise(share), minlength=COMMON + 1).astype(np.float64)
    counts[COMMON] += absent
    return counts


def _categorise(share: Floats) -> Ints:
    return np.searchsorted(EDGES, share, side="left")


def _outside_rate(low: Floats, high: Floats, total: int) -> float:
    """Probability of leaving the range of all others, of which a recording has done so or not."""
    lowest, highest = np.sort(low)[:2], np.sort(high)[-2:]
    n = 0
    if len(low) > 1:
        below = (low == lowest[0]) & (lowest[0] < lowest[1])
        above = (high == highest[1]) & (highest[0] < highest[1])
        n = int(np.count_nonzero(below | above))
    return (n + PSEUDO) / (total + 2 * PSEUDO)


def _excess(units: Sequence[Floats], low: Floats, high: Floats, values: Floats) -> Floats:
    """How far each value lies outside the range of all recordings, in units of what is usual."""
    # In units of the largest, so that squares and differences neither overflow nor vanish.
    top = float(max(np.abs(low).max(), np.abs(high).max(), np.abs(values).max())) or 1.0
    level = float(np.median(np.abs(np.concatenate(units)) / top))
    level = level or float(np.abs(values).max()) / top
    low, high, values = low / top, high / top, values / top
    wide = max(float(low.std()), float(high.std()), PEERS * float(high.max() - low.min()))
    far = np.maximum(np.maximum(values - high.max(), low.min() - values), 0.0)
    return np.asarray(far / (max(wide, LEVEL * level) or 1.0))


def _first_largest(rank: Floats, inside: Floats) -> tuple[Ints, NDArray[np.bool_]]:
    """First sample of the largest rank in each footprint, [s], and whether there is any."""
    some = ~np.isnan(inside).all(axis=1)
    return np.argmax(np.where(np.isnan(inside), -np.inf, rank), axis=1), some
