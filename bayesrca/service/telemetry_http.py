"""Metrics and probes over HTTP, on a port of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import TimeoutError as LateError
from http import HTTPStatus

from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST

from bayesrca.service.http_server import PATIENCE_SECONDS, HttpServer, Page, Routes
from bayesrca.service.telemetry import Metrics


def telemetry_server(
    host: str, port: int, metrics: Metrics, ready: Callable[[], bool], *, shared: bool = False
) -> HttpServer:
    """Serve /metrics, /livez and /readyz from threads, so that a scrape holds up no call.

    Args:
        host: address to listen on.
        port: TCP port, 0 for any free one.
        metrics: what /metrics shows.
        ready: whether /readyz says yes.
        shared: let another server that shares it too listen on the same port.

    Raises:
        ServiceError: the port cannot be listened on (reason ``CANNOT_LISTEN``).
    """
    loop = asyncio.get_running_loop()
    pages = {
        "/metrics": lambda: Page(HTTPStatus.OK, metrics.render(), CONTENT_TYPE_LATEST),
        "/livez": lambda: _probe(_alive(loop)),
        "/readyz": lambda: _probe(ready()),
    }
    return HttpServer(host, port, Routes(get=pages), what="metrics", shared=shared)


def _probe(good: bool) -> Page:
    if good:
        return Page(HTTPStatus.OK, b"yes\n")
    return Page(HTTPStatus.SERVICE_UNAVAILABLE, b"no\n")


def _alive(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether the event loop, which carries every call, still turns."""
    try:
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result(PATIENCE_SECONDS)
    except (LateError, RuntimeError):
        return False
    return True
