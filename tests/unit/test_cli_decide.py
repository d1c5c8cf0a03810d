"""`bayesrca decide`: what it prints, what it records and how it ends."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bayesrca.cli import main
from bayesrca.cli_decide import EXIT_HOLD, EXIT_REVIEW
from bayesrca.posterior.document import answer_document, hash_answer
from bayesrca.posterior.result import Answer
from tests.integration.kit import ROOT
from tests.unit.decision.kit import make_answer

POLICY = """
runbook = "restart"
reversible = true
[scope]
components = ["a"]
[loss]
act_right = 1
act_wrong = 8
wait_right = 9
wait_wrong = 0
[rate_limit]
runs = 1
window_seconds = 3600
"""
BEST = {"a": 0.9375, "b": 0.03125}
Done = tuple[object, str, str]
Run = Callable[..., Done]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "policy.toml").write_text(POLICY, encoding="utf-8")
    write(tmp_path, make_answer(BEST))
    return tmp_path


def write(folder: Path, answer: Answer) -> None:
    text = json.dumps(answer_document(answer), allow_nan=False)
    (folder / "answer.json").write_text(text, encoding="utf-8")


@pytest.fixture
def decide(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(folder: Path, *arguments: object) -> Done:
        command = ["bayesrca", "decide", folder / "answer.json"]
        command += ["--policy", folder / "policy.toml", *arguments]
        monkeypatch.setattr(sys, "argv", [str(part) for part in command])
        with pytest.raises(SystemExit) as stop:
            main()
        said = capsys.readouterr()
        return stop.value.code or 0, said.out, said.err

    return call


def check_refused(done: Done, code: int) -> str:
    """One line on standard error, nothing on standard output."""
    assert done[:2] == (code, "")
    (line,) = done[2].splitlines()
    assert line.startswith("bayesrca: ")
    return line


def test_a_run_is_said_recorded_and_counted(decide: Run, folder: Path) -> None:
    log = folder / "log.jsonl"
    before = time.time()
    code, out, err = decide(folder, "--log", log)
    assert (code, err) == (0, "")
    assert out.startswith("RUN restart on a: all 19 checks passed.\n")
    assert "at the lower bound" in out
    (entry,) = map(json.loads, log.read_text(encoding="utf-8").splitlines())
    assert before <= entry["now"] <= time.time()
    assert (entry["verdict"], entry["runbook"], entry["recent_runs"]) == ("run", "restart", [])
    assert entry["answer_hash"] == hash_answer(make_answer(BEST))
    code, out, _ = decide(folder, "--log", log)
    assert code == EXIT_HOLD
    assert "the number of its runs in the last 3600 s is 1; it has to be < 1" in out
    second = json.loads(log.read_text(encoding="utf-8").splitlines()[1])
    assert second["recent_runs"] == [entry["now"]]


def test_what_is_reviewed_and_held_is_no_run(decide: Run, folder: Path) -> None:
    log = folder / "log.jsonl"
    write(folder, make_answer({"a": 0.75, "b": 0.0}))
    code, out, _ = decide(folder, "--log", log)
    assert code == EXIT_REVIEW
    assert out.startswith("REVIEW restart on a: the lower bound of p(cause)")
    write(folder, make_answer(BEST, healthy=False))
    code, out, _ = decide(folder, "--log", log)
    assert code == EXIT_HOLD
    assert out.startswith("HOLD restart on a: the answer is not healthy: made up.")
    write(folder, make_answer(BEST))
    assert decide(folder, "--log", log)[0] == 0
    assert len(log.read_text(encoding="utf-8").splitlines()) == 3


def test_runs_of_another_runbook_do_not_count(decide: Run, folder: Path) -> None:
    log = folder / "log.jsonl"
    policy = folder / "policy.toml"
    assert decide(folder, "--log", log)[0] == 0
    policy.write_text(POLICY.replace('"restart"', '"scale up"'), encoding="utf-8")
    assert decide(folder, "--log", log)[0] == 0


def test_json_holds_the_decision(decide: Run, folder: Path) -> None:
    log = folder / "log.jsonl"
    code, out, _ = decide(folder, "--json", "--log", log)
    document = json.loads(out)
    assert (code, document["verdict"], document["component"]) == (0, "run", "a")
    assert document == json.loads(log.read_text(encoding="utf-8"))


def test_without_a_log_nothing_runs(decide: Run, folder: Path) -> None:
    code, out, _ = decide(folder)
    assert code == EXIT_HOLD
    assert "it is not known when the runbook ran before" in out


def test_the_kill_switch_holds_while_it_is_there(decide: Run, folder: Path) -> None:
    switch = folder / "stop"
    given = ("--kill-switch", switch, "--log", folder / "log.jsonl")
    switch.symlink_to("nowhere")
    assert decide(folder, *given)[0] == EXIT_HOLD
    switch.unlink()
    assert decide(folder, *given)[0] == 0


def test_a_switch_that_cannot_be_seen_holds(
    decide: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_path: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "lstat", refuse)
    given = ("--kill-switch", folder / "stop", "--log", folder / "log.jsonl")
    code, out, _ = decide(folder, *given)
    assert code == EXIT_HOLD
    assert "the kill switch is on" in out


def test_a_switch_in_no_folder_is_refused(decide: Run, folder: Path) -> None:
    line = check_refused(decide(folder, "--kill-switch", folder / "gone" / "stop"), 2)
    assert "gone/stop" in line
    assert "(kill_switch)" in line


def test_the_age_is_that_of_the_file_or_as_told(decide: Run, folder: Path) -> None:
    log = ("--log", folder / "log.jsonl")
    old = time.time() - 901.0
    os.utime(folder / "answer.json", (old, old))
    code, out, _ = decide(folder, *log)
    assert code == EXIT_HOLD
    assert "the age of the analysis in seconds is 901" in out
    moment = datetime.fromtimestamp(time.time() - 9.0, UTC)
    for told in (f"{time.time() - 9.0:.0f}", moment.isoformat(), moment.strftime("%Y%m%dT%H%M%SZ")):
        _, out, _ = decide(folder, "--json", "--analyzed-at", told)
        checks = {c["name"]: c for c in json.loads(out)["checks"]}
        assert checks["age"]["verdict"] == "run", told
        assert 8.0 < checks["age"]["value"] < 30.0


@pytest.mark.parametrize("told", ["yesterday", "2026-03-02T10:00:00", "nan", "inf"])
def test_a_time_that_is_none_is_refused(decide: Run, folder: Path, told: str) -> None:
    log = folder / "log.jsonl"
    assert "(analyzed_at)" in check_refused(decide(folder, "--log", log, "--analyzed-at", told), 2)
    assert not log.exists() or log.read_bytes() == b""


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (None, "cannot be read (No such file or directory)"),
        (b"{", "is not JSON"),
        (b"\xff", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[]", "is no answer"),
        (b'{"schema": 1}', "schema is 1; this version reads 2"),
        (b'{"schema": 2}', "incident is missing"),
        (b'{"schema": 2, "incident": "x", "method": NaN}', "method must be text"),
    ],
)
def test_an_answer_that_is_none_is_refused(
    decide: Run, folder: Path, content: bytes | None, part: str
) -> None:
    if content is None:
        (folder / "answer.json").unlink()
    else:
        (folder / "answer.json").write_bytes(content)
    assert part in check_refused(decide(folder), 4)


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (None, "cannot be read"),
        ("runbook = ", "is not TOML"),
        (POLICY.replace("act_right", "act_rigth"), "did you mean act_right?"),
        (POLICY.replace("reversible = true", ""), "lacks reversible"),
    ],
)
def test_a_policy_that_is_none_is_refused(
    decide: Run, folder: Path, content: str | None, part: str
) -> None:
    if content is None:
        (folder / "policy.toml").unlink()
    else:
        (folder / "policy.toml").write_text(content, encoding="utf-8")
    line = check_refused(decide(folder), 2)
    assert part in line
    assert "policy.toml" in line


CUT = b'{"runbook": "restart", "verdict": "run", "now": 1}'


@pytest.mark.parametrize("line", [b"{\n", b"[]\n", b"{}\n", CUT[:-10] + b"}\n", CUT])
def test_a_log_that_cannot_be_read_decides_nothing(decide: Run, folder: Path, line: bytes) -> None:
    log = folder / "log.jsonl"
    log.write_bytes(line)
    assert "log.jsonl: line 1 is no decision" in check_refused(decide(folder, "--log", log), 4)
    assert log.read_bytes() == line


def test_a_run_that_cannot_be_recorded_is_none(
    decide: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    line = check_refused(decide(folder, "--log", folder / "log.jsonl"), 1)
    assert line.endswith("No space left on device")


def test_of_several_at_once_one_runs(folder: Path) -> None:
    command = [
        sys.executable, "-m", "bayesrca.cli", "decide", folder / "answer.json",
        "--policy", folder / "policy.toml", "--log", folder / "log.jsonl",
    ]  # fmt: skip
    started = [
        subprocess.Popen([str(part) for part in command], cwd=ROOT, stdout=subprocess.DEVNULL)
        for _ in range(4)
    ]
    codes = sorted(process.wait(timeout=120) for process in started)
    assert codes == [0, EXIT_HOLD, EXIT_HOLD, EXIT_HOLD]
