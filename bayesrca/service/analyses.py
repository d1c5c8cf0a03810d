"""The rpcs about stored analyses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace

import grpc
from google.protobuf.message import DecodeError, Message

from bayesrca.api.v1 import analysis_pb2
from bayesrca.api.v1 import root_cause_service_pb2 as pb
from bayesrca.errors import IncidentFormatError, InvalidRequestError
from bayesrca.incident import IncidentSource
from bayesrca.service.caller import current_caller
from bayesrca.service.handlers import check_limits
from bayesrca.service.interceptors import Context
from bayesrca.service.jobs import Jobs, Snapshot
from bayesrca.service.messages import CallFailedError
from bayesrca.service.pool import DRAINING, WorkerPool
from bayesrca.service.records import NewAnalysis, Record
from bayesrca.service.rpc import stream, unary
from bayesrca.service.sourcing import NO_STORE, Sourcing
from bayesrca.service.status import shorten
from bayesrca.service.store_analyses import REUSED, AnalysisTable
from bayesrca.wire import (
    AnalysisState,
    Page,
    analysis_id,
    analysis_name,
    checked_request_id,
    copy_request,
    decode_page,
    decode_request,
)
from bayesrca.wire.analyses import STATES
from bayesrca.wire.moments import set_moment

_ANALYSIS = pb.GetAnalysisResponse.DESCRIPTOR.fields_by_name["analysis"].number
_ANSWER = analysis_pb2.Analysis.DESCRIPTOR.fields_by_name["answer"].number
_SCREEN = pb.WatchAnalysisResponse.DESCRIPTOR.fields_by_name["screen_answer"].number
# Small requests are read on the event loop, where millions of entries would hold up every call. A
# page token with the longest filter and the filter itself fit.
_SMALL_BYTES = 64 << 10


class AnalysisHandlers:
    """Handlers of the rpcs about stored analyses.

    Answers are stored as they travel, and put into responses without being read.

    Args:
        table: the stored analyses; None where the server keeps nothing.
        jobs: what runs of them; None likewise.
        pool: asked only whether the server still takes calls.
        sourcing: makes the incidents of requests that name a source.
    """

    def __init__(
        self,
        table: AnalysisTable | None,
        jobs: Jobs | None,
        pool: WorkerPool,
        sourcing: Sourcing,
    ) -> None:
        self._open = None if table is None or jobs is None else (table, jobs)
        self._pool = pool
        self._sourcing = sourcing

    def rpcs(self) -> dict[str, grpc.RpcMethodHandler[bytes, bytes]]:
        """Return the handlers, by the rpcs' names."""
        one = {
            "CreateAnalysis": self._create,
            "GetAnalysis": self._get,
            "ListAnalyses": self._list,
            "CancelAnalysis": self._cancel,
            "DeleteAnalysis": self._delete,
        }
        handlers = {rpc: unary(rpc, answer) for rpc, answer in one.items()}
        handlers["WatchAnalysis"] = stream("WatchAnalysis", self._watch)
        return handlers

    async def _create(self, request: bytes, _: Context) -> bytes:
        table, jobs = self._stored()
        if self._pool.closed:
            raise CallFailedError(DRAINING)
        tenant = current_caller().tenant
        new, source = await asyncio.to_thread(_read_new, request)
        if source is None:
            record = await jobs.accept(tenant, new)
        else:
            record = await _known(table, tenant, new) or await self._make(tenant, new, source)
        return pb.CreateAnalysisResponse(analysis=_message(record)).SerializeToString()

    async def _make(self, tenant: str, new: NewAnalysis, source: IncidentSource) -> Record:
        """Store an analysis whose incident is made first: what is accepted needs no source."""
        table, jobs = self._stored()
        await table.check_room(tenant)  # before anybody is asked for telemetry
        filled = await self._sourcing.fill(tenant, new.request, source)
        try:
            return await jobs.accept(tenant, replace(new, request=filled))
        except CallFailedError:
            # Of two equal calls at once each has made an incident of its own.
            record = await _known(table, tenant, new)
            if record is None:
                raise
            return record

    async def _get(self, request: bytes, _: Context) -> bytes:
        table, _jobs = self._stored()
        identity = analysis_id(parsed(pb.GetAnalysisRequest, request).name)
        record = await table.get(current_caller().tenant, identity)
        return await _with_answer(table, record)

    async def _list(self, request: bytes, _: Context) -> bytes:
        table, _jobs = self._stored()
        page = decode_page(parsed(pb.ListAnalysesRequest, request))
        tenant = current_caller().tenant
        # One more tells whether there is a next page.
        records = await table.page(tenant, page.words, page.size + 1, page.before)
        return await asyncio.to_thread(_listed, records, page)

    async def _watch(self, request: bytes, _: Context) -> AsyncGenerator[bytes]:
        table, jobs = self._stored()
        identity = analysis_id(parsed(pb.WatchAnalysisRequest, request).name)
        shown: bytes | None = None
        async for now in jobs.watch(current_caller().tenant, identity):
            if now.record.state.final:
                yield await _with_answer(table, now.record)
                return
            response = _watched(now)
            if now.screen is not None and now.screen is not shown:
                shown = now.screen
                response += await asyncio.to_thread(_field, _SCREEN, shown)
            yield response

    async def _cancel(self, request: bytes, _: Context) -> bytes:
        _table, jobs = self._stored()
        identity = analysis_id(parsed(pb.CancelAnalysisRequest, request).name)
        record = await jobs.cancel(current_caller().tenant, identity)
        return pb.CancelAnalysisResponse(analysis=_message(record)).SerializeToString()

    async def _delete(self, request: bytes, _: Context) -> bytes:
        _table, jobs = self._stored()
        identity = analysis_id(parsed(pb.DeleteAnalysisRequest, request).name)
        await jobs.delete(current_caller().tenant, identity)
        return pb.DeleteAnalysisResponse().SerializeToString()

    def _stored(self) -> tuple[AnalysisTable, Jobs]:
        if self._open is None:
            raise CallFailedError(NO_STORE)
        return self._open


