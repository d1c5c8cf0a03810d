"""The rpcs about saved telemetry."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import grpc

from bayesrca.api.v1 import telemetry_service_pb2 as pb
from bayesrca.service.analyses import parsed
from bayesrca.service.caller import current_caller
from bayesrca.service.daemon import in_daemon
from bayesrca.service.interceptors import Context
from bayesrca.service.messages import CallFailedError, Failure
from bayesrca.service.pool import DRAINING
from bayesrca.service.rpc import unary
from bayesrca.service.saved_files import SavedFiles
from bayesrca.service.sourcing import NO_STORE, NO_TELEMETRY
from bayesrca.wire.saved import decode_save_request, encode_saved, saved_id

if TYPE_CHECKING:
    from bayesrca.service.receiver import Receiver

_PLACES = 8
_TENANT_PLACES = 4
"""Calls that may wait for the disk, of all tenants and of one."""
_EXPIRE_SECONDS = 60.0

_log = logging.getLogger("bayesrca.service")


class SavedHandlers:
    """Handlers of the rpcs about saved telemetry; one at a time reaches the disk.

    Args:
        receiver: holds what is received; None where the server receives nothing.
        files: where it is saved; None where the server keeps nothing.
    """

    def __init__(self, receiver: Receiver | None, files: SavedFiles | None) -> None:
        self._receiver = receiver
        self._files = files
        self._turn = asyncio.Lock()
        self._waiting: Counter[str] = Counter()  # by tenant
        self._closed = False
        self._tasks: set[asyncio.Task[object]] = set()
        self._cleaner: asyncio.Task[None] | None = None

    def rpcs(self) -> dict[str, grpc.RpcMethodHandler[bytes, bytes]]:
        """Return the handlers, by the rpcs' names."""
        return {
            "SaveTelemetryWindow": unary("SaveTelemetryWindow", self._save),
            "ListSavedTelemetry": unary("ListSavedTelemetry", self._list),
            "DeleteSavedTelemetry": unary("DeleteSavedTelemetry", self._delete),
        }

    def start(self) -> None:
        """Begin to remove what is too old."""
        if self._files is not None:
            self._cleaner = asyncio.create_task(self._expire(self._files))

    async def close(self) -> None:
        """Finish what was begun; further calls get ``DRAINING``. May be called twice."""
        self._closed = True
        if self._cleaner is not None:
            self._cleaner.cancel()
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _save(self, request: bytes, _: Context) -> bytes:
        window, identity = decode_save_request(parsed(pb.SaveTelemetryWindowRequest, request))
        if self._receiver is None:
            raise CallFailedError(NO_TELEMETRY)
        files, tenant, held = self._kept(), current_caller().tenant, self._receiver.held
        # Looked at when its turn comes: what waits would keep what is evicted meanwhile.
        saved = await self._whole(
            tenant, lambda: partial(files.save, tenant, identity, held.look(tenant), window)
        )
        return pb.SaveTelemetryWindowResponse(saved=encode_saved(saved)).SerializeToString()

    async def _list(self, request: bytes, _: Context) -> bytes:
        parsed(pb.ListSavedTelemetryRequest, request)
        found = await asyncio.to_thread(self._kept().all_of, current_caller().tenant)
        response = pb.ListSavedTelemetryResponse(saved=[encode_saved(saved) for saved in found])
        return response.SerializeToString()

    async def _delete(self, request: bytes, _: Context) -> bytes:
        identity = saved_id(parsed(pb.DeleteSavedTelemetryRequest, request).name)
        files, tenant = self._kept(), current_caller().tenant
        await self._whole(tenant, lambda: partial(files.delete, tenant, identity))
        return pb.DeleteSavedTelemetryResponse().SerializeToString()

    def _kept(self) -> SavedFiles:
        if self._files is None:
            raise CallFailedError(NO_STORE)
        if self._closed:
            raise CallFailedError(DRAINING)
        return self._files

    async def _whole[T](self, tenant: str, made: Callable[[], Callable[[], T]]) -> T:
        """Do something to its end, after those before it, also when the caller goes away."""
        own, total = self._waiting[tenant], self._waiting.total()
        # One tenant's calls that take all places leave another its first.
        if own >= _TENANT_PLACES or (total >= _PLACES and own):
            message = f"{total} calls wait for the disk already; try again later"
            raise CallFailedError(Failure(reason="QUEUE_FULL", message=message, retry_after=1.0))
        self._waiting[tenant] += 1
        task = self._begin(made)
        task.add_done_callback(lambda _: self._waiting.subtract([tenant]))
        return await asyncio.shield(task)

    def _begin[T](self, made: Callable[[], Callable[[], T]]) -> asyncio.Task[T]:
        """Start what is made when its turn comes; `close` waits for it."""

        async def run() -> T:
            async with self._turn:
                return await in_daemon(made())

        task = asyncio.create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _expire(self, files: SavedFiles) -> None:
        while True:
            try:
                removed = await asyncio.shield(self._begin(lambda: files.expire))
                if removed:
                    _log.info("removed %d windows of saved telemetry by age", removed)
            except Exception:  # it must go on: nothing else keeps them in bounds
                _log.exception("no saved telemetry could be removed by age")
            await asyncio.sleep(_EXPIRE_SECONDS)
