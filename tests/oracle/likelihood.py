"""The likelihood of docs/concepts.md by brute force, sharing no code with the core.

Families are summed over every configuration of live edges (`tests.oracle.spread`), densities come
from SciPy, dose integrals from quadrature, and sets of causes are summed over all their kinds and
ways of showing, their prior over all sets there could be. Only for a handful of components.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesrca.evidence import Evidence
from tests.oracle.constants import (
    CALLED,
    CODE,
    CODE_PRIOR,
    CRASH,
    ERRORS,
    KIND_NUMBERS,
    KIND_PRIOR,
    KIND_SHOWS,
    LATENCY,
    LINK,
    LOAD,
    LOG_UNCONNECTED,
    RESOURCE,
    SET_KINDS,
    SIZES,
    TIMED_LINK,
    UNSEEN,
)
from tests.oracle.spread import Roots, Spread
from tests.oracle.traces import Traces
from tests.oracle.vitals import Vitals

Floats = NDArray[np.float64]
Theta = Mapping[str, Any]
Shows = tuple[int, int]

MODES: tuple[Shows, ...] = ((0, 0), (0, 1), (1, 0), (1, 1))


@dataclass(frozen=True)
class Answer:
    """Logs of p(data | theta), of p(H | theta) [k] and of the joints by footprint [k, s]."""

    logp: float
    log_root: Floats
    log_joint: Floats


def solve(
    evidence: Evidence,
    theta: Theta,
    none_prior: float,
    sets: Sequence[Roots] = (),
    max_causes: int = 1,
) -> Answer:
    """Evaluate eq. 2 to 24 at natural-scale parameters, exactly as written."""
    model = _Model(evidence, theta)
    sizes = np.array(SIZES[: min(max_causes, model.n)])
    log_sizes = np.log(sizes / sizes.sum()) + np.log1p(-none_prior)
    rows = []
    with np.errstate(divide="ignore"):
        total = sum(model.prior(root, kind) for root in range(model.n) for kind in KIND_NUMBERS)
        for root, kind in product(range(model.n), KIND_NUMBERS):
            rows.append(log_sizes[0] - np.log(total) + model.log_single(root, kind))
        set_totals = {m: model.set_total(m) for m in {len(members) for members in sets}}
        for members in sets:
            m = len(members)
            log_prior = log_sizes[m - 1] - np.log(set_totals[m])
            rows.append(log_prior + model.log_set(members))
        rows.append(np.log(none_prior) + model.log_none())
        log_joint = np.array(rows) + model.log_background() + evidence.footprint_log_prior
        total = np.logaddexp.reduce(log_joint, axis=None)
        log_root = np.logaddexp.reduce(log_joint, axis=1) - total
    return Answer(float(total + model.log_quiet()), log_root, log_joint)


def kind_prior(theta: Theta, kind: int) -> float:
    """Prior weight of a kind of fault."""
    if kind == CODE:
        return CODE_PRIOR
    if kind in KIND_PRIOR:
        return KIND_PRIOR[kind]
    share = theta["error_kind"] if kind == ERRORS else 1 - theta["error_kind"]
    return float((1 - sum(KIND_PRIOR.values())) * share)


def mode_prior(theta: Theta, kind: int, shows: Shows) -> float:
    """Probability that a fault of this kind shows in exactly these families (eq. 2)."""
    cross = theta["cross_family"]
    own = {LATENCY: (1.0, cross[LATENCY]), ERRORS: (cross[ERRORS], 1.0)}
    chances = (own | KIND_SHOWS)[kind]
    return float(np.prod([p if on else 1 - p for p, on in zip(chances, shows, strict=True)]))


class _Model:
    """The incident at one theta; logarithms are [s] arrays over the background."""

    def __init__(self, evidence: Evidence, theta: Theta) -> None:
        self.e, self.theta = evidence, theta
        self.n, self.s = evidence.root_log_factor.shape
        self.families = [Spread(evidence, f, theta) for f in range(2)]
        self.vitals = Vitals(evidence, theta)
        self.traces = Traces(evidence, theta)
        self.shown = cache(self._shown)

    def log_quiet(self) -> float:
        """Composite log density of everything if nobody were disturbed."""
        return float(
            sum(m.log_quiet.sum() for m in self.families) / self.s
            + self.vitals.log_quiet
            + self.traces.log_quiet
        )

    def log_background(self) -> Floats:
        """Log ratio of "everybody at the base rates" to that."""
        ratios = (*(m.background for m in self.families), *self.vitals.backgrounds)
        return np.asarray(sum(np.log(ratio).sum(axis=0) for ratio in ratios))

    def _shown(self, f: int, roots: Roots, link: bool = False) -> Floats:
        """Factor of family f in which the fault spreads from these roots, from none if empty."""
        family = self.families[f]
        if not roots:
            return np.array([family.alarm_alone(k) for k in range(self.s)])
        gain = [family.gain(roots, k, link=link) for k in range(self.s)]
        waiting = [self.vitals.waiting(roots, k) if f == LATENCY else 1.0 for k in range(self.s)]
        return np.array(gain) * waiting

    def _explains(self, root: int, kind: int, shows: Shows) -> bool:
        """Whether a fault that shows so explains the alarm."""
        f = self.e.alarm_family
        if f is None:
            return True
        slow_way_to_it = kind == LINK and f == LATENCY and root == self.e.target
        return shows[f] == 1 and self.families[f].explains((root,)) and not slow_way_to_it

    def _weight(self, root: int, kind: int) -> float:
        """Prior weight of a root and kind, but for the vitals' part and how it shows."""
        own = self.e.root_log_prior[root] + LOG_UNCONNECTED * self.e.unconnected[root]
        out = kind_prior(self.theta, kind) * float(np.exp(own))
        unseen = {
            LATENCY: not self.families[LATENCY].reports(root),
            ERRORS: not self.families[ERRORS].reports(root),
            LINK: not self.families[LATENCY].reach[root],
            CRASH: not self.e.crash_log_ratio[root].any() or self.traces.is_untold(root),
        }
        if unseen.get(kind):
            out *= UNSEEN
        if kind == LINK and self.traces.is_timed(root):
            out *= TIMED_LINK / (UNSEEN if unseen[LINK] else 1.0)
        if kind == CODE:
            out *= self.traces.code_weight(root)
        if kind == LOAD and self.vitals.has_callers(root):
            out *= CALLED
        return out

    def _with_vitals(self, root: int, kind: int) -> float:
        return self._weight(root, kind) * self.vitals.weight(root, kind)

    def prior(self, root: int, kind: int) -> float:
        """Unnormalised prior probability of a single cause, a kind and all its ways of showing."""
        miss = self.theta["unexplained_alarm"]
        modes = [
            mode_prior(self.theta, kind, shows)
            * (1.0 if self._explains(root, kind, shows) else miss)
            for shows in MODES
        ]
        return self._with_vitals(root, kind) * sum(modes)

    def _presence(self, root: int, kind: int) -> Floats:
        """Log factor of whether the root's telemetry is there."""
        table = self.e.crash_log_ratio if kind == CRASH else self.e.root_log_factor
        return np.asarray(table[root])

    def _uncalled(self, root: int, kind: int) -> Floats:
        """Log factor of one falling silent whom the root no longer calls."""
        callees = [b for a, b in self.traces.edges if a == root]
        if kind not in {ERRORS, CODE} or not callees:
            return np.zeros(self.s)
        return np.asarray(np.log(0.6 + 0.4 * np.exp(self.e.crash_log_ratio)[callees].mean(axis=0)))

    def log_single(self, root: int, kind: int) -> Floats:
        """One cause of one kind: its unnormalised prior times its joint density."""
        joint = np.zeros(self.s)
        for shows in MODES:
            weight = mode_prior(self.theta, kind, shows)
            if not self._explains(root, kind, shows):
                weight *= self.theta["unexplained_alarm"]
            latency = self.shown(LATENCY, (root,) if shows[0] else (), kind == LINK)
            errors = self.shown(ERRORS, (root,) if shows[1] else ())
            joint += weight * latency * errors
        own = [self.vitals.log_at_root(root, kind, k) for k in range(self.s)]
        others = [self.vitals.log_others((root,), k, kind) for k in range(self.s)]
        weight = np.log(self._weight(root, kind)) + self._presence(root, kind)
        traced = self.traces.log_single(root, kind) + self._uncalled(root, kind)
        return np.asarray(np.log(joint) + weight + own + others + traced + self._alerts((root,)))

    def _alerts(self, members: Roots) -> float:
        """Log factor of the alerts: due to one of the members, each as likely (eq. 30)."""
        if self.e.alerts is None:
            return 0.0
        return float(np.log(np.mean([np.exp(self.e.alerts.log_ratio[r]) for r in members])))

    def log_set(self, members: Roots) -> Floats:
        """Several causes: the sum over the kind and the way of showing of each (eq. 15)."""
        ways = [list(self._ways(root)) for root in members]
        joint = np.zeros(self.s)
        for shows in product(MODES, repeat=len(members)):
            roots = [
                tuple(r for r, on in zip(members, shows, strict=True) if on[f]) for f in (0, 1)
            ]
            term = self.shown(LATENCY, roots[0]) * self.shown(ERRORS, roots[1])
            for of_root, mode in zip(ways, shows, strict=True):
                term = term * sum(w for w, m in of_root if m == mode)
            joint += term * self._miss(members, shows)
        others = [self.vitals.log_others(members, k, None) for k in range(self.s)]
        told = self.traces.log_set(members) + self._alerts(members)
        return np.asarray(np.log(joint) + others + told)

    def _ways(self, root: int) -> Iterator[tuple[Floats, Shows]]:
        """Weight, [s], of every kind and way of showing that a root of a set may have."""
        for kind, shows in product(SET_KINDS, MODES):
            own = [self.vitals.log_at_root(root, kind, k) for k in range(self.s)]
            log = np.log(self._weight(root, kind)) + self._presence(root, kind) + own
            log += self.traces.log_member(root, kind)
            yield mode_prior(self.theta, kind, shows) * np.exp(log), shows

    def _miss(self, members: Roots, shows: Sequence[Shows]) -> float:
        pairs = zip(members, shows, strict=True)
        explained = any(self._explains(root, RESOURCE, mode) for root, mode in pairs)
        return 1.0 if explained else float(self.theta["unexplained_alarm"])

    def set_total(self, size: int) -> float:
        """Sum of the unnormalised priors of all sets of a size there could be."""
        mass = [
            {
                shows: sum(
                    self._with_vitals(root, kind) * mode_prior(self.theta, kind, shows)
                    for kind in SET_KINDS
                )
                for shows in MODES
            }
            for root in range(self.n)
        ]
        return sum(
            float(np.prod([mass[r][m] for r, m in zip(members, shows, strict=True)]))
            * self._miss(members, shows)
            for members in combinations(range(self.n), size)
            for shows in product(MODES, repeat=size)
        )

    def log_none(self) -> Floats:
        """None of these: only the alarm itself."""
        vital = [self.vitals.log_alarm_alone(k) for k in range(self.s)]
        return np.asarray(np.log(self.shown(LATENCY, ()) * self.shown(ERRORS, ())) + vital)
