"""Who may have an incident made of the server's own telemetry, and how many at a time."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

from bayesrca.incident import IncidentSource, Origin
from bayesrca.service.daemon import in_daemon
from bayesrca.service.messages import CallFailedError, Failure
from bayesrca.wire.saved import saved_id

if TYPE_CHECKING:
    from bayesrca.service.configured import Configured
    from bayesrca.service.receiver import Receiver
    from bayesrca.service.saved_files import SavedFiles
    from bayesrca.service.sourced import Stock

_AT_ONCE = 2
"""Incidents made at a time: each may hold a copy of all that a tenant has sent."""
_PLACES = 16
_TENANT_PLACES = 4
NO_TELEMETRY = Failure(
    reason="NO_TELEMETRY",
    message="this server receives no telemetry; start it with receive_telemetry",
    retryable=False,
)
NO_STORE = Failure(
    reason="NO_STORE",
    message="this server keeps nothing: it was started without a data directory (--data-dir); "
    "Analyze of an incident, or of what is received, needs none",
)
NO_SOURCES = Failure(
    reason="NO_SOURCES",
    message="this server knows no back end of telemetry; name one in its configuration "
    "(prometheus, jaeger, elasticsearch, datadog), or send the incident itself",
    field="source.origins",
    retryable=False,
)


class Sourcing:
    """Makes the incidents of requests that name a source, in threads.

    Args:
        receiver: holds what was received; None where the server receives nothing.
        files: holds what was saved of it; None where the server keeps nothing.
        configured: the back ends; None where it has none.
        max_bytes: what a request may take once it holds its incident.
    """

    def __init__(
        self,
        receiver: Receiver | None,
        files: SavedFiles | None,
        configured: Configured | None,
        max_bytes: int,
    ) -> None:
        self._receiver = receiver
        self._files = files
        self._configured = configured
        self._max_bytes = max_bytes
        self._free = asyncio.Semaphore(_AT_ONCE)
        self._places: Counter[str] = Counter()  # by tenant

    async def fill(self, tenant: str, request: bytes, source: IncidentSource) -> bytes:
        """Return an `AnalyzeRequest` with the incident that its source makes.

        Raises:
            CallFailedError: the server has no such telemetry (``NO_TELEMETRY``, ``NO_SOURCES``,
                ``NO_STORE``), the tenant saved none of that name (``NOT_FOUND``), or the server
                makes as many incidents already as it may (``QUEUE_FULL``).
            BayesRcaError: as `bayesrca.service.sourced.fill`.
        """
        self._check(tenant, source)
        self._places[tenant] += 1
        begun = False
        try:
            await self._free.acquire()
            begun = True
            stock = await self._stock(tenant, source)
        except BaseException:
            self._leave(tenant, free=begun)
            raise
        loop = asyncio.get_running_loop()

        def work() -> bytes:
            # Late, for it loads what reads telemetry, which few servers need.
            from bayesrca.service.sourced import fill  # noqa: PLC0415

            try:
                return fill(request, source, stock, self._max_bytes)
            finally:
                # When it ends, not when nobody waits any more: until then it takes what it takes.
                with suppress(RuntimeError):  # the loop has ended
                    loop.call_soon_threadsafe(self._leave, tenant)

        return await in_daemon(work)

    def _check(self, tenant: str, source: IncidentSource) -> None:
        if Origin.RECEIVED in source.origins and self._receiver is None:
            raise CallFailedError(NO_TELEMETRY)
        if Origin.CONFIGURED in source.origins and self._configured is None:
            raise CallFailedError(NO_SOURCES)
        if source.saved and self._files is None:
            raise CallFailedError(NO_STORE)
        own, total = self._places[tenant], self._places.total()
        # One tenant's requests that take all places leave another its first.
        if own >= _TENANT_PLACES or (total >= _PLACES and own):
            message = f"{total} incidents are being made of telemetry already; try again later"
            raise CallFailedError(Failure(reason="QUEUE_FULL", message=message, retry_after=1.0))

    async def _stock(self, tenant: str, source: IncidentSource) -> Stock:
        from bayesrca.service.sourced import Stock  # noqa: PLC0415  as above

        if source.saved and self._files is not None:
            field = "source.saved_telemetry"
            identity = saved_id(source.saved, field)
            path = await asyncio.to_thread(self._files.find, tenant, identity, field)
            return Stock(saved=path, configured=self._configured)
        if Origin.RECEIVED not in source.origins or self._receiver is None:
            return Stock(configured=self._configured)
        held = self._receiver.held.look(tenant)
        evicted = {kind: counts.evicted for kind, counts in held.counts.items()}
        return Stock(tables=held.tables, evicted=evicted, configured=self._configured)

    def _leave(self, tenant: str, *, free: bool = True) -> None:
        self._places[tenant] -= 1
        if not self._places[tenant]:
            del self._places[tenant]
        if free:
            self._free.release()
