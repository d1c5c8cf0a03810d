"""Incidents drawn from the model of docs/concepts.md, theta from its prior.

One footprint and, unless more are asked for, one series per cell: there the model is exactly
generative.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import ndtri_exp

from bayesrca.evidence import Evidence, FamilyTable
from bayesrca.model.parameters import natural_values, unconstrained_prior
from tests.oracle.incidents import empty_table, make_evidence
from tests.oracle.likelihood import MAX_NOISE, RESOURCE, RESOURCE_SHOWS
from tests.statistical.cells import Continuous, Count, random_cells
from tests.statistical.vitals import SimulatedVitals

Floats = NDArray[np.float64]
Cells = list[Continuous | Count | None]

ALARM_TRUE = 0.9
DEPENDENCY = 0.1
LARGE = 2.0
KINDS = 3


@dataclass(frozen=True)
class Draw:
    """Theta [p], the index of the true hypothesis, and what would be seen."""

    theta: Floats
    hypothesis: int
    evidence: Evidence


def simulate(
    rng: np.random.Generator, none_prior: float, *, most: int = 1, correlation: float = 0.0
) -> Draw:
    """Draw one incident of 8 to 20 components.

    With up to `most` series in a cell of vitals their noise has the correlation given.
    """
    mean, sd = unconstrained_prior()
    theta = mean + sd * rng.standard_normal(len(mean))
    return _Simulation(rng, theta, none_prior, most, correlation).draw()


class _Simulation:
    def __init__(
        self,
        rng: np.random.Generator,
        theta: Floats,
        none_prior: float,
        most: int,
        correlation: float,
    ) -> None:
        self.rng, self.theta, self.none_prior = rng, theta, none_prior
        self.natural = natural_values(theta)
        self.n = int(rng.integers(8, 21))
        self.edges = _random_graph(rng, self.n)
        has_target = rng.random() < 0.8
        self.target = int(rng.integers(self.n)) if has_target else None
        self.alarm = int(rng.integers(2)) if has_target else None
        self.reach = [self._reachable(r) for r in range(self.n)]
        self.vitals = SimulatedVitals(rng, self.n, most=most, correlation=correlation)

    def draw(self) -> Draw:
        hypothesis, families = self._hypothesis()
        root, kind = divmod(hypothesis, KINDS)
        none = root == self.n
        tables = []
        for f in range(2):
            cells = random_cells(self.rng, self.n, f)
            for i, cell in enumerate(cells):
                if cell is not None:
                    cell.prepare(self.natural, f)
                    cell.draw_quiet(self.rng)
                    self._background(cells, f, i)
            if families[f]:
                self._fault(cells, f, root)
            tables.append(self._table(cells))
        vitals = self.vitals.draw(
            self.natural,
            None if none else root,
            set() if none else self.reach[root],
            at_fault=kind == KINDS - 1,
        )
        evidence = make_evidence((tables[0], tables[1]), self.target, self.alarm, vitals=vitals)
        return Draw(self.theta, hypothesis, evidence)

    def _reachable(self, root: int) -> set[int]:
        seen, stack = {root}, [root]
        while stack:
            i = stack.pop()
            for a, b in self.edges:
                if a == i and b not in seen:
                    seen.add(b)
                    stack.append(b)
        return seen - {root}

    def _hypothesis(self) -> tuple[int, tuple[bool, bool]]:
        """The hypothesis, and the families in which it shows (eq. 2 and 13)."""
        if self.rng.random() < self.none_prior:
            return KINDS * self.n, (False, False)
        weights: Floats = np.zeros((self.n, KINDS, 2, 2))
        for root in range(self.n):
            explains = self.alarm is None or self.target == root or self.target in self.reach[root]
            for kind, *shows in np.ndindex(KINDS, 2, 2):
                missed = self.alarm is not None and not (explains and shows[self.alarm])
                weights[root, kind, shows[0], shows[1]] = self._kind_weight(root, kind, shows) * (
                    float(self.natural["unexplained_alarm"]) if missed else 1.0
                )
        at = int(self.rng.choice(weights.size, p=weights.ravel() / weights.sum()))
        root, kind, latency, errors = (int(i) for i in np.unravel_index(at, weights.shape))
        return KINDS * root + kind, (bool(latency), bool(errors))

    def _kind_weight(self, root: int, kind: int, shows: list[int]) -> float:
        """Prior weight of a kind that shows in these families, whatever the alarm."""
        if kind == KINDS - 1:
            latency, errors = (
                p if on else 1 - p for p, on in zip(RESOURCE_SHOWS, shows, strict=True)
            )
            return RESOURCE * latency * errors * self.vitals.weight(root)
        if not shows[kind]:
            return 0.0
        error, cross = self.natural["error_kind"], self.natural["cross_family"][kind]
        weight = (1 - RESOURCE) * (error if kind else 1 - error)
        return float(weight * (cross if shows[1 - kind] else 1 - cross))

    def _is_alarm(self, f: int, i: int) -> bool:
        return self.alarm == f and self.target == i

    def _spontaneous(self, f: int, i: int, rate: float) -> bool:
        """Whether a component off every path is affected, the alarm of eq. 9 included."""
        if self._is_alarm(f, i) and self.rng.random() < ALARM_TRUE:
            return True
        return bool(self.rng.random() < rate)

    def _background(self, cells: Cells, f: int, i: int) -> None:
        cell = cells[i]
        if cell is not None and self._spontaneous(f, i, self.natural["base_rate"][f]):
            cell.draw_effect(self.rng)

    def _fault(self, cells: Cells, f: int, root: int) -> None:
        """Replace the background by a fault at `root` (eq. 6 to 9)."""
        rate = self.natural["base_rate"][f]
        source = cells[root]
        if source is not None:
            source.draw_quiet(self.rng)
            if self.rng.random() < self.natural["own_visible"]:
                source.draw_root(self.rng)
        affected = self._affected(f, root)
        dependencies = {a for a, b in self.edges if b == root} - self.reach[root]
        for i, cell in enumerate(cells):
            if cell is None or i == root:
                continue
            cell.draw_quiet(self.rng)
            if i in self.reach[root]:
                if i in affected:
                    self._path(cell, source, f, i)
            elif i in dependencies:
                if self._spontaneous(f, i, DEPENDENCY * rate):
                    cell.draw_effect(self.rng)
            elif self._spontaneous(f, i, rate):
                self._untraced(cell, source)

    def _affected(self, f: int, root: int) -> set[int]:
        """A live-edge draw, conditioned on the alarm with probability `ALARM_TRUE`."""
        rho, rate = self.natural["transmission"][f], self.natural["base_rate"][f]
        reach = self.reach[root]
        nodes = {root, *reach}
        edges = [(a, b) for a, b in self.edges if a in nodes and b in nodes]
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

    def _path(
        self, cell: Continuous | Count, source: Continuous | Count | None, f: int, i: int
    ) -> None:
        t, rng = self.natural, self.rng
        related = rng.random() >= t["unrelated_dose"]
        if not (related and cell.has_dose and source is not None and source.has_dose):
            cell.draw_effect(rng)
            return
        noise = _noise_sq(cell, source)
        share = t["full_dose_target" if i == self.target else "full_dose_path"]
        if rng.random() < share:
            ratio = np.sqrt(t["dose_spread"][f] ** 2 + noise) * rng.standard_t(4)
        else:
            ratio = rng.uniform(-5.0, 0.0) + np.sqrt(0.16 + noise) * rng.standard_normal()
        cell.set_dose(source.dose + ratio)

    def _untraced(self, cell: Continuous | Count, source: Continuous | Count | None) -> None:
        cell.draw_effect(self.rng)
        if not (isinstance(cell, Continuous) and cell.has_dose and cell.z > LARGE):
            return
        if source is None or not source.has_dose:
            return
        if self.rng.random() >= self.natural["untraced_dose"]:
            return
        noise, low = _noise_sq(cell, source), cell.dose_at_large - source.dose
        cell.set_dose(source.dose + _partial_above(self.rng, low, noise))

    def _table(self, cells: Cells) -> FamilyTable:
        owners = [i for i, c in enumerate(cells) if isinstance(c, Continuous)]
        table = empty_table(
            self.n,
            1,
            np.array(self.edges, dtype=np.int64).reshape(-1, 2),
            series_component=np.array(owners, dtype=np.int64),
            z=np.array([[c.z] for c in cells if isinstance(c, Continuous)]).reshape(-1, 1),
        )
        for i, cell in enumerate(cells):
            if cell is not None:
                for name, value in cell.row().items():
                    getattr(table, name)[i, 0] = value
        return table


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


def _random_graph(rng: np.random.Generator, n: int) -> list[tuple[int, int]]:
    """Mostly acyclic, sparse; sometimes with short cycles, sometimes empty."""
    if rng.random() < 0.15:
        return []
    order = rng.permutation(n)
    edges = {
        (int(order[int(rng.integers(max(0, j - 5), j))]), int(order[j]))
        for j in range(1, n)
        for _ in range(int(rng.choice([0, 1, 2], p=[0.15, 0.6, 0.25])))
    }
    if rng.random() < 0.3 and edges:
        a, b = sorted(edges)[int(rng.integers(len(edges)))]
        edges.add((b, a))
    return sorted(edges)
