"""Kinds of fault, and how the model says that one spreads (docs/concepts.md, eq. 2 and 6 to 13)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import ndtri_exp

from bayesrca.evaluation.simulate_cells import LARGE, Continuous, Count
from bayesrca.evaluation.simulate_graph import find_reachable, find_steps
from bayesrca.evaluation.simulate_onsets import Ways
from bayesrca.evaluation.simulate_traces import SimulatedTraces
from bayesrca.evaluation.simulate_vitals import Disturbance, SimulatedVitals
from bayesrca.evidence import FAMILIES, TraceEvidence, VitalTable
from bayesrca.evidence.states import StateTable
from bayesrca.incident import Family, Topology

Floats = NDArray[np.float64]
Theta = Mapping[str, Any]
Cells = Sequence[Continuous | Count | None]

ALARM_TRUE = 0.9
"""Probability that the alarm is true (eq. 9)."""
DEPENDENCY = 0.1
"""Rate at which a root's own dependencies are affected, in base rates (eq. 6)."""
UNSEEN = 0.35
"""Prior weight of a kind at a component that could not show it, against one that would."""
UNCONNECTED = 0.05
"""The same of a root that the graph does not join with the target."""
CALLED = 0.1
"""The same of a load fault at a component whose callers would have passed it on."""
AT_ROOT, WAITS, LOAD_PASSED = 0.8, 0.7, 0.6
"""Probabilities that a fault disturbs its component's vitals, and by step that a caller waits for a
slow callee and that a load fault is passed on (eq. 12 to 14)."""
CODE_AT_ROOT = 0.3
"""`AT_ROOT` of a fault in the code, which need not show in the vitals."""
SILENT = {"usual": 0.1, "crashed": 0.95}
"""Probability of silence: the likelihood is told the ratio, so any will do."""
MAX_NOISE = 1e12
"""Squared noise of a log dose ratio is kept below this."""


@dataclass(frozen=True)
class KindLaw:
    """What distinguishes a kind of fault.

    Attributes:
        prior: its prior weight, given theta; those of all kinds but code sum to one, and that of
            code stands beside them where something was traced.
        shows: probability of showing in each of `FAMILIES`, independently, from theta.
        in_sets: whether it can be one of several causes.
    """

    prior: Callable[[Theta], float]
    shows: Callable[[Theta], tuple[float, float]]
    in_sets: bool = True


_REST = 0.57

LAWS: Mapping[str, KindLaw] = {
    "latency": KindLaw(
        lambda t: _REST * (1 - t["error_kind"]), lambda t: (1.0, t["cross_family"][0])
    ),
    "errors": KindLaw(lambda t: _REST * t["error_kind"], lambda t: (t["cross_family"][1], 1.0)),
    "resource": KindLaw(lambda _: 0.33, lambda _: (0.6, 0.25)),
    "load": KindLaw(lambda _: 0.03, lambda _: (0.6, 0.3), in_sets=False),
    "link": KindLaw(lambda _: 0.04, lambda _: (1.0, 0.15), in_sets=False),
    "crash": KindLaw(lambda _: 0.03, lambda _: (0.4, 0.8)),
    "code": KindLaw(lambda _: 0.67, lambda _: (0.2, 0.3)),
}
"""The law of each kind."""


@dataclass(frozen=True)
class Fault:
    """One cause: its root, its kind and the families of `FAMILIES` in which it shows."""

    root: int
    kind: str
    shows: tuple[bool, ...]


@dataclass(frozen=True)
class Dose:
    """A log dose, and the squared noise of the dose itself."""

    log: float
    noise_sq: float


