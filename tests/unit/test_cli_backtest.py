"""`bayesrca backtest` in this process: options, exit codes, what goes where."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bayesrca.analysis import analyze
from bayesrca.cli import main
from bayesrca.config import Settings
from bayesrca.evaluation import run
from bayesrca.incident import Incident
from tests.integration.kit import ROOT
from tests.unit.evaluation.kit import save_case
from tests.unit.posterior.synthetic import make_shop

Done = tuple[object, str, str]
Backtest = Callable[..., Done]


@pytest.fixture
def backtest(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Done]:
    def call(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["bayesrca", "backtest", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        said = capsys.readouterr()
        return stop.value.code or 0, said.out, said.err

    return call


@pytest.fixture
def shops(tmp_path: Path) -> Path:
    for name in ("a", "b"):
        save_case(make_shop(), tmp_path / "shops" / name, ["store"])
    return tmp_path / "shops"


def check_refused(done: Done, code: int) -> str:
    assert done[0] == code, done
    assert done[1] == ""
    (line,) = done[2].splitlines()
    assert line.startswith("bayesrca: ")
    return line


def test_everything_at_once(backtest: Backtest, shops: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    file, plot = tmp_path / "scores.json", tmp_path / "reliability.svg"
    done = backtest(
        shops, "--mode", "online", "--no-incident", "--json", file, "--plot", plot, "--seed", "4"
    )
    assert done[0] == 0
    assert done[2] == ""
    lines = done[1].splitlines()
    assert lines[0].split()[:5] == ["data", "set,", "fault", "n", "top-1"]
    assert lines[1].split()[:2] == ["shops", "2"]
    assert "No incident, shops: 0/7 normal windows fire at 0.8." in lines
    found = json.loads(file.read_text(encoding="utf-8"))["datasets"]["shops"]
    assert [c["case"] for c in found["cases"]] == ["a", "b"]
    assert b"<svg" in plot.read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == [plot.name, file.name, "shops"]


def test_the_examples(backtest: Backtest) -> None:
    code, out, _ = backtest(ROOT / "examples", "--case", "search_e*")
    assert code == 0
    assert out.splitlines()[1].split()[:3] == ["examples", "1", "1.000"]


def test_what_an_analysis_sees_can_be_chosen(
    backtest: Backtest, shops: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Incident] = []

    def spy(incident: Incident, *, seed: int, settings: Settings) -> object:
        seen.append(incident)
        return analyze(incident, seed=seed, settings=settings)

    monkeypatch.setattr(run, "analyze", spy)
    (shops / "_normal" / "monday").mkdir(parents=True)
    shutil.copy(shops / "a" / "metrics.parquet", shops / "_normal" / "monday")
    assert backtest(shops)[0] == backtest(shops, "--own-normal")[0] == 0
    assert [len(incident.normal_runs) for incident in seen] == [1, 1, 0, 0]
    seen.clear()
    code, out, _ = backtest(shops, "--without", "metrics")
    assert code == 0
    assert seen == []  # nothing is left of these: they are misses, and told
    assert "has no signal and no span" in out
    code, out, err = backtest(shops, "--without", "span")
    assert (code, out) == (2, "")
    assert "metrics, spans, logs, events, alerts" in " ".join(err.replace("│", " ").split())


def test_an_interrupt_prints_what_there_is(
    backtest: Backtest, shops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def interrupted(incident: Incident, *, seed: int, settings: Settings) -> object:
        calls.append(incident)
        if len(calls) > 1:
            raise KeyboardInterrupt
        return analyze(incident, seed=seed, settings=settings)

    monkeypatch.setattr(run, "analyze", interrupted)
    code, out, err = backtest(shops, "--json", tmp_path / "scores.json")
    assert code == 130
    assert out.startswith("STOPPED (interrupted): 1 of 2 analyses.")
    assert err == "bayesrca: interrupted\n"
    assert not (tmp_path / "scores.json").exists()


def test_refusals_come_before_any_work(
    backtest: Backtest, shops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(run, "analyze")
    assert "does not exist" in check_refused(backtest(tmp_path / "none"), 4)
    assert "holds no case" in check_refused(backtest(ROOT / "protos"), 4)
    assert "'x*'" in check_refused(backtest(shops, "--case", "x*"), 2)
    assert "(json)" in check_refused(backtest(shops, "--json", tmp_path / "no" / "f.json"), 2)
    assert "(plot)" in check_refused(backtest(shops, "--plot", tmp_path / "no" / "f.png"), 2)
    assert ".png" in check_refused(backtest(shops, "--plot", tmp_path / "f.gif"), 2)
    assert "rules" in check_refused(backtest(shops, "--families", tmp_path / "rules"), 2)


@pytest.mark.parametrize(
    "arguments", [(), ("x", "--method", "auto"), ("x", "--jobs", "0"), ("x", "--limit", "0")]
)
def test_wrong_usage(backtest: Backtest, arguments: tuple[str, ...]) -> None:
    code, out, err = backtest(*arguments)
    assert (code, out) == (2, "")
    assert "Error" in err
