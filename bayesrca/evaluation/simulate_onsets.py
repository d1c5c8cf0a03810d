"""Simulated onsets: when a component began to change (docs/concepts.md, eq. 16)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bayesrca.evaluation.simulate_cells import Continuous, Count
from bayesrca.evidence import OnsetTable, VitalTable
from bayesrca.evidence.states import StateTable

Ways = Mapping[int, Sequence[tuple[int, int]]]

LEAST_Z = 3.0
"""Null scales that a series must have moved for an onset to be looked for."""
FOUND = 0.8
"""Share of components that moved whose onset is found."""
WIDTHS = (0.001, 0.3)
"""Widths of the intervals in which onsets lie, in windows; log-uniform between these."""


def find_moved(
    n: int,
    cells: Sequence[Sequence[Continuous | Count | None]],
    vitals: VitalTable,
    states: StateTable,
) -> NDArray[np.bool_]:
    """[n] whether something of a component moved so far that its onset is looked for.

    A function of what the likelihood reads anyway: given that, having an onset tells nothing more.
    """
    size = np.zeros(n)
    for family in cells:
        for i, cell in enumerate(family):
            if cell is not None:
                size[i] = max(size[i], cell.size)
    np.maximum.at(size, vitals.component, np.abs(vitals.z[:, 0]))
    moved = size >= LEAST_Z
    moved[states.component[states.log_disturbed[:, 0] > 0]] = True
    return np.asarray(moved)


def draw_onsets(
    rng: np.random.Generator,
    moved: NDArray[np.bool_],
    ways: Ways,
    *,
    unrelated: float,
) -> OnsetTable:
    """Draw the onsets of those components that moved, in a window from 0 to 1.

    Onsets are uniform, but for those of components that the causes disturbed, which begin near the
    onset of a root. A component is held against all roots that reach it: where one has no onset,
    that of the component is uniform too.

    Args:
        rng: source of all randomness.
        moved: [n] whose onset is looked for; one in five is not found.
        ways: for each component that the causes disturbed, (root, steps) by every root and graph
            that reach it; no component of it may be a root.
        unrelated: share of their onsets that are uniform all the same.
    """
    n = len(moved)
    found = moved & (rng.random(n) < FOUND)
    time = rng.random(n)
    low, high = WIDTHS
    width = low * (high / low) ** rng.random(n)
    for i, roots in ways.items():
        if all(found[root] for root, _ in roots) and rng.random() >= unrelated:
            weights = np.array([0.5**steps for _, steps in roots])
            at = int(rng.choice(len(roots), p=weights / weights.sum()))
            root = roots[at][0]
            time[i] = draw_related(rng, time[root], float(np.hypot(width[root], width[i])))
    missing = np.where(found, 0.0, np.nan)
    return OnsetTable(
        time=time + missing,
        lower=time - width / 2 + missing,
        upper=time + width / 2 + missing,
        error=np.where(found, width / np.sqrt(12.0), np.nan),
        signal=tuple("onset" if known else "" for known in found),
    )


def draw_related(rng: np.random.Generator, start: float, step: float) -> float:
    """Draw an onset of density proportional to 1 / (|lag| + step), between 0 and 1.

    Args:
        rng: source of all randomness.
        start: the root's onset, in [0, 1].
        step: width of both onsets' intervals together, > 0.
    """
    before, after = np.log1p(start / step), np.log1p((1.0 - start) / step)
    at = rng.uniform(-before, after)
    return float(start + np.sign(at) * step * np.expm1(abs(at)))
