"""Vitals of docs/concepts.md (eq. 11 to 14 and 16) as written, sharing no code with the core."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from bayesrca.evidence import Evidence
from tests.oracle.constants import (
    ALARM_TRUE,
    AT_FAULT,
    AT_ROOT,
    CODE,
    CODE_AT_ROOT,
    ECHO,
    EFFECT_INDEX,
    EFFECT_SIZE,
    EFFECT_UP,
    EGRESS,
    FARTHEST,
    LARGEST_RATIO,
    LINK,
    LOAD,
    LOAD_PASSED,
    LOAD_VITAL,
    QUIET_AT_ZERO,
    REFERENCE,
    RESOURCE,
    ROOT_EFFECT,
    ROOT_UP,
    STATE,
    UNREPORTED,
    WAITS,
)

Floats = NDArray[np.float64]
Theta = Mapping[str, Any]
Roots = tuple[int, ...]
Edges = frozenset[tuple[int, int]]


class Vitals:
    """The components' resource telemetry at one theta."""

    def __init__(self, evidence: Evidence, theta: Theta) -> None:
        self.e, self.theta = evidence, theta
        self.n, self.s = evidence.root_log_factor.shape
        self.alarm = evidence.target if evidence.alarm_in_vitals else None
        self.up = _pairs(*(t.edges for t in evidence.families))
        self.down = _pairs(evidence.demand) - self.up
        self.log_quiet = 0.0
        # Per component and family: ratios "disturbed" and "at fault" over quiet, [s] each.
        self.cells: list[dict[int, tuple[Floats, Floats]]] = [{} for _ in range(self.n)]
        for i, v in sorted({*zip(evidence.vitals.component, evidence.vitals.family, strict=True)}):
            self.cells[i][int(v)] = self._cell(int(i), int(v))
        for i in sorted({*evidence.states.component.tolist()}):
            self.cells[i][STATE] = self._states(i)
        seen = {v for cells in self.cells for v in cells}
        shares = np.array([p if v in seen else 0.0 for v, p in enumerate(AT_FAULT)])
        self.at_fault = shares / shares.sum() if shares.any() else shares
        self.load_known = LOAD_VITAL in seen
        self.disturbed, self.waits = np.ones((self.n, self.s)), np.ones((self.n, self.s))
        for i, cells in enumerate(self.cells):
            for v, (shown, _) in cells.items():
                if v == EGRESS:
                    self.waits[i] = shown
                else:
                    self.disturbed[i] *= 1 - ECHO[v] + ECHO[v] * shown
        self.rate = a = float(theta["vital_rate"])
        self.background = 1 - a + a * self.disturbed
        self.wait_background = 1 - a + a * self.waits
        self.backgrounds = (self.background, self.wait_background)
        self.reached = cache(self._reached)

    def _cell(self, i: int, v: int) -> tuple[Floats, Floats]:
        scale, index = float(self.theta["vital_scale"]), float(self.theta["vital_index"])
        table = self.e.vitals
        z = table.z[(table.component == i) & (table.family == v)]  # [m, s]
        still = z == 0.0
        moved = np.where(still, np.nan, z)
        law, reference = _log_quiet(moved, index, scale), _log_quiet(moved, *REFERENCE)
        self.log_quiet += _composite(law)
        q = np.exp(reference - _composite(reference) + _composite(law))
        effect = scale * self.theta["vital_effect_size"]
        shown = _ratios(moved, q, effect, EFFECT_UP[v], index=EFFECT_INDEX)
        fault = _ratios(moved, q, scale * ROOT_EFFECT, ROOT_UP[v])
        shown[still] = EFFECT_INDEX * EFFECT_UP[v] / (EFFECT_SIZE * REFERENCE[1]) / QUIET_AT_ZERO
        fault[still] = ROOT_UP[v] / (ROOT_EFFECT * REFERENCE[1]) / QUIET_AT_ZERO
        return shown.mean(axis=0), fault.mean(axis=0)

    def _states(self, i: int) -> tuple[Floats, Floats]:
        """Mean of the states' given ratios; one that is missing says nothing."""
        rows = self.e.states.component == i
        both = (self.e.states.log_disturbed[rows], self.e.states.log_fault[rows])
        shown, fault = (np.where(np.isnan(x), 1.0, np.exp(x)).mean(axis=0) for x in both)
        return shown, fault

    def weight(self, i: int, kind: int) -> float:
        """Prior weight of a fault of this kind at component i, for what it would show here."""
        if kind == RESOURCE:
            seen = sum(self.at_fault[v] for v in self.cells[i])
            return float(seen + UNREPORTED * (1 - seen))
        hidden = kind == LOAD and self.load_known and LOAD_VITAL not in self.cells[i]
        return UNREPORTED if hidden else 1.0

    def has_callers(self, i: int) -> bool:
        """Whether anybody sends demand to a component."""
        return any(to == i for _, to in self.down)

    def log_at_root(self, root: int, kind: int, k: int) -> float:
        """Log of what a fault changes in the vitals of its own component, over the background."""
        p, h = self.disturbed[root, k], self.background[root, k]
        if kind == LINK:
            return 0.0
        if kind == RESOURCE:
            nobody = 0.0 if self.at_fault.any() else UNREPORTED * p
            return float(np.log((sum(self.at_fault_joint(root, k)) + nobody) / h))
        if kind == LOAD:
            if LOAD_VITAL in self.cells[root]:
                p = self._with_fault_in(root, LOAD_VITAL, k)
            elif self.load_known:
                p *= UNREPORTED
            return float(np.log(p / h))
        shows = CODE_AT_ROOT if kind == CODE else AT_ROOT
        return float(np.log(1 - shows + shows * p / h))

    def at_fault_joint(self, i: int, k: int) -> list[float]:
        """Prior times ratio of each family being the one at fault at component i."""
        return [share * self._with_fault_in(i, v, k) for v, share in enumerate(self.at_fault)]

    def _with_fault_in(self, i: int, at_fault: int, k: int) -> float:
        """Ratio of a disturbed component whose family `at_fault` is the one at fault."""
        # A load fault is one of the load that is seen: no share of it stays hidden.
        visible = 1.0 if at_fault == LOAD_VITAL else self.theta["own_visible"]
        out = 1.0 if at_fault in self.cells[i] else UNREPORTED
        for v, (shown, fault) in self.cells[i].items():
            if v == at_fault:
                out *= 1 - visible + visible * fault[k]
            else:
                out *= 1 - ECHO[v] + ECHO[v] * shown[k]
        return float(out)

    def log_others(self, roots: Roots, k: int, kind: int | None) -> float:
        """Log of what a fault changes in everybody else's vitals, over their background."""
        out, met = 0.0, self.alarm in roots and kind != LINK
        for i, (up, down) in self.reached(roots).items():
            if not self.cells[i] or (kind == LOAD and down == 0):
                continue
            met |= i == self.alarm
            if kind == LOAD:
                missed, timely = 1 - LOAD_PASSED**down, 1.0
            else:
                missed, timely = self._missed(up, down), self._timely(i, roots)
            out += np.log(self._ratio(i, k, missed, timely) / self.background[i, k])
        return float(out) if met else float(out) + self.log_alarm_alone(k)

    def log_alarm_alone(self, k: int) -> float:
        """Log factor of an alarm in the target's vitals that no fault explains."""
        if self.alarm is None:
            return 0.0
        ratio = self._ratio(self.alarm, k, 1.0, 1.0)
        return float(np.log(ratio / self.background[self.alarm, k]))

    def _missed(self, up: int, down: int) -> float:
        """Probability that a fault so many steps away (0: no way) does not disturb a component."""
        passed = self.theta["vital_transmission"]
        return float(np.prod([1 - passed[j] ** d for j, d in ((0, up), (1, down)) if d]))

    def _ratio(self, i: int, k: int, missed: float, timely: float) -> float:
        """Ratio over quiet of a component that the fault disturbs with probability 1 - missed.

        Those it disturbs begin in time with the root; of the alarm's target it is known, with
        probability ALARM_TRUE, that it is disturbed, by the fault or not.
        """
        a, p, u = self.rate, self.disturbed[i, k], self.theta["unrelated_delay"]
        by_fault = (1 - missed) * (u + (1 - u) * timely)
        spontaneous, quiet = missed * a, missed * (1 - a)
        alone = quiet + (spontaneous + by_fault) * p
        if i != self.alarm:
            return float(alone)
        given = (spontaneous + by_fault) / (1 - quiet) * p
        return float(ALARM_TRUE * given + (1 - ALARM_TRUE) * alone)

    def _timely(self, i: int, roots: Roots) -> float:
        """Density of an onset given the roots', over that of an unrelated one (eq. 16)."""
        if self.e.onsets is None:
            return 1.0
        time, error = self.e.onsets.time, self.e.onsets.upper - self.e.onsets.lower
        window = np.ptp(self.e.footprints)
        density, weight = 0.0, 0.0
        for root in roots:
            step = np.hypot(error[root], error[i])
            lag = abs(time[i] - time[root])
            one = 0.5 * window / ((lag + step) * np.log1p(window / step))
            for edges in (self.up, self.down):
                steps = _steps(edges, (root,)).get(i)
                if steps is not None:
                    density += 0.5**steps * one
                    weight += 0.5**steps
        return 1.0 if np.isnan(density) else float(density / weight)

    def waiting(self, roots: Roots, k: int) -> float:
        """Factor of the time others wait for the roots, over its background (eq. 14)."""
        out = 1.0
        for i, (up, _) in self.reached(roots).items():
            if up > 0:
                r = 1 - (1 - self.rate) * (1 - WAITS**up)
                out *= (1 - r + r * self.waits[i, k]) / self.wait_background[i, k]
        return out

    def _reached(self, roots: Roots) -> dict[int, tuple[int, int]]:
        """Steps up and down from the nearest root to everybody else in reach, 0 for no way."""
        up, down = _steps(self.up, roots), _steps(self.down, roots)
        return {i: (up.get(i, 0), down.get(i, 0)) for i in {*up, *down}}


