"""Wiring of the server: port, health, reflection, signals, drain."""

from __future__ import annotations

import asyncio
import importlib.metadata
import logging
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
from grpc_health.v1 import (  # type: ignore[import-untyped]
    health,
    health_pb2,
    health_pb2_grpc,
)

from bayesrca.config import LearnedPrior
from bayesrca.errors import ServiceError
from bayesrca.service.auth import Guard
from bayesrca.service.configuration import Configuration
from bayesrca.service.credentials import read_credentials
from bayesrca.service.decisions import DECISION
from bayesrca.service.handlers import ATTRIBUTION, ROOT_CAUSE, Handlers
from bayesrca.service.health import HealthServicer
from bayesrca.service.http_server import HttpServer
from bayesrca.service.interceptors import GuardInterceptor, LimitInterceptor
from bayesrca.service.keeping import Keeping
from bayesrca.service.options import LogFormat, ServiceOptions, is_loopback
from bayesrca.service.pool import WorkerPool
from bayesrca.service.reflection import add_reflection
from bayesrca.service.sourcing import Sourcing
from bayesrca.service.succession import Succession
from bayesrca.service.telemetry import Metrics
from bayesrca.service.telemetry_calls import TelemetryInterceptor
from bayesrca.service.telemetry_http import telemetry_server
from bayesrca.service.telemetry_jobs import JobTelemetry
from bayesrca.service.telemetry_logs import set_up_logging
from bayesrca.service.telemetry_saved import SavedHandlers
from bayesrca.service.telemetry_traces import Traces
from bayesrca.service.telemetry_window import TELEMETRY, WindowHandlers
from bayesrca.service.tls import server_credentials
from bayesrca.service.watched import Watched

if TYPE_CHECKING:
    from bayesrca.service.alerts import Alerts
    from bayesrca.service.configured import Configured
    from bayesrca.service.otlp_http import OtlpHttp
    from bayesrca.service.receiver import Receiver

# Time for load balancers and clients to notice that the server no longer calls itself healthy.
_NOTICE_SECONDS = 0.3
# An open `Health.Watch` would hold `stop` for the whole of a longer grace.
_STOP_GRACE_SECONDS = 2.0
# Until the second `stop`, which ends the patience of the first.
_LONGEST_SECONDS = 86_400.0

_log = logging.getLogger("bayesrca.service")


def run(configuration: Configuration) -> None:
    """Serve until SIGTERM or SIGINT; see `bayesrca.service.serve`, also for the errors."""
    set_up_logging(configuration.options.log_format)
    asyncio.run(_Server(configuration).run())


