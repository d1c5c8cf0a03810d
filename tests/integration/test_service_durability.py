"""What the server accepted stays accepted: kills, drains, full disks, and no trace left behind."""

from __future__ import annotations

import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from bayesrca.api.v1 import root_cause_service_pb2 as pb
from bayesrca.api.v1 import root_cause_service_pb2_grpc as pb_grpc
from bayesrca.client import Client
from bayesrca.config import Method, Settings
from bayesrca.errors import ServiceError
from bayesrca.wire import AnalysisState, StoredAnalysis
from tests.integration.kit import ROOT, SCREEN, Server, eventually, gone, make_incident
from tests.integration.stand_ins import made_up

pytestmark = pytest.mark.grpc
JOBS = int(os.environ.get("BAYESRCA_TEST_JOBS", "30"))
"""How many analyses the test for leaks runs (docs/operations.md)."""


@contextmanager
def keeper(data: Path, *arguments: str) -> Iterator[tuple[Server, Client]]:
    with (
        Server("--data-dir", str(data), *arguments) as server,
        Client(server.until_ready().address, timeout=60) as client,
    ):
        yield server, client


def create(client: Client, name: str, seed: int = 1) -> StoredAnalysis:
    return client.create_analysis(make_incident(name), seed=seed, settings=SCREEN)


def state_of(client: Client, analysis: StoredAnalysis) -> AnalysisState:
    return client.get_analysis(analysis.name).state


def wait_until_it_runs(client: Client, analysis: StoredAnalysis) -> None:
    assert eventually(lambda: state_of(client, analysis) is AnalysisState.RUNNING)


def worker_of(client: Client) -> int:
    return int(client.analyze(make_incident(), seed=1, settings=SCREEN).versions["worker"])


def artefacts(data: Path) -> list[Path]:
    return [p for p in (data / "artefacts").rglob("*") if p.is_file()]


def named_by_rows(data: Path) -> set[str]:
    with closing(sqlite3.connect(data / "store.sqlite")) as connection:
        rows = connection.execute("SELECT request, answer, draws FROM analyses").fetchall()
    return {sha256 for row in rows for sha256 in row if sha256}


