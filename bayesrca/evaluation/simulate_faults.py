"""Kinds of fault, and how the model says that one spreads (docs/concepts.md, eq. 2 and 6 to 13)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import ndtri_exp

from bayesrca.evaluation.simulate_cells import LARGE, Continuous, Count
from bayesrca.evaluation.simulate_vitals import SimulatedVitals
from bayesrca.evidence import FAMILIES, VitalTable
from bayesrca.incident import Topology
from bayesrca.kernels.propagation import KINDS

Floats = NDArray[np.float64]
Theta = Mapping[str, Any]
Cells = Sequence[Continuous | Count | None]

ALARM_TRUE = 0.9
"""Probability that the alarm is true (eq. 9)."""
DEPENDENCY = 0.1
"""Rate at which a root's own dependencies are affected, in base rates (eq. 6)."""
RESOURCE = 0.4
"""Prior of the resource kind (eq. 13)."""
MAX_NOISE = 1e12
"""Squared noise of a log dose ratio is kept below this."""


@dataclass(frozen=True)
class KindLaw:
    """What distinguishes a kind of fault.

    Attributes:
        weight: prior weight at a component, from theta and the component's resource weight.
        shows: probability of showing in each of `FAMILIES`, independently, from theta.
        at_fault: whether a resource of the root is at fault.
    """

    weight: Callable[[Theta, float], float]
    shows: Callable[[Theta], tuple[float, float]]
    at_fault: bool = False


LAWS: Mapping[str, KindLaw] = {
    "latency": KindLaw(
        weight=lambda t, _: (1 - RESOURCE) * (1 - t["error_kind"]),
        shows=lambda t: (1.0, t["cross_family"][0]),
    ),
    "errors": KindLaw(
        weight=lambda t, _: (1 - RESOURCE) * t["error_kind"],
        shows=lambda t: (t["cross_family"][1], 1.0),
    ),
    "resource": KindLaw(
        weight=lambda _, reported: RESOURCE * reported,
        shows=lambda _: (0.6, 0.25),
        at_fault=True,
    ),
}
"""The law of each kind; a kind that the model has and this table has not is never drawn."""


@dataclass(frozen=True)
class Fault:
    """One cause: its root, its kind and the families of `FAMILIES` in which it shows."""

    root: int
    kind: str
    shows: tuple[bool, ...]


