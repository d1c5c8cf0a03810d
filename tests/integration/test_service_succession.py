"""One server after another on the same port and folder, and no call that fails for it."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from bayesrca.client import Client
from bayesrca.wire import AnalysisState, StoredAnalysis
from tests.integration.kit import ROOT, SCREEN, Server, eventually, fetch, make_incident, pages_of

pytestmark = pytest.mark.grpc
AWAITED = "ready to take over"


def arguments(data: Path, port: str = "0") -> list[str]:
    # A later --port counts.
    return ["--takeover", "--data-dir", str(data), "--port", port, "--tenant-pending", "5000"]


@contextmanager
def pair(data: Path, *further: str) -> Iterator[tuple[Server, Server]]:
    """A server and one that is ready to succeed it."""
    with Server(*arguments(data), *further) as first:
        port = first.until_ready().address.rpartition(":")[2]
        with Server(*arguments(data, port), *further, until=AWAITED) as second:
            yield first, second


def create(client: Client, name: str, seed: int = 1) -> StoredAnalysis:
    return client.create_analysis(make_incident(name), seed=seed, settings=SCREEN)


class Traffic:
    """Threads that call, each on a connection of its own, until told to stop."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self.done: Counter[str] = Counter()
        self.failed: list[str] = []
        self.accepted: dict[str, int] = {}

    def start(self, kind: str, call: Callable[[Client, int], bool]) -> None:
        thread = threading.Thread(target=self._go, args=(kind, call))
        thread.start()
        self._threads.append(thread)

    def _go(self, kind: str, call: Callable[[Client, int], bool]) -> None:
        i = 0
        while not self._stop.is_set():
            with Client(self._address, timeout=60) as client:
                for _ in range(25):  # then a new connection
                    i += 1
                    try:
                        if not call(client, i):
                            self.failed.append(f"{kind} {i}: not ready")
                    except Exception as error:
                        self.failed.append(f"{kind} {i}: {error!r}")
                    self.done[kind] += 1
                    if self._stop.is_set():
                        return

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(120)

    def create(self, client: Client, i: int) -> bool:
        self.accepted[create(client, "sleep:0.01", seed=i).name] = i
        return True


def watched(client: Client, i: int) -> bool:
    made = create(client, "sleep:0.02", seed=100_000 + i)
    return client.wait_for_analysis(made.name).state is AnalysisState.SUCCEEDED


def test_no_call_fails_while_one_server_replaces_another(tmp_path: Path) -> None:
    with pair(tmp_path) as (first, second):
        with Client(first.address, timeout=60) as client:
            kept = client.wait_for_analysis(create(client, "kept").name)
        traffic = Traffic(first.address)
        traffic.start("ready", lambda client, _: client.ready())
        traffic.start("get", lambda client, _: client.get_analysis(kept.name) == kept)
        traffic.start("list", lambda client, _: bool(next(client.list_analyses(page_size=5))))
        traffic.start(
            "analyze",
            lambda client, i: client.analyze(make_incident(), seed=i, settings=SCREEN).seed == i,
        )
        traffic.start("create", traffic.create)
        traffic.start("watch", watched)
        try:
            assert eventually(lambda: sum(traffic.done.values()) > 150)
            first.signal(signal.SIGTERM)
            assert first.wait() == 0
            before = traffic.done.copy()
            kinds = ("ready", "get", "list", "analyze", "create", "watch")
            assert eventually(lambda: all(traffic.done[k] > before[k] + 3 for k in kinds))
        finally:
            traffic.stop()
        assert traffic.failed == [], Counter(failure.split()[0] for failure in traffic.failed)
        assert "handing over to the server that waits" in first.lines
        assert first.address == second.address
        with Client(second.address, timeout=60) as client:
            for name, seed in traffic.accepted.items():
                ended = client.wait_for_analysis(name)
                assert (ended.state, ended.attempt) == (AnalysisState.SUCCEEDED, 1)
                assert ended.answer is not None
                assert ended.answer.seed == seed
    with closing(sqlite3.connect(tmp_path / "store.sqlite")) as connection:
        rows = connection.execute("SELECT count(*), count(DISTINCT request_id) FROM analyses")
        assert len(set(rows.fetchone())) == 1


