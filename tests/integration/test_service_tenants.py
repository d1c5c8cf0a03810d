"""Several tenants on one server: nothing is shared but the workers, and those in turns."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from bayesrca.client import Client
from bayesrca.errors import ServiceError
from bayesrca.service import Scope
from bayesrca.service.credentials import new_token
from bayesrca.wire import AnalysisState, StoredAnalysis
from tests.integration.certificates import Authority
from tests.integration.kit import SCREEN, Server, eventually, make_incident

pytestmark = pytest.mark.grpc


class Shared:
    """A server that two tenants use, and whoever may only read at the first."""

    def __init__(self, folder: Path) -> None:
        lines = []
        self.tokens = {}
        for name, tenant, scopes in (
            ("one", "first", [Scope.ANALYZE, Scope.READ]),
            ("two", "second", [Scope.ANALYZE, Scope.READ]),
            ("reader", "first", [Scope.READ]),
        ):
            self.tokens[name], line = new_token(name, tenant, scopes, None)
            lines.append(line)
        credentials = folder / "credentials.toml"
        credentials.write_text("\n".join(lines), encoding="utf-8")
        self.server = Server(
            *("--credentials-file", str(credentials), "--data-dir", str(folder / "data")),
            *("--queue", "2"),
        )

    def client(self, name: str) -> Client:
        return Client(self.server.address, timeout=60, token=self.tokens[name])


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    shared = Shared(tmp_path_factory.mktemp("shared"))
    with shared.server:
        shared.server.until_ready()
        yield shared


def create(client: Client, name: str, seed: int = 1) -> StoredAnalysis:
    return client.create_analysis(make_incident(name), seed=seed, settings=SCREEN)


def reason_of(call: Callable[[], object]) -> str:
    with pytest.raises(ServiceError) as caught:
        call()
    return caught.value.reason


def test_another_tenants_analysis_is_not_there(shared: Shared, tmp_path: Path) -> None:
    with shared.client("one") as one, shared.client("two") as two:
        done = one.wait_for_analysis(create(one, "mine").name)
        running = create(one, "sleep:20")
        assert eventually(lambda: one.get_analysis(running.name).state is AnalysisState.RUNNING)
        for name in (done.name, running.name):
            for call in (
                lambda name=name: two.get_analysis(name),
                lambda name=name: list(two.watch_analysis(name)),
                lambda name=name: two.cancel_analysis(name),
                lambda name=name: two.delete_analysis(name),
                lambda name=name: two.get_diagnostics(name),
                lambda name=name: two.render_plot(name, "causes"),
                lambda name=name: two.download_draws(name, tmp_path / "x.nc"),
            ):
                assert reason_of(call) == "NOT_FOUND"
        assert list(two.list_analyses()) == []
        assert {a.name for a in one.list_analyses()} == {done.name, running.name}
        # Nothing that was refused has changed anything.
        assert one.get_analysis(done.name) == done
        assert one.get_analysis(running.name).state is AnalysisState.RUNNING
        one.delete_analysis(running.name)


def test_ids_of_requests_are_each_tenants_own(shared: Shared) -> None:
    request_id = "123e4567-e89b-42d3-a456-426614174000"
    made = []
    for name, seed in (("one", 1), ("two", 2)):
        with shared.client(name) as client:
            incident = make_incident("the same id")
            made.append(
                client.create_analysis(incident, seed=seed, settings=SCREEN, request_id=request_id)
            )
    assert made[0].name != made[1].name


def test_who_may_read_sees_the_tenants_analyses_and_creates_none(shared: Shared) -> None:
    with shared.client("one") as one, shared.client("reader") as reader:
        done = one.wait_for_analysis(create(one, "to be read").name)
        assert reader.get_analysis(done.name) == done
        for call in (
            lambda: create(reader, "x"),
            lambda: reader.cancel_analysis(done.name),
            lambda: reader.delete_analysis(done.name),
        ):
            assert reason_of(call) == "MISSING_SCOPE"


def test_one_tenants_many_do_not_hold_up_anothers_one(shared: Shared) -> None:
    with shared.client("one") as one, shared.client("two") as two:
        many = [create(one, "sleep:0.4", seed=i) for i in range(6)]
        single = create(two, "sleep:0.1")
        assert two.wait_for_analysis(single.name).finished is not None
        waiting = list(one.list_analyses(states=["QUEUED"]))
        assert len(waiting) >= 3
        ended = [one.wait_for_analysis(a.name).finished or 0.0 for a in many]
        assert sorted(ended) == ended


def test_a_queue_full_of_one_tenants_calls_has_a_place_for_another(shared: Shared) -> None:
    incident = make_incident("sleep:0.6")
    with (
        shared.client("one") as one,
        shared.client("two") as two,
        ThreadPoolExecutor(3) as threads,
    ):
        calls = []
        for i in range(3):  # one runs, two wait
            calls.append(threads.submit(one.analyze, incident, seed=i, settings=SCREEN))
            time.sleep(0.15)
        begun = time.monotonic()
        assert two.analyze(make_incident(), seed=9, settings=SCREEN).seed == 9
        # Second in line, not fourth.
        assert time.monotonic() - begun < 1.2
        assert [call.result().seed for call in calls] == [0, 1, 2]


def test_the_client_shows_its_token_over_tls_only(tmp_path: Path) -> None:
    with pytest.raises(ServiceError) as caught:
        Client("example.org:50051", token="t")
    assert caught.value.reason == "INVALID_CREDENTIALS"
    authority = Authority(tmp_path)
    own = authority.issue("server", "IP:127.0.0.1")
    files = ["--tls-cert-file", str(own.cert), "--tls-key-file", str(own.key)]
    with Server(*files) as server:
        address = server.until_ready().address
        with Client(address, ca_file=authority.cert, timeout=30) as client:
            assert client.ready()
            assert client.analyze(make_incident(), seed=1, settings=SCREEN).seed == 1
        with Client(address, timeout=3) as plain:
            assert not plain.ready()
        with pytest.raises(ServiceError, match="cannot read"):
            Client(address, ca_file=tmp_path / "absent.pem")
        with pytest.raises(ServiceError, match="go together"):
            Client(address, certificate_file=own.cert)


def nothing_until(done: threading.Event) -> Iterator[bytes]:
    """Requests of a stream that sends none, and stays open until `done`."""
    done.wait()
    yield from ()


def test_one_tenants_open_calls_leave_another_its_kill_switch(tmp_path: Path) -> None:
    tokens, lines = {}, []
    for name, scope in (("one", Scope.READ), ("two", Scope.DECIDE)):
        tokens[name], line = new_token(name, f"of-{name}", [scope], None)
        lines.append(line)
    path = tmp_path / "credentials.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    arguments = ("--credentials-file", str(path), "--data-dir", str(tmp_path / "data"))
    done = threading.Event()
    with Server(*arguments, "--max-calls", "4") as server, server.channel() as channel:
        reflection: grpc.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
        )
        said = (("authorization", f"Bearer {tokens['one']}"),)
        # Each is open until `done`, for its request never ends.
        calls: list[Any] = [reflection(nothing_until(done), metadata=said) for _ in range(5)]
        try:
            assert eventually(lambda: sum(call.done() for call in calls) == 1, 30)
            (refused,) = (call for call in calls if call.done())
            assert refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            with Client(server.address, timeout=20, token=tokens["two"]) as two:
                assert two.decisions.engage_kill_switch().engaged
        finally:
            for call in calls:
                call.cancel()
            done.set()