def descendants(pid: int) -> set[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    found = {int(child) for child in children}
    return found.union(*(descendants(child) for child in found))


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def shared_memory() -> set[str]:
    """Named segments and semaphores, of whichever process."""
    return {path.name for path in Path("/dev/shm").iterdir()}


def mapped(pid: int) -> set[str]:
    """Shared memory that a process holds, named or not."""
    maps = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8").splitlines()
    paths = {line.split(maxsplit=5)[5] for line in maps if line.count(" ") > 5 and "/" in line}
    return {path for path in paths if path.startswith(("/dev/shm/", "/memfd:", "/SYSV"))}


def test_a_killed_server_loses_nothing_it_accepted(tmp_path: Path) -> None:
    with keeper(tmp_path) as (server, client):
        done = client.wait_for_analysis(create(client, "done").name)
        running = create(client, "sleep:2", seed=2)
        waiting = create(client, "waiting", seed=3)
        cancelled = client.cancel_analysis(create(client, "cancelled", seed=4).name)
        wait_until_it_runs(client, running)
        worker = min(descendants(server.process.pid))
        server.signal(signal.SIGKILL)
        server.wait()
        assert eventually(lambda: gone(worker), 10)
    with keeper(tmp_path) as (server, client):
        assert any("2 are taken up again" in line for line in server.lines)
        assert client.get_analysis(done.name) == done
        assert client.get_analysis(cancelled.name) == cancelled
        first = client.wait_for_analysis(running.name)
        assert (first.state, first.attempt) == (AnalysisState.SUCCEEDED, 2)
        last = client.wait_for_analysis(waiting.name)
        assert (last.state, last.attempt) == (AnalysisState.SUCCEEDED, 1)
        assert last.answer is not None
        assert last.answer.posterior == made_up(make_incident("waiting"), 3, SCREEN).posterior


def test_an_analysis_that_two_servers_died_of_is_not_run_again(tmp_path: Path) -> None:
    for _ in range(2):
        with keeper(tmp_path) as (server, client):
            listed = [a.name for a in client.list_analyses()]
            poison = client.get_analysis(listed[0]) if listed else create(client, "sleep:30")
            wait_until_it_runs(client, poison)
            server.signal(signal.SIGKILL)
            server.wait()
    with keeper(tmp_path) as (_, client):
        (left,) = client.list_analyses()
        assert (left.state, left.attempt) == (AnalysisState.FAILED, 2)
        assert left.failure is not None
        assert left.failure[0] == "WORKER_LOST"


def test_a_server_that_stops_leaves_the_rest_to_the_next(tmp_path: Path) -> None:
    with keeper(tmp_path, "--drain-seconds", "0.5") as (server, client):
        long, waiting = create(client, "sleep:60"), create(client, "waiting", seed=2)
        wait_until_it_runs(client, long)
        watch = client.watch_analysis(long.name, timeout=2)
        next(watch)
        begun = time.monotonic()
        server.signal(signal.SIGTERM)
        server.wait_for(lambda line: line.startswith("draining"))
        assert server.wait() == 0
        assert time.monotonic() - begun < 10
        with pytest.raises(ServiceError) as caught:
            list(watch)
        assert caught.value.reason in ("DRAINING", "UNAVAILABLE", "DEADLINE_EXCEEDED")
    with keeper(tmp_path) as (_, client):
        # The server gave the attempt up itself, so it does not count.
        assert eventually(lambda: client.get_analysis(long.name).attempt == 1)
        client.delete_analysis(long.name)
        assert client.wait_for_analysis(waiting.name).state is AnalysisState.SUCCEEDED


def test_a_running_analysis_is_finished_before_the_server_stops(tmp_path: Path) -> None:
    with keeper(tmp_path) as (server, client):
        short = create(client, "sleep:1")
        wait_until_it_runs(client, short)
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
    with keeper(tmp_path) as (_, client):
        assert state_of(client, short) is AnalysisState.SUCCEEDED


def test_a_watch_survives_its_server(tmp_path: Path) -> None:
    with keeper(tmp_path) as (server, client):
        port = server.address.rpartition(":")[2]
        made = create(client, "sleep:1.5")
        seen: list[StoredAnalysis] = []
        with Client(server.address, timeout=60) as watcher:
            thread = threading.Thread(
                target=lambda: seen.append(watcher.wait_for_analysis(made.name))
            )
            thread.start()
            wait_until_it_runs(client, made)
            server.signal(signal.SIGKILL)
            server.wait()
            with keeper(tmp_path, "--port", port):
                thread.join(60)
    assert [a.state for a in seen] == [AnalysisState.SUCCEEDED]


def test_kills_at_random_moments_lose_nothing(tmp_path: Path) -> None:
    """Servers are killed while clients create; every id that was told is there in the end."""
    rng = random.Random(11)
    told: dict[str, int] = {}
    for round_ in range(4):
        with keeper(tmp_path) as (server, client):
            killer = threading.Timer(rng.uniform(0.02, 0.6), server.signal, [signal.SIGKILL])
            killer.start()
            try:
                for i in range(200):
                    seed = 1000 * round_ + i
                    made = client.create_analysis(
                        make_incident(f"sleep:{rng.choice([0, 0.02])}"),
                        seed=seed,
                        settings=SCREEN,
                        timeout=1.0,
                    )
                    told[made.name] = seed
            except ServiceError:
                pass
            killer.join()
            server.wait()
    with keeper(tmp_path) as (_, client):
        for name, seed in told.items():
            ended = client.wait_for_analysis(name)
            assert ended.state in (AnalysisState.SUCCEEDED, AnalysisState.FAILED)
            if ended.answer is not None:
                assert ended.answer.seed == seed
            else:  # two servers died of it, by chance
                assert ended.failure is not None
                assert ended.failure[0] == "WORKER_LOST"
        everyone = [client.wait_for_analysis(a.name) for a in client.list_analyses()]
    assert told.keys() <= {a.name for a in everyone}
    # A file for every row and a row for every file.
    assert {p.name for p in artefacts(tmp_path)} == named_by_rows(tmp_path)


def test_workers_killed_at_random_moments_lose_nothing(tmp_path: Path) -> None:
    rng = random.Random(5)
    with keeper(tmp_path) as (server, client):
        names = [create(client, f"sleep:{rng.choice([0, 0.05])}", seed=i).name for i in range(12)]
        for _ in range(3):
            time.sleep(rng.uniform(0.05, 0.4))
            for child in descendants(server.process.pid):
                os.kill(child, signal.SIGKILL)
        ended = [client.wait_for_analysis(name) for name in names]
        states = [a.state for a in ended]
        assert set(states) <= {AnalysisState.SUCCEEDED, AnalysisState.FAILED}
        assert states.count(AnalysisState.FAILED) <= 1
        assert all(a.attempt <= 2 for a in ended)


def test_cancellations_at_random_moments_leave_a_free_worker(tmp_path: Path) -> None:
    rng = random.Random(7)
    auto = Settings(method=Method.AUTO)
    with keeper(tmp_path) as (_, client):
        worker = worker_of(client)
        for i in range(20):
            made = client.create_analysis(make_incident("sleep:0.05"), seed=i, settings=auto)
            time.sleep(rng.uniform(0.0, 0.12))
            final = client.cancel_analysis(made.name)
            assert final.state in (AnalysisState.CANCELLED, AnalysisState.SUCCEEDED)
            assert client.wait_for_analysis(made.name, timeout=10).state is final.state
        assert worker_of(client) == worker


@pytest.mark.skipif(sys.platform != "linux", reason="limits another process's file sizes")
def test_a_full_disk_refuses_and_recovers(tmp_path: Path) -> None:
    with keeper(tmp_path) as (server, client):
        kept = client.wait_for_analysis(create(client, "kept").name)
        waiting = [create(client, "sleep:0.5", seed=i) for i in range(2, 4)]
        unlimited = resource.RLIM_INFINITY
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (1000, unlimited))
        with pytest.raises(ServiceError, match="no space") as caught:
            create(client, "refused", seed=9)
        assert caught.value.reason == "STORAGE_FULL"
        # What is stored can still be read, and calls that store nothing are answered.
        assert client.get_analysis(kept.name) == kept
        assert worker_of(client)
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (unlimited, unlimited))
        for made in waiting:
            assert client.wait_for_analysis(made.name).state is AnalysisState.SUCCEEDED
        assert client.wait_for_analysis(create(client, "refused", seed=9).name).answer is not None


