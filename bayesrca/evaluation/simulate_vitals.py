"""Simulated vitals: load, saturation and generic series drawn from the laws of docs/concepts.md."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from bayesrca.evidence import VITALS, VitalTable
from bayesrca.incident import Family

Floats = NDArray[np.float64]
Theta = Mapping[str, Any]


@dataclass(frozen=True)
class VitalLaw:
    """How one family of vitals behaves (the table after eq. 13).

    Attributes:
        at_fault: prior of being the resource at fault.
        root_up: probability of moving up when at fault.
        effect_up: the same when its component is disturbed.
        shows: probability of showing that its component is disturbed.
    """

    at_fault: float
    root_up: float
    effect_up: float
    shows: float


LAWS: Mapping[Family, VitalLaw] = {
    Family.LOAD: VitalLaw(0.10, 0.4, 0.3, 0.2),
    Family.CPU: VitalLaw(0.23, 0.85, 0.5, 0.4),
    Family.MEMORY: VitalLaw(0.19, 0.85, 0.5, 0.4),
    Family.DISK: VitalLaw(0.16, 0.7, 0.5, 0.4),
    Family.NETWORK: VitalLaw(0.17, 0.5, 0.4, 0.4),
    Family.GENERIC: VitalLaw(0.15, 0.5, 0.5, 0.4),
}
"""The law of each family."""
UNREPORTED = 0.35
"""Factor on the prior of a resource that a component does not report (eq. 13)."""
ROOT_EFFECT = 12.0
"""Median effect on the resource at fault, in quiet scales (eq. 11)."""
ON_PATH, AT_ROOT = 0.3, 0.5
"""Probability that a fault disturbs a component it reaches, and its own (eq. 12)."""


class SimulatedVitals:
    """Which families each of n components reports, by how many series, and what they show.

    With one series per cell the model is exactly generative. Several series of a cell are either
    all quiet or one of them responds, as the mean of their ratios says; their noise has the
    correlation given (a Gaussian copula), while the model knows of none.
    """

    def __init__(
        self, rng: np.random.Generator, n: int, *, most: int = 1, correlation: float = 0.0
    ) -> None:
        self.rng, self.n, self.correlation = rng, n, correlation
        kinds = rng.choice(3, size=n, p=[0.2, 0.5, 0.3])  # nothing, some families, all of them
        self.series = [
            {
                v: int(rng.integers(1, most + 1))
                for v in range(len(VITALS))
                if kind == 2 or (kind == 1 and rng.random() < 0.5)
            }
            for kind in kinds
        ]

    def weight(self, i: int) -> float:
        """Prior weight of a resource fault at component i (eq. 13)."""
        return float(sum(self._weights(i)))

    def draw(self, theta: Theta, roots: Mapping[int, bool], reach: Set[int]) -> VitalTable:
        """Draw all series.

        Args:
            theta: natural values.
            roots: the causes, and whether a resource of each is at fault.
            reach: components that a fault at one of them reaches.
        """
        places, z = [], []
        for i in range(self.n):
            state = self.rng.random() < theta["vital_rate"]
            family = None
            if roots.get(i, False):
                state, family = True, self._family_at_fault(i)
            elif i in roots or i in reach:
                state |= self.rng.random() < (AT_ROOT if i in roots else ON_PATH)
            for v, count in self.series[i].items():
                places += [(i, v)] * count
                z += list(self._cell(theta, v, count, state, family))
        return _make_table(places, np.array(z).reshape(-1, 1))

    def _weights(self, i: int) -> list[float]:
        return [
            LAWS[family].at_fault * (1.0 if v in self.series[i] else UNREPORTED)
            for v, family in enumerate(VITALS)
        ]

    def _family_at_fault(self, i: int) -> int:
        weights = np.array(self._weights(i))
        return int(self.rng.choice(len(weights), p=weights / weights.sum()))

    def _cell(
        self, theta: Theta, v: int, count: int, disturbed: bool, at_fault: int | None
    ) -> Floats:
        rng, scale, law = self.rng, theta["vital_scale"], LAWS[VITALS[v]]
        z = self._quiet(count, scale, theta["vital_index"])
        if v == at_fault:
            if rng.random() < theta["own_visible"]:
                z[rng.integers(count)] = self._effect(scale * ROOT_EFFECT, law.root_up)
        elif disturbed and rng.random() < law.shows:
            median = scale * theta["vital_effect_size"]
            z[rng.integers(count)] = self._effect(median, law.effect_up)
        return z

    def _quiet(self, count: int, scale: float, index: float) -> Floats:
        rho = self.correlation
        normal = np.sqrt(rho) * self.rng.standard_normal() + np.sqrt(1 - rho) * (
            self.rng.standard_normal(count)
        )
        size = scale * np.expm1(-stats.norm.logsf(np.abs(normal)) / index - np.log(2.0) / index)
        return np.asarray(np.sign(normal) * size)

    def _effect(self, median: float, up: float) -> float:
        u = self.rng.random()
        size = median * u / (1.0 - u)
        return float(size if self.rng.random() < up else -size)


def _make_table(places: list[tuple[int, int]], z: Floats) -> VitalTable:
    index = np.array(places, dtype=np.int64).reshape(-1, 2)
    return VitalTable(
        component=index[:, 0].copy(),
        family=index[:, 1].copy(),
        z=z,
        contrast=0.1 * z,
        scale=np.full(z.shape, 0.1),
        signal=tuple(f"{VITALS[v].value}_{row}" for row, (_, v) in enumerate(places)),
    )
