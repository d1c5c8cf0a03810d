"""The health service (grpc.health.v1), whose open watches hold up nobody.

grpc_health's own keeps a lock while it writes to a watcher: one that reads nothing would stop every
other watch, and the drain that wants to tell them, and needs no credentials to do so.
"""

from __future__ import annotations

import asyncio

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]

from bayesrca.service.interceptors import Context

_STATUS = health_pb2.HealthCheckResponse


class HealthServicer(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # untyped
    """Tells the status of each service that it was told one of."""

    def __init__(self) -> None:
        self._statuses: dict[str, int] = {}
        # Set at the next change, and then replaced: nothing piles up for a reader that is slow.
        self._news = asyncio.Event()
        self._ending = False

    async def Check(  # noqa: N802  the rpc's name
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> health_pb2.HealthCheckResponse:
        """Answer with the status of a service; one that is not known is ``NOT_FOUND``."""
        status = self._statuses.get(request.service)
        if status is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "there is no service of that name")
        return _STATUS(status=status)

    async def Watch(  # noqa: N802  the rpc's name
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> None:
        """Send the status of a service now and after every change that the reader has time for."""
        shown = None
        while True:
            news = self._news
            status = self._statuses.get(request.service, _STATUS.SERVICE_UNKNOWN)
            if status == shown:
                await news.wait()
            else:
                shown = status
                await context.write(_STATUS(status=status))

    async def set(self, service: str, status: int) -> None:
        """Set the status of a service, unless the server is ending; waits for no reader."""
        if not self._ending:
            self._statuses[service] = status
            self._tell()

    async def enter_graceful_shutdown(self) -> None:
        """Set every service to ``NOT_SERVING`` for good; waits for no reader."""
        self._ending = True
        self._statuses = dict.fromkeys(self._statuses, _STATUS.NOT_SERVING)
        self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()
