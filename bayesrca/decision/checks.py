"""The single comparisons a decision is made of.

All are written so that a number that is undefined (NaN, infinite) does not pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf, isfinite, nan

from bayesrca.decision.candidate import Candidate, lower_bound, upper_bound
from bayesrca.decision.decision import Check, Side
from bayesrca.decision.policy import HealthRule, Policy, Verdict
from bayesrca.posterior.limits import ESS_LIMIT, PARETO_K_LIMIT, R_HAT_LIMIT, SUM_ERROR_LIMIT
from bayesrca.posterior.result import Answer, Cause, Diagnostics, Probability

RUN, REVIEW, HOLD = Verdict.RUN, Verdict.REVIEW, Verdict.HOLD
ROUNDING = 2.0**-30
"""By how much rounding may make parts more than the whole."""


def check_kill_switch(kill_switch: bool) -> Check:
    """Hold everything while the kill switch is on."""
    state = "on" if kill_switch else "off"
    return _say("kill_switch", f"the kill switch is {state}", HOLD if kill_switch else RUN)


def check_health(answer: Answer, rule: HealthRule) -> Iterator[Check]:
    """Hold unless the computation can be believed, by its word, by its numbers and by the policy.

    The numbers are compared again, so that nothing rests on a flag that someone else has set.
    """
    d = answer.diagnostics
    problems = "; ".join(d.problems) or "its health gates failed"
    said = "the answer is healthy" if d.healthy else f"the answer is not healthy: {problems}"
    yield _say("healthy", said, RUN if d.healthy else HOLD)
    yield from _check_screen(d) if answer.method == "screen" else _check_nuts(d)
    error = d.sum_error
    yield _compare("sum_error", "the error of estimated sums", error, Side.AT_MOST, SUM_ERROR_LIMIT)
    allowed = answer.method in rule.methods
    what = f"it was answered by {answer.method}; the policy takes {' and '.join(rule.methods)}"
    yield _say("method", what, RUN if allowed else HOLD)
    ess = "the effective sample size asked for"
    yield _compare("min_ess", ess, d.ess, Side.AT_LEAST, rule.min_ess)
    yield _check_numbers(answer)


def check_intervals(answer: Answer, policy: Policy) -> Check:
    """Hold when the credible intervals are narrower than the policy was made for."""
    what, least = "the mass of the credible intervals", policy.thresholds.interval_mass
    return _compare("interval_mass", what, answer.interval_mass, Side.AT_LEAST, least)


def check_anomalous(answer: Answer) -> Check:
    """Hold when nothing moved more than normal telemetry does."""
    found = answer.alarm.anomalous
    what = "something is anomalous" if found else "nothing is anomalous"
    return _say("anomalous", what, RUN if found else HOLD)


def check_age(now: float, analyzed_at: float | None, max_age: float) -> Check:
    """Hold when the analysis is too old, from the future, or of unknown age."""
    if analyzed_at is None:
        return _say("age", "it is not known when the analysis was made", HOLD)
    age = now - analyzed_at
    what = "the age of the analysis in seconds"
    if age < 0.0:
        return _compare("age", what, age, Side.AT_LEAST, 0.0)
    return _compare("age", what, age, Side.AT_MOST, max_age)


def check_rate(recent_runs: tuple[float, ...] | None, policy: Policy) -> Check:
    """Hold when the runbook has run often enough, or it is not known how often it has."""
    if recent_runs is None:
        return _say("rate_limit", "it is not known when the runbook ran before", HOLD)
    what = f"the number of its runs in the last {policy.rate_limit.window_seconds:g} s"
    return _compare(
        "rate_limit", what, float(len(recent_runs)), Side.BELOW, float(policy.rate_limit.runs)
    )


def check_reversible(reversible: bool) -> Check:
    """Leave what cannot be undone to a person."""
    what = f"the runbook can{'' if reversible else 'not'} be undone"
    return _say("reversible", what, RUN if reversible else REVIEW)


def check_scope(answer: Answer, policy: Policy, candidate: Candidate | None) -> Check:
    """Hold when the policy covers nothing of the answer, or names faults it does not know."""
    if candidate is None:
        what = (
            "components" if policy.scope.level is None else f"places of kind {policy.scope.level}"
        )
        return _say("scope", f"the policy covers none of the answer's {what}", HOLD)
    known = {kind for cause in answer.posterior.causes for kind in cause.kinds}
    unknown = [fault for fault in policy.scope.faults if fault not in known]
    if unknown:
        listed = ", ".join(sorted(known))
        what = f"the answer knows no fault of kind {unknown[0]!r}, but {listed}"
        return _say("scope", what, HOLD)
    return _say("scope", f"the policy covers {candidate.component}", RUN)


def check_cause(candidate: Candidate, policy: Policy) -> Check:
    """Compare p(cause): its lower bound to run, itself to be reviewed."""
    limits, p = policy.thresholds, candidate.probability
    otherwise = REVIEW if p.value >= limits.p_cause_review else HOLD
    low = lower_bound(p, limits.bound)
    what = f"the lower bound of p(cause), itself {p.value:.4g},"
    return _compare("p_cause", what, low, Side.AT_LEAST, limits.p_cause, otherwise=otherwise)


def check_none(none: Probability, policy: Policy) -> Check:
    """Compare p(none of these): its upper bound to run, itself to be reviewed."""
    limits = policy.thresholds
    otherwise = REVIEW if none.value <= limits.p_none_review else HOLD
    high = upper_bound(none, limits.bound)
    what = f"the upper bound of p(none), itself {none.value:.4g},"
    return _compare("p_none", what, high, Side.AT_MOST, limits.p_none, otherwise=otherwise)


def check_rivals(candidate: Candidate, policy: Policy) -> Iterator[Check]:
    """Review where another could be the cause instead, a fault of another kind, or several."""
    limits = policy.thresholds
    what = "the lead over the strongest rival"
    yield _compare("lead", what, candidate.lead, Side.AT_LEAST, limits.lead, otherwise=REVIEW)
    if candidate.alone is not None:
        what = "the probability of being the only cause, if one,"
        yield _compare(
            "alone", what, candidate.alone, Side.AT_LEAST, limits.alone, otherwise=policy.several
        )
    if policy.scope.faults:
        what = f"the probability of a fault of kind {' or '.join(policy.scope.faults)}"
        yield _compare(
            "fault", what, candidate.fault, Side.AT_LEAST, limits.fault, otherwise=REVIEW
        )


def check_explained(candidate: Candidate, policy: Policy) -> Check:
    """Review where the cause accounts for too little of the target's excess."""
    share, rule = candidate.explained, policy.explained_share
    found = None
    if share is not None:
        found = Probability(value=share.value, mcse=0.0, interval=share.interval)
    if found is None or not _is_sound(found):
        what = "it is not known which share of the target's excess the cause explains"
        return _say("explained_share", what, rule.unknown)
    low = lower_bound(found, policy.thresholds.bound)
    what = "the lower bound of the explained share"
    return _compare("explained_share", what, low, Side.AT_LEAST, rule.minimum, otherwise=REVIEW)


