"""Learn theta's prior from incidents whose causes are known (docs/learning.md)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bayesrca.config import Settings
from bayesrca.errors import InvalidSettingsError, NoEvidenceError
from bayesrca.evaluation.cases import DataSet
from bayesrca.evaluation.learn_alert_cases import learn_alerts_of
from bayesrca.evaluation.learn_alerts import LearnedAlerts
from bayesrca.evaluation.learn_fit import (
    LARGEST_STEP,
    Fleet,
    HyperPrior,
    Slopes,
    climb,
    compute_slopes,
)
from bayesrca.evaluation.learn_gamma import (
    Gamma,
    choose_gamma,
    compute_tempered_scores,
    mean_and_error,
)
from bayesrca.evaluation.learn_incidents import (
    Group,
    Labelled,
    LeftOut,
    hash_incidents,
    prepare_incidents,
)
from bayesrca.ingest import FamilyRules
from bayesrca.kernels.propagation import ScreenDraws, compute_pareto_k
from bayesrca.model.parameters import unconstrained_prior

Floats = NDArray[np.float64]
Tell = Callable[[str, float], None]
"""Told what is being done, and the share of it that is done."""

FEWEST_GROUPS = 6
"""Distinct (data set, root causes, fault) that learning takes at least."""
POINTS = 256
"""Points of each scramble in the last rounds, more than an answer takes: errors add up over
incidents."""
NEAR = 0.3
"""A step below this, in prior standard deviations, makes the next round one of the last."""
MOST_ROUNDS = 16
"""Newton steps at most."""
SMALL_STEP = 0.1
"""A step below this, in prior standard deviations, ends the learning."""
PARETO_K_LIMIT = 0.7
"""An incident whose weights have a larger Pareto shape is not learned from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """Log scores of one group by answers that had not learned from it.

    Attributes:
        group: the group.
        incidents: how many it has.
        before: mean log score under the built-in prior.
        after: under the prior learned from the other groups.
        tempered: the same under each of `bayesrca.evaluation.learn_gamma.GAMMAS`, [g].
    """

    group: Group
    incidents: int
    before: float
    after: float
    tempered: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What was learned, and how much better it predicts.

    Attributes:
        fleet: the law of the incidents' theta.
        incidents: those learned from.
        left_out: those that were not.
        groups: number of incidents in each group.
        held_out: each group scored by what the others taught.
        gamma: the tempering exponent.
        steps: largest coordinate of every Newton step, in prior standard deviations.
        largest_pareto_k: of the incidents' weights in the last round; 0 where none was drawn.
        data_sha256: hash over the files of the incidents learned from.
        alerts: what was learned of alerts, whether or not it is used; None where too few incidents
            have any.
    """

    fleet: Fleet
    incidents: tuple[str, ...]
    left_out: tuple[LeftOut, ...]
    groups: Mapping[Group, int]
    held_out: tuple[HeldOut, ...]
    gamma: Gamma
    steps: tuple[float, ...]
    largest_pareto_k: float
    data_sha256: str
    alerts: LearnedAlerts | None = None

    @property
    def converged(self) -> bool:
        """Whether the last step was small."""
        return self.steps[-1] < SMALL_STEP

    def gain(self) -> tuple[float, float]:
        """Mean over groups of held-out log score after less before, and its standard error."""
        return mean_and_error([h.after - h.before for h in self.held_out])


def learn_prior(
    data_sets: Sequence[DataSet],
    *,
    seed: int,
    settings: Settings,
    families: FamilyRules | None = None,
    tell: Tell = lambda _what, _done: None,
) -> Learned:
    """Learn the fleet's law of theta from labelled incidents.

    Nothing is learned about any one component: theta has no entry for one, and repeats of a group
    (data set, root causes, fault) count together as one incident.

    Args:
        data_sets: the incidents, see `bayesrca.evaluation.cases.find_data_sets`.
        seed: 0 to 2^63 - 1; the same seed gives the same prior for any number of cores.
        settings: bins, widths, scrambles, cores and the prior of "none of these".
        families: rules from metric names to families, or None.
        tell: told the progress.

    Raises:
        NoEvidenceError: fewer than 6 groups can be learned from.
        InvalidSettingsError: the settings hold a learned prior already.
    """
    if settings.prior is not None:
        msg = "learning starts from the built-in prior; leave the learned one out"
        raise InvalidSettingsError(msg, field="prior")
    tell("reading alerts", 0.0)
    alerts, laws = learn_alerts_of(
        data_sets, fewest_groups=FEWEST_GROUPS, seed=seed, none_prior=settings.none_prior
    )
    with ExitStack() as stack:
        incidents, left_out = prepare_incidents(
            data_sets,
            settings,
            stack,
            families=families,
            alert_laws=laws,
            tell=lambda x: tell("reading", x),
        )
        learned = learn_from(incidents, left_out, seed=seed, settings=settings, tell=tell)
        return replace(learned, alerts=alerts)


def learn_from(
    incidents: Sequence[Labelled],
    left_out: Sequence[LeftOut] = (),
    *,
    seed: int,
    settings: Settings,
    tell: Tell = lambda _what, _done: None,
) -> Learned:
    """Learn from prepared incidents; see `learn_prior`.

    Raises:
        NoEvidenceError: fewer than 6 groups can be learned from.
    """
    incidents, left_out = _without_few(incidents, left_out)
    _check_groups(incidents, left_out)
    return _Learning(incidents, left_out, seed, settings, tell).run()


def _without_few(
    incidents: Sequence[Labelled], left_out: Sequence[LeftOut]
) -> tuple[Sequence[Labelled], Sequence[LeftOut]]:
    """Leave out too few incidents that tell of theta among enough of alerts alone."""
    few = [i for i in incidents if i.of_theta]
    rest = [i for i in incidents if not i.of_theta]
    if len({i.group for i in few}) >= FEWEST_GROUPS or len({i.group for i in rest}) < FEWEST_GROUPS:
        return incidents, left_out
    reason = f"telemetry of fewer than {FEWEST_GROUPS} distinct (root causes, fault), beside alerts"
    return rest, [*left_out, *(LeftOut(i.name, reason) for i in few)]


def _check_groups(incidents: Sequence[Labelled], left_out: Sequence[LeftOut]) -> None:
    # What alerts alone tell of says nothing of theta, unless there is nothing else.
    groups = {i.group for i in incidents if i.of_theta} or {i.group for i in incidents}
    if len(groups) >= FEWEST_GROUPS:
        return
    without = f" ({len(left_out)} more cannot be learned from)" if left_out else ""
    first = f"; the first of these, {left_out[0].name}: {left_out[0].reason}" if left_out else ""
    msg = (
        f"learning takes at least {FEWEST_GROUPS} distinct pairs of (root causes, fault) and these "
        f"{len(incidents)} incidents{without} have {len(groups)}: repeats of one fault in one "
        f"component say nothing about other faults; add incidents with other causes{first}"
    )
    raise NoEvidenceError(msg)


class _Learning:
    """One run: the incidents that are still in it, and where the fleet is."""

    def __init__(
        self,
        incidents: Sequence[Labelled],
        left_out: Sequence[LeftOut],
        seed: int,
        settings: Settings,
        tell: Tell,
    ) -> None:
        self.left_out = list(left_out)
        self.settings = settings
        self.tell = tell
        seeds = np.random.SeedSequence(seed).generate_state(len(incidents), np.uint64)
        # The same seed in every round: steps then shrink to nothing instead of to a noise.
        self.incidents = [(i, int(s)) for i, s in zip(incidents, seeds, strict=True)]
        self.worst = -np.inf

    def run(self) -> Learned:
        mean, sd = unconstrained_prior()
        fleet = Fleet.unlearned(HyperPrior.split(mean, sd))
        steps: list[float] = []
        fine = done = False
        longest, before = LARGEST_STEP, fleet.x
        while not done:
            points = POINTS if fine else self.settings.screen_points
            at = fleet
            slopes = self._slopes(at, points, f"round {len(steps) + 1}")
            fleet, step = climb(at, slopes, self._shares(), longest)
            if (fleet.x - at.x) @ (at.x - before) < 0.0:
                longest *= 0.5  # it went too far: the next one is to go half as far at most
            before = at.x
            steps.append(step)
            done = fine and (step < SMALL_STEP or len(steps) >= MOST_ROUNDS)
            fine = fine or step < NEAR or len(steps) >= MOST_ROUNDS - 2
        held_out = self._hold_out(at, slopes)
        groups = Counter(i.group for i, _ in self.incidents)
        return Learned(
            fleet=fleet,
            incidents=tuple(i.name for i, _ in self.incidents),
            left_out=tuple(self.left_out),
            groups=dict(groups),
            held_out=held_out,
            gamma=choose_gamma(np.stack([h.tempered for h in held_out])),
            steps=tuple(steps),
            largest_pareto_k=self.worst if np.isfinite(self.worst) else 0.0,
            data_sha256=hash_incidents(i for i, _ in self.incidents),
        )

    def _shares(self) -> list[float]:
        """A group counts as one, shared among its incidents."""
        sizes = Counter(i.group for i, _ in self.incidents)
        return [1.0 / sizes[i.group] for i, _ in self.incidents]

    def _slopes(self, fleet: Fleet, points: int, what: str) -> list[Slopes]:
        """Slopes of every incident; those whose weights cannot be believed are left out."""
        slopes, kept = [], []
        self.worst = -np.inf
        for done, (incident, seed) in enumerate(self.incidents):
            self.tell(what, done / len(self.incidents))
            if not incident.of_theta:
                kept.append((incident, seed))
                slopes.append(Slopes.flat(len(fleet.mu)))
                continue
            draws, k = self._draw_truth(incident, seed, fleet, points)
            if k >= PARETO_K_LIMIT:
                reason = f"a few draws carry its weights (Pareto k-hat {k:.2f})"
                self.left_out.append(LeftOut(incident.name, reason))
                continue
            self.worst = max(self.worst, k)
            kept.append((incident, seed))
            slopes.append(compute_slopes(fleet, *draws))
        self.incidents = kept
        _check_groups([i for i, _ in kept], self.left_out)
        return slopes

    def _draw_truth(
        self, incident: Labelled, seed: int, fleet: Fleet, points: int
    ) -> tuple[tuple[Floats, Floats], float]:
        """Draws of theta given the data and the true cause, their weights, and the Pareto shape.

        The screen's draws do not know the cause; p(truth | theta, data) weights them. Four times
        the points are tried once where that leaves too few of them.
        """
        for more in (1, 4):
            raw = self._screen(incident, seed, (fleet.mu, fleet.sigma), more * points)
            log_weights = raw.log_weights + incident.log_truth(raw.log_root)
            k = compute_pareto_k(log_weights)
            if k < PARETO_K_LIMIT:
                break
        return (raw.thetas, _normalise(log_weights)), k

    def _hold_out(self, fleet: Fleet, slopes: Sequence[Slopes]) -> tuple[HeldOut, ...]:
        """Score every group by the prior that the others teach.

        That prior is one Newton step from where all groups met, without the group's slopes.
        """
        built_in = unconstrained_prior()
        groups = list(dict.fromkeys(i.group for i, _ in self.incidents))
        out = []
        for done, group in enumerate(groups):
            self.tell("leaving out groups", done / len(groups))
            shares = [
                0.0 if i.group == group else share
                for (i, _), share in zip(self.incidents, self._shares(), strict=True)
            ]
            others, _ = climb(fleet, slopes, shares)
            members = [(i, s) for i, s in self.incidents if i.group == group]
            before = [self._scores(i, s, built_in)[-1] for i, s in members]
            tempered = np.mean([self._scores(i, s, others.predict()) for i, s in members], axis=0)
            out.append(
                HeldOut(
                    group=group,
                    incidents=len(members),
                    before=float(np.mean(before)),
                    after=float(tempered[-1]),
                    tempered=tempered,
                )
            )
        return tuple(out)

    def _scores(self, incident: Labelled, seed: int, prior: tuple[Floats, Floats]) -> Floats:
        """Log scores [g] of an incident's truth under a prior and each exponent."""
        raw = self._screen(incident, seed, prior, self.settings.screen_points)
        return compute_tempered_scores(
            incident.log_outcomes(raw.log_root),
            _normalise(raw.log_weights),
            incident.outcome,
            incident.likelihood.compute_outcome_log_prior(),
        )

    def _screen(
        self, incident: Labelled, seed: int, prior: tuple[Floats, Floats], points: int
    ) -> ScreenDraws:
        return incident.likelihood.estimate_screen(
            prior_mean=prior[0],
            prior_sd=prior[1],
            scrambles=self.settings.screen_scrambles,
            points=points,
            seed=seed,
            threads=self.settings.cores,
        )


def _normalise(log_weights: Floats) -> Floats:
    weights = np.exp(log_weights - log_weights.max())
    return np.asarray(weights / weights.sum())
