"""What a runbook would act on, and the numbers of the answer that speak for it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import nan

from bayesrca.decision.policy import Bound, Scope
from bayesrca.posterior.result import Answer, Cause, ExplainedShare, Probability, RootCausePosterior

MONTE_CARLO_ERRORS = 3.0
"""Monte Carlo standard errors that every compared probability is given against the runbook."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """The component, or place, that a runbook would act on.

    Attributes:
        component: its name.
        probability: that it is a cause; of a place, that one is in it.
        lead: ``probability`` less the probability that the strongest rival is a cause without it,
            in [-1, 1], lowered by the Monte Carlo errors of both.
        alone: p(only cause) / p(cause), NaN where that is undefined; None of a place.
        fault: probability of the scope's faults given that it is the only cause, NaN where that is
            undefined; 1 where the scope names none.
        explained: its explained share; None where that is not known.
    """

    component: str
    probability: Probability
    lead: float
    alone: float | None
    fault: float
    explained: ExplainedShare | None


def find_candidate(answer: Answer, scope: Scope) -> Candidate | None:
    """Return the most probable component or place that the scope covers, None without one.

    Of several with the very same probability it is the first by name, so that the order in which
    an answer lists them does not matter; a tie has no lead and never runs.
    """
    if scope.level is not None:
        return _find_place(answer, scope, scope.level)
    covered = [c for c in answer.posterior.causes if scope.covers(c.component)]
    if not covered:
        return None
    best = min(covered, key=lambda c: (-c.probability.value, c.component))
    only, probability = best.only.value, best.probability.value
    named = sum(best.kinds.get(fault, 0.0) for fault in scope.faults)
    return Candidate(
        component=best.component,
        probability=best.probability,
        lead=_lead(best, answer.posterior),
        alone=_ratio(only, probability),
        fault=_ratio(named, only) if scope.faults else 1.0,
        explained=best.explains.explained_share,
    )


def lower_bound(p: Probability, bound: Bound) -> float:
    """Return the least a probability may be, for all the answer knows; at least 0."""
    low = p.value - MONTE_CARLO_ERRORS * p.mcse
    return max(0.0, min(low, p.interval[0]) if bound is Bound.INTERVAL else low)


def upper_bound(p: Probability, bound: Bound) -> float:
    """Return the most a probability may be, for all the answer knows; at most 1."""
    high = p.value + MONTE_CARLO_ERRORS * p.mcse
    return min(1.0, max(high, p.interval[1]) if bound is Bound.INTERVAL else high)


def _find_place(answer: Answer, scope: Scope, kind: str) -> Candidate | None:
    """Return the same of a level's places, of which neither kinds nor shares are known."""
    places = [
        node for level in answer.posterior.levels if level.kind == kind for node in level.nodes
    ]
    covered = [node for node in places if scope.covers(node.component)]
    if not covered:
        return None
    best = min(covered, key=lambda node: (-node.probability.value, node.component))
    rivals = [node for node in places if node is not best]
    return Candidate(
        component=best.component,
        probability=best.probability,
        lead=min(
            (_difference(best.probability, n.probability, 0.0) for n in rivals),
            default=_difference(best.probability, _NOTHING, 0.0),
        ),
        alone=None,
        fault=1.0,
        explained=None,
    )


_NOTHING = Probability(value=0.0, mcse=0.0, interval=(0.0, 0.0))


def _lead(best: Cause, posterior: RootCausePosterior) -> float:
    """Lead over every other component: one that is a cause only beside the best is no rival.

    Sets that the answer does not list are counted as if the other were a cause in them without the
    best: no lead is made up.
    """
    both: Counter[str] = Counter()
    for s in posterior.sets:
        if best.component in s.components:
            both.update(dict.fromkeys(s.components, s.probability.value))
    others = [c for c in posterior.causes if c is not best]
    return min(
        (_difference(best.probability, c.probability, both[c.component]) for c in others),
        default=_difference(best.probability, _NOTHING, 0.0),
    )


def _difference(best: Probability, other: Probability, both: float) -> float:
    rival = max(0.0, other.value - both)
    return best.value - rival - MONTE_CARLO_ERRORS * (best.mcse + other.mcse)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0.0 else nan