class FaultSpread:
    """Who is affected by faults in one system, and by how much.

    Args:
        rng: source of all randomness.
        topology: the system.
        theta: natural values of the parameters.
        vitals: the resource telemetry of its components.

    Attributes:
        edges: per family int64 [e, 2], along which a fault travels.
        reach: per family and component, what a fault there can reach.
        target: the component that raised the alarm, or None.
        alarm: its family, or None.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        topology: Topology,
        theta: Theta,
        vitals: SimulatedVitals,
    ) -> None:
        self.rng, self.theta, self.vitals, self.n = rng, theta, vitals, len(topology)
        self.edges = [topology.propagation_edges(family) for family in FAMILIES]
        self._pairs = [[(int(a), int(b)) for a, b in edges] for edges in self.edges]
        self.reach = [[_reachable(pairs, r) for r in range(self.n)] for pairs in self._pairs]
        has_target = rng.random() < 0.8
        self.target = int(rng.integers(self.n)) if has_target else None
        self.alarm = int(rng.integers(len(FAMILIES))) if has_target else None

    def draw_causes(self, n: int) -> list[Fault]:
        """Draw n different roots with kinds and families in which they show (eq. 2 and 13).

        A set of causes explains the alarm when one of them does.
        """
        first = self._draw_fault(range(self.n), explained=False)
        faults = [first]
        while len(faults) < n:
            left = [i for i in range(self.n) if all(i != fault.root for fault in faults)]
            explained = any(self._explains(f.root, f.shows) for f in faults)
            faults.append(self._draw_fault(left, explained=explained))
        return sorted(faults, key=lambda fault: fault.root)

    def draw_family(self, cells: Cells, f: int, roots: Sequence[int]) -> None:
        """Draw all cells of a family in which faults at these roots show (eq. 6 to 9)."""
        rate = self.theta["base_rate"][f]
        affected = [self._draw_affected(f, root) for root in roots]
        reached = set().union(*(self.reach[f][root] for root in roots))
        dependencies = {a for a, b in self._pairs[f] if b in roots} - reached
        for i in (*roots, *(j for j in range(self.n) if j not in roots)):
            cell = cells[i]
            if cell is None:
                continue
            cell.draw_quiet(self.rng)
            sources = [cells[root] for root, hit in zip(roots, affected, strict=True) if i in hit]
            if i in roots:
                if self.rng.random() < self.theta["own_visible"]:
                    cell.draw_root(self.rng)
            elif i in reached:
                if sources:
                    self._draw_path(cell, sources, f, i)
            elif i in dependencies:
                if self._is_affected(f, i, DEPENDENCY * rate):
                    cell.draw_effect(self.rng)
            elif self._is_affected(f, i, rate):
                cell.draw_effect(self.rng)
                if roots:
                    self._trace(cell, cells[roots[int(self.rng.integers(len(roots)))]])

    def draw_vitals(self, faults: Sequence[Fault]) -> VitalTable:
        """Draw the vitals of all components (eq. 11 to 13)."""
        reached: set[int] = set()
        # A fault disturbs what it reaches in either family, or from one into the other.
        both = [pair for pairs in self._pairs for pair in pairs]
        for fault in faults:
            reached |= _reachable(both, fault.root)
        return self.vitals.draw(
            self.theta, {f.root: LAWS[f.kind].at_fault for f in faults}, reached
        )

    def _draw_fault(self, roots: Sequence[int], *, explained: bool) -> Fault:
        choices, weights = [], []
        for root, kind in product(roots, KINDS):
            if kind not in LAWS:
                continue
            law = LAWS[kind]
            weight = law.weight(self.theta, self.vitals.weight(root))
            for shows in product((False, True), repeat=len(FAMILIES)):
                p = [
                    p if on else 1.0 - p for p, on in zip(law.shows(self.theta), shows, strict=True)
                ]
                missed = not (explained or self._explains(root, shows))
                factor = float(self.theta["unexplained_alarm"]) if missed else 1.0
                choices.append(Fault(root, kind, shows))
                weights.append(weight * float(np.prod(p)) * factor)
        at = self.rng.choice(len(weights), p=np.array(weights) / np.sum(weights))
        return choices[int(at)]

    def _explains(self, root: int, shows: Sequence[bool]) -> bool:
        """Whether a fault explains the alarm (what mu stands for in eq. 2)."""
        if self.alarm is None:
            return True
        at_target = self.target == root or self.target in self.reach[self.alarm][root]
        return at_target and shows[self.alarm]

    def _is_affected(self, f: int, i: int, rate: float) -> bool:
        """Whether a component off every path is affected, the alarm of eq. 9 included."""
        if self.alarm == f and self.target == i and self.rng.random() < ALARM_TRUE:
            return True
        return bool(self.rng.random() < rate)

    def _draw_affected(self, f: int, root: int) -> set[int]:
        """A live-edge draw (eq. 6), conditioned on the alarm with probability `ALARM_TRUE`."""
        rho, rate = self.theta["transmission"][f], self.theta["base_rate"][f]
        reach = self.reach[f][root]
        nodes = {root, *reach}
        edges = [(a, b) for a, b in self._pairs[f] if a in nodes and b in nodes]
        conditioned = self.alarm == f and self.target in reach and self.rng.random() < ALARM_TRUE
        while True:
            live = [e for e in edges if self.rng.random() < rho]
            hit = {root, *(i for i in sorted(reach) if self.rng.random() < rate)}
            size = 0
            while size < len(hit):
                size = len(hit)
                hit |= {b for a, b in live if a in hit}
            if not conditioned or self.target in hit:
                return hit - {root}

    def _draw_path(self, cell: Continuous | Count, sources: Cells, f: int, i: int) -> None:
        """The effect on a component on a path (eq. 7); doses of several causes add."""
        if self.rng.random() < self.theta["unrelated_dose"] or not cell.has_dose:
            cell.draw_effect(self.rng)
            return
        doses = [self._draw_dose(cell, s, f, i) for s in sources if s is not None and s.has_dose]
        if doses:
            cell.set_dose(float(np.logaddexp.reduce(doses)))
        else:
            cell.draw_effect(self.rng)

    def _draw_dose(
        self, cell: Continuous | Count, source: Continuous | Count, f: int, i: int
    ) -> float:
        rng, noise = self.rng, _noise_sq(cell, source)
        share = self.theta["full_dose_target" if i == self.target else "full_dose_path"]
        if rng.random() < share:
            ratio = np.sqrt(self.theta["dose_spread"][f] ** 2 + noise) * rng.standard_t(4)
        else:
            ratio = rng.uniform(-5.0, 0.0) + np.sqrt(0.16 + noise) * rng.standard_normal()
        return float(source.dose + ratio)

    def _trace(self, cell: Continuous | Count, source: Continuous | Count | None) -> None:
        """Let an effect off every path carry a part of the dose after all (eq. 8)."""
        if not (isinstance(cell, Continuous) and cell.has_dose and cell.z > LARGE):
            return
        if source is None or not source.has_dose:
            return
        if self.rng.random() >= self.theta["untraced_dose"]:
            return
        noise, low = _noise_sq(cell, source), cell.dose_at_large - source.dose
        cell.set_dose(source.dose + _partial_above(self.rng, low, noise))


def _reachable(edges: Sequence[tuple[int, int]], root: int) -> set[int]:
    onward: dict[int, list[int]] = {}
    for a, b in edges:
        onward.setdefault(a, []).append(b)
    seen, stack = {root}, [root]
    while stack:
        new = [b for b in onward.get(stack.pop(), ()) if b not in seen]
        seen.update(new)
        stack.extend(new)
    return seen - {root}


def _noise_sq(cell: Continuous | Count, source: Continuous | Count) -> float:
    with np.errstate(over="ignore", divide="ignore"):
        ratio = (cell.noise**2 + source.noise**2) * np.exp(-2.0 * source.dose)
    return float(min(ratio, MAX_NOISE))


def _partial_above(rng: np.random.Generator, low: float, noise_sq: float) -> float:
    """A draw of U(-5, 0) + N(0, .16 + noise) given that it exceeds `low`."""
    width = np.sqrt(0.16 + noise_sq)
    # Far above the root's dose only starts close to 0 can be exceeded that far.
    reach = min(5.0, 40.0 * width**2 / low) if low > 0 else 5.0
    grid = ((np.arange(4000) + rng.random()) / 4000 - 1.0) * reach
    log_tail = stats.norm.logsf((low - grid) / width)
    tail = np.exp(log_tail - log_tail.max())
    at = rng.choice(len(grid), p=tail / tail.sum())
    return float(grid[at] - width * ndtri_exp(log_tail[at] + np.log1p(-rng.random())))
