"""`bayesrca simulate` and `bayesrca calibrate` in this process: options, exit codes, files."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bayesrca.cli import main
from bayesrca.ingest import load_incident, load_truth

Call = Callable[..., tuple[object, str, str]]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    def run(*arguments: object) -> tuple[object, str, str]:
        monkeypatch.setattr(sys, "argv", ["bayesrca", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        said = capsys.readouterr()
        return stop.value.code or 0, said.out, said.err

    return run


def test_an_incident_is_written_with_its_truth(call: Call, tmp_path: Path) -> None:
    folder = tmp_path / "made"
    size = ("--components", 9, "--samples", 30, "--seed", 4)
    code, out, err = call("simulate", *size, "--fault", "c3:latency", "--output", folder)
    assert (code, err) == (0, "")
    assert out == f"{folder}: 9 components, 45 series; latency at c3\n"
    assert len(load_incident(folder).topology) == 9
    assert load_truth(folder).root_causes == (("c3", None),)
    code, out, _ = call("simulate", *size, "--fault", "none", "--output", tmp_path / "calm")
    assert code == 0
    assert out.endswith("nothing is wrong\n")


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("c3", "must be COMPONENT:KIND"),
        ("c3:flood", "no kind of fault is named 'flood'"),
    ],
)
def test_faults_that_are_refused(call: Call, tmp_path: Path, fault: str, message: str) -> None:
    code, out, err = call("simulate", "--fault", fault, "--output", tmp_path / "made")
    assert (code, out) == (2, "")
    assert message in err
    assert not (tmp_path / "made").exists()


def test_calibrate(call: Call, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    for seed in (0, 1):
        folder = tmp_path / "systems" / str(seed)
        call("simulate", "--components", 8, "--samples", 60, "--seed", seed, "--output", folder)
    file, plot = tmp_path / "scores.json", tmp_path / "diagram.svg"
    systems = tmp_path / "systems"
    code, out, err = call("calibrate", systems, "--n", 15, "--json", file, "--plot", plot)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "Incidents with a culprit"
    assert any(line.split()[:4] == ["cause", "not", "in", "the"] for line in lines)
    assert any(line.split()[:2] == ["nothing", "touched"] for line in lines)
    found = json.loads(file.read_text(encoding="utf-8"))["datasets"]["systems"]
    assert found["n"] == 15
    assert set(found["no_culprit"]) == {"hidden", "hidden_without_stand_in", "noise", "quiet"}
    assert b"<svg" in plot.read_bytes()


def test_calibrate_refuses_before_it_works(call: Call, tmp_path: Path) -> None:
    code, out, err = call("calibrate", tmp_path, "--json", tmp_path / "absent" / "x.json")
    assert (code, out) == (2, "")
    assert "absent" in err
