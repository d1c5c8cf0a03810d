"""The likelihood of docs/concepts.md by brute force, sharing no code with the core.

Every configuration of live edges and spontaneous components is enumerated, densities come from
SciPy, dose integrals from quadrature. Only for graphs with a handful of components and edges.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from bayesrca.evidence import Evidence, FamilyTable
from tests.oracle.densities import (
    UP,
    effect,
    held_against,
    interval,
    partial_density,
    partial_density_beyond,
    partial_probability,
)
from tests.oracle.vitals import Vitals

Floats = NDArray[np.float64]
Theta = Mapping[str, Any]

ALARM_TRUE = 0.9  # eq. 9
DEPENDENCY = 0.1  # eq. 6
LARGE = 2.0  # eq. 8
MAX_NOISE = 1e12  # squared noise of a log dose ratio is kept below this
RESOURCE = 0.4  # eq. 13: prior of the kind, and how often it shows in latency and in errors
RESOURCE_SHOWS = (0.6, 0.25)
MAX_SWITCHES = 16  # live edges and spontaneous components enumerated


@dataclass(frozen=True)
class Answer:
    """Logs of p(data | theta), of p(H | theta) [k] and of the joints by footprint [k, s]."""

    logp: float
    log_root: Floats
    log_joint: Floats


def solve(evidence: Evidence, theta: Theta, none_prior: float) -> Answer:
    """Evaluate eq. 2 to 13 at natural-scale parameters, exactly as written."""
    families = [_Family(evidence, f, theta) for f in range(2)]
    n, s = len(evidence.components), len(evidence.footprint_log_prior)
    gain = np.array([[[m.gain(r, k) for k in range(s)] for r in range(n)] for m in families])
    alarm = np.array([[m.alarm_alone(k) for k in range(s)] for m in families])
    vitals = Vitals(evidence, theta)
    prior = np.zeros((n, 3, 2, 2))  # root, kind, shows in latency, shows in errors
    log_joint = np.full((3 * n + 1, s), -np.inf)
    with np.errstate(divide="ignore"):
        for root, kind in product(range(n), range(3)):
            joint = np.zeros(s)
            for shows in product((0, 1), repeat=2):
                explains = evidence.alarm_family is None or (
                    shows[evidence.alarm_family] == 1
                    and families[evidence.alarm_family].explains(root)
                )
                weight = _mode_weight(theta, kind, shows)
                weight *= 1.0 if explains else theta["unexplained_alarm"]
                prior[root, kind][shows] = weight * (vitals.weight(root) if kind == 2 else 1.0)
                joint += weight * np.prod(
                    [gain[f, root] if shows[f] else alarm[f] for f in range(2)], axis=0
                )
            log_joint[3 * root + kind] = (
                np.log(joint)
                + evidence.root_log_factor[root]
                + [vitals.log_factor(root, k, at_fault=kind == 2) for k in range(s)]
            )
        log_joint[:-1] += np.log1p(-none_prior) - np.log(prior.sum())
        log_joint[-1] = np.log(none_prior * alarm[0] * alarm[1])
        for ratios in (*(m.background for m in families), vitals.background):
            log_joint += np.log(ratios).sum(axis=0)
        log_joint += evidence.footprint_log_prior
        total = np.logaddexp.reduce(log_joint, axis=None)
        log_root = np.logaddexp.reduce(log_joint, axis=1) - total
    quiet = sum(m.log_quiet.sum() for m in families) / s + vitals.log_quiet
    return Answer(float(total + quiet), log_root, log_joint)


def _mode_weight(theta: Theta, kind: int, shows: tuple[int, ...]) -> float:
    """Prior weight of a fault of this kind that shows in these families (eq. 2 and 13)."""
    if kind == 2:
        each = [p if on else 1 - p for p, on in zip(RESOURCE_SHOWS, shows, strict=True)]
        return RESOURCE * each[0] * each[1]
    if not shows[kind]:
        return 0.0
    p_kind = (1 - RESOURCE) * (theta["error_kind"] if kind else 1 - theta["error_kind"])
    cross = theta["cross_family"][kind]
    return float(p_kind * (cross if shows[1 - kind] else 1 - cross))


class _Family:
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
        self.sets = [self._affected_sets(r) for r in range(n)]

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

    def _reachable(self, root: int) -> set[int]:
        seen = {root}
        while True:
            more = {b for a, b in self.edges if a in seen} - seen
            if not more:
                return seen - {root}
            seen |= more

    def explains(self, root: int) -> bool:
        return self.alarm is not None and (root == self.alarm or self.alarm in self.reach[root])

    def _affected_sets(self, root: int) -> list[tuple[set[int], float]]:
        """P(A) of every set A within U_R, by enumerating live edges and spontaneous components."""
        nodes = sorted(self.reach[root])
        inside = {root, *nodes}
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
        reached = np.full(state.size, 1 << root)
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

    def gain(self, root: int, k: int) -> float:
        """G_f(root, footprint k) of eq. 8, with the alarm of eq. 9."""
        h, b, theta = self.background[:, k], self.affected[:, k], self.theta
        v = theta["own_visible"]
        out = (1 - v + v * self.root[root, k]) / h[root]
        out *= self._sum_over_sets(root, k)
        reach = self.reach[root]
        dependencies = {a for a, to in self.edges if to == root} - reach - {root}
        for i in set(range(self.n)) - reach - {root}:
            rate = DEPENDENCY * self.rate if i in dependencies else self.rate
            ratio = b[i] if i in dependencies else self._untraced(i, root, k)
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

    def _sum_over_sets(self, root: int, k: int) -> float:
        reach = self.reach[root]
        w = {i: self._path_ratio(i, root, k) for i in reach}
        total = with_target = prior = 0.0
        for affected, p in self.sets[root]:
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

    def _noise_sq(self, i: int, root: int, k: int) -> float:
        s = self.table.dose_noise
        with np.errstate(over="ignore", divide="ignore"):
            relative = (s[i, k] ** 2 + s[root, k] ** 2) / np.exp(2 * self.table.dose[root, k])
        return float(min(relative, MAX_NOISE))

    def _path_ratio(self, i: int, root: int, k: int) -> float:
        """w_i(R) of eq. 7."""
        table, theta = self.table, self.theta
        y, y_root = table.dose[i, k], table.dose[root, k]
        generic = self.affected[i, k]
        if np.isnan(y) or np.isnan(y_root):
            return float(generic)
        noise = self._noise_sq(i, root, k)
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

    def _untraced(self, j: int, root: int, k: int) -> float:
        """u_j(R) of eq. 8; the ordinary ratio where its conditions do not hold."""
        table, theta = self.table, self.theta
        b = self.affected[j, k]
        row = np.flatnonzero(table.series_component == j)
        y, y_root = table.dose[j, k], table.dose[root, k]
        if row.size != 1 or np.isnan(y) or np.isnan(y_root) or not table.z[row[0], k] > LARGE:
            return float(b)
        noise = self._noise_sq(j, root, k)
        density = partial_density_beyond(y - y_root, table.dose_low[j, k] - y_root, noise)
        g, m = theta["untraced_dose"], theta["effect_size"][self.f]
        mass = UP * stats.lomax.sf(LARGE, 1, scale=m)
        jacobian = table.dose_jacobian[j, k]
        return float((1 - g) * b + g * mass * density * jacobian / self.quiet[j, k])


def _log_quiet(z: Floats, tail: float, scale: float) -> Floats:
    core, wide = stats.t.pdf(z, 4, scale=scale), stats.t.pdf(z, 4, scale=3 * scale)
    return np.asarray(np.log((1 - tail) * core + tail * wide))
