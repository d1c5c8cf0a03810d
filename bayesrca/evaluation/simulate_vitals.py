"""Simulated vitals: load, saturation, states and waiting, from the laws of docs/concepts.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from bayesrca.evaluation.simulate_cells import correlated_normal
from bayesrca.evidence import VITALS, VitalTable
from bayesrca.evidence.states import StateTable
from bayesrca.incident import Family

Floats = NDArray[np.float64]
Theta = Mapping[str, Any]


@dataclass(frozen=True)
class VitalLaw:
    """How one family of vitals behaves (eq. 11 to 14).

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
    Family.LOAD: VitalLaw(0.0, 0.4, 0.3, 0.2),
    Family.CPU: VitalLaw(0.25, 0.85, 0.5, 0.4),
    Family.MEMORY: VitalLaw(0.2, 0.85, 0.5, 0.4),
    Family.DISK: VitalLaw(0.17, 0.7, 0.5, 0.4),
    Family.NETWORK: VitalLaw(0.17, 0.5, 0.4, 0.4),
    Family.GENERIC: VitalLaw(0.15, 0.5, 0.5, 0.4),
    Family.HOST: VitalLaw(0.03, 0.7, 0.5, 0.2),
    Family.STATE: VitalLaw(0.2, 0.5, 0.5, 0.8),
    Family.EGRESS: VitalLaw(0.0, 0.9, 0.9, 0.0),
}
"""The law of each family."""
UNREPORTED = 0.35
"""Factor on the prior of a resource that a component does not report (eq. 13)."""
ROOT_EFFECT = 12.0
"""Median effect on the resource at fault, in quiet scales (eq. 11)."""
EFFECT_INDEX = 1.6
"""Tail index of the effect on a disturbed component's vitals (eq. 11)."""
STATE_VISITED = {"quiet": 0.05, "disturbed": 0.4, "at_fault": 0.7}
"""Probability of visiting a rare state: the likelihood is told the ratios, so any will do."""


