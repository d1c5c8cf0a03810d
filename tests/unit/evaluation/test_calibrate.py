"""Calibration on injected faults: what is made, what is counted, and that jobs change nothing."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from bayesrca.config import Method, Settings
from bayesrca.evaluation.calibrate import (
    Calibration,
    CalibrationPlan,
    CalibrationResults,
    Trial,
    run_calibration,
)
from bayesrca.evaluation.calibrate_summary import (
    calibration_document,
    compute_overall,
    count_no_culprit,
    group_no_culprit,
    render_calibration,
)
from bayesrca.evaluation.cases import find_data_sets
from bayesrca.evaluation.inject import NO_CULPRIT, Part
from bayesrca.evaluation.simulate_incident import simulate_incident
from bayesrca.ingest import load_truth, save_incident
from tests.unit.evaluation.kit import make_outcome

PLAN = CalibrationPlan(settings=Settings(method=Method.SCREEN, cores=1), seed=2, n=15)


@pytest.fixture
def systems(tmp_path: Path) -> Path:
    for seed in (0, 1):
        incident, truth = simulate_incident(components=8, samples=60, seed=seed)
        save_incident(incident, tmp_path / "systems" / f"case_{seed}", labels=truth)
    return tmp_path / "systems"


def test_labels_are_saved(systems: Path) -> None:
    _, truth = simulate_incident(components=8, samples=60, seed=1)
    assert load_truth(systems / "case_1") == truth
    assert len(truth.root_causes) == 1


def test_a_run(systems: Path) -> None:
    (result,) = run_calibration(find_data_sets([systems]), PLAN).data_sets
    parts = [t.part for t in result.trials]
    assert len(parts) + len(result.unmade) == 15
    assert result.unmade == ()
    assert {part: parts.count(part) for part in NO_CULPRIT} == dict.fromkeys(NO_CULPRIT, 1)
    assert parts.count(Part.CAUSES) == 2
    assert not any(t.outcome.reason for t in result.trials)
    assert len(result.culprits.outcomes) == 12
    again = run_calibration(find_data_sets([systems]), PLAN, jobs=2).data_sets
    assert calibration_document(again) != calibration_document([])
    assert _without_clock(calibration_document(again)) == _without_clock(
        calibration_document([result])
    )


def _without_clock(document: dict[str, object]) -> dict[str, object]:
    for data_set in document["datasets"].values():  # type: ignore[attr-defined]
        data_set["culprits"].pop("cpu_seconds_per_case")
    return document


def make_trial(part: Part, p: list[float] | None, truth: list[str], none: float) -> Trial:
    return Trial(part=part, outcome=make_outcome(p, truth, none))


def test_a_gate_that_names_anybody_is_wrong_without_a_culprit() -> None:
    trials = [
        make_trial(Part.CAUSE, [0.95, 0.05], ["c0"], 0.0),
        make_trial(Part.NOISE, [0.92, 0.05], [], 0.03),
        make_trial(Part.NOISE, [0.1, 0.1], [], 0.8),
        make_trial(Part.QUIET, None, [], 0.0),
    ]
    overall = compute_overall(trials)
    assert (overall.gates[0.9].right, overall.gates[0.9].n) == (1, 2)
    noise = count_no_culprit(trials[1:3])
    assert noise.n == 2
    assert noise.fired == {0.8: 1, 0.9: 1, 0.95: 0}
    assert noise.none == pytest.approx(0.415)
    assert group_no_culprit(trials)["quiet"].n == 0


def test_false_alarms_have_an_upper_bound() -> None:
    calm = make_trial(Part.QUIET, [0.1], [], 0.8)
    bound = count_no_culprit([calm] * 59).at_most[0.9]
    assert bound == pytest.approx(1 - 0.05 ** (1 / 59))  # P(none of 59) = .05
    fired = make_trial(Part.QUIET, [0.99], [], 0.0)
    found = count_no_culprit([calm, fired])
    assert found.at_most[0.9] == pytest.approx(np.sqrt(0.95))  # P(at most one of two) = .05
    assert count_no_culprit([fired]).at_most[0.9] == 1.0
    assert count_no_culprit([]).at_most[0.9] is None


def test_data_sets_are_pooled() -> None:
    trials = (make_trial(Part.QUIET, [0.1], [], 0.8), make_trial(Part.CAUSE, [0.99], ["c0"], 0.0))
    results = CalibrationResults(
        data_sets=tuple(Calibration(name=name, trials=trials) for name in ("x", "y"))
    )
    console = Console(width=200, record=True, file=StringIO())
    console.print(render_calibration(results))
    rows = [line.split() for line in console.export_text().splitlines()]
    assert ["all", "data", "sets", "4"] in [row[:4] for row in rows]
    assert ["nothing", "touched", "0.800", *["0/2", "(<=", "0.78)"] * 3] in rows


def test_hidden_causes_with_a_stand_in_are_told_apart() -> None:
    alone = make_trial(Part.HIDDEN, [0.9], [], 0.1)
    stood_for = Trial(part=Part.HIDDEN, outcome=alone.outcome, stand_ins=("c0",))
    groups = group_no_culprit([alone, stood_for])
    assert (groups["hidden"].n, groups["hidden_without_stand_in"].n) == (2, 1)


def test_scores_of_nothing_are_none() -> None:
    document = calibration_document([Calibration(name="x", trials=(), unmade=("no graph",))])
    found = document["datasets"]["x"]  # type: ignore[index]
    assert (found["n"], found["log_score"], found["ece"]) == (0, None, None)
    assert found["unmade"] == ["no graph"]
