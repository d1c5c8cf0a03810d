"""The rpcs about the draws of stored analyses."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator
from functools import partial
from typing import BinaryIO

import grpc

from bayesrca.api.v1 import root_cause_service_pb2 as pb
from bayesrca.errors import InvalidRequestError
from bayesrca.service.analyses import parsed
from bayesrca.service.artefacts import ArtefactLostError
from bayesrca.service.caller import current_caller
from bayesrca.service.interceptors import Context
from bayesrca.service.messages import Call, CallFailedError, Failure, Stored
from bayesrca.service.pool import WorkerPool
from bayesrca.service.records import Record
from bayesrca.service.rpc import remaining_seconds, stream, unary
from bayesrca.service.sourcing import NO_STORE
from bayesrca.service.store import Store
from bayesrca.service.store_analyses import AnalysisTable
from bayesrca.wire import analysis_id
from bayesrca.wire.inspections import plot_words

CHUNK_BYTES = 256 << 10


class InspectionHandlers:
    """Handlers of the rpcs about draws. The workers read them, or the front passes them on unread.

    Args:
        store: where the analyses are; None where the server keeps nothing.
        table: its analyses; None likewise.
        pool: summarises and draws.
    """

    def __init__(self, store: Store | None, table: AnalysisTable | None, pool: WorkerPool) -> None:
        self._open = None if store is None or table is None else (store, table)
        self._pool = pool

    def rpcs(self) -> dict[str, grpc.RpcMethodHandler[bytes, bytes]]:
        """Return the handlers, by the rpcs' names."""
        return {
            "GetDiagnostics": unary("GetDiagnostics", self._diagnose),
            "RenderPlot": unary("RenderPlot", self._render),
            "StreamInferenceData": stream("StreamInferenceData", self._stream),
        }

    async def _diagnose(self, request: bytes, context: Context) -> bytes:
        message = parsed(pb.GetDiagnosticsRequest, request)
        return await self._compute("GetDiagnostics", message.name, request, context)

    async def _render(self, request: bytes, context: Context) -> bytes:
        message = parsed(pb.RenderPlotRequest, request)
        plot_words(message)  # refused before a worker is asked
        return await self._compute("RenderPlot", message.name, request, context)

    async def _compute(self, rpc: str, name: str, request: bytes, context: Context) -> bytes:
        remaining = remaining_seconds(context)
        loop = asyncio.get_running_loop()
        expires = None if remaining is None else loop.time() + remaining
        tenant = current_caller().tenant
        self._pool.check(tenant)
        store, record = await self._find(name)
        place = partial(store.artefacts.path, record.tenant)
        stored = Stored(str(place(record.answer or "")), str(place(record.draws or "")))
        output = await self._pool.submit(Call(rpc, request, stored), expires, tenant).response
        return output.response

    async def _stream(self, request: bytes, _: Context) -> AsyncGenerator[bytes]:
        message = parsed(pb.StreamInferenceDataRequest, request)
        store, record = await self._find(message.name)
        offset = message.offset_bytes
        if not 0 <= offset <= record.draws_bytes:
            msg = f"offset_bytes must be 0 to {record.draws_bytes}, got {offset}"
            raise InvalidRequestError(msg, field="offset_bytes")
        path = store.artefacts.path(record.tenant, record.draws or "")
        try:
            # Opened once: who deletes the analysis meanwhile does not cut the stream.
            file = await asyncio.to_thread(path.open, "rb")
        except FileNotFoundError as error:
            await self._find(message.name)  # NOT_FOUND where it was removed meanwhile
            raise ArtefactLostError(path.name) from error
        try:
            first = True
            while first or offset < record.draws_bytes:
                response = await asyncio.to_thread(_chunk, file, offset, record, first=first)
                offset += len(response.chunk)
                first = False
                yield response.SerializeToString()
        finally:
            file.close()

    async def _find(self, name: str) -> tuple[Store, Record]:
        if self._open is None:
            raise CallFailedError(NO_STORE)
        store, table = self._open
        record = await table.get(current_caller().tenant, analysis_id(name))
        if record.answer is None:
            message = f"the analysis is {record.state}: it has no answer and no draws"
            raise CallFailedError(Failure(reason="NO_ANSWER", message=message, field="name"))
        return store, record


def _chunk(
    file: BinaryIO, offset: int, record: Record, *, first: bool
) -> pb.StreamInferenceDataResponse:
    file.seek(offset)
    chunk = file.read(CHUNK_BYTES)
    if not chunk and offset < record.draws_bytes:
        raise ArtefactLostError(record.draws)
    response = pb.StreamInferenceDataResponse(
        chunk=chunk, offset_bytes=offset, chunk_sha256=hashlib.sha256(chunk).hexdigest()
    )
    if first:
        response.inference_data.sha256 = record.draws or ""
        response.inference_data.size_bytes = record.draws_bytes
    return response
