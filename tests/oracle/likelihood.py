"""The likelihood of docs/concepts.md by brute force, sharing no code with the core.

Every configuration of live edges and spontaneous components is enumerated, densities come from
SciPy, dose integrals from quadrature. Only for graphs with a handful of components and edges.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import logsumexp

from bayesrca.evidence import Evidence, FamilyTable

Floats = NDArray[np.float64]
Theta = Mapping[str, Any]

UP = 0.95  # eq. 4
ALARM_TRUE = 0.9  # eq. 9
DEPENDENCY = 0.1  # eq. 6
LARGE = 2.0  # eq. 8
MAX_NOISE = 1e12  # squared noise of a log dose ratio is kept below this
MAX_SWITCHES = 16  # live edges and spontaneous components enumerated

_NODE, _WEIGHT = np.polynomial.legendre.leggauss(120)
_SHARE = -2.5 + 2.5 * _NODE  # nodes of U(-5, 0)
_SHARE_WEIGHT = _WEIGHT / 2.0


@dataclass(frozen=True)
class Answer:
    """Logs of p(data | theta), of p(H | theta) [k] and of the joints by footprint [k, s]."""

    logp: float
    log_root: Floats
    log_joint: Floats


def solve(evidence: Evidence, theta: Theta, none_prior: float) -> Answer:
    """Evaluate eq. 2 to 10 at natural-scale parameters, exactly as written."""
    families = [_Family(evidence, f, theta) for f in range(2)]
    n, s = len(evidence.components), len(evidence.footprint_log_prior)
    gain = np.array([[[m.gain(r, k) for k in range(s)] for r in range(n)] for m in families])
    alarm = np.array([[m.alarm_alone(k) for k in range(s)] for m in families])
    prior = np.zeros((n, 2, 2))  # root, kind, in one family or both
    joint = np.zeros((2 * n + 1, s))
    with np.errstate(divide="ignore"):
        for root in range(n):
            for kind in range(2):
                one, both = _mode_weights(families, theta, evidence.alarm_family, root, kind)
                prior[root, kind] = one, both
                factor = np.exp(evidence.root_log_factor[root])
                joint[2 * root + kind] = (
                    factor
                    * gain[kind, root]
                    * (one * alarm[1 - kind] + both * gain[1 - kind, root])
                )
        joint[:-1] *= (1 - none_prior) / prior.sum()
        joint[-1] = none_prior * alarm[0] * alarm[1]
        background = sum(np.log(m.background).sum(axis=0) for m in families)
        log_joint = np.log(joint) + background + evidence.footprint_log_prior
        total = np.logaddexp.reduce(log_joint, axis=None)
        log_root = np.logaddexp.reduce(log_joint, axis=1) - total
    quiet = sum(m.log_quiet.sum() for m in families) / s
    return Answer(float(total + quiet), log_root, log_joint)


def _mode_weights(
    families: list[_Family], theta: Theta, alarm: int | None, root: int, kind: int
) -> tuple[float, float]:
    """Prior weights of a fault that stays in its family and of one that shows in both (eq. 2)."""
    p_kind = theta["error_kind"] if kind else 1 - theta["error_kind"]
    cross = theta["cross_family"][kind]
    explains = alarm is None or families[alarm].explains(root)
    mu_both = 1.0 if explains else theta["unexplained_alarm"]
    mu_one = mu_both if alarm in {None, kind} else theta["unexplained_alarm"]
    return p_kind * (1 - cross) * mu_one, p_kind * cross * mu_both


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


def held_against(
    log_law: Callable[[float, float], Floats], tail: float, scale: float
) -> tuple[Floats, float]:
    """Eq. 3 over footprints: the density an effect is held against, [s], and the composite's term.

    Footprints are told apart by the law at unit scale and tail .02 alone.
    """
    with np.errstate(invalid="ignore"):  # missing footprints are NaN and stay so
        at, reference = log_law(tail, scale), log_law(0.02, 1.0)
    if np.isnan(at).all():
        return at, 0.0
    return np.exp(reference - np.nanmean(reference) + np.nanmean(at)), float(np.nanmean(at))


def effect(z: float, median: float) -> float:
    """Eq. 4: a Lomax law of shape 1 on each side has the median `median` and the density wanted."""
    side = UP if z >= 0 else 1 - UP
    return float(side * stats.lomax.pdf(abs(z), 1, scale=median))


def interval(law: Any, low: float, high: float) -> float:  # noqa: ANN401
    """P(low < X < high), from the tail that keeps more digits."""
    return float(law.sf(low) - law.sf(high) if low > 0 else law.cdf(high) - law.cdf(low))


def partial_density(ratio: float, noise_sq: float) -> float:
    """Eq. 7: U(-5, 0) blurred by N(0, .4^2 + noise), by quadrature over the uniform."""
    width = np.sqrt(0.16 + noise_sq)
    return float(_SHARE_WEIGHT @ stats.norm.pdf(ratio, loc=_SHARE, scale=width))


def partial_density_beyond(ratio: float, low: float, noise_sq: float) -> float:
    """The same given that it exceeds `low`; in logarithms, as both may be beyond any double."""
    width = np.sqrt(0.16 + noise_sq)
    # Far above the root's dose only the upper end of U(-5, 0) counts: put the nodes there.
    reach = min(5.0, 60.0 * width**2 / low) if low > 0 else 5.0
    share = 0.5 * reach * (_NODE - 1.0)
    log_density = stats.norm.logpdf(max(ratio, low), loc=share, scale=width)
    log_beyond = stats.norm.logsf(low, loc=share, scale=width)
    log_ratio = logsumexp(log_density, b=_SHARE_WEIGHT) - logsumexp(log_beyond, b=_SHARE_WEIGHT)
    return float(np.exp(log_ratio))


def partial_probability(low: float, high: float, noise_sq: float) -> float:
    """P(low < ratio < high) of a partial dose, by the same quadrature."""
    width = np.sqrt(0.16 + noise_sq)
    a, b = (low - _SHARE) / width, (high - _SHARE) / width
    p = np.where(a > 0, stats.norm.sf(a) - stats.norm.sf(b), stats.norm.cdf(b) - stats.norm.cdf(a))
    return float(_SHARE_WEIGHT @ p)
