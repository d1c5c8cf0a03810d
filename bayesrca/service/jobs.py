"""Stored analyses on their way through the workers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from structlog.contextvars import bind_contextvars

from bayesrca.api.v1 import root_cause_service_pb2
from bayesrca.config import LearnedPrior, Settings
from bayesrca.service.messages import Call, CallFailedError, Failure, Output, Report
from bayesrca.service.pool import DRAINING, Ticket, WorkerPool
from bayesrca.service.records import NewAnalysis, Record, Result
from bayesrca.service.rpc import failure_of
from bayesrca.service.store import Store, StoreFullError
from bayesrca.service.store_analyses import AnalysisTable
from bayesrca.wire import AnalysisState, decode_settings

_EXPIRE_SECONDS = 60.0
_LAST_SECONDS = 5.0
"""How long the end of the last attempts may take to be stored when the server stops."""
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0

_log = logging.getLogger("bayesrca.service.jobs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """An analysis at one moment.

    Attributes:
        record: what is stored.
        report: the last that its worker told, if it runs and has told anything.
        screen: the screen's serialised `Answer`, once there is one that NUTS refines.
    """

    record: Record
    report: Report | None = None
    screen: bytes | None = None


class _Job:
    """An analysis that has not ended, and who waits for news of it."""

    def __init__(self, record: Record) -> None:
        self.now = Snapshot(record=record)
        self.response: asyncio.Future[Output] | None = None
        # Set at the next change, and then replaced: nothing piles up for a reader that is slow.
        self.news = asyncio.Event()
        self.given_up = False
        # Those who cancel or delete it.
        self.enders: set[asyncio.Task[Any]] = set()

    def update(self, record: Record) -> None:
        """Take note of a change of the record; an attempt that begins starts from nothing."""
        if self.now.record.state.final:
            return
        kept = self.now if record.attempt == self.now.record.attempt else Snapshot(record=record)
        self._set(replace(kept, record=record))

    def hear(self, report: Report) -> None:
        """Take note of a worker's report."""
        if report.screen is not None:
            self._set(replace(self.now, screen=report.screen))
        else:
            self._set(replace(self.now, report=report))

    def give_up(self) -> None:
        """Tell those who wait that there will be no further news."""
        self.given_up = True
        self.news.set()

    def abandon(self) -> None:
        """Take it from its worker, or out of the queue."""
        if self.response is not None:
            self.response.cancel()

    def _set(self, snapshot: Snapshot) -> None:
        self.now = snapshot
        self.news.set()
        self.news = asyncio.Event()


