"""Start, drain, and no process left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]

from bayesrca.api.v1 import root_cause_service_pb2 as pb
from bayesrca.client import Client
from bayesrca.client.channel import SERVICE_CONFIG
from bayesrca.errors import ServiceError
from tests.integration.kit import (
    ROOT,
    SCREEN,
    SERVICE,
    Server,
    eventually,
    gone,
    make_incident,
    make_request,
)

pytestmark = pytest.mark.grpc
ANALYZE = f"/{SERVICE}/Analyze"


def worker_of(client: Client) -> int:
    answer = client.analyze(make_incident(), seed=1, settings=SCREEN, timeout=60)
    return int(answer.versions["worker"])


def test_sigterm_finishes_running_and_waiting_calls_and_refuses_new_ones() -> None:
    with (
        Server("--queue", "2") as server,
        Client(server.until_ready().address) as client,
        Client(server.address) as late,
        ThreadPoolExecutor(2) as threads,
    ):
        worker = worker_of(client)
        assert late.ready()  # so that it is connected before the server stops listening
        calls = [
            threads.submit(client.analyze, make_incident(name), seed=1, settings=SCREEN)
            for name in ("sleep:1.0", "sleep:0.2")
        ]
        time.sleep(0.4)
        server.signal(signal.SIGTERM)
        server.wait_for(lambda line: line.startswith("draining"))
        with pytest.raises(ServiceError) as caught:
            late.analyze(make_incident(), seed=1, settings=SCREEN, timeout=0.3)
        assert caught.value.reason in ("DRAINING", "UNAVAILABLE", "DEADLINE_EXCEEDED")
        assert [call.result().incident for call in calls] == ["sleep:1.0", "sleep:0.2"]
        assert server.wait() == 0
        assert server.lines[-1] == "stopped"
        assert gone(worker)


def test_an_open_health_watch_does_not_hold_the_drain() -> None:
    with Server() as server, server.until_ready().channel() as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=""))
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        begun = time.monotonic()
        server.signal(signal.SIGTERM)
        assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert server.wait() == 0
        assert time.monotonic() - begun < 10
        with pytest.raises(grpc.RpcError):
            next(watch)


def test_what_outlasts_the_drain_is_told_so() -> None:
    with (
        Server("--drain-seconds", "0.2") as server,
        server.until_ready().channel(),
        Client(server.address) as client,
        ThreadPoolExecutor(1) as threads,
    ):
        call = threads.submit(client.analyze, make_incident("sleep:60"), seed=1, settings=SCREEN)
        time.sleep(0.3)
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        with pytest.raises(ServiceError) as caught:
            call.result()
        # Retried by the client, in vain: by then nothing listens.
        assert caught.value.reason in ("DRAINING", "UNAVAILABLE")


def test_a_second_signal_stops_at_once() -> None:
    with (
        Server() as server,
        Client(server.until_ready().address) as client,
        ThreadPoolExecutor(1) as threads,
    ):
        call = threads.submit(client.analyze, make_incident("sleep:60"), seed=1, settings=SCREEN)
        time.sleep(0.3)
        begun = time.monotonic()
        server.signal(signal.SIGINT)
        server.wait_for(lambda line: line.startswith("draining"))
        server.signal(signal.SIGINT)
        assert server.wait() == 0
        assert time.monotonic() - begun < 15
        with pytest.raises(ServiceError):
            call.result()


@pytest.mark.parametrize("name", ["idle", "sleep:60", "stubborn:60"])
def test_a_killed_server_leaves_no_orphan(name: str) -> None:
    with (
        Server() as server,
        Client(server.until_ready().address) as client,
        ThreadPoolExecutor(1) as threads,
    ):
        worker = worker_of(client)
        assert not gone(worker)
        if name != "idle":
            threads.submit(client.analyze, make_incident(name), seed=1, settings=SCREEN, timeout=5)
            time.sleep(0.3)
        server.signal(signal.SIGKILL)
        assert server.wait() == -signal.SIGKILL
        assert eventually(lambda: gone(worker), 10)


def test_a_server_takes_over_from_another_without_a_failed_call() -> None:
    """Short calls all the time, repeated as the client does, and a long one that is under way.

    Without retries a call that crosses the goodbye on the wire is cut off, seldom but surely.
    """
    failed: list[object] = []
    workers: list[str] = []
    ended = threading.Event()

    def call_all_the_time(address: str) -> None:
        request = make_request().SerializeToString()
        options = [("grpc.service_config", json.dumps(SERVICE_CONFIG))]
        with grpc.insecure_channel(address, options=options) as channel:
            send: Any = channel.unary_unary(ANALYZE)
            while not ended.is_set():
                try:
                    raw = send(request, timeout=30, wait_for_ready=True)
                    versions = pb.AnalyzeResponse.FromString(raw).answer.versions
                    workers.append(next(v.version for v in versions if v.library == "worker"))
                except grpc.RpcError as error:
                    failed.append(error)

    with Server("--takeover") as old, ThreadPoolExecutor(3) as threads:
        address = old.until_ready().address
        callers = [threads.submit(call_all_the_time, address) for _ in range(2)]
        assert eventually(lambda: len(workers) > 20)
        first = {*workers}
        with Client(address) as client:
            long = threads.submit(
                client.analyze, make_incident("sleep:1.5"), seed=1, settings=SCREEN
            )
            time.sleep(0.3)
            with Server("--takeover", "--port", address.rpartition(":")[2]) as new:
                new.until_ready()
                old.signal(signal.SIGTERM)
                assert old.wait() == 0
                assert long.result().incident == "sleep:1.5"
                seen = len(workers)
                assert eventually(lambda: len(workers) > seen + 20)
                ended.set()
                for caller in callers:
                    caller.result()
    assert failed == []
    assert {*workers[seen + 2 :]}.isdisjoint(first)


def test_workers_are_nice_and_ignore_the_signals_meant_for_the_front() -> None:
    with Server() as server, Client(server.until_ready().address) as client:
        worker = worker_of(client)
        assert os.getpriority(os.PRIO_PROCESS, worker) - os.getpriority(os.PRIO_PROCESS, 0) == 10
        os.kill(worker, signal.SIGTERM)
        os.kill(worker, signal.SIGINT)
        assert worker_of(client) == worker


def test_a_taken_port_is_refused_in_one_line(service: Server) -> None:
    port = service.address.rpartition(":")[2]
    done = subprocess.run(
        [sys.executable, "-m", "bayesrca.service", "--port", port],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_front_imports_neither_pymc_nor_the_core() -> None:
    code = (
        "import sys, bayesrca.service.app, bayesrca.client\n"
        "heavy = {'pymc', 'pytensor', 'nutpie', 'arviz', 'pandas', 'bayesrca._core'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or None)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)


def test_health_stays_fast_while_large_requests_are_decoded(service: Server) -> None:
    incident = make_incident(samples=600, extra=1000)
    slowest = 0.0
    with Client(service.address) as client, Client(service.address) as probe:
        sender = threading.Thread(
            target=client.analyze, args=(incident,), kwargs={"seed": 1, "settings": SCREEN}
        )
        sender.start()
        while sender.is_alive():
            begun = time.monotonic()
            assert probe.ready()
            slowest = max(slowest, time.monotonic() - begun)
        sender.join()
    assert slowest < 1.0
