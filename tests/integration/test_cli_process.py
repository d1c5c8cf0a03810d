"""The command line as its users meet it: another process, its streams and its exit codes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from bayesrca import __version__
from bayesrca.client import Client
from bayesrca.ingest import save_incident
from bayesrca.posterior.document import answer_document
from tests.integration.kit import ROOT, Server
from tests.unit.posterior.synthetic import make_shop

EXAMPLE = str(ROOT / "examples" / "search_delay")
CULPRIT = "PetSearch_AWS::ECS::Fargate"
COMMAND = (sys.executable, "-m", "bayesrca.cli")
Done = subprocess.CompletedProcess[str]


def bayesrca(*arguments: str | Path, cwd: Path = ROOT) -> Done:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def screen(path: str | Path, *arguments: str | Path) -> Done:
    return bayesrca("analyze", path, "--method", "screen", *arguments)


def check_refused(done: Done, code: int = 4) -> str:
    """One line on standard error, nothing on standard output."""
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("bayesrca: ")
    return line


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sound incident folder to be spoiled."""
    path = tmp_path / "incident"
    shutil.copytree(EXAMPLE, path)
    return path


def edit(path: Path, **changes: object) -> None:
    data = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**data, **changes}), encoding="utf-8")


class TestAnswers:
    def test_text(self) -> None:
        done = screen(EXAMPLE)
        assert done.returncode == 0
        assert done.stderr == ""
        lines = done.stdout.splitlines()
        assert lines[0] == "search_delay"
        assert lines[1].startswith(f"{CULPRIT} is the most probable cause")
        assert any(line.split()[:2] == ["1", CULPRIT] for line in lines)
        assert any(line.lstrip().startswith("none of these") for line in lines)
        assert "\x1b" not in done.stdout

    def test_top(self) -> None:
        done = screen(EXAMPLE, "--top", "2")
        assert "42 others together" in done.stdout

    def test_json(self) -> None:
        done = screen(EXAMPLE, "--json", "--seed", "7")
        assert done.returncode == 0
        assert done.stderr == ""
        document = json.loads(done.stdout)
        keys = (
            "schema incident method healthy may_act alarm interval_mass ambiguity none causes sets "
            "levels changes onsets attribution diagnostics notes seed versions timings"
        )
        assert " ".join(document) == keys
        assert document["seed"] == 7
        assert document["method"] == "screen"
        assert document["causes"][0]["component"] == CULPRIT

    def test_json_is_the_python_answer(self, tmp_path: Path) -> None:
        from bayesrca.analysis import analyze
        from bayesrca.config import Settings
        from bayesrca.ingest import load_incident

        save_incident(make_shop(), tmp_path / "shop")
        document = json.loads(screen(tmp_path / "shop", "--json", "--seed", "3").stdout)
        settings = Settings(method="screen")  # type: ignore[arg-type]
        answer = analyze(load_incident(tmp_path / "shop"), seed=3, settings=settings).answer
        ours = json.loads(json.dumps(answer_document(answer)))
        assert {**document, "timings": {}} == {**ours, "timings": {}}

    def test_auto_without_time_answers_by_the_screen(self) -> None:
        done = bayesrca("analyze", EXAMPLE, "--deadline", "10", "--json")
        assert done.returncode == 0
        document = json.loads(done.stdout)
        assert document["method"] == "screen"
        assert any("before the deadline" in note for note in document["notes"])

    def test_an_unhealthy_answer_is_printed_with_code_3(self, tmp_path: Path) -> None:
        """Three draws in every hundred thousand carry the weight: nothing may act on it."""
        script = (
            "import dataclasses, sys\n"
            "import bayesrca.analysis as a\n"
            "whole = a.compute_diagnostics\n"
            "def sick(*args, **options):\n"
            "    d = whole(*args, **options)\n"
            "    return dataclasses.replace(d, healthy=False, problems=('made sick',))\n"
            "a.compute_diagnostics = sick\n"
            "from bayesrca.cli import main\n"
            f"sys.argv = ['bayesrca', 'analyze', {EXAMPLE!r}, '--method', 'screen']\n"
            "main()\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", script],
            cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 3
        assert "DO NOT ACT" in done.stdout
        assert "made sick" in done.stdout
        assert done.stderr == ""

    def test_version_and_help(self) -> None:
        assert bayesrca("--version").stdout == f"bayesrca {__version__}\n"
        shown = bayesrca("analyze", "--help")
        assert shown.returncode == 0
        for option in ("--method", "--seed", "--deadline", "--json", "--output", "--server"):
            assert option in shown.stdout
        assert "Exit codes" in bayesrca("--help").stdout


