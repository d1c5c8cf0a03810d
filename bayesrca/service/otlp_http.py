"""OpenTelemetry's protocol over HTTP, on a port of its own: protobuf bodies, plain or gzip."""

from __future__ import annotations

import asyncio
import logging
import math
import zlib
from collections.abc import Coroutine
from functools import partial
from http import HTTPStatus
from typing import Any

from google.rpc import status_pb2  # type: ignore[import-untyped]

from bayesrca.columns.otlp import Kind
from bayesrca.errors import InvalidTelemetryError
from bayesrca.service.auth import EXPORTS, Guard
from bayesrca.service.http_server import HttpServer, Page, Posted, Routes
from bayesrca.service.messages import CallFailedError, Failure
from bayesrca.service.options import ServiceOptions
from bayesrca.service.receiver import Receiver
from bayesrca.service.status import CODES

PROTOBUF = "application/x-protobuf"
_PATHS = {
    "/v1/traces": (Kind.SPANS, EXPORTS[0]),
    "/v1/metrics": (Kind.POINTS, EXPORTS[1]),
    "/v1/logs": (Kind.LOGS, EXPORTS[2]),
}
_STATUSES = {
    "UNAUTHENTICATED": HTTPStatus.UNAUTHORIZED,
    "PERMISSION_DENIED": HTTPStatus.FORBIDDEN,
    "INVALID_ARGUMENT": HTTPStatus.BAD_REQUEST,
}
_INVALID, _INTERNAL, _UNAVAILABLE = 3, 13, 14
_ANSWER_SECONDS = 30.0

_log = logging.getLogger("bayesrca.service")


class OtlpHttp:
    """Takes what exporters post, as the `Export` rpcs do.

    Args:
        options: where to listen, and what a body may hold.
        guard: finds out who sends, for which tenant.
        receiver: holds it.

    Raises:
        ServiceError: the port cannot be listened on (``CANNOT_LISTEN``).
    """

    def __init__(self, options: ServiceOptions, guard: Guard, receiver: Receiver) -> None:
        self._guard, self._receiver = guard, receiver
        self._max_bytes = options.max_message_bytes
        self._loop = asyncio.get_running_loop()
        assert options.otlp_http_port is not None
        routes = Routes(
            post={path: partial(self._take, *what) for path, what in _PATHS.items()},
            max_bytes=self._max_bytes,
        )
        self._server: HttpServer | None = HttpServer(
            options.otlp_http_host,
            options.otlp_http_port,
            routes,
            what="OpenTelemetry",
            shared=options.takeover,
        )
        self.address = f"http://{self._server.address}"

    async def stop(self) -> None:
        """Close the port; may be called twice."""
        if self._server is not None:
            server, self._server = self._server, None
            await asyncio.to_thread(server.stop)

    def _take(self, kind: Kind, method: str, posted: Posted) -> Page:
        """Answer a request; runs in a thread of the HTTP server."""
        try:
            shown = [("authorization", value) for value in posted.authorization]
            # Certificates belong to gRPC's port: here only a token tells who it is.
            caller = self._guard.by_metadata(method, shown) or self._guard.by_certificate(
                method, ()
            )
            if posted.kind.partition(";")[0].strip().lower() != PROTOBUF:
                return _refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, _INVALID, f"send {PROTOBUF}")
            content = self._unpacked(posted)
            if isinstance(content, Page):
                return content
            return self._answer(self._receiver.take(kind, caller.tenant, content))
        except CallFailedError as error:
            return _refused(error.failure)
        except InvalidTelemetryError as error:
            return _refusal(HTTPStatus.BAD_REQUEST, _INVALID, str(error))
        except Exception:  # whatever it is, the exporter is told
            _log.exception("telemetry that came over HTTP could not be taken")
            text = "the server failed; its log has more"
            return _refusal(HTTPStatus.INTERNAL_SERVER_ERROR, _INTERNAL, text)

    def _answer(self, taken: Coroutine[Any, Any, bytes]) -> Page:
        answer = asyncio.run_coroutine_threadsafe(taken, self._loop)
        try:
            return Page(HTTPStatus.OK, answer.result(_ANSWER_SECONDS), PROTOBUF)
        except TimeoutError:
            answer.cancel()
            text, again = "the server is too busy to take it; send it again", {"Retry-After": "1"}
            return _refusal(HTTPStatus.SERVICE_UNAVAILABLE, _UNAVAILABLE, text, again)

    def _unpacked(self, posted: Posted) -> bytes | Page:
        """Return the body as it was before it was compressed, or why there is none."""
        coding = posted.encoding.strip().lower()
        if coding not in ("", "identity", "gzip"):
            text = "send the body plain or gzip"
            return _refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, _INVALID, text)
        body = posted.read()
        if isinstance(body, Page) or coding != "gzip":
            return body
        unpacker = zlib.decompressobj(wbits=31)
        try:
            # Stops at the limit, however much more there would be.
            content = unpacker.decompress(body, self._max_bytes + 1)
        except zlib.error as error:
            return _refusal(HTTPStatus.BAD_REQUEST, _INVALID, f"the body is not gzip ({error})")
        if len(content) > self._max_bytes:
            text = f"the body may hold {self._max_bytes} bytes when it is unpacked"
            return _refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _INVALID, text)
        if not unpacker.eof or unpacker.unused_data:
            text = "the body is not one whole gzip stream"
            return _refusal(HTTPStatus.BAD_REQUEST, _INVALID, text)
        return content


def _refused(failure: Failure) -> Page:
    code = CODES[failure.reason]
    text = f"{failure.reason}: {failure.message}"
    number = int(code.value[0])
    if failure.retry_after is not None:
        wait = {"Retry-After": str(math.ceil(failure.retry_after))}
        return _refusal(HTTPStatus.TOO_MANY_REQUESTS, number, text, wait)
    status = _STATUSES.get(code.name, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    return _refusal(status, number, text)


def _refusal(
    status: HTTPStatus, code: int, text: str, headers: dict[str, str] | None = None
) -> Page:
    """Return what exporters read: a `google.rpc.Status`."""
    content = status_pb2.Status(code=code, message=text).SerializeToString()
    return Page(status, content, PROTOBUF, headers or {})
