"""Vitals of docs/concepts.md (eq. 11 to 13) as written, sharing no code with the core."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from bayesrca.evidence import Evidence

Floats = NDArray[np.float64]
Theta = Mapping[str, Any]

# Load, cpu, memory, disk, network, generic: prior of the family at fault, and of moving up.
AT_FAULT = tuple(enumerate((0.10, 0.23, 0.19, 0.16, 0.17, 0.15)))
ROOT_UP = (0.4, 0.85, 0.85, 0.7, 0.5, 0.5)
EFFECT_UP = (0.3, 0.5, 0.5, 0.5, 0.4, 0.5)
UNREPORTED = 0.35
ROOT_EFFECT = 12.0
ECHO = (0.2, 0.4, 0.4, 0.4, 0.4, 0.4)  # eq. 12
ON_PATH = 0.3
AT_ROOT = 0.5
REFERENCE = (2.5, 0.9)  # eq. 11: index and scale
QUIET_AT_ZERO = 2.5 / (2 * 0.9)
EFFECT_SIZE = 4.0  # at the reference
LARGEST_RATIO = 1e40


class Vitals:
    """The components' resource telemetry at one theta (eq. 11 to 13): [n, s] background."""

    def __init__(self, evidence: Evidence, theta: Theta) -> None:
        self.table, self.theta = evidence.vitals, theta
        self.n, s = evidence.root_log_factor.shape
        self.edges = [(int(a), int(b)) for t in evidence.families for a, b in t.edges]
        self.log_quiet = 0.0
        # Per component and family: ratios "disturbed" and "at fault" over quiet, [s] each.
        self.cells: list[dict[int, tuple[Floats, Floats]]] = [{} for _ in range(self.n)]
        for i, v in sorted({*zip(self.table.component, self.table.family, strict=True)}):
            self.cells[i][int(v)] = self._cell(int(i), int(v))
        self.disturbed = np.ones((self.n, s))
        for i, cells in enumerate(self.cells):
            for v, (shown, _) in cells.items():
                self.disturbed[i] *= 1 - ECHO[v] + ECHO[v] * shown
        a = theta["vital_rate"]
        self.background = 1 - a + a * self.disturbed

    def _cell(self, i: int, v: int) -> tuple[Floats, Floats]:
        scale, index = float(self.theta["vital_scale"]), float(self.theta["vital_index"])
        z = self.table.z[(self.table.component == i) & (self.table.family == v)]  # [m, s]
        still = z == 0.0
        moved = np.where(still, np.nan, z)
        law, reference = _log_quiet(moved, index, scale), _log_quiet(moved, *REFERENCE)
        self.log_quiet += _composite(law)
        q = np.exp(reference - _composite(reference) + _composite(law))
        shown = _ratios(moved, q, scale * self.theta["vital_effect_size"], EFFECT_UP[v])
        fault = _ratios(moved, q, scale * ROOT_EFFECT, ROOT_UP[v])
        shown[still] = EFFECT_UP[v] / (EFFECT_SIZE * REFERENCE[1]) / QUIET_AT_ZERO
        fault[still] = ROOT_UP[v] / (ROOT_EFFECT * REFERENCE[1]) / QUIET_AT_ZERO
        return shown.mean(axis=0), fault.mean(axis=0)

    def weight(self, i: int) -> float:
        """Prior weight of a resource fault at component i (eq. 13)."""
        return float(sum(p * (1.0 if v in self.cells[i] else UNREPORTED) for v, p in AT_FAULT))

    def log_factor(self, root: int, k: int, *, at_fault: bool) -> float:
        """Log of what a fault at `root` changes in all vitals, over their background."""
        p = AT_ROOT * self.disturbed[root, k] + (1 - AT_ROOT) * self.background[root, k]
        if at_fault:
            p = sum(self.at_fault_joint(root, k))
        out = np.log(p / self.background[root, k])
        for i in self._reachable(root) - {root}:
            out += np.log1p(ON_PATH * (self.disturbed[i, k] / self.background[i, k] - 1))
        return float(out)

    def at_fault_joint(self, i: int, k: int) -> list[float]:
        """Prior times ratio of each family being the one at fault at component i."""
        return [share * self._with_fault_in(i, v, k) for v, share in AT_FAULT]

    def _with_fault_in(self, i: int, at_fault: int, k: int) -> float:
        """Ratio of a disturbed component whose family `at_fault` is the one at fault."""
        visible = self.theta["own_visible"]
        out = 1.0 if at_fault in self.cells[i] else UNREPORTED
        for v, (shown, fault) in self.cells[i].items():
            if v == at_fault:
                out *= 1 - visible + visible * fault[k]
            else:
                out *= 1 - ECHO[v] + ECHO[v] * shown[k]
        return float(out)

    def _reachable(self, root: int) -> set[int]:
        """Components a fault at `root` reaches along the edges of either family."""
        seen: set[int] = set()
        new = {root}
        while new:
            seen |= new
            new = {b for a, b in self.edges if a in seen} - seen
        return seen


def _log_quiet(z: Floats, index: float, scale: float) -> Floats:
    return np.asarray(np.log(0.5) + stats.lomax.logpdf(np.abs(z), index, scale=scale))


def _composite(log_law: Floats) -> float:
    """Eq. 11: mean over the series that moved of the mean over their footprints; 0 for none."""
    means = [np.nanmean(row) for row in log_law if np.isfinite(row).any()]
    return float(np.mean(means)) if means else 0.0


def _ratios(z: Floats, q: Floats, median: float, up: float) -> Floats:
    """Effect over quiet, [m, s]; a missing contrast says nothing: ratio one."""
    side = np.where(z >= 0, up, 1 - up)
    with np.errstate(divide="ignore", over="ignore"):
        ratio = np.minimum(side * stats.lomax.pdf(np.abs(z), 1, scale=median) / q, LARGEST_RATIO)
    return np.where(np.isnan(z), 1.0, ratio)