@dataclass(frozen=True)
class Disturbance:
    """What the causes do to a component's vitals.

    Attributes:
        rate: probability that they disturb it.
        resource: whether a resource of it, unknown which, is at fault.
        load: whether its load is at fault.
        waits: probability that it waits for a slow callee.
        alarmed: probability that it is disturbed because an alarm was raised on its vitals.
    """

    rate: float = 0.0
    resource: bool = False
    load: bool = False
    waits: float = 0.0
    alarmed: float = 0.0


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
        reported = set().union(*self.series)
        prior = np.array([LAWS[f].at_fault * (v in reported) for v, f in enumerate(VITALS)])
        self.at_fault = prior / max(prior.sum(), 1e-300)
        self.load = VITALS.index(Family.LOAD)
        self.load_known = self.load in reported

    def resource_weight(self, i: int) -> float:
        """Prior weight of a resource fault at component i (eq. 13)."""
        seen = sum(self.at_fault[v] for v in self.series[i])
        return float(seen + UNREPORTED * (1.0 - seen))

    def load_weight(self, i: int) -> float:
        """Prior weight of a load fault at component i, by what it reports."""
        return 1.0 if not self.load_known or self.load in self.series[i] else UNREPORTED

    def draw(
        self, theta: Theta, disturbances: Mapping[int, Disturbance]
    ) -> tuple[VitalTable, StateTable, set[int]]:
        """Draw all series and states, given what the causes do to some components.

        Returns also which of the components that report any the causes disturbed.
        """
        hit: set[int] = set()
        places: list[tuple[int, int]] = []
        z: list[float] = []
        owners: list[int] = []
        states: list[tuple[float, float]] = []
        for i in range(self.n):
            by = disturbances.get(i, Disturbance())
            family = self._family_at_fault(i) if by.resource else self.load if by.load else None
            alone = self.rng.random() < theta["vital_rate"]
            caused = by.resource or by.load or self.rng.random() < by.rate
            if self.rng.random() < by.alarmed:  # it is disturbed, by itself or by the causes
                either = 1.0 - (1.0 - theta["vital_rate"]) * (1.0 - by.rate)
                caused = self.rng.random() < by.rate / either
                alone = not caused
            state = alone or caused
            if caused and self.series[i]:
                hit.add(i)
            waiting = self.rng.random() < theta["vital_rate"] or self.rng.random() < by.waits
            for v, count in self.series[i].items():
                shown = waiting if VITALS[v] is Family.EGRESS else self._is_shown(v, state)
                if VITALS[v] is Family.STATE:
                    owners += [i] * count
                    states += self._states(theta, count, shown, v == family)
                else:
                    places += [(i, v)] * count
                    z += self._cell(theta, v, count, shown, v == family).tolist()
        return _tabulate(places, z), _tabulate_states(owners, states), hit

    def _is_shown(self, v: int, disturbed: bool) -> bool:
        return disturbed and bool(self.rng.random() < LAWS[VITALS[v]].shows)

    def _family_at_fault(self, i: int) -> int | None:
        """The family at fault; None stands for those that the component does not report."""
        seen = list(self.series[i])
        weights = np.array([*(self.at_fault[v] for v in seen), 0.0])
        weights[-1] = UNREPORTED * max(0.0, 1.0 - weights.sum())
        at = int(self.rng.choice(len(weights), p=weights / weights.sum()))
        return seen[at] if at < len(seen) else None

    def _cell(self, theta: Theta, v: int, count: int, shown: bool, at_fault: bool) -> Floats:
        rng, scale, law = self.rng, theta["vital_scale"], LAWS[VITALS[v]]
        z = self._quiet(count, scale, theta["vital_index"])
        if at_fault:
            if v == self.load or rng.random() < theta["own_visible"]:
                z[rng.integers(count)] = self._effect(scale * ROOT_EFFECT, law.root_up)
        elif shown:
            size = scale * theta["vital_effect_size"]
            z[rng.integers(count)] = self._effect(size, law.effect_up, index=EFFECT_INDEX)
        return z

    def _states(
        self, theta: Theta, count: int, shown: bool, at_fault: bool
    ) -> list[tuple[float, float]]:
        """Log ratios "at fault" and "disturbed" of each series of discrete states of a cell."""
        p = np.full(count, STATE_VISITED["quiet"])
        if at_fault:
            if self.rng.random() < theta["own_visible"]:
                p[self.rng.integers(count)] = STATE_VISITED["at_fault"]
        elif shown:
            p[self.rng.integers(count)] = STATE_VISITED["disturbed"]
        rows = []
        for visited in self.rng.random(count) < p:
            of = {name: q if visited else 1.0 - q for name, q in STATE_VISITED.items()}
            fault, disturbed = (of[name] / of["quiet"] for name in ("at_fault", "disturbed"))
            rows.append((float(np.log(fault)), float(np.log(disturbed))))
        return rows

    def _quiet(self, count: int, scale: float, index: float) -> Floats:
        normal = correlated_normal(self.rng, count, self.correlation)
        size = scale * np.expm1(-stats.norm.logsf(np.abs(normal)) / index - np.log(2.0) / index)
        return np.asarray(np.sign(normal) * size)

    def _effect(self, scale: float, up: float, *, index: float = 1.0) -> float:
        """Draw from the two-sided Lomax law; with index 1 its median size is the scale."""
        size = scale * np.expm1(-np.log1p(-self.rng.random()) / index)
        return float(size if self.rng.random() < up else -size)


def _tabulate(places: list[tuple[int, int]], z: list[float]) -> VitalTable:
    index = np.array(places, dtype=np.int64).reshape(-1, 2)
    values = np.array(z).reshape(-1, 1)
    return VitalTable(
        component=index[:, 0].copy(),
        family=index[:, 1].copy(),
        z=values,
        contrast=0.1 * values,
        scale=np.full(values.shape, 0.1),
        signal=tuple(f"{VITALS[v].value}_{row}" for row, (_, v) in enumerate(places)),
    )


def _tabulate_states(owners: list[int], ratios: list[tuple[float, float]]) -> StateTable:
    m = len(owners)
    log_fault, log_disturbed = np.array(ratios).reshape(-1, 2).T
    return StateTable(
        component=np.array(owners, dtype=np.int64),
        signal=tuple(f"state_{row}" for row in range(m)),
        log_fault=log_fault[:, None],
        log_disturbed=log_disturbed[:, None],
        state=np.ones((m, 1)),
        visits=np.ones((m, 1)),
        units=np.full(m, 20, dtype=np.int64),
        onset=np.full(m, np.nan),
    )
