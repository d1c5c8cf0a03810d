"""Alertmanager's webhook: a group of alerts that begins to fire opens one stored analysis."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Mapping
from functools import partial
from http import HTTPStatus

from bayesrca.api.v1 import root_cause_service_pb2 as pb
from bayesrca.config import Settings
from bayesrca.errors import BayesRcaError, InvalidRequestError, NoEvidenceError, SourceError
from bayesrca.incident import Target, TimeWindow
from bayesrca.ingest.connectors.alertmanager import NAME, Notification, parse_notification
from bayesrca.ingest.connectors.collect import Wanted, collect
from bayesrca.ingest.connectors.times import format_time
from bayesrca.ingest.connectors.told import Told
from bayesrca.service.auth import Guard
from bayesrca.service.caller import Caller
from bayesrca.service.configured import Configured
from bayesrca.service.daemon import in_daemon
from bayesrca.service.http_server import HttpServer, Page, Posted, Routes
from bayesrca.service.keeping import Keeping
from bayesrca.service.messages import CallFailedError
from bayesrca.service.options import ServiceOptions
from bayesrca.service.records import NewAnalysis, Record
from bayesrca.wire import AnalyzeCall, encode_request

ALERT_PATH = "/alertmanager"
MAX_BODY_BYTES = 4 << 20
_METHOD = "/bayesrca.api.v1.RootCauseService/CreateAnalysis"
_WAITING = 16
"""Groups that may wait for their telemetry; of further ones Alertmanager is told to come again."""
_PAUSES = (10.0, 60.0)
"""Seconds before the further attempts to collect where a source was away."""
_MOST_STEPS = 1440
"""Steps of the time in question at most: a day of minutes."""
_ANSWER_SECONDS = 30.0
_STATUSES = {
    "NO_CREDENTIALS": HTTPStatus.UNAUTHORIZED,
    "INVALID_CREDENTIALS": HTTPStatus.UNAUTHORIZED,
    "EXPIRED_CREDENTIALS": HTTPStatus.UNAUTHORIZED,
    "MISSING_SCOPE": HTTPStatus.FORBIDDEN,
}
_SEED = 0

_log = logging.getLogger("bayesrca.service.alerts")


class Alerts:
    """Takes notifications, collects telemetry for them and opens analyses, one after another.

    Where telemetry comes from is the server's configuration; a notification names no address.

    Args:
        options: where to listen, what to ask.
        guard: finds out who notifies, for which tenant.
        keeping: stores the analyses.
        configured: where telemetry comes from.

    Raises:
        ServiceError: the port cannot be listened on (``CANNOT_LISTEN``).
    """

    def __init__(
        self, options: ServiceOptions, guard: Guard, keeping: Keeping, configured: Configured
    ) -> None:
        self._options, self._guard, self._keeping = options, guard, keeping
        self._configured = configured
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[tuple[str, Notification]] = asyncio.Queue(_WAITING)
        self._under_way: set[tuple[str, str]] = set()
        assert options.alert_port is not None
        routes = Routes(post={ALERT_PATH: self._take}, max_bytes=MAX_BODY_BYTES)
        self._server: HttpServer | None = HttpServer(
            options.alert_host,
            options.alert_port,
            routes,
            what="alerts",
            shared=options.takeover,
        )
        self.address = f"http://{self._server.address}{ALERT_PATH}"
        self._worker = asyncio.create_task(self._work())

    async def stop(self) -> None:
        """Take no further alerts; those that wait are left to Alertmanager's next notification."""
        if self._server is not None:
            server, self._server = self._server, None
            await asyncio.to_thread(server.stop)
        self._worker.cancel()
        await asyncio.gather(self._worker, return_exceptions=True)

    def _take(self, posted: Posted) -> Page:
        """Answer a notification; runs in a thread of the HTTP server."""
        try:
            caller = self._caller(posted)
        except CallFailedError as error:
            status = _STATUSES.get(error.failure.reason, HTTPStatus.FORBIDDEN)
            return _page(status, error=error.failure.message)
        notification = _read(posted)
        if isinstance(notification, Page):
            return notification
        if notification.first is None:
            return _page(HTTPStatus.OK, state="resolved")
        answer = asyncio.run_coroutine_threadsafe(
            self._enter(caller.tenant, notification), self._loop
        )
        try:
            return answer.result(_ANSWER_SECONDS)
        except Exception:  # whatever it is, Alertmanager is to come again
            _log.exception("a notification could not be taken")
            return _page(HTTPStatus.SERVICE_UNAVAILABLE, error="the server failed; come again")

    def _caller(self, posted: Posted) -> Caller:
        shown = [("authorization", value) for value in posted.authorization]
        caller = self._guard.by_metadata(_METHOD, shown)
        # Certificates belong to gRPC's port: here only a token tells who it is.
        return caller or self._guard.by_certificate(_METHOD, ())

    async def _enter(self, tenant: str, notification: Notification) -> Page:
        identity = notification.request_id
        waiting = _page(HTTPStatus.ACCEPTED, state="waiting", request_id=identity)
        if (tenant, identity) in self._under_way:
            return waiting
        # Before anything is awaited: of two equal notifications one goes on.
        self._under_way.add((tenant, identity))
        queued = False
        try:
            known = await self._keeping.find(tenant, identity)
            if known is not None:
                return _page(HTTPStatus.OK, state="known", request_id=identity, analysis=known.id)
            self._queue.put_nowait((tenant, notification))
            queued = True
        except asyncio.QueueFull:
            return _page(HTTPStatus.SERVICE_UNAVAILABLE, error="too many alerts wait; come again")
        finally:
            if not queued:
                self._under_way.discard((tenant, identity))
        return waiting

    async def _work(self) -> None:
        while True:
            tenant, notification = await self._queue.get()
            try:
                await self._insist(tenant, notification)
            except Exception:  # the next group must not suffer from it
                _log.exception("the alerts of group %r open no analysis", notification.group)
            finally:
                self._under_way.discard((tenant, notification.request_id))

    async def _insist(self, tenant: str, notification: Notification) -> None:
        """Open an analysis; a source that is away gets time to come back."""
        for pause in (*_PAUSES, None):
            try:
                record = await self._open(tenant, notification)
            except (BayesRcaError, CallFailedError) as error:
                _log.error("no analysis of alert group %r: %s", notification.group, error)
                if pause is None or not _may_pass(error):
                    return
                await asyncio.sleep(pause)
            else:
                _log.info("alert group %r opened analysis %s", notification.group, record.id)
                return

    async def _open(self, tenant: str, notification: Notification) -> Record:
        wanted = self._wanted(notification, time.time())
        request = await in_daemon(partial(self._request, notification, wanted))
        new = NewAnalysis(
            request_id=notification.request_id,
            incident=wanted.name,
            method=self._options.alert_method,
            request=request,
        )
        return await self._keeping.accept(tenant, new)

    def _wanted(self, notification: Notification, now: float) -> Wanted:
        """Return what to ask for: the time round the alert, and the normal time before."""
        options, first = self._options, notification.first
        assert first is not None
        step = options.alert_step_seconds
        start = first.since - options.alert_lead_seconds
        # Of an alert that has been firing for days, its beginning.
        window = TimeWindow(start, max(min(now, start + _MOST_STEPS * step), start + step))
        length = options.alert_baseline_seconds
        component = first.event(self._configured.plan.mapping).component
        return Wanted(
            name=f"{first.title} {format_time(first.since)}",
            window=window,
            baseline=TimeWindow(start - length, start) if length else None,
            step=step,
            target=None if component is None else Target(component),
            declared=self._configured.declared,
            strict=False,
        )

    def _request(self, notification: Notification, wanted: Wanted) -> bytes:
        """Collect an incident and return it as the request that is stored; runs in a thread."""
        events = [alert.event(self._configured.plan.mapping) for alert in notification.alerts]
        asked_for = [
            event
            for event in events
            if any(period.start <= event.time <= period.end for period in wanted.periods)
        ]
        lost = notification.truncated
        told = Told(
            name=NAME,
            asked="the notification",
            events=tuple(asked_for),
            missing=f"{lost} alerts that Alertmanager left out" if lost else "",
        )
        incident = collect([*self._configured.connectors(), told], wanted).incident
        settings = Settings(method=self._options.alert_method)
        call = AnalyzeCall(incident=incident, seed=_SEED, settings=settings)
        request: pb.AnalyzeRequest = encode_request(call)
        content = request.SerializeToString(deterministic=True)
        if len(content) > self._options.max_message_bytes:
            msg = (
                f"the telemetry takes {len(content)} bytes, more than max_message_bytes; take a "
                "longer alert_step_seconds or fewer queries"
            )
            raise InvalidRequestError(msg, field="alert_step_seconds")
        return content


def _read(posted: Posted) -> Notification | Page:
    """Return what was posted, or why it will not do."""
    body = posted.read()
    if isinstance(body, Page):
        return body
    try:
        return parse_notification(json.loads(body))
    except (ValueError, RecursionError) as error:
        return _page(HTTPStatus.BAD_REQUEST, error=f"the body is not JSON ({error})")
    except SourceError as error:
        return _page(HTTPStatus.BAD_REQUEST, error=str(error))


def _may_pass(error: BayesRcaError | CallFailedError) -> bool:
    """Whether it may go better in a while: sources come back, and queues get shorter."""
    if isinstance(error, CallFailedError):
        return error.failure.retry_after is not None
    return isinstance(error, NoEvidenceError | SourceError)


def _page(status: HTTPStatus, **content: str) -> Page:
    words: Mapping[str, str] = content
    return Page(status, (json.dumps(words) + "\n").encode(), "application/json")