class FaultSpread:
    """Who is affected by faults in one system, and by how much.

    Args:
        rng: source of all randomness.
        topology: the system.
        theta: natural values of the parameters.
        vitals: the resource telemetry of its components.
        reports: per family and component whether it has a cell.
        traces: spans and logs; None where there are none.

    Attributes:
        edges: per family int64 [e, 2], along which a fault travels.
        demand: int64 [e, 2], along which demand travels.
        reach: per family and component, what a fault there can reach.
        target: the component that raised the alarm, or None.
        alarm: its family, or None.
        alarm_in_vitals: whether the alarm was raised on its vitals.
        hears: [n] whether a component's silence would be noticed.
        log_prior: [n] log prior weight of each component as a root.
        unconnected: [n] whether the graph joins the target with others but not with a component.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        topology: Topology,
        theta: Theta,
        vitals: SimulatedVitals,
        reports: Sequence[Sequence[bool]],
        *,
        traces: SimulatedTraces | None = None,
    ) -> None:
        self.rng, self.theta, self.vitals, self.n = rng, theta, vitals, len(topology)
        self.edges = [topology.propagation_edges(family) for family in FAMILIES]
        self.demand = topology.propagation_edges(Family.LOAD)
        self._pairs = [[(int(a), int(b)) for a, b in edges] for edges in self.edges]
        self._up = sorted({pair for pairs in self._pairs for pair in pairs})
        down = {(int(a), int(b)) for a, b in self.demand}
        self._down = sorted(down - set(self._up))
        self.reach = [[find_reachable(pairs, r) for r in range(self.n)] for pairs in self._pairs]
        has_target = rng.random() < 0.8
        self.target = int(rng.integers(self.n)) if has_target else None
        self.alarm = int(rng.integers(len(FAMILIES))) if has_target else None
        self.alarm_in_vitals = has_target and rng.random() < 0.3
        self.hears = rng.random(self.n) < 0.7
        self.log_prior = np.where(rng.random(self.n) < 0.1, np.log(0.35), 0.0)
        self.unconnected = self._find_unconnected()
        self._reports = reports
        self.traces = traces

    def draw_causes(self, n: int) -> list[Fault]:
        """Draw n different roots with kinds and families in which they show (eq. 2 and 13).

        The prior is proportional to the product of the roots' weights, times `unexplained_alarm`
        where none of them explains the alarm: proposals are refused accordingly.
        """
        weights = np.array(
            [
                [
                    self._weight(i, kind) if n == 1 or law.in_sets else 0.0
                    for kind, law in LAWS.items()
                ]
                for i in range(self.n)
            ]
        )
        p = weights.ravel() / weights.sum()
        while True:
            drawn = [divmod(int(k), len(LAWS)) for k in self.rng.choice(p.size, size=n, p=p)]
            faults = [self._draw_modes(root, list(LAWS)[kind]) for root, kind in drawn]
            if len({root for root, _ in drawn}) < n:
                continue
            explained = self.alarm is None or any(self._explains(f) for f in faults)
            if explained or self.rng.random() < self.theta["unexplained_alarm"]:
                return sorted(faults, key=lambda fault: fault.root)

    def draw_family(self, cells: Cells, f: int, faults: Sequence[Fault]) -> None:
        """Draw all cells of a family, given the faults that show in it (eq. 6 to 9)."""
        rate = self.theta["base_rate"][f]
        roots = [fault.root for fault in faults]
        # On the way to a component: it is quiet itself, and nothing is known of the dose.
        link = f == 0 and any(fault.kind == "link" for fault in faults)
        reached = set().union(*(self.reach[f][root] for root in roots)) - set(roots)
        affected = self._draw_affected(f, roots, reached) if roots else set()
        dependencies = {a for a, b in self._pairs[f] if b in roots} - reached
        for i in (*roots, *(j for j in range(self.n) if j not in roots)):
            cell = cells[i]
            if cell is None:
                continue
            cell.draw_quiet(self.rng)
            if i in roots:
                if not link and self.rng.random() < self.theta["own_visible"]:
                    cell.draw_root(self.rng)
            elif i in reached:
                if i in affected:
                    self._draw_path(
                        cell, None if link else self._arriving(cells, f, i, roots), f, i
                    )
            elif i in dependencies:
                if self._is_affected(f, i, DEPENDENCY * rate):
                    cell.draw_effect(self.rng)
            elif self._is_affected(f, i, rate):
                cell.draw_effect(self.rng)
                if not link:
                    self._trace(cell, _sum([cells[root] for root in roots]))

    def draw_vitals(self, faults: Sequence[Fault]) -> tuple[VitalTable, StateTable, set[int]]:
        """Draw the vitals and states of all components (eq. 11 to 14), and whom they disturbed."""
        roots = [fault.root for fault in faults]
        slow = find_steps(self._up, [f.root for f in faults if f.shows[0]])
        up, down = find_steps(self._up, roots), find_steps(self._down, roots)
        load = any(fault.kind == "load" for fault in faults)
        disturbances = {}
        for i in range(self.n):
            if load:
                rate = LOAD_PASSED ** down[i] if i in down else 0.0
            else:
                rate = self._disturbed_rate(up.get(i, 0), down.get(i, 0))
            disturbances[i] = Disturbance(
                rate=rate,
                waits=WAITS ** slow[i] if i in slow else 0.0,
                alarmed=ALARM_TRUE if self.alarm_in_vitals and i == self.target else 0.0,
            )
        for fault in faults:
            link = fault.kind == "link"  # it leaves an alarm at its root unexplained
            disturbances[fault.root] = replace(
                disturbances[fault.root],
                rate=0.0 if link else CODE_AT_ROOT if fault.kind == "code" else AT_ROOT,
                alarmed=disturbances[fault.root].alarmed if link else 0.0,
                resource=fault.kind == "resource",
                load=fault.kind == "load",
            )
        return self.vitals.draw(self.theta, disturbances)

    def find_ways(self, faults: Sequence[Fault], hit: Collection[int]) -> Ways:
        """Roots from which faults came to those they disturbed, with steps (eq. 16).

        None for a load fault, which is not held against onsets, and for the roots themselves.
        """
        roots = [fault.root for fault in faults if fault.kind != "load"]
        ways: dict[int, list[tuple[int, int]]] = {}
        for root in roots:
            for edges in (self._up, self._down):
                for i, steps in find_steps(edges, [root]).items():
                    if i in hit and i not in roots:
                        ways.setdefault(i, []).append((root, steps))
        return ways

    def draw_silence(self, faults: Sequence[Fault]) -> Floats:
        """[n, 1] log ratio of "crashed" to "as usual" for the presence of each component."""
        crashed = np.array(
            [any(f.root == i and f.kind == "crash" for f in faults) for i in range(self.n)]
        )
        if self.traces is not None and len(faults) == 1 and faults[0].kind in {"errors", "code"}:
            crashed[self.traces.draw_uncalled(faults[0].root)] = True
        silent = self.rng.random(self.n) < np.where(crashed, SILENT["crashed"], SILENT["usual"])
        on = np.log(SILENT["crashed"] / SILENT["usual"])
        off = np.log((1 - SILENT["crashed"]) / (1 - SILENT["usual"]))
        return np.where(self.hears, np.where(silent, on, off), 0.0)[:, None]

    def draw_traces(self, faults: Sequence[Fault]) -> TraceEvidence | None:
        """Draw what spans and logs say (eq. 21 to 24); None where nothing is traced."""
        if self.traces is None:
            return None
        return self.traces.draw(self.theta, [(fault.root, fault.kind) for fault in faults])

    def _weight(self, i: int, kind: str) -> float:
        """Prior weight of a kind at a component, whatever the alarm."""
        weight = LAWS[kind].prior(self.theta)
        seen = True
        if kind == "resource":
            weight *= self.vitals.resource_weight(i)
        elif kind == "load":
            called = any(b == i for _, b in self._down)
            weight *= self.vitals.load_weight(i) * (CALLED if called else 1.0)
        elif kind == "link":
            timed = None if self.traces is None else self.traces.link_weight(i)
            seen = len(self.reach[0][i]) > 0 or timed is not None
            weight *= 1.0 if timed is None else timed
        elif kind == "code":
            weight *= 0.0 if self.traces is None else self.traces.code_weight(i)
        elif kind == "crash":
            seen = bool(self.hears[i]) and not (self.traces and self.traces.is_untold(i))
        else:
            seen = self._reports[list(LAWS).index(kind)][i]
        weight *= np.exp(self.log_prior[i]) * (UNCONNECTED if self.unconnected[i] else 1.0)
        return float(weight * (1.0 if seen else UNSEEN))

    def _find_unconnected(self) -> NDArray[np.bool_]:
        ways = [*self._up, *((b, a) for a, b in self._up)]
        around = set() if self.target is None else find_reachable(ways, self.target)
        return np.array(
            [bool(around) and i not in around and i != self.target for i in range(self.n)]
        )

    def _draw_modes(self, root: int, kind: str) -> Fault:
        shows = LAWS[kind].shows(self.theta)
        return Fault(root, kind, tuple(bool(self.rng.random() < p) for p in shows))

    def _explains(self, fault: Fault) -> bool:
        """Whether a fault explains the alarm (what mu stands for in eq. 2)."""
        if self.alarm is None:
            return True
        if fault.kind == "link" and self.alarm == 0 and self.target == fault.root:
            return False  # a slow way to the target is not seen at the target
        reached = {fault.root, *self.reach[self.alarm][fault.root]}
        return self.target in reached and fault.shows[self.alarm]

    def _disturbed_rate(self, up: int, down: int) -> float:
        """Probability that a fault some steps below, some above, disturbs a component's vitals."""
        missed = 1.0
        for steps, t in zip((up, down), self.theta["vital_transmission"], strict=True):
            missed *= 1.0 - t**steps if steps else 1.0
        return float(1.0 - missed)

    def _is_affected(self, f: int, i: int, rate: float) -> bool:
        """Whether a component off every path is affected, the alarm of eq. 9 included."""
        if self.alarm == f and self.target == i and self.rng.random() < ALARM_TRUE:
            return True
        return bool(self.rng.random() < rate)

    def _draw_affected(self, f: int, roots: Sequence[int], reached: set[int]) -> set[int]:
        """A live-edge draw (eq. 6), conditioned on the alarm with probability `ALARM_TRUE`."""
        rho, rate = self.theta["transmission"][f], self.theta["base_rate"][f]
        nodes = {*roots, *reached}
        edges = [(a, b) for a, b in self._pairs[f] if a in nodes and b in nodes]
        conditioned = self.alarm == f and self.target in reached and self.rng.random() < ALARM_TRUE
        while True:
            live = [e for e in edges if self.rng.random() < rho]
            hit = {*roots, *(i for i in sorted(reached) if self.rng.random() < rate)}
            size = 0
            while size < len(hit):
                size = len(hit)
                hit |= {b for a, b in live if a in hit}
            if not conditioned or self.target in hit:
                return hit - set(roots)

    def _arriving(self, cells: Cells, f: int, i: int, roots: Sequence[int]) -> Dose | None:
        """What a component's dose is compared with: the sum of those of the roots that reach it.

        Not that of a root from which a fault passes another root on its way.
        """
        reach = self.reach[f]
        some = [r for r in roots if i in reach[r]]
        last = [r for r in some if not any(o in reach[r] and r not in reach[o] for o in some)]
        return _sum([cells[r] for r in last])

    def _draw_path(self, cell: Continuous | Count, arriving: Dose | None, f: int, i: int) -> None:
        """The effect on a component on a path (eq. 7); doses of several causes add."""
        t, rng = self.theta, self.rng
        related = rng.random() >= t["unrelated_dose"]
        if not (related and cell.has_dose and arriving is not None):
            cell.draw_effect(rng)
            return
        noise = _noise_sq(cell, arriving)
        if rng.random() < t["full_dose_target" if i == self.target else "full_dose_path"]:
            ratio = np.sqrt(t["dose_spread"][f] ** 2 + noise) * rng.standard_t(4)
        else:
            ratio = rng.uniform(-5.0, 0.0) + np.sqrt(0.16 + noise) * rng.standard_normal()
        cell.set_dose(arriving.log + ratio)

    def _trace(self, cell: Continuous | Count, source: Dose | None) -> None:
        """Let an effect off every path carry a part of the dose after all (eq. 8)."""
        if not (isinstance(cell, Continuous) and cell.has_dose and cell.z > LARGE):
            return
        if source is None:
            return
        if self.rng.random() >= self.theta["untraced_dose"]:
            return
        noise, low = _noise_sq(cell, source), cell.dose_at_large - source.log
        cell.set_dose(source.log + _partial_above(self.rng, low, noise))


def _sum(cells: Cells) -> Dose | None:
    """The sum of the doses of several cells, None where one has none."""
    logs, noise = [], 0.0
    for cell in cells:
        if cell is None or not cell.has_dose:
            return None
        logs.append(cell.dose)
        noise += cell.noise**2
    return Dose(float(np.logaddexp.reduce(logs)), noise) if logs else None


def _noise_sq(cell: Continuous | Count, arriving: Dose) -> float:
    with np.errstate(over="ignore", divide="ignore"):
        ratio = (cell.noise**2 + arriving.noise_sq) * np.exp(-2.0 * arriving.log)
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
