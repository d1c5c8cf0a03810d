"""Simulated vitals: load, saturation and generic series drawn from the laws of docs/concepts.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from bayesrca.evidence import VITALS, VitalTable
from tests.oracle.incidents import make_vitals
from tests.oracle.vitals import (
    AT_FAULT,
    AT_ROOT,
    ECHO,
    EFFECT_UP,
    ON_PATH,
    ROOT_EFFECT,
    ROOT_UP,
    UNREPORTED,
)

Floats = NDArray[np.float64]
Theta = Mapping[str, Any]


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

    def draw(
        self, theta: Theta, root: int | None, reach: set[int], *, at_fault: bool
    ) -> VitalTable:
        """Draw all series given the root (None for none), what it reaches and its kind."""
        places, z = [], []
        for i in range(self.n):
            state = self.rng.random() < theta["vital_rate"]
            family = None
            if i == root and at_fault:
                state, family = True, self._family_at_fault(i)
            elif i == root or i in reach:
                state |= self.rng.random() < (AT_ROOT if i == root else ON_PATH)
            for v, count in self.series[i].items():
                places += [(i, v)] * count
                z += list(self._cell(theta, v, count, state, family))
        return make_vitals(places, np.array(z).reshape(-1, 1))

    def _weights(self, i: int) -> list[float]:
        return [p * (1.0 if v in self.series[i] else UNREPORTED) for v, p in AT_FAULT]

    def _family_at_fault(self, i: int) -> int:
        weights = np.array(self._weights(i))
        return int(self.rng.choice(len(weights), p=weights / weights.sum()))

    def _cell(
        self, theta: Theta, v: int, count: int, disturbed: bool, at_fault: int | None
    ) -> Floats:
        rng, scale = self.rng, theta["vital_scale"]
        z = self._quiet(count, scale, theta["vital_index"])
        if v == at_fault:
            if rng.random() < theta["own_visible"]:
                z[rng.integers(count)] = self._effect(scale * ROOT_EFFECT, ROOT_UP[v])
        elif disturbed and rng.random() < ECHO[v]:
            median = scale * theta["vital_effect_size"]
            z[rng.integers(count)] = self._effect(median, EFFECT_UP[v])
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
