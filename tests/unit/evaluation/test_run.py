"""A run over labelled folders: what is scored, what fails, what stops it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Generator
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bayesrca.analysis import analyze
from bayesrca.config import Method, Settings
from bayesrca.evaluation import run
from bayesrca.evaluation.cases import find_data_sets
from bayesrca.evaluation.run import Mode, Plan, run_backtest
from bayesrca.evaluation.summary import backtest_document
from bayesrca.incident import Incident
from bayesrca.ingest import FamilyRules, load_incident, load_normal_runs, shared_normal
from tests.unit.evaluation.kit import label, save_case
from tests.unit.posterior.synthetic import make_incident, make_shop

SCREEN = Settings(method=Method.SCREEN)
PLAN = Plan(settings=SCREEN, seed=3)


@pytest.fixture
def shops(tmp_path: Path) -> Path:
    """Two incidents of one fault and one of another; nobody was slow in the last."""
    folder = tmp_path / "shops"
    save_case(make_shop(), folder / "a", ["store"])
    save_case(replace(make_shop(), target=None), folder / "b", ["store"])
    calm = make_incident(["x", "y"], [("x", "y")], target="x", name="calm")
    save_case(calm, folder / "c", ["y"], "dead")
    return folder


def document(folder: Path, plan: Plan = PLAN, jobs: int = 1) -> dict[str, Any]:
    results = run_backtest(find_data_sets([folder]), plan, jobs=jobs)
    assert not results.stopped
    assert results.done == results.planned
    out: dict[str, Any] = json.loads(
        json.dumps(backtest_document(results.data_sets), allow_nan=False)
    )["datasets"]["shops"]
    return out


def without_cpu(value: object) -> object:
    if isinstance(value, dict):
        return {k: without_cpu(v) for k, v in value.items() if k != "cpu_seconds_per_case"}
    return value


def test_the_answers_are_those_of_analyze(shops: Path) -> None:
    (case, *_) = document(shops)["cases"]
    answer = analyze(load_incident(shops / "a"), seed=3, settings=SCREEN).answer
    assert case["ranking"] == [[c.component, c.probability.value] for c in answer.posterior.causes]
    assert case["none"] == answer.posterior.none.value
    assert case["healthy"] is answer.healthy
    assert case["truth"] == ["store"]


def test_any_number_of_jobs_gives_the_same_numbers(shops: Path) -> None:
    plan = replace(PLAN, normal_windows=True)
    assert without_cpu(document(shops, plan, jobs=2)) == without_cpu(document(shops, plan))


def test_labels_reach_the_scores_and_nothing_else(shops: Path, tmp_path: Path) -> None:
    before = document(shops)
    other = tmp_path / "other" / "shops"
    shutil.copytree(shops, other)
    for name in "abc":
        label(other / name, ["elsewhere"], "renamed")
    after = document(other)

    def said(d: dict[str, Any]) -> list[object]:
        return [(c["ranking"], c["none"], c["healthy"]) for c in d["cases"]]

    assert said(after) == said(before)
    assert after["top1"] == 0.0
    assert before["top1"] > 0.5
    assert set(after["by_fault"]) == {"renamed"}


def test_a_case_that_fails_is_a_miss(shops: Path) -> None:
    whole = document(shops)
    (shops / "a" / "metrics.parquet").write_bytes(b"no parquet")
    spoiled = document(shops)
    (failure,) = spoiled["failures"]
    assert failure["case"] == "a"
    assert "metrics.parquet" in failure["reason"]
    assert spoiled["n"] == whole["n"] == 3
    assert spoiled["top1"] == pytest.approx(whole["top1"] - 1 / 3)
    assert spoiled["cases"][0] == {
        "case": "a", "truth": ["store"], "ranking": [], "none": None, "healthy": False,
    }  # fmt: skip


def test_a_bug_costs_one_case(shops: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def sometimes(incident: Incident, *, seed: int, settings: Settings) -> object:
        if len(incident.topology) == 2:
            raise ZeroDivisionError("oh")
        return analyze(incident, seed=seed, settings=settings)

    monkeypatch.setattr(run, "analyze", sometimes)
    (failure,) = document(shops)["failures"]
    assert failure == {"case": "c", "reason": "unexpected ZeroDivisionError: oh"}


def test_an_unlabelled_case_is_left_out(shops: Path) -> None:
    label(shops / "c", [])
    found = document(shops)
    assert found["n"] == len(found["cases"]) == 2
    (failure,) = found["failures"]
    assert failure["case"] == "c"
    assert "names no root cause" in failure["reason"]


def test_normal_windows(shops: Path) -> None:
    assert document(shops)["no_incident"] is None
    counted = document(shops, replace(PLAN, normal_windows=True))["no_incident"]
    # 140 normal rows of 20 each in a (which b shares) and in c, none of which has a culprit.
    assert counted == {"fired": 0, "n": 14, "failed": 0}


def test_many_normal_windows_are_thinned_evenly(
    shops: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "MOST_WINDOWS", 5)
    assert document(shops, replace(PLAN, normal_windows=True))["no_incident"]["n"] == 5


def test_online_sees_less(shops: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ends = []

    def spy(incident: Incident, *, seed: int, settings: Settings) -> object:
        assert incident.window is not None
        ends.append(max(s.timestamps[-1] for s in incident.signals) - incident.window.start)
        return analyze(incident, seed=seed, settings=settings)

    monkeypatch.setattr(run, "analyze", spy)
    document(shops)
    document(shops, replace(PLAN, mode=Mode.ONLINE))
    assert ends == [570.0] * 3 + [300.0] * 3


def test_every_analysis_is_offered_the_normal_runs(
    shops: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, read = [], []

    def spy(incident: Incident, *, seed: int, settings: Settings) -> object:
        seen.append([r.name for r in incident.normal_runs])
        return analyze(incident, seed=seed, settings=settings)

    def load(path: Path, *, families: FamilyRules | None) -> object:
        read.append(path.name)
        return load_normal_runs(path, families=families)

    for day in ("monday", "tuesday"):
        (shops / "_normal" / day).mkdir(parents=True)
        shutil.copy(shops / "c" / "metrics.parquet", shops / "_normal" / day)
    monkeypatch.setattr(run, "analyze", spy)
    monkeypatch.setattr(shared_normal, "load_normal_runs", load)
    found = document(shops, replace(PLAN, normal_windows=True))
    assert found["n"] == 3
    assert len(seen) == 3 + found["no_incident"]["n"] > 3
    assert all(names == ["monday", "tuesday"] for names in seen)
    assert read == ["_normal"]  # once per data set
    run._shared.cache_clear()
    (shops / "_normal" / "monday" / "metrics.parquet").unlink()
    failures = document(shops)["failures"]
    assert len(failures) == 3
    assert "monday: has neither metrics.parquet" in failures[0]["reason"]


def test_an_interrupt_keeps_what_there_is(shops: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def interrupted(incident: Incident, *, seed: int, settings: Settings) -> object:
        calls.append(incident)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return analyze(incident, seed=seed, settings=settings)

    monkeypatch.setattr(run, "analyze", interrupted)
    results = run_backtest(find_data_sets([shops]), PLAN)
    assert (results.stopped, results.done, results.planned) == ("interrupted", 1, 3)
    assert [o.case for o in results.data_sets[0].outcomes] == ["a"]


def test_an_interrupt_stops_the_processes(shops: Path) -> None:
    def tell(done: int, _: int) -> None:
        raise KeyboardInterrupt

    results = run_backtest(find_data_sets([shops]), PLAN, jobs=2, tell=tell)
    assert (results.stopped, results.done) == ("interrupted", 1)


def test_progress(shops: Path) -> None:
    told: list[tuple[int, int]] = []
    run_backtest(find_data_sets([shops]), PLAN, tell=lambda *x: told.append(x))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_a_worker_that_dies_ends_the_run(shops: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> Generator[object]:
        yield from ()
        raise BrokenProcessPool

    monkeypatch.setattr(run, "work", broken)
    results = run_backtest(find_data_sets([shops]), PLAN, jobs=2)
    assert results.stopped.startswith("a worker process died")
    assert (results.done, results.planned) == (0, 3)
