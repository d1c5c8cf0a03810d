"""The command line in this process: options, exit codes, what goes where."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from bayesrca import analysis
from bayesrca.cli import main
from bayesrca.config import BeyondWidth, Method, Settings
from bayesrca.errors import (
    BayesRcaError,
    CancelledError,
    InvalidSettingsError,
    SamplingError,
    ServiceError,
)
from bayesrca.ingest import save_incident
from tests.integration.kit import ROOT
from tests.unit.posterior.synthetic import make_incident, make_shop

EXAMPLE = str(ROOT / "examples" / "search_delay")
CULPRIT = "PetSearch_AWS::ECS::Fargate"


@dataclass(frozen=True)
class Done:
    returncode: object
    stdout: str
    stderr: str


Run = Callable[..., Done]


@pytest.fixture
def bayesrca(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["bayesrca", *map(str, arguments)])
        code: object = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code or 0
        said = capsys.readouterr()
        return Done(code, said.out, said.err)

    return run


@pytest.fixture
def screen(bayesrca: Run) -> Run:
    return lambda path, *more: bayesrca("analyze", path, "--method", "screen", *more)


def check_refused(done: Done, code: int = 4) -> str:
    """One line on standard error, nothing on standard output."""
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("bayesrca: ")
    return line


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sound incident folder to be spoiled."""
    path = tmp_path / "incident"
    shutil.copytree(EXAMPLE, path)
    return path


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    save_incident(make_shop(), tmp_path / "shop")
    return tmp_path / "shop"


def edit(path: Path, **changes: object) -> None:
    data = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**data, **changes}), encoding="utf-8")