class _Server:
    """One server from its start to its end."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._options = options = configuration.options
        self._prior = _read_prior(options.prior)
        self._configured = _configured(options)
        self._tls = server_credentials(options)
        known = options.credentials_file
        self._credentials = (
            None if known is None else Watched((known,), lambda: read_credentials(known))
        )
        self._metrics = Metrics(_version())
        self._traces = Traces(options, _version())
        self._pages: HttpServer | None = None
        self._alerts: Alerts | None = None
        self._otlp_http: OtlpHttp | None = None
        self._notices: set[asyncio.Task[None]] = set()
        self._was_ready = False
        self._succession: Succession | None = None
        if options.takeover and options.data_dir is not None:
            self._succession = Succession(options.data_dir)

    async def run(self) -> None:
        """Serve until told to stop, then drain."""
        options = self._options
        self._health = HealthServicer()
        observer = JobTelemetry(self._metrics, self._traces.tracer)
        self._pool = WorkerPool(options, self._on_change, observer)
        self._metrics.follow(self._pool)
        stopping = _stop_signals()
        lock = None
        if self._succession is not None:
            lock = await self._turn(self._succession, stopping[0])
            if lock is None:
                await self._pool.stop()
                return
        guard = Guard(self._credentials, certificates=options.tls_client_ca_file is not None)
        server = grpc.aio.server(
            options=_channel_options(options),
            interceptors=(
                TelemetryInterceptor(self._metrics, self._traces.tracer),
                GuardInterceptor(guard),
                LimitInterceptor(options.max_calls),
            ),
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        receiver = _receiver(options, self._metrics) if options.receive_telemetry else None
        self._keeping = Keeping(options, self._pool, self._prior, lock)
        files = self._keeping.saved_files(options)
        self._saved = SavedHandlers(receiver, files)
        sourcing = Sourcing(receiver, files, self._configured, options.max_message_bytes)
        calls = Handlers(self._pool, sourcing, options.cores, self._prior)
        for service, rpcs in (
            (ROOT_CAUSE, calls.rpcs(ROOT_CAUSE) | self._keeping.rpcs(sourcing)),
            (ATTRIBUTION, calls.rpcs(ATTRIBUTION)),
            (DECISION, self._keeping.decision_rpcs(self._metrics.decided)),
            (TELEMETRY, WindowHandlers(receiver).rpcs() | self._saved.rpcs()),
        ):
            handler = grpc.method_handlers_generic_handler(service, rpcs)
            server.add_generic_rpc_handlers((handler,))
        if receiver is not None:
            server.add_generic_rpc_handlers(tuple(receiver.handlers()))
        if options.reflection:
            add_reflection(
                (ROOT_CAUSE, ATTRIBUTION, DECISION, TELEMETRY, health.SERVICE_NAME), server
            )
        port = _listen(server, options, self._tls)
        self._on_change()  # one that had to wait has workers by now
        for name in (health.OVERALL_HEALTH, DECISION, TELEMETRY):  # these need no worker
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        if options.http_port is not None:
            self._pages = telemetry_server(
                options.http_host,
                options.http_port,
                self._metrics,
                lambda: self._pool.ready,
                shared=options.takeover,
            )
        kept = await self._keeping.start()
        self._saved.start()
        if options.alert_port is not None:
            # Late, for it loads what reads telemetry, which a server without alerts can do without.
            from bayesrca.service.alerts import Alerts  # noqa: PLC0415

            assert self._configured is not None
            self._alerts = Alerts(options, guard, self._keeping, self._configured)
        if receiver is not None and options.otlp_http_port is not None:
            from bayesrca.service.otlp_http import OtlpHttp  # noqa: PLC0415  as above

            self._otlp_http = OtlpHttp(options, guard, receiver)
        await server.start()
        self._report(port, kept)
        self._pool.start()
        if self._succession is not None:
            self._succession.arrived()
        await stopping[0].wait()
        await self._drain(server, stopping[1])

    async def _turn(self, succession: Succession, stop: asyncio.Event) -> int | None:
        """Return the data directory's lock, for which it may have to wait; None when told to stop.

        While it waits it warms its workers, and listens nowhere: what the server before answers is
        answered as ever.
        """
        lock = succession.at_once()
        if lock is not None:
            # Whoever listens on the port is none that this server succeeds.
            _check_free(self._options)
            return lock
        self._say("the data directory is in use; warming up to take over")
        self._pool.start()
        turn = asyncio.create_task(
            succession.turn(lambda: self._pool.ready, lambda: self._say("ready to take over"))
        )
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({turn, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if turn.done():
            return turn.result()
        turn.cancel()
        return None

    def _report(self, port: int, kept: str) -> None:
        options = self._options
        lines = [
            f"bayesrca {_version()}: gRPC, {self._exposure()}",
            f"{options.workers} worker(s) of {options.cores} thread(s), queue {options.queue}, "
            f"messages up to {options.max_message_bytes} bytes, "
            f"reflection {'on' if options.reflection else 'off'}",
        ]
        if self._prior is not None:
            lines.append(f"the parameters' prior is {self._prior.label}")
        lines.append(kept)
        if self._pages is not None:
            lines.append(f"metrics and probes on http://{self._pages.address}")
        if self._alerts is not None:
            lines.append(f"alerts are taken on {self._alerts.address}")
        if self._otlp_http is not None:
            lines.append(f"OpenTelemetry is taken on {self._otlp_http.address} too")
        if options.receive_telemetry:
            lines.append(
                f"receives OpenTelemetry; holds {options.telemetry_bytes} bytes and "
                f"{options.telemetry_seconds:g} s of each tenant"
            )
        if options.otlp_endpoint is not None:
            lines.append(f"spans to {options.otlp_endpoint}")
        lines.append(f"configuration: {self._configuration.summary}")
        lines.append(f"listening on {options.address(port)}")
        lines.append("warming the model; calls that need it wait" if options.warm else "no warm-up")
        for line in lines:
            self._say(line)

    def _say(self, line: str) -> None:
        """Say something to whoever started the server."""
        if self._options.log_format is LogFormat.JSON:
            _log.info("%s", line)
        else:
            print(line, file=sys.stderr, flush=True)  # noqa: T201

    def _exposure(self) -> str:
        """Say who can reach the server and who may use it."""
        options = self._options
        tls = "no TLS" if self._tls is None else "TLS"
        if options.tls_client_ca_file is not None:
            tls = "TLS with client certificates"
        callers = "anyone may call"
        if self._credentials is not None:
            callers = self._credentials.current().summary
        return f"{'loopback only, ' if is_loopback(options.host) else ''}{tls}, {callers}"

    def _on_change(self) -> None:
        # Attributions need a worker, analyses a warm one.
        self._tell(ATTRIBUTION, self._pool.started)
        self._tell(ROOT_CAUSE, self._pool.ready)
        if self._pool.ready != self._was_ready:
            self._was_ready = self._pool.ready
            self._say("ready" if self._was_ready else "not ready")

    def _tell(self, service: str, serving: bool) -> None:
        """Have the health service tell whether a service takes calls."""
        statuses = health_pb2.HealthCheckResponse
        status = statuses.SERVING if serving else statuses.NOT_SERVING
        notice = asyncio.create_task(self._health.set(service, status))
        self._notices.add(notice)
        notice.add_done_callback(self._notices.discard)

    async def _drain(self, server: grpc.aio.Server, at_once: asyncio.Event) -> None:
        """Finish the calls that were accepted, unless a second signal comes; then stop."""
        stopping: asyncio.Task[None] | None = None
        if self._succession is not None and self._succession.awaited():
            await self._hand_over(self._succession)
            # Whoever asks from here on reaches the successor, and must not be told "not ready".
            stopping = asyncio.create_task(server.stop(_LONGEST_SECONDS))
            await asyncio.sleep(_NOTICE_SECONDS)
        self._say("draining: no further calls are accepted")
        if self._alerts is not None:
            await self._alerts.stop()
        if self._otlp_http is not None:
            await self._otlp_http.stop()
        await self._health.enter_graceful_shutdown()
        # Closes the port and asks clients to connect elsewhere, before any call is refused: with
        # another server on the port there is then nothing to refuse.
        stopping = stopping or asyncio.create_task(server.stop(_LONGEST_SECONDS))
        hurry = asyncio.create_task(at_once.wait())
        await asyncio.sleep(_NOTICE_SECONDS)
        # Only now can an idle pool be the end of it: calls may have been under way until here.
        self._pool.close()
        finishing = asyncio.create_task(self._pool.idle(self._options.drain_seconds))
        await asyncio.wait({finishing, hurry}, return_when=asyncio.FIRST_COMPLETED)
        for task in (finishing, hurry):
            task.cancel()
        await self._pool.stop()
        await self._keeping.stop()
        await self._saved.close()
        # Again, with less patience: time for the last statuses to leave.
        await server.stop(_STOP_GRACE_SECONDS)
        await stopping
        await self._keeping.close()
        self._close_pages()
        await asyncio.to_thread(self._traces.close)
        self._say("stopped")

    async def _hand_over(self, succession: Succession) -> None:
        """Let the server that waits have the stored analyses, and wait until it listens.

        All other calls are answered meanwhile. Those about stored analyses get ``DRAINING`` for the
        fraction of a second in which neither server can answer them, and come again.
        """
        self._say("handing over to the server that waits")
        await self._keeping.stop()
        await self._saved.close()
        await self._keeping.close()
        if not await succession.handed_over():
            self._say("the server that waits does not get to listen; stopping all the same")
        await asyncio.to_thread(self._close_pages)

    def _close_pages(self) -> None:
        if self._pages is not None:
            self._pages.stop()
            self._pages = None


def _read_prior(path: Path | None) -> LearnedPrior | None:
    if path is None:
        return None
    # Late, for it loads the native core, which the front can do without.
    from bayesrca.model.prior_file import load_prior  # noqa: PLC0415

    return load_prior(path)


def _configured(options: ServiceOptions) -> Configured | None:
    if not options.has_sources:
        return None
    # Late, for it loads what reads telemetry, which a server without back ends can do without.
    from bayesrca.service.configured import Configured  # noqa: PLC0415

    return Configured(options)


def _receiver(options: ServiceOptions, metrics: Metrics) -> Receiver:
    # Late, for it loads the native core, which the front can do without.
    from bayesrca.service.receiver import Receiver  # noqa: PLC0415

    return Receiver(options, metrics)


def _listen(
    server: grpc.aio.Server, options: ServiceOptions, tls: grpc.ServerCredentials | None
) -> int:
    address = options.address(options.port)
    try:
        if tls is None:
            port = server.add_insecure_port(address)
        else:
            port = server.add_secure_port(address, tls)
    except RuntimeError:
        port = 0
    if not port:
        msg = f"cannot listen on {address}: the port is taken, or the host is not this machine's"
        raise ServiceError(msg, reason="CANNOT_LISTEN")
    return port


def _check_free(options: ServiceOptions) -> None:
    """Refuse a port that another server listens on, be it one that would share it.

    Raises:
        ServiceError: it is taken (``CANNOT_LISTEN``).
    """
    address = (options.host, options.port)
    try:
        for family, kind, protocol, _, found in socket.getaddrinfo(
            *address, type=socket.SOCK_STREAM
        ):
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(found)
    except OSError as error:
        msg = f"cannot listen on {options.address(options.port)}: {error.strerror}"
        raise ServiceError(msg, reason="CANNOT_LISTEN") from error


def _stop_signals() -> tuple[asyncio.Event, asyncio.Event]:
    """Return events for the first and the second SIGTERM or SIGINT."""
    first, second = asyncio.Event(), asyncio.Event()

    def stop() -> None:
        (second if first.is_set() else first).set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    return first, second


def _channel_options(options: ServiceOptions) -> list[tuple[str, int]]:
    return [
        # A compressed message counts as what it unpacks to: gRPC stops unpacking there.
        ("grpc.max_receive_message_length", options.max_message_bytes),
        ("grpc.max_send_message_length", options.max_message_bytes),
        ("grpc.max_metadata_size", options.max_metadata_bytes),
        ("grpc.absolute_max_metadata_size", options.max_metadata_bytes),
        # A connection that does not get through its handshake is dropped.
        ("grpc.server_handshake_timeout_ms", 10_000),
        # Two servers must not share a port by accident.
        ("grpc.so_reuseport", int(options.takeover)),
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