@pytest.mark.skipif(sys.platform != "linux", reason="limits another process's file sizes")
def test_draws_that_do_not_fit_fail_their_analysis_alone(tmp_path: Path) -> None:
    with keeper(tmp_path) as (_, client):
        worker = worker_of(client)
        resource.prlimit(worker, resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
        failed = client.wait_for_analysis(create(client, "too large").name)
        assert failed.failure is not None
        assert failed.failure[0] == "STORAGE_FULL"
        resource.prlimit(worker, resource.RLIMIT_FSIZE, (1 << 30, resource.RLIM_INFINITY))
        again = client.wait_for_analysis(create(client, "too large", seed=2).name)
        assert again.state is AnalysisState.SUCCEEDED
        assert worker_of(client) == worker


def test_readers_that_never_read_hold_up_neither_others_nor_the_drain(tmp_path: Path) -> None:
    with keeper(tmp_path) as (server, client):
        incident = make_incident("large", samples=8, extra=20_000)
        made = client.create_analysis(incident, seed=1, settings=SCREEN)
        done = client.wait_for_analysis(made.name)
        with server.channel() as channel:
            stub = pb_grpc.RootCauseServiceStub(channel)
            silent: list[object] = []
            for _ in range(5):
                silent.append(stub.WatchAnalysis(pb.WatchAnalysisRequest(name=made.name)))
                request = pb.StreamInferenceDataRequest(name=made.name)
                silent.append(stub.StreamInferenceData(request))
            client.download_draws(made.name, tmp_path / "draws.nc")
            assert (tmp_path / "draws.nc").stat().st_size == done.draws_bytes
            assert client.wait_for_analysis(create(client, "another").name).answer is not None
            begun = time.monotonic()
            server.signal(signal.SIGTERM)
            assert server.wait() == 0
            assert time.monotonic() - begun < 10


def test_a_second_server_on_the_same_folder_is_refused_in_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bayesrca.service", "--port", "0", "--data-dir", str(tmp_path)]
    with keeper(tmp_path):
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
        )
    assert done.returncode == 2
    assert done.stderr.startswith("error: another server uses the data directory")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_many_analyses_leave_nothing_behind(tmp_path: Path) -> None:
    """No process, no open file, no shared memory, no file but those of what is kept."""
    segments = shared_memory()
    with keeper(tmp_path, "--tenant-pending", "1000") as (server, client):
        pid = server.process.pid
        worker = worker_of(client)
        for name in ("ready", "sleep:0", "no-evidence:x"):
            client.wait_for_analysis(create(client, name).name)
        with ThreadPoolExecutor(8) as threads:  # the store opens what it needs at its busiest
            list(threads.map(lambda _: [*client.list_analyses()], range(40)))
        opened = descriptors(pid), descriptors(worker), len(descendants(pid))
        names = []
        for i in range(JOBS):
            name = ("sleep:0", "boom:x", "no-evidence:x", "sleep:0.05")[i % 4]
            made = create(client, name, seed=i)
            names.append(made.name)
            if i % 4 == 3:
                client.cancel_analysis(made.name)
            if i % 10 == 0:
                next(client.watch_analysis(made.name))  # and hangs up
        for name in names:
            assert client.wait_for_analysis(name).state.final
        assert eventually(
            lambda: (descriptors(pid), descriptors(worker), len(descendants(pid))) <= opened, 20
        ), (opened, descriptors(pid), descriptors(worker), descendants(pid))
        for analysis in [*client.list_analyses()]:
            client.delete_analysis(analysis.name)
        assert eventually(lambda: artefacts(tmp_path) == [], 20)
        assert worker_of(client) == worker
        assert mapped(pid) | mapped(worker) == set()
        left = descendants(pid)
    assert all(gone(process) for process in left)
    assert shared_memory() <= segments


def test_a_repeated_creation_after_a_lost_response_is_found(tmp_path: Path) -> None:
    request_id = str(uuid.uuid4())
    arguments = {"seed": 1, "settings": SCREEN, "request_id": request_id}
    with keeper(tmp_path) as (server, client):
        first = client.create_analysis(make_incident("x"), **arguments)  # type: ignore[arg-type]
        server.signal(signal.SIGKILL)
        server.wait()
    with keeper(tmp_path) as (_, client):
        again = client.create_analysis(make_incident("x"), **arguments)  # type: ignore[arg-type]
        assert again.name == first.name
