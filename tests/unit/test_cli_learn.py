"""`bayesrca learn` in this process, and the commands that use its file."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bayesrca.cli import main
from bayesrca.config import Settings
from bayesrca.model.prior_file import load_prior, prior_in_use
from tests.integration.kit import ROOT
from tests.unit.evaluation.kit import save_case
from tests.unit.posterior.synthetic import make_shop

Done = tuple[object, str, str]
Run = Callable[..., Done]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["bayesrca", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        said = capsys.readouterr()
        return stop.value.code or 0, said.out, said.err

    return call


@pytest.fixture
def shops(tmp_path: Path) -> Path:
    """Six kinds of fault, one of them twice, and a cause that is no component."""
    for i in range(7):
        save_case(make_shop(), tmp_path / "shops" / f"case{i}", ["store"], f"fault{i % 6}")
    save_case(make_shop(), tmp_path / "shops" / "other", ["nowhere"])
    return tmp_path / "shops"


def test_from_folders_to_a_prior_that_answers(run: Run, shops: Path, tmp_path: Path) -> None:
    file = tmp_path / "prior.json"
    code, out, err = run("learn", shops, "--output", file, "--seed", "3")
    assert code == 0, err
    assert "7 incidents in 6 groups" in out
    assert "left out: shops/other: its cause 'nowhere' is no component" in out
    assert "vital_rate" in out
    assert "Tempering: " in out
    document = json.loads(file.read_text())
    provenance = document["provenance"]
    assert (provenance["incidents"], provenance["groups"], provenance["seed"]) == (7, 6, 3)
    assert provenance["diagnostics"]["converged"]
    held_out = provenance["held_out"]
    assert [g["incidents"] for g in held_out["groups"]] == [2, 1, 1, 1, 1, 1]
    assert held_out["gain"] == pytest.approx(held_out["after"] - held_out["before"])
    # Six identical incidents: what the others teach predicts the one left out better.
    assert held_out["gain"] > 0
    assert all(x["case"] == "shops/other" for x in provenance["left_out"])
    mean, sd = prior_in_use(Settings(prior=load_prior(file)))
    assert (sd > 0).all()
    assert abs((mean - prior_in_use(Settings())[0]) / sd).max() > 0.3

    code, out, _ = run("analyze", shops / "case0", "--method", "screen", "--prior", file, "--json")
    assert code == 0
    answer = json.loads(out)
    assert answer["versions"]["prior"].startswith("prior.json (sha256 ")
    assert any("7 incidents in 6 groups" in note for note in answer["notes"])

    code, out, _ = run("backtest", shops, "--case", "case0", "--prior", file)
    assert code == 0

    again = tmp_path / "again.json"
    run("learn", shops, "--output", again, "--seed", "3", "--cores", "1")
    same = json.loads(again.read_text())
    assert same["parameters"] == document["parameters"]
    assert same["provenance"]["data_sha256"] == provenance["data_sha256"]


def test_the_examples_are_too_few(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "prior.json"
    code, out, err = run("learn", ROOT / "examples", "--output", file)
    assert code == 4
    assert out == ""
    assert "learning takes at least 6 distinct pairs of (root causes, fault)" in err
    assert not file.exists()


def test_a_broken_prior_is_refused_before_anything_is_read(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "prior.json"
    file.write_text("{}")
    for command in (("analyze", tmp_path), ("backtest", ROOT / "examples"), ("serve",)):
        code, out, err = run(*command, "--prior", file)
        assert (code, out) == (2, "")
        assert err.startswith(f"bayesrca: the prior file {file} is not a prior file")
        assert err.endswith("(prior)\n")


def test_an_output_that_cannot_be_written_is_refused_first(run: Run, tmp_path: Path) -> None:
    code, _, err = run("learn", tmp_path, "--output", tmp_path / "none" / "prior.json")
    assert code == 2
    assert "does not exist" in err