def _pairs(*edges: NDArray[np.int64]) -> Edges:
    return frozenset((int(a), int(b)) for table in edges for a, b in table)


def _steps(edges: Edges, roots: Roots) -> dict[int, int]:
    """Steps along edges from the nearest of `roots` to all they reach, at most `FARTHEST`."""
    seen, new, steps = set(roots), set(roots), 0
    out: dict[int, int] = {}
    while new:
        steps += 1
        new = {b for a, b in edges if a in new} - seen
        seen |= new
        out |= dict.fromkeys(new, min(steps, FARTHEST))
    return out


def _log_quiet(z: Floats, index: float, scale: float) -> Floats:
    return np.asarray(np.log(0.5) + stats.lomax.logpdf(np.abs(z), index, scale=scale))


def _composite(log_law: Floats) -> float:
    """Eq. 11: mean over the series that moved of the mean over their footprints; 0 for none."""
    means = [np.nanmean(row) for row in log_law if np.isfinite(row).any()]
    return float(np.mean(means)) if means else 0.0


def _ratios(z: Floats, q: Floats, scale: float, up: float, *, index: float = 1.0) -> Floats:
    """Effect over quiet, [m, s]; a missing contrast says nothing: ratio one."""
    side = np.where(z >= 0, up, 1 - up)
    with np.errstate(divide="ignore", over="ignore"):
        density = side * stats.lomax.pdf(np.abs(z), index, scale=scale)
        ratio = np.minimum(density / q, LARGEST_RATIO)
    return np.where(np.isnan(z), 1.0, ratio)
