"""What stands around handlers, of every kind of method, on a server in this process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from bayesrca.api.v1 import (
    attribution_service_pb2,
    decision_service_pb2,
    root_cause_service_pb2,
    telemetry_service_pb2,
)
from bayesrca.service import Scope, current_caller
from bayesrca.service.auth import SCOPES, Guard
from bayesrca.service.caller import ANYONE
from bayesrca.service.credentials import new_token, read_credentials
from bayesrca.service.interceptors import GuardInterceptor, LimitInterceptor, surrounded
from bayesrca.service.messages import CallFailedError, Failure
from bayesrca.service.watched import Watched
from tests.integration.kit import eventually

pytestmark = pytest.mark.grpc
KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream", "writing")


def test_every_method_of_ours_has_a_scope() -> None:
    served = {
        f"/{service.full_name}/{method.name}"
        for module in (
            attribution_service_pb2,
            decision_service_pb2,
            root_cause_service_pb2,
            telemetry_service_pb2,
        )
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
    assert served == {method for method in SCOPES if method.startswith("/bayesrca.")}


def told() -> bytes:
    caller = current_caller()
    return f"{caller.tenant}/{caller.subject}".encode()


async def _unary(request: bytes, _: object) -> bytes:
    if request == b"fail":
        raise CallFailedError(Failure(reason="NO_EVIDENCE", message="as asked"))
    return await asyncio.to_thread(told)


async def _yields(request: bytes, context: object) -> AsyncIterator[bytes]:
    for _ in range(2):
        yield await _unary(request, context)


async def _gathers(requests: AsyncIterator[bytes], context: object) -> bytes:
    return b"".join([await _unary(request, context) async for request in requests])


async def _echoes(requests: AsyncIterator[bytes], context: object) -> AsyncIterator[bytes]:
    async for request in requests:
        yield await _unary(request, context)


async def _writes(request: bytes, context: Any) -> None:  # noqa: ANN401
    for _ in range(2):
        await context.write(await _unary(request, context))


def handlers() -> grpc.GenericRpcHandler:
    return grpc.method_handlers_generic_handler(
        "t.T",
        {
            "unary_unary": grpc.unary_unary_rpc_method_handler(_unary),
            "unary_stream": grpc.unary_stream_rpc_method_handler(_yields),
            "stream_unary": grpc.stream_unary_rpc_method_handler(_gathers),
            "stream_stream": grpc.stream_stream_rpc_method_handler(_echoes),
            "writing": grpc.unary_stream_rpc_method_handler(_writes),
        },
    )


def ask(channel: grpc.Channel, kind: str, request: bytes, token: str = "") -> bytes:
    name = "unary_stream" if kind == "writing" else kind
    metadata = (("authorization", f"Bearer {token}"),) if token else ()
    sent: Any = iter([request, request]) if name.startswith("stream") else request
    answer: Any = getattr(channel, name)(f"/t.T/{kind}")(sent, metadata=metadata, timeout=10)
    return bytes(answer) if name.endswith("unary") else b"".join(answer)


def serve(
    interceptors: list[grpc.aio.ServerInterceptor], use: Callable[[grpc.Channel], None]
) -> None:
    """Run a server, and `use` in a thread: asyncio's client loses the status of refused streams."""

    async def run() -> None:
        server = grpc.aio.server(interceptors=interceptors)
        server.add_generic_rpc_handlers((handlers(),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                await asyncio.to_thread(use, channel)
        finally:
            await server.stop(0)

    asyncio.run(run())


@pytest.fixture
def scopes(monkeypatch: pytest.MonkeyPatch) -> None:
    table = {**SCOPES} | {f"/t.T/{kind}": Scope.READ for kind in KINDS}
    monkeypatch.setattr("bayesrca.service.auth.SCOPES", table)


@pytest.mark.usefixtures("scopes")
@pytest.mark.parametrize("kind", KINDS)
def test_handlers_learn_who_calls(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "credentials.toml"
    made = [new_token(name, f"of-{name}", [Scope.READ], None) for name in ("ann", "bob")]
    path.write_text("\n".join(line for _, line in made), encoding="utf-8")
    guard = Guard(Watched((path,), lambda: read_credentials(path)), certificates=False)

    def use(channel: grpc.Channel) -> None:
        for (token, _), name in zip(made, ("ann", "bob"), strict=True):
            answer = ask(channel, kind, b"", token)
            once = f"of-{name}/{name}".encode()
            assert answer in (once, once * 2)
        with pytest.raises(grpc.RpcError) as caught:
            ask(channel, kind, b"")
        assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED

    serve([GuardInterceptor(guard)], use)
    assert current_caller() is ANYONE


@pytest.mark.parametrize("kind", KINDS)
def test_what_surrounds_a_handler_sees_its_end_and_refuses_in_its_place(kind: str) -> None:
    seen: list[str] = []

    class Around:
        def __enter__(self) -> None:
            seen.append("in")

        def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
            seen.append("out" if kind is None else kind.__name__)

    class Interceptor(grpc.aio.ServerInterceptor):
        async def intercept_service(self, continuation: Any, details: Any) -> Any:  # noqa: ANN401
            return surrounded(await continuation(details), lambda _: Around())

    def use(channel: grpc.Channel) -> None:
        assert ask(channel, kind, b"").startswith(b"default/anyone")
        with pytest.raises(grpc.RpcError) as caught:
            ask(channel, kind, b"fail")
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT

    serve([Interceptor()], use)
    assert seen == ["in", "out", "in", "CallFailedError"]


def test_calls_are_counted_until_they_end_however_they_end() -> None:
    def use(channel: grpc.Channel) -> None:
        for _ in range(3):
            ask(channel, "unary_unary", b"")
            with pytest.raises(grpc.RpcError):
                ask(channel, "unary_unary", b"fail")
            # Its request never comes to an end: the handler does not begin.
            begun, ended = threading.Event(), threading.Event()
            half = start(channel, begun, ended)
            assert begun.wait(10)
            assert eventually(lambda: code(channel) is grpc.StatusCode.RESOURCE_EXHAUSTED, 10)
            half.cancel()
            ended.set()
            assert eventually(lambda: code(channel) is grpc.StatusCode.OK, 10)

    serve([LimitInterceptor(1)], use)


def start(
    channel: grpc.Channel, begun: threading.Event, ended: threading.Event
) -> grpc.Future[Any]:
    """Begin a call and leave it there."""

    def requests() -> Iterator[bytes]:
        yield b""
        begun.set()
        ended.wait(10)

    method: Any = channel.stream_unary("/t.T/stream_unary")
    call: grpc.Future[Any] = method.future(requests())
    return call


def code(channel: grpc.Channel) -> grpc.StatusCode:
    try:
        ask(channel, "unary_unary", b"")
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK
