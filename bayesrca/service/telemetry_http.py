"""Metrics and probes over HTTP, on a port of their own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import TimeoutError as LateError
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST

from bayesrca.errors import ServiceError
from bayesrca.service.options import join_address
from bayesrca.service.telemetry import Metrics

_PATIENCE_SECONDS = 5.0
_TEXT = "text/plain; charset=utf-8"


class TelemetryServer:
    """Serves /metrics, /livez and /readyz from threads, so that a scrape holds up no call.

    Args:
        host: address to listen on.
        port: TCP port, 0 for any free one.
        metrics: what /metrics shows.
        ready: whether /readyz says yes.
        shared: let another server that shares it too listen on the same port.

    Raises:
        ServiceError: the port cannot be listened on (reason ``CANNOT_LISTEN``).
    """

    def __init__(
        self,
        host: str,
        port: int,
        metrics: Metrics,
        ready: Callable[[], bool],
        *,
        shared: bool = False,
    ) -> None:
        loop = asyncio.get_running_loop()

        class Page(_Page):
            pages: ClassVar = {
                "/metrics": lambda: (HTTPStatus.OK, CONTENT_TYPE_LATEST, metrics.render()),
                "/livez": lambda: _probe(_alive(loop)),
                "/readyz": lambda: _probe(ready()),
            }

        try:
            self._server = _Server((host, port), Page, shared=shared)
        except OSError as error:
            msg = f"cannot listen on {join_address(host, port)} for metrics: {error.strerror}"
            raise ServiceError(msg, reason="CANNOT_LISTEN") from error
        self.address = join_address(host, self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, name="http", daemon=True).start()

    def stop(self) -> None:
        """Close the port; to be called once."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(
        self, address: tuple[str, int], page: type[BaseHTTPRequestHandler], *, shared: bool
    ) -> None:
        self.allow_reuse_port = shared
        super().__init__(address, page)


class _Page(BaseHTTPRequestHandler):
    """Answers one request and closes the connection."""

    pages: ClassVar[dict[str, Callable[[], tuple[HTTPStatus, str, bytes]]]]
    timeout = _PATIENCE_SECONDS
    server_version = "bayesrca"
    sys_version = ""

    def do_GET(self) -> None:
        page = self.pages.get(self.path.partition("?")[0])
        if page is None:
            status, kind, content = HTTPStatus.NOT_FOUND, _TEXT, b"no such page\n"
        else:
            status, kind, content = page()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: probes come every few seconds."""


def _probe(good: bool) -> tuple[HTTPStatus, str, bytes]:
    if good:
        return HTTPStatus.OK, _TEXT, b"yes\n"
    return HTTPStatus.SERVICE_UNAVAILABLE, _TEXT, b"no\n"


def _alive(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether the event loop, which carries every call, still turns."""
    try:
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result(_PATIENCE_SECONDS)
    except (LateError, RuntimeError):
        return False
    return True