async def _known(table: AnalysisTable, tenant: str, new: NewAnalysis) -> Record | None:
    """Return the analysis that the same request has opened; None where its id is new.

    Raises:
        CallFailedError: the id came with another request before (``REQUEST_ID_REUSED``).
    """
    record = await table.find(tenant, new.request_id)
    if record is None:
        return None
    stored = await table.read(record, record.request)
    if await asyncio.to_thread(_asked, stored) != new.request:
        raise CallFailedError(REUSED)
    return record


def _asked(stored: bytes) -> bytes:
    """Return a stored request as it came."""
    message = pb.AnalyzeRequest.FromString(stored)
    if message.HasField("source"):
        message.ClearField("incident")  # made of telemetry that has changed since
    asked: bytes = message.SerializeToString(deterministic=True)
    return asked


def _read_new(request: bytes) -> tuple[NewAnalysis, IncidentSource | None]:
    try:
        message = pb.CreateAnalysisRequest.FromString(request)
    except DecodeError as error:
        msg = f"the request is not a CreateAnalysisRequest: {shorten(str(error), 200)}"
        raise IncidentFormatError(msg) from error
    request_id = checked_request_id(message.request_id)
    stored = pb.AnalyzeRequest()
    copy_request(message, stored)
    call = decode_request(stored)
    check_limits(call.settings)
    source = call.incident if isinstance(call.incident, IncidentSource) else None
    new = NewAnalysis(
        request_id=request_id,
        incident=call.incident.name if source is None else source.title,
        method=call.settings.method,
        # Whether two requests are the same is told by these bytes.
        request=stored.SerializeToString(deterministic=True),
    )
    return new, source


def parsed[M: Message](kind: Callable[[], M], request: bytes) -> M:
    """Return a small request as its message.

    Raises:
        InvalidRequestError: the bytes are none, or more than 64 KiB.
    """
    message = kind()
    if len(request) > _SMALL_BYTES:
        name = message.DESCRIPTOR.name
        msg = f"{name} has {len(request)} bytes; this server takes at most {_SMALL_BYTES}"
        raise InvalidRequestError(msg)
    try:
        message.ParseFromString(request)
    except DecodeError as error:
        name = message.DESCRIPTOR.name
        msg = f"the request is not a {name}: {shorten(str(error), 200)}"
        raise InvalidRequestError(msg) from error
    return message


def _listed(records: list[Record], page: Page[AnalysisState]) -> bytes:
    shown = records[: page.size]
    token = page.token(shown[-1].number) if len(records) > page.size else ""
    response = pb.ListAnalysesResponse(next_page_token=token)
    response.analyses.extend(_message(record) for record in shown)
    return response.SerializeToString()


async def _with_answer(table: AnalysisTable, record: Record) -> bytes:
    """Return a response whose analysis holds its answer, if there is one."""
    analysis = _message(record).SerializeToString()
    if record.answer is not None:
        analysis += await asyncio.to_thread(
            _field, _ANSWER, await table.read(record, record.answer)
        )
    return _field(_ANALYSIS, analysis)


def _watched(now: Snapshot) -> bytes:
    response = pb.WatchAnalysisResponse(analysis=_message(now.record))
    report = now.report
    if report is not None and now.record.state is AnalysisState.RUNNING:
        response.progress.step = report.step
        response.progress.done = report.done
        response.progress.divergences = report.divergences
    return response.SerializeToString()


def _field(number: int, content: bytes) -> bytes:
    """Return a length-delimited field: messages that are already serialised need not be read."""
    return b"".join((_varint(number << 3 | 2), _varint(len(content)), content))


def _varint(value: int) -> bytes:
    digits = bytearray()
    while value > 0x7F:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    digits.append(value)
    return bytes(digits)


def _message(record: Record) -> analysis_pb2.Analysis:
    message = analysis_pb2.Analysis(
        name=analysis_name(record.id),
        request_id=record.request_id,
        incident=record.incident,
        state=STATES.number(record.state),
        attempt=record.attempt,
        answer_sha256=record.answer or "",
    )
    set_moment(message.create_time, record.created)
    if record.started is not None:
        set_moment(message.start_time, record.started)
    if record.finished is not None:
        set_moment(message.end_time, record.finished)
    if record.state is AnalysisState.FAILED:
        message.failure.reason = record.reason
        message.failure.message = record.message
        message.failure.field = record.field
        message.failure.error_id = record.error_id
    if record.draws is not None:
        message.inference_data.sha256 = record.draws
        message.inference_data.size_bytes = record.draws_bytes
    return message
