"""The gate: an answer and a policy -> RUN, REVIEW or HOLD, with the reasons.

Pure: the time, the runbook's earlier runs and the kill switch are arguments and are recorded in the
decision, so the same arguments give the same decision, on any day and any machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

from bayesrca.decision.candidate import Candidate, find_candidate, lower_bound
from bayesrca.decision.checks import (
    check_age,
    check_anomalous,
    check_cause,
    check_explained,
    check_health,
    check_intervals,
    check_kill_switch,
    check_loss,
    check_none,
    check_rate,
    check_reversible,
    check_rivals,
    check_scope,
)
from bayesrca.decision.decision import Check, Decision, ExpectedLoss
from bayesrca.decision.policy import LossTable, Policy, Verdict
from bayesrca.errors import InvalidSettingsError
from bayesrca.posterior.document import hash_answer
from bayesrca.posterior.result import Answer

_ORDER = (Verdict.RUN, Verdict.REVIEW, Verdict.HOLD)
"""From the most to the least that is allowed."""


def decide(
    answer: Answer,
    policy: Policy,
    *,
    now: float,
    analyzed_at: float | None,
    history: Sequence[float] | None,
    kill_switch: bool,
) -> Decision:
    """Decide whether a runbook may act on an answer (docs/runbook-gates.md).

    Args:
        answer: the analysis, of either method.
        policy: when the runbook may run.
        now: seconds of Unix time.
        analyzed_at: when the analysis was made, seconds of Unix time; None if not known, which
            holds.
        history: when the runbook ran before, seconds of Unix time, in any order; None if not
            known, which holds. One later than ``now`` counts: a clock went back.
        kill_switch: whether it is on, which holds.

    Raises:
        InvalidSettingsError: a time is not finite.
    """
    for name, times in (("now", [now]), ("analyzed_at", [analyzed_at]), ("history", history or [])):
        if not all(t is None or isfinite(t) for t in times):
            msg = f"{name} must be in seconds of Unix time, got {times!r}"
            raise InvalidSettingsError(msg, field=name)
    recent = None
    if history is not None:
        recent = tuple(sorted(t for t in history if t >= now - policy.rate_limit.window_seconds))
    candidate = find_candidate(answer, policy.scope)
    checks = [
        check_kill_switch(kill_switch),
        *check_health(answer, policy.health),
        check_intervals(answer, policy),
        check_anomalous(answer),
        check_age(now, analyzed_at, policy.max_age_seconds),
        check_rate(recent, policy),
        check_reversible(policy.reversible),
        check_scope(answer, policy, candidate),
        check_none(answer.posterior.none, policy),
    ]
    p = p_low = None
    if candidate is not None:
        p, p_low = _p_right(candidate, policy)
        checks += _check_candidate(candidate, policy, p, p_low)
    return Decision(
        verdict=max((c.verdict for c in checks), key=_ORDER.index),
        runbook=policy.runbook,
        component=None if candidate is None else candidate.component,
        checks=tuple(checks),
        expected_loss=_losses(policy.loss, p),
        worst_loss=_losses(policy.loss, p_low),
        policy_version=policy.version,
        answer_hash=hash_answer(answer),
        now=now,
        analyzed_at=analyzed_at,
        valid_until=None if analyzed_at is None else analyzed_at + policy.max_age_seconds,
        kill_switch=kill_switch,
        recent_runs=recent,
    )


def _check_candidate(candidate: Candidate, policy: Policy, p: float, p_low: float) -> list[Check]:
    return [
        check_cause(candidate, policy),
        *check_rivals(candidate, policy),
        check_explained(candidate, policy),
        check_loss(p, p_low, policy),
    ]


def _p_right(candidate: Candidate, policy: Policy) -> tuple[float, float]:
    """Probability that the runbook would be right, and its lower bound.

    It is right when the component is a cause with a fault of the scope's kinds. The kinds of
    several causes are summed out of the posterior: they are taken to be as those of one.
    """
    low = lower_bound(candidate.probability, policy.thresholds.bound)
    return candidate.probability.value * candidate.fault, low * candidate.fault


def _losses(table: LossTable, p: float | None) -> ExpectedLoss | None:
    if p is None or not isfinite(p):
        return None
    return ExpectedLoss(p=p, acting=table.acting(p), waiting=table.waiting(p))