def check_loss(p: float, p_low: float, policy: Policy) -> Check:
    """Compare the expected losses: at the lower bound to run, at the probability to be reviewed.

    Args:
        p: probability that the runbook would be right.
        p_low: its lower bound.
        policy: whose loss table to read.
    """
    otherwise = REVIEW if policy.loss.benefit(p) >= 0.0 else HOLD
    what = "what acting is expected to save over waiting, at the lower bound,"
    benefit = policy.loss.benefit(p_low)
    return _compare("expected_loss", what, benefit, Side.AT_LEAST, 0.0, otherwise=otherwise)


def _check_screen(d: Diagnostics) -> Iterator[Check]:
    k = nan if d.pareto_k is None else d.pareto_k
    yield _compare("pareto_k", "the screen's Pareto k-hat", k, Side.BELOW, PARETO_K_LIMIT)


def _check_nuts(d: Diagnostics) -> Iterator[Check]:
    r_hat = nan if d.r_hat is None else d.r_hat
    divergences = nan if d.divergences is None else float(d.divergences)
    yield _compare("r_hat", "R-hat", r_hat, Side.BELOW, R_HAT_LIMIT)
    yield _compare("ess", "the effective sample size", d.ess, Side.ABOVE, ESS_LIMIT)
    what = "the number of divergent transitions"
    yield _compare("divergences", what, divergences, Side.AT_MOST, 0.0)


def _check_numbers(answer: Answer) -> Check:
    """Hold when a number of the answer cannot be: nobody that computed it would have said so."""
    posterior, d = answer.posterior, answer.diagnostics
    found = [posterior.none, *(p for c in posterior.causes for p in (c.probability, c.only))]
    found += [s.probability for s in posterior.sets]
    found += [n.probability for level in posterior.levels for n in level.nodes]
    kinds = [p for cause in posterior.causes for p in cause.kinds.values()]
    sound = all(map(_is_sound, found)) and all(0.0 <= p <= 1.0 for p in kinds)
    sound = sound and all(map(_adds_up, posterior.causes))
    sound = sound and d.sum_error >= 0.0 and (d.divergences or 0) >= 0
    what = "every number is one that can be" if sound else "not every number is one that can be"
    return _say("numbers", what, RUN if sound else HOLD)


def _adds_up(cause: Cause) -> bool:
    """Whether the kinds are part of p(only cause), and that of p(cause)."""
    only = cause.only.value
    kinds = sum(cause.kinds.values())
    return kinds <= only + ROUNDING and only <= cause.probability.value + ROUNDING


def _is_sound(p: Probability) -> bool:
    low, high = p.interval
    return 0.0 <= p.value <= 1.0 and 0.0 <= p.mcse < inf and 0.0 <= low <= high <= 1.0


def _compare(
    name: str, what: str, value: float, side: Side, threshold: float, *, otherwise: Verdict = HOLD
) -> Check:
    passes = {
        Side.AT_LEAST: value >= threshold,
        Side.AT_MOST: value <= threshold,
        Side.ABOVE: value > threshold,
        Side.BELOW: value < threshold,
    }[side]
    known = isfinite(value)
    number = f"{value:.6g}" if known else "not defined"
    return Check(
        name=name,
        verdict=RUN if known and passes else otherwise,
        value=value if known else None,
        side=side,
        threshold=threshold,
        text=f"{what} is {number}; it has to be {side.value} {threshold:.6g}",
    )


def _say(name: str, text: str, verdict: Verdict) -> Check:
    return Check(name=name, verdict=verdict, text=text)