def test_options_become_settings(
    bayesrca: Run, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def spy(_incident: object, *, seed: int, settings: Settings, progress: object) -> None:
        assert callable(progress)
        seen.append((seed, settings))
        msg = "enough"
        raise SamplingError(msg)

    monkeypatch.setattr(analysis, "analyze", spy)
    arguments = (
        "--method nuts --seed 9 --deadline 7.5 --chains 3 --draws 20 --tune 30 --cores 1 "
        "--max-width 17 --beyond-width refuse --max-bins 3"
    )
    check_refused(bayesrca("analyze", shop, *arguments.split()))
    settings = Settings(
        method=Method.NUTS, deadline=7.5, chains=3, draws=20, tune=30, cores=1, max_width=17,
        beyond_width=BeyondWidth.REFUSE, max_bins=3,
    )  # fmt: skip
    assert seen == [(9, settings)]
    check_refused(bayesrca("analyze", shop, "--cores", "1"))
    assert seen[1] == (0, Settings(cores=1))


def test_a_bug_is_not_dressed_up(
    bayesrca: Run, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(analysis, "analyze", broken)
    with pytest.raises(ZeroDivisionError):
        bayesrca("analyze", shop)


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (SamplingError("no chain", field=""), 4, "bayesrca: no chain\n"),
        (BayesRcaError("bad", field="a.b"), 4, "bayesrca: bad (a.b)\n"),
        (CancelledError("late", field="deadline"), 4, "bayesrca: late (deadline)\n"),
        (InvalidSettingsError("odd", field="seed"), 2, "bayesrca: odd (seed)\n"),
        (
            ServiceError("no", violations=(("seed", "too large"), ("x", "odd"))),
            5,
            "bayesrca: no (seed)\n  seed: too large\n  x: odd\n",
        ),
    ],
)
def test_errors_have_codes(  # noqa: PLR0917
    bayesrca: Run,
    shop: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BayesRcaError,
    code: int,
    said: str,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(analysis, "analyze", fail)
    done = bayesrca("analyze", shop)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", said)


def test_text_and_json_tell_the_same(screen: Run, shop: Path) -> None:
    document = json.loads(screen(shop, "--json").stdout)
    shown = screen(shop).stdout
    for cause in document["causes"]:
        assert f"{cause['probability']:.3f}" in shown
        assert cause["component"] in shown
    assert f"{document['none']['probability']:.3f}" in shown


def test_rules_of_families_are_read(screen: Run, tmp_path: Path, shop: Path) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text("[[rule]]\n", encoding="utf-8")
    assert "rules.toml" in check_refused(screen(shop, "--families", rules), 2)


def test_output_is_checked_before_anything_is_read(
    screen: Run, shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = check_refused(screen(tmp_path / "no incident", "--output", tmp_path / "no" / "x.nc"), 2)
    assert f"the folder {tmp_path / 'no'} does not exist" in line
    monkeypatch.setattr("os.access", lambda _, mode: not mode & os.W_OK)
    line = check_refused(screen(shop, "--output", tmp_path / "x.nc"), 2)
    assert f"the folder {tmp_path} may not be written to" in line


def test_the_answer_is_shown_before_the_file_is_written(
    screen: Run, shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    done = screen(shop, "--json", "--output", tmp_path / "x.nc")
    assert done.returncode == 1
    assert json.loads(done.stdout)["method"] == "screen"
    assert done.stderr == (f"bayesrca: cannot write {tmp_path / 'x.nc'}: No space left on device\n")


def test_interrupted(bayesrca: Run, shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(analysis, "analyze", interrupted)
    done = bayesrca("analyze", shop)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "bayesrca: interrupted\n")


def test_too_narrow_a_limit_names_the_option(screen: Run, tmp_path: Path) -> None:
    names = [f"s{i}" for i in range(8)]
    calls = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    save_incident(make_incident(names, calls, slow=names[:3], target="s0"), tmp_path / "dense")
    assert "--max-width" in check_refused(
        screen(tmp_path / "dense", "--beyond-width", "refuse", "--max-width", "3")
    )
    assert screen(tmp_path / "dense", "--max-width", "9").returncode in (0, 3)


def test_no_folder(screen: Run, tmp_path: Path) -> None:
    assert "does not exist" in check_refused(screen(tmp_path / "nothing here"))


def test_a_file(screen: Run, folder: Path) -> None:
    check_refused(screen(folder / "graph.json"))


def test_an_empty_folder(screen: Run, tmp_path: Path) -> None:
    assert "metrics.parquet" in check_refused(screen(tmp_path))


@pytest.mark.parametrize("kept", [0, 3, 1000, -1])
def test_a_truncated_parquet(screen: Run, folder: Path, kept: int) -> None:
    file = folder / "metrics.parquet"
    file.write_bytes(file.read_bytes()[:kept])
    assert "metrics.parquet" in check_refused(screen(folder))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"normal_window": 3}'])
def test_a_bad_truth(screen: Run, folder: Path, text: str) -> None:
    (folder / "truth.json").write_text(text, encoding="utf-8")
    assert "truth.json" in check_refused(screen(folder))


def test_an_edge_to_nowhere(screen: Run, folder: Path) -> None:
    edge = {"source": CULPRIT, "target": "no such thing", "kind": "calls"}
    edit(folder / "graph.json", typed_edges=[edge])
    assert "no such thing" in check_refused(screen(folder))


def test_a_self_loop(screen: Run, folder: Path) -> None:
    edit(
        folder / "graph.json",
        typed_edges=[{"source": CULPRIT, "target": CULPRIT, "kind": "calls"}],
    )
    assert CULPRIT in check_refused(screen(folder))


def test_nothing_but_nan(screen: Run, folder: Path) -> None:
    import pandas as pd

    file = folder / "metrics.parquet"
    table = pd.read_parquet(file)
    table.loc[:, table.columns != "time"] = float("nan")
    table.to_parquet(file, index=False)
    check_refused(screen(folder))


def test_a_window_without_samples(screen: Run, folder: Path) -> None:
    edit(folder / "truth.json", abnormal_window=[1.0, 2.0])
    assert "window" in check_refused(screen(folder))


def test_a_window_that_ends_before_it_begins(screen: Run, folder: Path) -> None:
    edit(folder / "truth.json", abnormal_window=[1681338000.0, 1681337000.0])
    assert "later than its start" in check_refused(screen(folder))


def test_an_unknown_target(screen: Run, folder: Path) -> None:
    edit(folder / "truth.json", target={"component": "nobody", "metric": None})
    assert "nobody" in check_refused(screen(folder))


def test_a_graph_too_dense(screen: Run, tmp_path: Path) -> None:
    names = [f"s{i}" for i in range(24)]
    calls = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    incident = make_incident(names, calls, slow=names[:3], target="s0")
    save_incident(incident, tmp_path / "dense")
    assert "too densely connected" in check_refused(
        screen(tmp_path / "dense", "--beyond-width", "refuse")
    )


def test_a_cycle_is_answered(screen: Run, tmp_path: Path) -> None:
    names = [f"s{i}" for i in range(10)]
    calls = [(names[i], names[(i + 1) % 10]) for i in range(10)]
    incident = make_incident(names, calls, slow=names[:2], target="s0")
    save_incident(incident, tmp_path / "ring")
    done = screen(tmp_path / "ring")
    assert done.returncode == 0
    assert "s1 is the most probable cause" in done.stdout


def test_settings_out_of_range(screen: Run) -> None:
    assert "(0.0, inf)" in check_refused(screen(EXAMPLE, "--deadline", "0"), 2)
    assert "9223372036854775807" in check_refused(screen(EXAMPLE, "--seed", 2**63), 2)
    assert "[1, 20]" in check_refused(screen(EXAMPLE, "--max-width", "21"), 2)
    assert "[2, 12]" in check_refused(screen(EXAMPLE, "--max-bins", "1"), 2)


def test_a_deadline_that_passes_before_any_answer(screen: Run) -> None:
    line = check_refused(screen(EXAMPLE, "--deadline", "0.000001"))
    assert "the deadline of 1e-06 s passed" in line
    assert "--deadline" in line


@pytest.mark.parametrize(
    "arguments",
    [
        ("analyze",),
        ("analyze", EXAMPLE, "--method", "mcmc"),
        ("analyze", EXAMPLE, "--seed", "-1"),
        ("analyze", EXAMPLE, "--seed", "one"),
        ("analyze", EXAMPLE, "--no-such-option"),
        ("analyse", EXAMPLE),
    ],
)
def test_wrong_usage(bayesrca: Run, arguments: tuple[str, ...]) -> None:
    done = bayesrca(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert "Error" in done.stderr


def test_normal_runs_are_read(screen: Run, folder: Path, tmp_path: Path) -> None:
    runs = tmp_path / "normal"
    line = check_refused(screen(folder, "--normal-runs", runs))
    assert f"{runs}: does not exist" in line
    (runs / "monday").mkdir(parents=True)
    shutil.copy(folder / "metrics.parquet", runs / "monday")
    assert screen(folder, "--normal-runs", runs).returncode == 0


def test_normal_recordings_beside_the_incident_are_read(
    screen: Run, bayesrca: Run, folder: Path
) -> None:
    runs = folder.parent / "_normal"
    runs.mkdir()
    assert screen(folder).returncode == 0
    assert f"{runs}: holds no normal run" in check_refused(screen(folder, "--shared-normal"))
    refused = check_refused(bayesrca("evidence", folder, "--shared-normal"))
    assert "holds no normal run" in refused
    (runs / "monday").mkdir()
    shutil.copy(folder / "metrics.parquet", runs / "monday")
    assert screen(folder, "--shared-normal").returncode == 0
    assert bayesrca("evidence", folder, "--shared-normal").returncode == 0
    done = bayesrca("analyze", "--prometheus", "http://127.0.0.1:1", "--shared-normal")
    assert done.returncode == 2
    assert "only an incident folder has others beside it" in " ".join(
        done.stderr.replace("│", " ").split()
    )


def test_evidence_prints_the_table_and_its_alarm(bayesrca: Run) -> None:
    done = bayesrca("evidence", EXAMPLE)
    assert done.returncode == 0
    assert done.stdout.startswith("Something here is anomalous")
    heading = next(line for line in done.stdout.splitlines() if line.startswith("component"))
    of_culprit = [line for line in done.stdout.splitlines() if line.startswith(CULPRIT)]
    assert len(of_culprit) == 3  # latency, errors, load
    assert float(of_culprit[0][: heading.index("log LR") + 6].split()[-1]) > 0
    one = bayesrca("evidence", EXAMPLE, "--footprint", 0)
    seconds = {line.split("  ")[-1] for line in one.stdout.splitlines() if "_AWS::" in line[:60]}
    assert len(seconds) == 1


def test_evidence_refuses_a_footprint_there_is_not(bayesrca: Run) -> None:
    done = bayesrca("evidence", EXAMPLE, "--footprint", 99)
    assert done.returncode == 2
    assert "footprints 0 to 13 (footprint)" in done.stderr