class TestOutput:
    def test_arviz_reads_it(self, tmp_path: Path) -> None:
        import xarray as xr

        path = tmp_path / "draws.nc"
        assert screen(EXAMPLE, "--output", path).returncode == 0
        with xr.open_datatree(path, engine="h5netcdf") as tree:
            assert tree.attrs["incident"] == "search_delay"
            assert dict(tree["posterior"].sizes) == {"chain": 1, "draw": 512, "family": 2}
            assert CULPRIT in list(tree["root_cause"].to_dataset()["component"].to_numpy())
        assert [p.name for p in tmp_path.iterdir()] == ["draws.nc"]

    def test_an_older_file_is_replaced(self, tmp_path: Path) -> None:
        path = tmp_path / "draws.nc"
        path.write_text("older", encoding="utf-8")
        assert screen(EXAMPLE, "--output", path).returncode == 0
        assert path.read_bytes().startswith(b"\x89HDF")

    def test_a_missing_folder(self, tmp_path: Path) -> None:
        path = tmp_path / "nowhere" / "draws.nc"
        line = check_refused(screen(EXAMPLE, "--output", path), code=2)
        assert f"the folder {path.parent} does not exist" in line
        assert not path.parent.exists()

    @pytest.mark.skipif(sys.platform == "win32", reason="no limit on file sizes there")
    def test_a_write_that_fails_leaves_the_older_file(self, tmp_path: Path) -> None:
        path = tmp_path / "draws.nc"
        path.write_text("older", encoding="utf-8")
        script = (
            "import resource, sys\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
            "from bayesrca.cli import main\n"
            f"sys.argv = ['bayesrca', 'analyze', {EXAMPLE!r}, '--method', 'screen', "
            f"'--output', {str(path)!r}]\n"
            "main()\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", script],
            cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert path.read_text(encoding="utf-8") == "older"
        assert [p.name for p in tmp_path.iterdir()] == ["draws.nc"]
        assert done.returncode == 1
        assert done.stdout.startswith("search_delay\n")
        assert "Traceback" not in done.stderr
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"bayesrca: cannot write {path}: ")


class TestBadInput:
    """One of each sort; tests/unit/test_cli.py has the rest in one process."""

    def test_no_folder(self, tmp_path: Path) -> None:
        assert "does not exist" in check_refused(screen(tmp_path / "nothing here"))

    def test_a_truncated_parquet(self, folder: Path) -> None:
        file = folder / "metrics.parquet"
        file.write_bytes(file.read_bytes()[:1000])
        assert "metrics.parquet" in check_refused(screen(folder))

    def test_an_edge_to_nowhere(self, folder: Path) -> None:
        edge = {"source": CULPRIT, "target": "no such thing", "kind": "calls"}
        edit(folder / "graph.json", typed_edges=[edge])
        assert "no such thing" in check_refused(screen(folder))

    def test_wrong_usage(self) -> None:
        done = bayesrca("analyze", EXAMPLE, "--method", "mcmc")
        assert done.returncode == 2
        assert done.stdout == ""
        assert "Traceback" not in done.stderr
        assert "--method" in done.stderr