def test_what_runs_and_what_waits_is_handed_over_without_an_attempt(tmp_path: Path) -> None:
    with pair(tmp_path) as (first, second), Client(first.address, timeout=60) as client:
        running, waiting = create(client, "sleep:3"), create(client, "waiting", seed=2)
        assert eventually(lambda: client.get_analysis(running.name).state is AnalysisState.RUNNING)
        first.signal(signal.SIGTERM)
        assert first.wait() == 0
        assert any("2 are taken up again" in line for line in second.lines)
        for made in (running, waiting):
            ended = client.wait_for_analysis(made.name)
            assert (ended.state, ended.attempt) == (AnalysisState.SUCCEEDED, 1)


def test_a_call_that_runs_is_finished_by_the_server_that_has_it(tmp_path: Path) -> None:
    with pair(tmp_path) as (first, second), Client(first.address, timeout=60) as client:
        answers: list[str] = []

        def call() -> None:
            answer = client.analyze(make_incident("sleep:2"), seed=1, settings=SCREEN)
            answers.append(answer.versions["worker"])

        worker = client.analyze(make_incident(), seed=1, settings=SCREEN).versions["worker"]
        thread = threading.Thread(target=call)
        thread.start()
        threading.Event().wait(0.5)
        first.signal(signal.SIGTERM)
        first.wait_for(lambda line: line.startswith("draining"))
        with Client(second.address, timeout=60) as late:
            other = late.analyze(make_incident(), seed=1, settings=SCREEN).versions["worker"]
        thread.join(60)
        assert first.wait() == 0
        assert answers == [worker]
        assert other != worker


def test_a_server_that_was_killed_is_succeeded_too(tmp_path: Path) -> None:
    with pair(tmp_path) as (first, second), Client(first.address, timeout=60) as client:
        made = create(client, "sleep:1")
        assert eventually(lambda: client.get_analysis(made.name).state is AnalysisState.RUNNING)
        first.signal(signal.SIGKILL)
        first.wait()
        ended = client.wait_for_analysis(made.name)
        assert (ended.state, ended.attempt) == (AnalysisState.SUCCEEDED, 2)
        assert first.address == second.address


def test_a_server_that_waits_can_be_stopped(tmp_path: Path) -> None:
    with pair(tmp_path) as (first, second), Client(first.address, timeout=60) as client:
        second.signal(signal.SIGTERM)
        assert second.wait() == 0
        assert client.ready()
        # With nobody waiting it finishes what it runs, as any server does.
        made = create(client, "sleep:1")
        assert eventually(lambda: client.get_analysis(made.name).state is AnalysisState.RUNNING)
        first.signal(signal.SIGTERM)
        assert first.wait() == 0
        assert not any("handing over" in line for line in first.lines)


def test_metrics_and_probes_move_to_the_successor(tmp_path: Path) -> None:
    with Server(*arguments(tmp_path), "--http-port", "0") as first:
        pages = pages_of(first.until_ready())
        ports = [address.rpartition(":")[2] for address in (first.address, pages)]
        more = ["--http-port", ports[1]]
        with Server(*arguments(tmp_path, ports[0]), *more, until=AWAITED) as second:
            first.signal(signal.SIGTERM)
            assert first.wait() == 0
            assert pages_of(second) == pages
            assert fetch(pages, "/readyz")[0] == 200


def refused(*command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "bayesrca.service", "--no-warm", *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    return done.stderr


def test_servers_that_nobody_asked_for_are_refused(tmp_path: Path) -> None:
    with pair(tmp_path / "a") as (first, _):
        port = first.address.rpartition(":")[2]
        assert "waits already" in refused(*arguments(tmp_path / "a", port))
        # The same port, another folder: it would get half of the calls.
        assert "cannot listen on" in refused(*arguments(tmp_path / "b", port))
        assert "cannot listen on" in refused("--port", port)
        folder = ("--data-dir", str(tmp_path / "a"))
        assert "another server uses" in refused("--port", "0", *folder)
