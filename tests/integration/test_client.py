"""The client: the same answer as a local run, and every failure in plain words."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import pytest

from bayesrca.api.v1 import root_cause_service_pb2 as pb
from bayesrca.client import Client
from bayesrca.config import LARGEST_SEED, Method, Settings
from bayesrca.errors import InvalidSettingsError, ServiceError
from tests.integration.kit import SCREEN, SERVICE, Server, make_incident
from tests.integration.stand_ins import made_up

pytestmark = pytest.mark.grpc


@pytest.fixture
def free_port() -> Iterator[int]:
    with socket.socket() as reserved:  # bound, not listening: nobody else gets it
        reserved.bind(("127.0.0.1", 0))
        yield reserved.getsockname()[1]


def test_the_answer_is_the_one_computed_there(service: Server) -> None:
    incident = make_incident("any name / with :: everything; é")
    settings = Settings(
        method=Method.NUTS, chains=3, draws=17, tune=5, none_prior=0.1 + 0.2, max_bins=3
    )
    with Client(service.address) as client:
        assert client.ready()
        answer = client.analyze(incident, seed=LARGEST_SEED, settings=settings, timeout=60)
    expected = made_up(incident, LARGEST_SEED, settings)
    assert answer.posterior == expected.posterior
    assert answer.diagnostics == expected.diagnostics
    assert answer.seed == LARGEST_SEED
    # All settings arrive, but for the threads, which are the server's to choose.
    ours, theirs = expected.notes[0], answer.notes[0]
    assert ours.partition("cores=")[0] == theirs.partition("cores=")[0]
    assert ours.rpartition(", max_bins")[2] == theirs.rpartition(", max_bins")[2]


def test_an_answer_larger_than_grpcs_default_limit_arrives(service: Server) -> None:
    incident = make_incident("many components", samples=8, extra=50_000)
    with Client(service.address) as client:
        answer = client.analyze(incident, seed=1, settings=SCREEN, timeout=120)
    assert len(answer.posterior.causes) == 50_003


def test_nobody_there(free_port: int) -> None:
    with Client(f"127.0.0.1:{free_port}") as client:
        assert client.ready() is False
        with pytest.raises(ServiceError, match="is `bayesrca serve` running there") as caught:
            client.analyze(make_incident(), seed=1, timeout=20)
    assert caught.value.reason == "UNAVAILABLE"


def test_something_else_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with Client(address) as client, pytest.raises(ServiceError) as caught:
            client.analyze(make_incident(), seed=1, timeout=0.5)
        assert caught.value.reason in ("DEADLINE_EXCEEDED", "UNAVAILABLE")


@contextmanager
def other_server(*handlers: grpc.GenericRpcHandler) -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers(handlers)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(0).wait()


def test_a_server_without_the_service() -> None:
    with other_server() as address, Client(address) as client:
        assert client.ready() is False
        with pytest.raises(ServiceError, match="does not offer") as caught:
            client.analyze(make_incident(), seed=1, timeout=20)
    assert caught.value.reason == "UNIMPLEMENTED"


def test_a_server_that_answers_nonsense() -> None:
    def empty(_: bytes, __: object) -> bytes:
        return pb.AnalyzeResponse().SerializeToString()

    method: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(empty)
    handler = grpc.method_handlers_generic_handler(SERVICE, {"Analyze": method})
    with (
        other_server(handler) as address,
        Client(address) as client,
        pytest.raises(ServiceError) as caught,
    ):
        client.analyze(make_incident(), seed=1, timeout=20)
    assert caught.value.reason == "BAD_ANSWER"


def test_too_large_a_message_is_told_in_words() -> None:
    with Server("--max-message-bytes", "2000") as server:
        for limit in (2000, 1 << 20):  # refused at home, refused there
            with Client(server.address, max_message_bytes=limit) as client:
                begun = time.monotonic()
                with pytest.raises(ServiceError, match="larger than") as caught:
                    client.analyze(make_incident(samples=500), seed=1, timeout=30)
                assert caught.value.reason == "MESSAGE_TOO_LARGE"
                assert time.monotonic() - begun < 20


def test_an_endless_timeout_is_none(service: Server) -> None:
    with Client(service.address, timeout=60) as client:
        answer = client.analyze(make_incident(), seed=1, settings=SCREEN, timeout=float("inf"))
    assert answer.seed == 1


@pytest.mark.parametrize("address", ["", "host", "host:", ":1", "host:x", "host:0", "a b:1"])
def test_an_address_that_is_none(address: str) -> None:
    with pytest.raises(ServiceError) as caught:
        Client(address)
    assert caught.value.reason == "INVALID_ADDRESS"


def test_misuse_is_said_before_anything_is_sent(service: Server) -> None:
    with Client(service.address) as client:
        with pytest.raises(InvalidSettingsError, match="seed"):
            client.analyze(make_incident(), seed=-1)
        with pytest.raises(InvalidSettingsError, match="seed"):
            client.analyze(make_incident(), seed=LARGEST_SEED + 1)
        with pytest.raises(ServiceError) as caught:
            client.analyze(make_incident(), seed=1, timeout=0.0)
        assert caught.value.reason == "INVALID_TIMEOUT"
    client.close()
    with pytest.raises(ServiceError) as caught:
        client.analyze(make_incident(), seed=1)
    assert caught.value.reason == "CLOSED"
    assert client.ready() is False


def test_a_refusal_carries_the_violation(service: Server) -> None:
    # The domain refuses bad incidents at home; a server with lower limits refuses good ones.
    with Client(service.address) as client, pytest.raises(ServiceError) as caught:
        client.analyze(make_incident(), seed=1, settings=Settings(draws=1_000_000))
    assert caught.value.reason == "INVALID_SETTINGS"
    assert caught.value.field == "settings.draws"
    assert caught.value.violations[0][1] == str(caught.value)