class TestStreams:
    @pytest.mark.parametrize("arguments", [(), ("--json",)])
    def test_a_reader_that_leaves_early(self, arguments: tuple[str, ...]) -> None:
        process = subprocess.Popen(
            [*COMMAND, "analyze", EXAMPLE, "--method", "screen", *arguments],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        said = process.stderr.read()
        process.stderr.close()
        assert process.wait(60) == 0  # about the answer, which is healthy
        assert said == ""

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full device")
    @pytest.mark.parametrize(
        "arguments",
        [
            ("analyze", EXAMPLE, "--method", "screen"),
            ("analyze", EXAMPLE, "--method", "screen", "--json"),
            ("--version",),
            ("--help",),
        ],
    )
    def test_a_full_disk_is_told_in_one_line(self, arguments: tuple[str, ...]) -> None:
        with Path("/dev/full").open("w", encoding="utf-8") as full:
            done = subprocess.run(
                [*COMMAND, *arguments],
                cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, timeout=120, check=False,
            )  # fmt: skip
        assert done.returncode == 1
        (line,) = done.stderr.splitlines()
        assert line.startswith("bayesrca: cannot write")
        assert "No space left" in line

    @pytest.mark.skipif(sys.platform == "win32", reason="no such signal there")
    def test_interrupted(self) -> None:
        process = subprocess.Popen(
            [*COMMAND, "analyze", EXAMPLE, "--method", "nuts", "--draws", "100000"],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        maps = Path(f"/proc/{process.pid}/maps")
        while maps.exists() and "_core.abi3" not in maps.read_text(encoding="utf-8"):
            time.sleep(0.1)  # before its own code runs, Python answers interrupts itself
        time.sleep(2.0)  # while loading or compiling
        process.send_signal(signal.SIGINT)
        out, said = process.communicate(timeout=120)
        assert process.returncode == 130
        assert out == ""
        assert said == "bayesrca: interrupted\n"

    @pytest.mark.skipif(sys.platform == "win32", reason="no such signal there")
    def test_an_interrupt_within_generated_code(self, tmp_path: Path) -> None:
        """CPython ends by the signal, not the code, if the mark that `exec` leaves is kept."""
        program = "from bayesrca import cli\ncli.app = lambda: exec('raise KeyboardInterrupt')\n"
        (tmp_path / "interrupted.py").write_text(program + "cli.main()\n", encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-m", "interrupted"],
            cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (130, "bayesrca: interrupted\n")

    @pytest.mark.skipif(sys.platform != "linux", reason="reads who is whose child from /proc")
    def test_an_interrupted_backtest_takes_its_workers_along(self) -> None:
        process = subprocess.Popen(
            [*COMMAND, "backtest", "examples", "--method", "nuts", "--jobs", "2"],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True,
        )  # fmt: skip
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        while len(children.read_text(encoding="ascii").split()) < 3:  # two and their bookkeeper
            time.sleep(0.1)
        time.sleep(2.0)  # while they load or compile, which nothing else can interrupt
        os.killpg(process.pid, signal.SIGINT)
        # The pipes close when the last of them is gone.
        out, said = process.communicate(timeout=60)
        assert process.returncode == 130
        assert out.startswith("STOPPED (interrupted): 0 of 3 analyses.")
        assert said == "bayesrca: interrupted\n"


@pytest.mark.grpc
class TestServer:
    def test_nobody_listens(self) -> None:
        line = check_refused(screen(EXAMPLE, "--server", "127.0.0.1:1"), code=5)
        assert "cannot be reached" in line

    def test_no_address(self) -> None:
        assert "HOST:PORT" in check_refused(screen(EXAMPLE, "--server", "nonsense"), code=5)

    def test_the_draws_come_too_and_nothing_stays(self, tmp_path: Path) -> None:
        path = tmp_path / "draws.nc"
        with (
            Server("--data-dir", str(tmp_path / "data")) as server,
            Client(server.until_ready().address, timeout=60) as client,
        ):
            done = screen(EXAMPLE, "--server", server.address, "--json", "--output", path)
            assert done.returncode in (0, 3), done.stderr
            assert json.loads(done.stdout)["incident"] == "search_delay"
            assert path.stat().st_size == 600_000  # the stand-in's
            assert [*client.list_analyses()] == []

    def test_no_draws_of_a_server_that_stores_nothing(
        self, service: Server, tmp_path: Path
    ) -> None:
        done = screen(EXAMPLE, "--server", service.address, "--output", tmp_path / "draws.nc")
        assert (done.returncode, done.stdout) == (5, "")
        assert "started without a data directory" in done.stderr

    def test_the_server_answers(self, service: Server) -> None:
        """With a stand-in for the analysis; tests/integration/test_same_answer.py has the real."""
        done = screen(EXAMPLE, "--server", service.address, "--json", "--seed", "5")
        assert done.returncode in (0, 3), done.stderr
        document: dict[str, Any] = json.loads(done.stdout)
        assert document["incident"] == "search_delay"
        assert document["seed"] == 5
