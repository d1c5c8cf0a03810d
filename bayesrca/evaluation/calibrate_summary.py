"""The figures of a calibration on injected faults: as text, and in a stable JSON form."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from scipy.special import betaincinv

from bayesrca.evaluation.calibrate import Calibration, CalibrationResults, Trial
from bayesrca.evaluation.gates import THRESHOLDS, Gate, compute_gate, find_fired
from bayesrca.evaluation.inject import NO_CULPRIT, Part
from bayesrca.evaluation.scores import FLOOR, collect_pairs, compute_ece, compute_log_score
from bayesrca.evaluation.summary import (
    case_document,
    compute_scores,
    gate_document,
    scores_document,
)
from bayesrca.evaluation.table import score_rows, score_tables

_WHAT = {
    Part.HIDDEN: "cause not in the data",
    Part.NOISE: "unconnected noise, alarmed target",
    Part.QUIET: "nothing touched",
}
_NO_STAND_IN = "  of those, no component stands in for it"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoCulprit:
    """Incidents of one sort without a culprit.

    Attributes:
        n: those that were answered.
        fired: threshold to how many of them a gate fired on: false alarms, every one.
        none: mean p("none of these"); None without an answer.
    """

    n: int
    fired: dict[float, int]
    none: float | None

    @property
    def at_most(self) -> dict[float, float | None]:
        """Threshold to the upper 95% bound of the share of false alarms (Clopper & Pearson 1934).

        The bound is one-sided and takes incidents as independent; None without an answer.
        """
        if self.n == 0:
            return dict.fromkeys(self.fired)
        return {
            t: float(betaincinv(k + 1, self.n - k, 0.95)) if k < self.n else 1.0
            for t, k in self.fired.items()
        }


def count_no_culprit(trials: Sequence[Trial]) -> NoCulprit:
    """Count what gates would have done on incidents without a culprit."""
    answered = [t.outcome.prediction for t in trials if t.outcome.prediction is not None]
    return NoCulprit(
        n=len(answered),
        fired={t: sum(find_fired(p, t) is not None for p in answered) for t in THRESHOLDS},
        none=float(np.mean([p.none for p in answered])) if answered else None,
    )


def group_no_culprit(trials: Sequence[Trial]) -> dict[str, NoCulprit]:
    """The three parts without a culprit, and hidden causes that no component stands in for."""
    groups = {part.value: [t for t in trials if t.part is part] for part in NO_CULPRIT}
    alone = [t for t in groups[Part.HIDDEN.value] if not t.stand_ins]
    groups = {"hidden": groups.pop("hidden"), "hidden_without_stand_in": alone, **groups}
    return {name: count_no_culprit(group) for name, group in groups.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Overall:
    """Scores over all incidents, those without a culprit included.

    Attributes:
        n: incidents.
        log_score: mean log score, where there is no culprit of p("none of these").
        ece: expected calibration error over all (component, incident) pairs and "none of these".
        gates: threshold to what acting above it would have come to.
    """

    n: int
    log_score: float | None
    ece: float | None
    gates: dict[float, Gate]


def compute_overall(trials: Sequence[Trial]) -> Overall:
    """Score all incidents together."""
    outcomes = [t.outcome for t in trials]
    logs = []
    for o in outcomes:
        none = 0.0 if o.prediction is None else o.prediction.none
        logs.append(compute_log_score(o) if o.truth else float(np.log(max(none, FLOOR))))
    return Overall(
        n=len(outcomes),
        log_score=float(np.mean(logs)) if logs else None,
        ece=compute_ece(*collect_pairs(outcomes)),
        gates={t: compute_gate(outcomes, t) for t in THRESHOLDS},
    )


def calibration_document(results: Sequence[Calibration]) -> dict[str, object]:
    """Return the results as plain dicts, lists, strings, numbers, booleans and None."""
    return {"datasets": {r.name: _data_set(r) for r in results}}


def _data_set(result: Calibration) -> dict[str, object]:
    overall = compute_overall(result.trials)
    return {
        "n": overall.n,
        "log_score": overall.log_score,
        "ece": overall.ece,
        "gates": {f"{t:g}": gate_document(g) for t, g in overall.gates.items()},
        "culprits": scores_document(compute_scores(result.culprits.outcomes)),
        "no_culprit": {
            name: {
                "n": part.n,
                "fired": {f"{t:g}": k for t, k in part.fired.items()},
                "at_most": {f"{t:g}": bound for t, bound in part.at_most.items()},
                "none": part.none,
            }
            for name, part in group_no_culprit(result.trials).items()
        },
        "unmade": list(result.unmade),
        "incidents": [_trial(t) for t in result.trials],
    }


def _trial(trial: Trial) -> dict[str, object]:
    return {
        **case_document(trial.outcome),
        "part": trial.part.value,
        "fault": trial.outcome.fault,
        "target": trial.target,
        "stand_ins": list(trial.stand_ins),
        "reason": trial.outcome.reason,
    }


def render_calibration(results: CalibrationResults) -> RenderableType:
    """Return the results as a rich renderable."""
    parts: list[RenderableType] = []
    if results.stopped:
        parts += [Text(f"STOPPED ({results.stopped}).", style="bold red"), Text()]
    rows = [row for r in results.data_sets for row in score_rows(r.culprits)]
    parts += [Text("Incidents with a culprit", style="bold"), *score_tables(rows), Text()]
    parts += [_overall(results.data_sets), Text(), _no_culprit(results.data_sets)]
    for r in results.data_sets:
        parts += [Text(line) for line in _failures(r)]
    return Group(*parts)


def _overall(results: Sequence[Calibration]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("all incidents", overflow="fold")
    for name in ("n", "log", "ECE", *(f"gate {t:g}" for t in THRESHOLDS)):
        table.add_column(name, justify="right")
    for r in _with_pool(results):
        o = compute_overall(r.trials)
        gates = [f"{g.right}/{g.n}" for g in o.gates.values()]
        table.add_row(Text(r.name), str(o.n), _number(o.log_score), _number(o.ece), *gates)
    return table


def _no_culprit(results: Sequence[Calibration]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("no culprit: incidents a gate fired on (95% bound)", overflow="fold")
    for name in ("mean p(none)", *(f"gate {t:g}" for t in THRESHOLDS)):
        table.add_column(name, justify="right")
    names = {part.value: what for part, what in _WHAT.items()}
    names["hidden_without_stand_in"] = _NO_STAND_IN
    for r in _with_pool(results):
        table.add_row(Text(r.name))
        for key, part in group_no_culprit(r.trials).items():
            bounds = part.at_most.values()
            fired = [
                f"{k}/{part.n}" + ("" if bound is None else f" (<= {bound:.2f})")
                for k, bound in zip(part.fired.values(), bounds, strict=True)
            ]
            table.add_row(Text(f"  {names[key]}"), _number(part.none), *fired)
    return table


def _with_pool(results: Sequence[Calibration]) -> Sequence[Calibration]:
    """The results, and all of them together where there are several."""
    if len(results) < 2:
        return results
    trials = tuple(t for r in results for t in r.trials)
    return [*results, Calibration(name="all data sets", trials=trials)]


def _failures(result: Calibration) -> Iterator[str]:
    reasons: dict[str, int] = {}
    for reason in result.unmade:
        text = f"not made: {reason}"
        reasons[text] = reasons.get(text, 0) + 1
    for trial in result.trials:
        if trial.outcome.reason:
            text = f"failed, counted as a miss: {trial.outcome.reason}"
            reasons[text] = reasons.get(text, 0) + 1
    for reason, n in sorted(reasons.items(), key=lambda item: -item[1]):
        yield f"{result.name}: {n} {reason}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
