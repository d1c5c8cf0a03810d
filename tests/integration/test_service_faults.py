"""Cancellation, deadlines, a full queue, and workers that die or do not listen."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2  # type: ignore[import-untyped]
from grpc_status import rpc_status  # type: ignore[import-untyped]

from bayesrca.api.v1 import root_cause_service_pb2_grpc as pb_grpc
from bayesrca.client import Client
from bayesrca.config import Method, Settings
from bayesrca.errors import ServiceError
from tests.integration.kit import SCREEN, Server, gone, make_incident, make_request

pytestmark = pytest.mark.grpc


@pytest.fixture
def client(service: Server) -> Iterator[Client]:
    with Client(service.address, timeout=60) as client:
        yield client


def worker_of(client: Client) -> int:
    answer = client.analyze(make_incident(), seed=1, settings=SCREEN)
    return int(answer.versions["worker"])


def failure_of(client: Client, name: str, timeout: float | None = None) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        client.analyze(make_incident(name), seed=1, settings=SCREEN, timeout=timeout)
    return caught.value


def test_a_deadline_frees_the_worker_without_killing_it(client: Client) -> None:
    worker = worker_of(client)
    begun = time.monotonic()
    assert failure_of(client, "sleep:30", timeout=0.5).reason == "DEADLINE_EXCEEDED"
    assert worker_of(client) == worker
    assert time.monotonic() - begun < 10


def test_a_cancelled_call_frees_the_worker_without_killing_it(
    service: Server, client: Client
) -> None:
    worker = worker_of(client)
    with service.channel() as channel:
        call = pb_grpc.RootCauseServiceStub(channel).Analyze.future(make_request("sleep:30"))
        time.sleep(0.3)
        begun = time.monotonic()
        call.cancel()
        assert worker_of(client) == worker
        assert time.monotonic() - begun < 10


def test_a_call_that_is_cancelled_while_it_waits_never_starts(
    service: Server, client: Client, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    with service.channel() as channel:
        stub = pb_grpc.RootCauseServiceStub(channel)
        running = stub.Analyze.future(make_request("sleep:1"))
        time.sleep(0.2)
        waiting = stub.Analyze.future(make_request(f"count-and-die:{trace}"))
        time.sleep(0.2)
        waiting.cancel()
        assert running.result().answer.incident == "sleep:1"
    worker_of(client)
    assert not trace.exists()


def test_a_worker_that_ignores_a_cancellation_is_replaced(client: Client) -> None:
    worker = worker_of(client)
    assert failure_of(client, "stubborn:60", timeout=0.5).reason == "DEADLINE_EXCEEDED"
    begun = time.monotonic()
    assert worker_of(client) != worker
    assert time.monotonic() - begun < 30
    assert gone(worker)


def test_a_worker_killed_in_the_middle_fails_its_call_and_is_replaced(
    service: Server, client: Client
) -> None:
    worker = worker_of(client)
    with service.channel() as channel, pytest.raises(grpc.RpcError) as caught:
        pb_grpc.RootCauseServiceStub(channel).Analyze(make_request("die"), timeout=30)
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    assert "WORKER_LOST" in str(rpc_status.from_call(caught.value))
    assert worker_of(client) not in (worker, 0)


def test_a_call_that_needs_too_much_memory_fails_alone(client: Client) -> None:
    worker = worker_of(client)
    error = failure_of(client, "hoard")
    assert error.reason == "OUT_OF_MEMORY"
    assert "fewer draws" in str(error)
    assert worker_of(client) == worker


def test_a_worker_that_native_code_aborts_is_replaced(client: Client) -> None:
    worker = worker_of(client)
    assert failure_of(client, "abort").reason == "WORKER_LOST"
    assert worker_of(client) != worker
    assert gone(worker)


def test_the_client_tries_again_when_a_worker_was_lost(client: Client, tmp_path: Path) -> None:
    name = f"die-once:{tmp_path / 'died'}"
    answer = client.analyze(make_incident(name), seed=5, settings=SCREEN)
    assert answer.incident == name


def test_an_incident_that_kills_its_worker_gets_no_third(client: Client, tmp_path: Path) -> None:
    deaths = tmp_path / "deaths"
    error = failure_of(client, f"count-and-die:{deaths}")
    assert error.reason == "WORKER_LOST"
    assert deaths.read_text(encoding="utf-8") == "xx"
    worker_of(client)


def test_a_full_queue_says_when_to_come_back(service: Server, client: Client) -> None:
    worker_of(client)
    with service.channel() as channel:
        stub = pb_grpc.RootCauseServiceStub(channel)
        calls = []
        for _ in range(3):  # one runs, two wait
            calls.append(stub.Analyze.future(make_request("sleep:1")))
            time.sleep(0.1)
        with pytest.raises(grpc.RpcError) as caught:
            stub.Analyze(make_request(), timeout=30)
        assert all(call.result().answer.seed == 3 for call in calls)
    error = caught.value
    assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    details = rpc_status.from_call(error).details
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    assert [d.Unpack(info) for d in details].count(True) == 1
    assert [d.Unpack(retry) for d in details].count(True) == 1
    assert (info.reason, info.domain) == ("QUEUE_FULL", "bayesrca")
    delay = retry.retry_delay.ToMilliseconds()
    assert 250 <= delay <= 10_000
    trailers = {entry.key: entry.value for entry in error.trailing_metadata()}
    pushback: object = trailers["grpc-retry-pushback-ms"]
    assert pushback == str(delay)


def test_the_client_waits_for_a_full_queue(service: Server, client: Client) -> None:
    worker_of(client)
    with ThreadPoolExecutor(6) as threads:
        calls = [
            threads.submit(client.analyze, make_incident("sleep:0.3"), seed=i, settings=SCREEN)
            for i in range(6)
        ]
        assert [call.result().seed for call in calls] == list(range(6))


def test_what_the_server_did_wrong_is_logged_and_not_told(service: Server, client: Client) -> None:
    for name in ("boom:the secret", "panic:the secret"):
        error = failure_of(client, name)
        assert error.reason == "INTERNAL"
        assert "the secret" not in str(error)
        error_id = str(error).rpartition("error id ")[2].rstrip(")")
        service.wait_for(lambda line, error_id=error_id: error_id in line)  # type: ignore[misc]
        service.wait_for(lambda line: line.endswith("Error: the secret"))
    worker_of(client)


def test_an_error_of_the_analysis_keeps_its_reason_and_field(client: Client) -> None:
    error = failure_of(client, "no-evidence:nothing moved")
    assert error.reason == "NO_EVIDENCE"
    assert error.violations == (("incident.signals", "nothing moved"),)
    assert failure_of(client, "too-late").reason == "CANCELLED"


@pytest.mark.parametrize("reason", ["INVALID_INCIDENT", "GRAPH_TOO_WIDE", "KERNEL"])
def test_words_too_long_for_a_trailer_are_cut(client: Client, reason: str) -> None:
    error = failure_of(client, f"refuse:{reason}")
    assert error.reason == reason
    assert "xxx" in str(error)
    assert len(str(error)) < 1000


def test_auto_gets_what_remains_of_the_deadline(client: Client) -> None:
    def settings_seen(settings: Settings, timeout: float | None) -> str:
        answer = client.analyze(make_incident(), seed=1, settings=settings, timeout=timeout)
        return answer.notes[0]

    def deadline_seen(settings: Settings, timeout: float | None) -> float:
        return float(settings_seen(settings, timeout).partition("deadline=")[2].partition(",")[0])

    auto = Settings(method=Method.AUTO)
    assert 18.0 < deadline_seen(auto, 20.0) < 19.5
    assert deadline_seen(Settings(deadline=5.0), 20.0) == 5.0
    assert deadline_seen(Settings(deadline=50.0), 20.0) < 19.5
    assert deadline_seen(Settings(method=Method.NUTS, deadline=50.0), 20.0) == 50.0
    assert "deadline=None" in settings_seen(SCREEN, 20.0)
