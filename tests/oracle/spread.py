"""One family of docs/concepts.md by brute force: G of eq. 8 for any set of roots (eq. 3 to 9).

Every configuration of live edges and spontaneous components is enumerated.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from bayesrca.evidence import Evidence, FamilyTable
from tests.oracle.constants import ALARM_TRUE, DEPENDENCY, LARGE, MAX_NOISE
from tests.oracle.densities import (
    UP,
    effect,
    held_against,
    interval,
    partial_density,
    partial_density_beyond,
    partial_probability,
)

Floats = NDArray[np.float64]
Theta = Mapping[str, Any]
Roots = tuple[int, ...]

MAX_SWITCHES = 16  # live edges and spontaneous components enumerated


class Spread:
    """One family at one theta: [n, s] ratios and what is built of them."""

    def __init__(self, evidence: Evidence, f: int, theta: Theta) -> None:
        self.table: FamilyTable = evidence.families[f]
        self.f, self.theta = f, theta
        self.target = evidence.target
        self.alarm = evidence.target if evidence.alarm_family == f else None
        n, s = len(evidence.components), len(evidence.footprint_log_prior)
        self.n = n
        self.edges = sorted({(int(a), int(b)) for a, b in self.table.edges})
        self.rate = float(theta["base_rate"][f])
        self.affected, self.root = np.ones((n, s)), np.ones((n, s))
        self.quiet = np.ones((n, s))  # of cells with one law
        self.log_quiet = np.zeros((n, s))  # composite term
        for i in range(n):
            for k in range(s):
                self._cell(i, k)
        self.background = 1 - self.rate + self.rate * self.affected
        self.reach = [self._reachable(r) for r in range(n)]
        self.parents = [{a for a, to in self.edges if to == i} for i in range(n)]
        self.affected_sets = cache(self._affected_sets)

    def _cell(self, i: int, k: int) -> None:
        table, theta, f = self.table, self.theta, self.f
        if not np.isnan(table.log_quiet[i, k]):
            usual, wide = table.log_quiet[i], table.log_wide[i]
            q, mean = held_against(
                lambda tail, _: np.logaddexp(np.log1p(-tail) + usual, np.log(tail) + wide),
                theta["tail_weight"][f],
                theta["noise_scale"][f],
            )
            self.quiet[i, k] = q[k]
            self.affected[i, k] = self.root[i, k] = np.exp(table.log_affected[i, k]) / q[k]
            self.log_quiet[i] = mean
            return
        rows = np.flatnonzero(table.series_component == i)
        if rows.size == 0:
            return
        b, b_root = [], []
        self.log_quiet[i] = 0.0
        for row in rows:
            z = table.z[row]
            q, mean = held_against(
                partial(_log_quiet, z), theta["tail_weight"][f], theta["noise_scale"][f]
            )
            self.log_quiet[i] += mean / rows.size
            if np.isnan(z[k]):  # a missing series of a present cell says nothing: ratio one
                b.append(1.0)
                b_root.append(1.0)
                continue
            b.append(effect(z[k], theta["effect_size"][f]) / q[k])
            b_root.append(effect(z[k], theta["root_effect_size"][f]) / q[k])
            self.quiet[i, k] = q[k]
        self.affected[i, k], self.root[i, k] = np.mean(b), np.mean(b_root)

    def reports(self, i: int) -> bool:
        """Whether the component has a cell here."""
        counted = bool(np.isfinite(self.table.log_quiet[i]).any())
        return counted or i in self.table.series_component

    def _reachable(self, root: int) -> set[int]:
        seen = {root}
        while True:
            more = {b for a, b in self.edges if a in seen} - seen
            if not more:
                return seen - {root}
            seen |= more

    def explains(self, roots: Roots) -> bool:
        """Whether the alarm's target is a root or in reach, when the alarm is in this family."""
        return self.alarm is not None and self.alarm in self._touched(roots)

    def _touched(self, roots: Roots) -> set[int]:
        return set(roots).union(*(self.reach[r] for r in roots))

    def _affected_sets(self, roots: Roots) -> list[tuple[set[int], float]]:
        """P(A) of every set A in reach, by enumerating live edges and spontaneous components."""
        inside = self._touched(roots)
        nodes = sorted(inside - set(roots))
        edges = [(a, b) for a, b in self.edges if a in inside and b in inside]
        switches = len(edges) + len(nodes)
        assert switches <= MAX_SWITCHES, "too large for brute force"
        state = np.arange(1 << switches)
        live = [(state >> e) & 1 for e in range(len(edges))]
        leak = [(state >> (len(edges) + j)) & 1 for j in range(len(nodes))]
        rho = self.theta["transmission"][self.f]
        p = np.ones(state.size)
        for on in live:
            p *= np.where(on, rho, 1 - rho)
        reached = np.full(state.size, sum(1 << r for r in roots))
        for i, on in zip(nodes, leak, strict=True):
            p *= np.where(on, self.rate, 1 - self.rate)
            reached |= on << i
        for _ in range(self.n):
            for (a, b), on in zip(edges, live, strict=True):
                reached |= (on & (reached >> a)) << b
        total = np.bincount(reached, weights=p, minlength=1 << self.n)
        return [
            ({i for i in nodes if mask >> i & 1}, float(total[mask]))
            for mask in np.flatnonzero(total).tolist()
        ]

    def gain(self, roots: Roots, k: int, *, link: bool = False) -> float:
        """G_f(roots, footprint k) of eq. 8, with the alarm of eq. 9.

        A link fault lies on the way to its root, which is quiet, or affected without a trace when
        it is the target of a true alarm; the dose it sends is not known.
        """
        h, b, v = self.background[:, k], self.affected[:, k], self.theta["own_visible"]
        out = 1.0
        for root in roots:
            own = 1.0 if link else 1 - v + v * self.root[root, k]
            if link and root == self.alarm:
                own = ALARM_TRUE * b[root] + (1 - ALARM_TRUE)
            out *= own / h[root]
        touched = self._touched(roots)
        out *= self._sum_over_sets(roots, touched - set(roots), k, link=link)
        dependencies = set[int]().union(*(self.parents[r] for r in roots)) - touched
        for i in set(range(self.n)) - touched:
            rate = DEPENDENCY * self.rate if i in dependencies else self.rate
            known = link or i in dependencies
            ratio = b[i] if known else self._untraced(i, roots, k)
            factor = 1 - rate + rate * ratio
            if i == self.alarm:
                factor = ALARM_TRUE * ratio + (1 - ALARM_TRUE) * factor
            out *= factor / h[i]
        return float(out)

    def alarm_alone(self, k: int) -> float:
        """Factor of the alarm in a family without a fault."""
        if self.alarm is None:
            return 1.0
        h, b = self.background[self.alarm, k], self.affected[self.alarm, k]
        return float((ALARM_TRUE * b + (1 - ALARM_TRUE) * h) / h)

    def _sum_over_sets(self, roots: Roots, reach: set[int], k: int, *, link: bool) -> float:
        w = {i: self.affected[i, k] if link else self._path_ratio(i, roots, k) for i in reach}
        total = with_target = prior = 0.0
        for affected, p in self.affected_sets(roots):
            term = p
            for i in reach:
                term *= (w[i] if i in affected else 1.0) / self.background[i, k]
            total += term
            if self.alarm in affected:
                with_target += term
                prior += p
        if self.alarm not in reach:
            return total
        return ALARM_TRUE * with_target / prior + (1 - ALARM_TRUE) * total

    def _arriving(self, i: int, roots: Roots) -> Roots:
        """Roots whose doses add up at `i`: not those whose dose is part of a later root's."""

        def is_part(r: int, other: int) -> bool:
            before = other in self.reach[r] and r not in self.reach[other]
            return before and i in self.reach[other]

        reaching = [r for r in roots if i in self.reach[r]]
        return tuple(r for r in reaching if not any(is_part(r, o) for o in roots))

    def _sent(self, roots: Roots, k: int) -> tuple[float, float]:
        """Log of the sum of the roots' doses, NaN where one is missing, and its squared noise."""
        y, noise = self.table.dose[list(roots), k], self.table.dose_noise[list(roots), k]
        if np.isnan(y).any() or not roots:
            return np.nan, np.nan
        return float(np.logaddexp.reduce(y)), float((noise**2).sum())

    def _noise_sq(self, i: int, sent: tuple[float, float], k: int) -> float:
        with np.errstate(over="ignore", divide="ignore"):
            relative = (self.table.dose_noise[i, k] ** 2 + sent[1]) / np.exp(2 * sent[0])
        return float(min(relative, MAX_NOISE))

    def _path_ratio(self, i: int, roots: Roots, k: int) -> float:
        """w_i of eq. 7."""
        table, theta = self.table, self.theta
        sent = self._sent(self._arriving(i, roots), k)
        y, y_root = table.dose[i, k], sent[0]
        generic = self.affected[i, k]
        if np.isnan(y) or np.isnan(y_root):
            return float(generic)
        noise = self._noise_sq(i, sent, k)
        spread = np.sqrt(theta["dose_spread"][self.f] ** 2 + noise)
        if np.isnan(table.log_quiet[i, k]):
            scale = table.dose_jacobian[i, k]
            full = stats.t.pdf(y - y_root, 4, scale=spread) * scale
            part = partial_density(y - y_root, noise) * scale
        else:
            low, high = table.dose_low[i, k] - y_root, table.dose_high[i, k] - y_root
            full = interval(stats.t(4, scale=spread), low, high)
            part = partial_probability(low, high, noise)
        phi = theta["full_dose_target" if i == self.target else "full_dose_path"]
        u = theta["unrelated_dose"]
        related = (phi * full + (1 - phi) * part) / self.quiet[i, k]
        return float((1 - u) * related + u * generic)

    def _untraced(self, j: int, roots: Roots, k: int) -> float:
        """u_j of eq. 8; the ordinary ratio where its conditions do not hold."""
        table, theta = self.table, self.theta
        b = self.affected[j, k]
        row = np.flatnonzero(table.series_component == j)
        sent = self._sent(roots, k)
        y, y_root = table.dose[j, k], sent[0]
        if row.size != 1 or np.isnan(y) or np.isnan(y_root) or not table.z[row[0], k] > LARGE:
            return float(b)
        noise = self._noise_sq(j, sent, k)
        density = partial_density_beyond(y - y_root, table.dose_low[j, k] - y_root, noise)
        g, m = theta["untraced_dose"], theta["effect_size"][self.f]
        mass = UP * stats.lomax.sf(LARGE, 1, scale=m)
        jacobian = table.dose_jacobian[j, k]
        return float((1 - g) * b + g * mass * density * jacobian / self.quiet[j, k])


def _log_quiet(z: Floats, tail: float, scale: float) -> Floats:
    core, wide = stats.t.pdf(z, 4, scale=scale), stats.t.pdf(z, 4, scale=3 * scale)
    return np.asarray(np.log((1 - tail) * core + tail * wide))
