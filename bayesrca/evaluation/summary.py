"""The scores of a data set, and their stable JSON form (docs/backtest.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bayesrca.evaluation.gates import THRESHOLDS, Gate, compute_gate, find_fired
from bayesrca.evaluation.outcome import DataSetResult, NormalOutcome, Outcome
from bayesrca.evaluation.ranks import (
    compute_average_precision,
    compute_reciprocal_rank,
    compute_top_k,
)
from bayesrca.evaluation.scores import (
    collect_pairs,
    compute_brier,
    compute_ece,
    compute_log_score,
    compute_set_log_score,
)

NO_INCIDENT_THRESHOLD = 0.8
"""Normal windows are counted when a gate at this threshold fires on them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Scores of n cases; each is None where nothing defines it.

    Cases that failed are misses: they rank nothing, put probability 0 on what was true, fire no
    gate and are not healthy. Only Brier and ECE leave them out, for they stated no probability.

    Attributes:
        n: labelled cases.
        top1: share whose first rank is a true cause, expected under random tie-breaking.
        top3: the same for the first three ranks.
        top5: the same for the first five.
        mrr: mean reciprocal rank of the best-ranked true cause, expected likewise.
        map3: mean of AP@3, expected likewise.
        log_score: mean of the natural log of p(component is a cause) over true components, then
            over cases.
        set_log_score: mean of the natural log of p(exactly the true set).
        brier: mean squared error over all (component, case) pairs and "none of these".
        ece: expected calibration error over the same.
        gates: threshold to what acting above it would have come to.
        converged: share that passed every health gate.
        cpu_seconds_per_case: mean CPU time of reading and analysing a case.
    """

    n: int
    top1: float | None
    top3: float | None
    top5: float | None
    mrr: float | None
    map3: float | None
    log_score: float | None
    set_log_score: float | None
    brier: float | None
    ece: float | None
    gates: Mapping[float, Gate]
    converged: float | None
    cpu_seconds_per_case: float | None


def compute_scores(outcomes: Sequence[Outcome]) -> Scores:
    """Score labelled cases."""
    ranked = [(o.probabilities, o.is_true, len(o.truth)) for o in outcomes]
    p, y = collect_pairs(outcomes)
    return Scores(
        n=len(outcomes),
        top1=_mean([compute_top_k(q, true, 1) for q, true, _ in ranked]),
        top3=_mean([compute_top_k(q, true, 3) for q, true, _ in ranked]),
        top5=_mean([compute_top_k(q, true, 5) for q, true, _ in ranked]),
        mrr=_mean([compute_reciprocal_rank(q, true) for q, true, _ in ranked]),
        map3=_mean([compute_average_precision(q, true, n) for q, true, n in ranked]),
        log_score=_mean([compute_log_score(o) for o in outcomes]),
        set_log_score=_mean([compute_set_log_score(o) for o in outcomes]),
        brier=compute_brier(p, y),
        ece=compute_ece(p, y),
        gates={t: compute_gate(outcomes, t) for t in THRESHOLDS},
        converged=_mean([float(o.healthy) for o in outcomes]),
        cpu_seconds_per_case=_mean([o.cpu_seconds for o in outcomes]),
    )


def group_by_fault(outcomes: Sequence[Outcome]) -> dict[str, list[Outcome]]:
    """Return the cases of each kind of fault, in the order of its name; ``unknown`` without one."""
    groups: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault(outcome.fault or "unknown", []).append(outcome)
    return dict(sorted(groups.items()))


@dataclass(frozen=True, slots=True, kw_only=True)
class NoIncident:
    """Normal windows that were given as incidents.

    Attributes:
        fired: those on which a gate at .8 fired: false alarms, every one.
        n: those that were answered.
        failed: those that could not be analysed.
    """

    fired: int
    n: int
    failed: int


def count_false_alarms(normal: Sequence[NormalOutcome]) -> NoIncident:
    """Count the normal windows that a gate at .8 would have acted on."""
    answered = [o for o in normal if o.prediction is not None]
    fired = sum(find_fired(o.prediction, NO_INCIDENT_THRESHOLD) is not None for o in answered)
    return NoIncident(fired=fired, n=len(answered), failed=len(normal) - len(answered))


def backtest_document(results: Sequence[DataSetResult]) -> dict[str, object]:
    """Return the results as plain dicts, lists, strings, numbers, booleans and None."""
    return {"datasets": {r.name: _data_set(r) for r in results}}


def _data_set(result: DataSetResult) -> dict[str, object]:
    normal = None if result.normal is None else count_false_alarms(result.normal)
    failed = [(o.case, o.reason) for o in result.outcomes if o.prediction is None]
    scores = scores_document(compute_scores(result.outcomes))
    cpu = scores.pop("cpu_seconds_per_case")
    converged = scores.pop("converged")
    return {
        **scores,
        "no_incident": normal and {"fired": normal.fired, "n": normal.n, "failed": normal.failed},
        "converged": converged,
        "cpu_seconds_per_case": cpu,
        "by_fault": {
            fault: scores_document(compute_scores(group))
            for fault, group in group_by_fault(result.outcomes).items()
        },
        "failures": [
            {"case": case, "reason": reason} for case, reason in (*failed, *result.unlabelled)
        ],
        "cases": [case_document(o) for o in result.outcomes],
    }


def scores_document(scores: Scores) -> dict[str, object]:
    """Return scores as plain dicts, lists, numbers and None."""
    return {
        "n": scores.n,
        "top1": scores.top1,
        "top3": scores.top3,
        "top5": scores.top5,
        "mrr": scores.mrr,
        "map3": scores.map3,
        "log_score": scores.log_score,
        "set_log_score": scores.set_log_score,
        "brier": scores.brier,
        "ece": scores.ece,
        "gates": {f"{t:g}": gate_document(gate) for t, gate in scores.gates.items()},
        "converged": scores.converged,
        "cpu_seconds_per_case": scores.cpu_seconds_per_case,
    }


def gate_document(gate: Gate) -> dict[str, object]:
    """Return a gate as a plain dict."""
    return {
        "coverage": gate.coverage,
        "precision": gate.precision,
        "n": gate.n,
        "interval": gate.interval and list(gate.interval),
    }


def case_document(outcome: Outcome) -> dict[str, object]:
    """Return a case, its truth and every probability it was answered, as a plain dict."""
    prediction = outcome.prediction
    ranking: list[tuple[str, float]] = []
    if prediction is not None:
        pairs = zip(prediction.components, prediction.probabilities, strict=True)
        ranking = sorted(pairs, key=lambda pair: -pair[1])
    return {
        "case": outcome.case,
        "truth": list(outcome.truth),
        "ranking": [[name, p] for name, p in ranking],
        "none": None if prediction is None else prediction.none,
        "healthy": outcome.healthy,
    }


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
