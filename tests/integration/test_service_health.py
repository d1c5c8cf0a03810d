"""Health, reflection and the start-up report."""

from __future__ import annotations

import signal
import socket
import struct
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]
from grpc_reflection.v1alpha import (  # type: ignore[import-untyped]
    reflection_pb2,
    reflection_pb2_grpc,
)

from bayesrca.client import Client
from tests.integration.kit import (
    ATTRIBUTION,
    SCREEN,
    SERVICE,
    Server,
    eventually,
    make_incident,
)
from tests.integration.stand_ins import WARM_FILE

pytestmark = pytest.mark.grpc
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def check(server: Server, name: str) -> int:
    with server.channel() as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        reply = stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=10)
    status: int = reply.status
    return status


def listed(server: Server) -> set[str]:
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    with server.channel() as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        reply = next(stub.ServerReflectionInfo(iter([request]), timeout=10))
    return {service.name for service in reply.list_services_response.service}


def described(server: Server, symbol: str) -> reflection_pb2.ServerReflectionResponse:
    request = reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol)
    with server.channel() as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        return next(stub.ServerReflectionInfo(iter([request]), timeout=10))


def test_health_names_the_server_and_the_service(service: Server) -> None:
    assert check(service, "") == SERVING
    assert check(service, SERVICE) == SERVING
    assert check(service, ATTRIBUTION) == SERVING


def test_health_of_an_unknown_service_is_not_found(service: Server) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        check(service, "bayesrca.api.v1.NoSuchService")
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND


def test_reflection_lists_the_service_and_describes_its_messages(service: Server) -> None:
    assert listed(service) >= {SERVICE, ATTRIBUTION}
    for symbol in (SERVICE, f"{SERVICE}.Analyze", "bayesrca.api.v1.AnalyzeRequest"):
        reply = described(service, symbol)
        assert b"AnalyzeRequest" in b"".join(reply.file_descriptor_response.file_descriptor_proto)
    for symbol in ("made.Up", f"{SERVICE}.MadeUp", "made.Up.Method"):
        reply = described(service, symbol)
        assert reply.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


def test_reflection_can_be_switched_off() -> None:
    with Server("--no-reflection") as server, pytest.raises(grpc.RpcError) as caught:
        listed(server)
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_not_serving_until_warm_yet_the_screen_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "warm"
    monkeypatch.setenv(WARM_FILE, str(told))
    with Server(warmer="warm_when_told") as server, Client(server.address) as client:
        assert check(server, "") == SERVING
        assert eventually(lambda: check(server, ATTRIBUTION) == SERVING)
        assert check(server, SERVICE) == NOT_SERVING
        assert not client.ready()
        assert client.analyze(make_incident(), seed=1, settings=SCREEN, timeout=30).seed == 1
        assert not client.ready()
        told.touch()
        assert eventually(client.ready)
        assert check(server, SERVICE) == SERVING
        # The default method needs the model, and now has it.
        assert client.analyze(make_incident(), seed=2, timeout=30).seed == 2


def test_a_worker_that_cannot_warm_up_leaves_the_server_alive_and_unavailable() -> None:
    with Server(warmer="warm_never") as server, server.channel() as channel:
        server.wait_for(lambda line: "no worker can be started" in line)
        assert check(server, "") == SERVING
        assert check(server, SERVICE) == NOT_SERVING
        assert check(server, ATTRIBUTION) == NOT_SERVING
        server.wait_for(lambda line: "no compiler in this test" in line)
        del channel


def test_a_watch_that_reads_nothing_holds_up_nobody() -> None:
    with Server() as server:
        server.until_ready()
        host, _, port = server.address.rpartition(":")
        with socket.create_connection((host, int(port))) as enemy, server.channel() as channel:
            enemy.sendall(deaf_watch())
            enemy.settimeout(30)
            # The answer's headers have come: from here on its message waits for room.
            seen = b""
            while 1 not in kinds_of_frames(seen):
                seen += enemy.recv(4096)
            watch = health_pb2_grpc.HealthStub(channel).Watch(
                health_pb2.HealthCheckRequest(service=SERVICE), timeout=30
            )
            assert next(watch).status == SERVING
            server.signal(signal.SIGTERM)
            assert next(watch).status == NOT_SERVING
            assert server.wait() == 0


def deaf_watch() -> bytes:
    """HTTP/2 of a client that opens a health watch but has, and makes, no room for its messages."""
    headers = {
        ":method": "POST",
        ":scheme": "http",
        ":path": "/grpc.health.v1.Health/Watch",
        ":authority": "enemy",
        "te": "trailers",
        "content-type": "application/grpc",
    }
    block = b"".join(
        b"\x00" + b"".join(bytes([len(word)]) + word.encode() for word in header)
        for header in headers.items()
    )
    request = health_pb2.HealthCheckRequest(service=SERVICE).SerializeToString()
    message = b"\x00" + struct.pack(">I", len(request)) + request
    window = struct.pack(">HI", 4, 0)  # SETTINGS_INITIAL_WINDOW_SIZE
    return b"".join(
        (
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            frame(4, 0, 0, window),
            frame(1, 4, 1, block),  # HEADERS, END_HEADERS
            frame(0, 1, 1, message),  # DATA, END_STREAM
        )
    )


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    head = struct.pack(">I", len(payload))[1:] + bytes([kind, flags])
    return head + struct.pack(">I", stream) + payload


def kinds_of_frames(received: bytes) -> list[int]:
    """Kinds of the frames in what was received."""
    kinds = []
    while len(received) >= 9:
        kinds.append(received[3])
        received = received[9 + int.from_bytes(received[:3], "big") :]
    return kinds