class Jobs:
    """Runs what the store has accepted, whatever ends in between.

    Args:
        store: where the analyses are.
        table: its analyses.
        pool: computes them.
        cores: threads one analysis may use.
        prior: the learned prior they use; None for the built-in one.
    """

    def __init__(
        self,
        store: Store,
        table: AnalysisTable,
        pool: WorkerPool,
        *,
        cores: int,
        prior: LearnedPrior | None,
    ) -> None:
        self._store = store
        self._table = table
        self._pool = pool
        self._cores = cores
        self._prior = prior
        self._jobs: dict[str, _Job] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._cleaner: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()

    async def start(self) -> int:
        """Take up what an earlier server left; return how many analyses that are."""
        waiting = await self._table.recover()
        for record in waiting:
            self._add(record)
        self._cleaner = asyncio.create_task(self._expire())
        return len(waiting)

    async def accept(self, tenant: str, new: NewAnalysis) -> Record:
        """Store a request and see it through; as `AnalysisTable.accept`."""
        return await self._whole(self._accept(tenant, new))

    async def cancel(self, tenant: str, identity: str) -> Record:
        """Cancel an analysis wherever it is; as `AnalysisTable.cancel`."""
        return await self._whole(self._end(identity, self._table.cancel(tenant, identity)))

    async def delete(self, tenant: str, identity: str) -> Record:
        """Remove an analysis wherever it is; as `AnalysisTable.delete`."""
        return await self._whole(self._end(identity, self._table.delete(tenant, identity)))

    async def watch(self, tenant: str, identity: str) -> AsyncIterator[Snapshot]:
        """Yield what an analysis is now, then every change that the reader has time for.

        Ends after a final state.

        Raises:
            CallFailedError: the tenant has none of that id (``NOT_FOUND``), or the server stops
                (``DRAINING``) or has failed to run it (``INTERNAL``).
        """
        job = self._jobs.get(identity)
        if job is not None and job.now.record.tenant != tenant:
            job = None
        while job is not None and not job.given_up:
            seen, news = job.now, job.news
            yield seen
            if seen.record.state.final:
                return
            if self._stopping.is_set():
                raise CallFailedError(DRAINING)
            if job.now is seen:
                await _either(news, self._stopping)
        record = await self._table.get(tenant, identity)
        if not record.state.final:
            stops = self._pool.closed or self._stopping.is_set()
            raise CallFailedError(DRAINING if stops else _GIVEN_UP)
        yield Snapshot(record=record)

    async def stop(self) -> None:
        """Let go of everything; what has not ended is queued for the next server.

        What is accepted afterwards is stored, and left to it too. May be called twice.
        """
        self._stopping.set()
        if self._cleaner is not None:
            self._cleaner.cancel()
        await self._pool.hand_back()
        if self._tasks:
            # The pool has failed their tickets, so they end by themselves, once that is stored.
            await asyncio.wait(self._tasks, timeout=_LAST_SECONDS)
        for task in [*self._tasks]:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _whole[T](self, work: Coroutine[Any, Any, T]) -> T:
        """Do something to its end, also when the caller goes away in the middle."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)

    async def _accept(self, tenant: str, new: NewAnalysis) -> Record:
        record = await self._table.accept(tenant, new)
        if record.state is AnalysisState.QUEUED:
            self._add(record)
        return record

    async def _end(self, identity: str, work: Awaitable[Record]) -> Record:
        job = self._jobs.get(identity)
        task = asyncio.current_task()
        if job is not None and task is not None:
            job.enders.add(task)
        record = await work
        job = job or self._jobs.get(identity)
        if job is not None:
            final = record.state.final  # what was removed need not have ended
            job.update(record if final else replace(record, state=AnalysisState.CANCELLED))
            job.abandon()
        return record

    def _add(self, record: Record) -> None:
        if record.id not in self._jobs:
            self._jobs[record.id] = _Job(record)
            task = asyncio.create_task(self._see_through(record.id))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _see_through(self, identity: str) -> None:
        job = self._jobs[identity]
        pause = _FIRST_PAUSE_SECONDS
        try:
            while not job.now.record.state.final:
                try:
                    if await self._attempt(job):
                        break
                except StoreFullError as error:
                    _log.error("analysis %s waits for space on the disk: %s", identity, error)
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            # The attempt may have found the row gone before who removed it has said so.
            if job.enders:
                await asyncio.wait(job.enders)
        except Exception:
            # The row still says what was the case: the next server takes it up again.
            _log.exception("analysis %s is given up until the server starts again", identity)
        finally:
            del self._jobs[identity]
            if not job.now.record.state.final:
                job.give_up()

    async def _attempt(self, job: _Job) -> bool:
        """Make one attempt; return whether there is to be no other by this server."""
        draft = self._store.artefacts.draft()
        record = job.now.record
        response: asyncio.Future[Output] = asyncio.get_running_loop().create_future()
        job.response = response
        # For the log of the front and, with the ticket, of the worker.
        bind_contextvars(tenant=record.tenant, analysis=record.id, attempt=record.attempt + 1)
        ticket = Ticket(
            tenant=record.tenant,
            needs_model=record.needs_model,
            prepare=partial(self._begin, job, draft),
            background=True,
            listener=job.hear,
            response=response,
        )
        try:
            self._pool.enter(ticket)
            await asyncio.wait({response})
            if response.cancelled():
                return True
            error = response.exception()
            if isinstance(error, StoreFullError):
                raise error
            record = job.now.record
            if isinstance(error, Exception):
                failure = failure_of(error)
                ended = await self._insist(partial(self._end_attempt, record, failure))
            else:
                result = _result(response.result(), draft)
                ended = await self._insist(partial(self._table.succeed, record, result))
        except CallFailedError:
            return True  # the server stops, and has not begun
        finally:
            response.cancel()
            await asyncio.to_thread(draft.unlink, missing_ok=True)
        if ended is None:
            return True
        _log.info("analysis %s, attempt %d: %s", ended.id, ended.attempt, ended.state.name)
        job.update(ended)
        return False

    async def _begin(self, job: _Job, draft: Path) -> Call | None:
        """Begin an attempt, now that a worker is free, and return what it has to do."""
        record = await self._table.start(job.now.record.id)
        if record is None:
            return None
        if job.response is not None and job.response.done():  # the server stops, or it is cancelled
            await self._table.put_back(record, counted=False)
            return None
        job.update(record)
        request = await self._table.read(record, record.request)
        settings = await asyncio.to_thread(_settings_of, request, self._cores)
        settings = replace(settings, prior=self._prior)
        return Call("CreateAnalysis", request, settings, str(draft))

    async def _end_attempt(self, record: Record, failure: Failure) -> Record | None:
        if failure.reason == DRAINING.reason:
            return await self._table.put_back(record, counted=False)
        if failure.reason == "WORKER_LOST":
            return await self._table.put_back(record, counted=True)
        return await self._table.fail(record, failure)

    async def _insist(self, work: Callable[[], Awaitable[Record | None]]) -> Record | None:
        """Store how an attempt ended, however long the disk stays full."""
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                return await work()
            except StoreFullError as error:
                _log.error("the end of an analysis waits for space on the disk: %s", error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    async def _expire(self) -> None:
        while True:
            try:
                removed = await self._table.expire()
                if removed:
                    _log.info("removed %d analyses, by age or for space", removed)
            except Exception:  # it must go on: nothing else keeps the store in bounds
                _log.exception("no analysis could be removed by age or for space")
            await asyncio.sleep(_EXPIRE_SECONDS)


def _result(output: Output, draft: Path) -> Result:
    return Result(
        answer=output.response,
        draws=draft,
        draws_sha256=output.draws_sha256,
        draws_bytes=output.draws_bytes,
    )


def _settings_of(request: bytes, cores: int) -> Settings:
    message = root_cause_service_pb2.AnalyzeRequest.FromString(request)
    return decode_settings(message.settings, cores=cores)


async def _either(one: asyncio.Event, other: asyncio.Event) -> None:
    waits = {asyncio.ensure_future(event.wait()) for event in (one, other)}
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


_GIVEN_UP = Failure(
    reason="INTERNAL",
    message="the server cannot run this analysis, its log says why; it will be tried again when "
    "the server starts again",
)
