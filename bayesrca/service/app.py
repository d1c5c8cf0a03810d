"""Wiring of the server: port, health, reflection, signals, drain."""

from __future__ import annotations

import asyncio
import importlib.metadata
import logging
import signal
import sys

import grpc
from grpc_health.v1 import (  # type: ignore[import-untyped]
    health,
    health_pb2,
    health_pb2_grpc,
)
from grpc_reflection.v1alpha import reflection  # type: ignore[import-untyped]

from bayesrca.errors import ServiceError
from bayesrca.service.handlers import ATTRIBUTION, ROOT_CAUSE, Handlers
from bayesrca.service.keeping import Keeping
from bayesrca.service.options import ServiceOptions
from bayesrca.service.pool import WorkerPool

# Time for load balancers and clients to notice that the server no longer calls itself healthy.
_NOTICE_SECONDS = 0.3
# An open `Health.Watch` would hold `stop` for the whole of a longer grace.
_STOP_GRACE_SECONDS = 0.5

_log = logging.getLogger("bayesrca.service")


def run(options: ServiceOptions) -> None:
    """Serve until SIGTERM or SIGINT; see `bayesrca.service.serve`.

    Raises:
        ServiceError: the port cannot be listened on (reason ``CANNOT_LISTEN``).
    """
    # Does nothing where the program has set logging up already.
    logging.basicConfig(
        level=logging.INFO,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    asyncio.run(_Server(options).run())


class _Server:
    """One server from its start to its end."""

    def __init__(self, options: ServiceOptions) -> None:
        self._options = options
        self._notices: set[asyncio.Task[None]] = set()
        self._was_ready = False

    async def run(self) -> None:
        """Serve until told to stop, then drain."""
        options = self._options
        self._health = health.aio.HealthServicer()
        self._pool = WorkerPool(options, self._on_change)
        server = grpc.aio.server(options=_channel_options(options.max_message_bytes))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        calls = Handlers(self._pool, options.cores, options.prior)
        self._keeping = Keeping(options, self._pool, options.prior)
        for service, rpcs in (
            (ROOT_CAUSE, calls.rpcs(ROOT_CAUSE) | self._keeping.rpcs()),
            (ATTRIBUTION, calls.rpcs(ATTRIBUTION)),
        ):
            handler = grpc.method_handlers_generic_handler(service, rpcs)
            server.add_generic_rpc_handlers((handler,))
        if options.reflection:
            names = (ROOT_CAUSE, ATTRIBUTION, health.SERVICE_NAME, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, server)
        port = _listen(server, options)
        for name in (ROOT_CAUSE, ATTRIBUTION):
            await self._health.set(name, health_pb2.HealthCheckResponse.NOT_SERVING)
        await self._health.set(health.OVERALL_HEALTH, health_pb2.HealthCheckResponse.SERVING)
        stopping = _stop_signals()
        kept = await self._keeping.start()
        await server.start()
        self._report(port, kept)
        self._pool.start()
        await stopping[0].wait()
        await self._drain(server, stopping[1])

    def _report(self, port: int, kept: str) -> None:
        options = self._options
        _say(f"bayesrca {_version()}: gRPC, {'' if options.insecure else 'loopback only, '}no TLS")
        _say(
            f"{options.workers} worker(s) of {options.cores} thread(s), queue {options.queue}, "
            f"messages up to {options.max_message_bytes} bytes, "
            f"reflection {'on' if options.reflection else 'off'}"
        )
        if options.prior is not None:
            _say(f"the parameters' prior is {options.prior.label}")
        _say(kept)
        _say(f"listening on {options.address(port)}")
        _say("warming the model; calls that need it wait" if options.warm else "no warm-up")

    def _on_change(self) -> None:
        # Attributions need a worker, analyses a warm one.
        self._tell(ATTRIBUTION, self._pool.started)
        self._tell(ROOT_CAUSE, self._pool.ready)
        if self._pool.ready != self._was_ready:
            self._was_ready = self._pool.ready
            _say("ready" if self._was_ready else "not ready")

    def _tell(self, service: str, serving: bool) -> None:
        """Have the health service tell whether a service takes calls."""
        statuses = health_pb2.HealthCheckResponse
        status = statuses.SERVING if serving else statuses.NOT_SERVING
        notice = asyncio.create_task(self._health.set(service, status))
        self._notices.add(notice)
        notice.add_done_callback(self._notices.discard)

    async def _drain(self, server: grpc.aio.Server, at_once: asyncio.Event) -> None:
        """Finish the calls that were accepted, unless a second signal comes; then stop."""
        _say("draining: no further calls are accepted")
        self._pool.close()
        await self._health.enter_graceful_shutdown()
        finishing = asyncio.create_task(self._pool.idle(self._options.drain_seconds))
        hurry = asyncio.create_task(at_once.wait())
        await asyncio.sleep(_NOTICE_SECONDS)
        await asyncio.wait({finishing, hurry}, return_when=asyncio.FIRST_COMPLETED)
        for task in (finishing, hurry):
            task.cancel()
        await self._pool.stop()
        await self._keeping.stop()
        await server.stop(_STOP_GRACE_SECONDS)
        await self._keeping.close()
        _say("stopped")


def _listen(server: grpc.aio.Server, options: ServiceOptions) -> int:
    address = options.address(options.port)
    try:
        port = server.add_insecure_port(address)
    except RuntimeError:
        port = 0
    if not port:
        msg = f"cannot listen on {address}: the port is taken, or the host is not this machine's"
        raise ServiceError(msg, reason="CANNOT_LISTEN")
    return port


def _stop_signals() -> tuple[asyncio.Event, asyncio.Event]:
    """Return events for the first and the second SIGTERM or SIGINT."""
    first, second = asyncio.Event(), asyncio.Event()

    def stop() -> None:
        (second if first.is_set() else first).set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    return first, second


def _channel_options(max_message_bytes: int) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", max_message_bytes),
        # Two servers must not share a port by accident.
        ("grpc.so_reuseport", 0),
        ("grpc.max_concurrent_streams", 256),
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.keepalive_permit_without_calls", 1),
        # Clients that ping every 10 s or slower are not sent away in the middle of a long call.
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    ]


def _version() -> str:
    try:
        return importlib.metadata.version("bayesrca")
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201  (the start-up report)
