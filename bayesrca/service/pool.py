"""Supervised workers behind a bounded queue. Knows nothing of gRPC."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from functools import partial

from structlog.contextvars import get_contextvars

from bayesrca.service.caller import DEFAULT_TENANT
from bayesrca.service.fair import FairQueue
from bayesrca.service.messages import Call, CallFailedError, Done, Failure, Output, Report
from bayesrca.service.observer import Ended, Observer
from bayesrca.service.options import ServiceOptions
from bayesrca.service.process import WorkerLostError, WorkerProcess, first_of

_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0

_log = logging.getLogger("bayesrca.service.pool")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Ticket:
    """A call on its way through the pool.

    Attributes:
        tenant: whose turn it takes.
        needs_model: whether it has to wait for a compiled model.
        prepare: called once, when a worker is free, for what to do; None when there is nothing to
            do any more. Large requests need not be held before.
        expires: the event loop's time at which nobody waits any more; None for never.
        background: whether it was accepted elsewhere, for any time: such a call has a place in the
            queue without asking, does not hold a drain, and waits until a worker can be started.
        listener: told how far the call is.
        response: what came out; cancelling it abandons the call wherever it is.
        entered: when it came, by `time.monotonic`.
        context: in which it came: the observer is told in it.
    """

    tenant: str
    needs_model: bool
    prepare: Callable[[], Awaitable[Call | None]]
    expires: float | None = None
    background: bool = False
    listener: Callable[[Report], None] | None = None
    response: asyncio.Future[Output]
    entered: float = field(default_factory=time.monotonic)
    context: Context = field(default_factory=copy_context)

    def fail(self, failure: Failure) -> None:
        """End the call without an answer, unless it has already ended."""
        if not self.response.done():
            self.response.set_exception(CallFailedError(failure))


@dataclass(frozen=True, slots=True, eq=False)
class _Seat:
    """A worker with nothing to do.

    Attributes:
        worker: the worker.
        offered: the call it is given.
    """

    worker: WorkerProcess
    offered: asyncio.Future[Ticket]

    def suits(self, ticket: Ticket) -> bool:
        return self.worker.ready or not ticket.needs_model


class WorkerPool:
    """Workers that are started again when they end, and the calls that wait for them.

    Tenants take turns, and each one's calls are given out in order of arrival, except that those
    which need a compiled model let the others pass while no warm worker is free.

    Args:
        options: how many workers, how long a queue, what they run.
        on_change: called whenever `started` or `ready` changes.
        observer: told of calls and workers that end.
    """

    def __init__(
        self, options: ServiceOptions, on_change: Callable[[], None], observer: Observer
    ) -> None:
        self._options = options
        self._on_change = on_change
        self._observer = observer
        self._tenders: list[asyncio.Task[None]] = []
        self._workers: set[WorkerProcess] = set()
        self._waiting: FairQueue[Ticket] = FairQueue()
        self._idle: list[_Seat] = []
        self._running: set[Ticket] = set()
        self._available = 0  # workers that run or are starting, not those resting after a failure
        self._closed = False
        self._handed_back = False
        self._was = (False, False)
        self._typical_seconds = 1.0

    @property
    def started(self) -> bool:
        """Whether a worker is alive, warm or not, and calls are accepted."""
        return not self._closed and any(worker.accepts for worker in [*self._workers])

    @property
    def ready(self) -> bool:
        """Whether a warm worker is alive and calls are accepted."""
        return not self._closed and any(worker.ready for worker in [*self._workers])

    @property
    def closed(self) -> bool:
        """Whether it drains and takes no further calls."""
        return self._closed

    @property
    def busy(self) -> bool:
        """Whether a call runs, or waits that nobody keeps elsewhere."""
        return bool(self._running) or any(not ticket.background for ticket in self._waiting)

    @property
    def waiting(self) -> int:
        """Calls in the queue."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Calls at workers."""
        return len(self._running)

    @property
    def alive(self) -> int:
        """Workers that take calls, warm or not."""
        return sum(worker.accepts for worker in [*self._workers])

    def start(self) -> None:
        """Start the workers, unless they have been; returns at once."""
        if self._tenders:
            return
        self._available = self._options.workers
        self._tenders = [
            asyncio.create_task(self._tend(), name=f"worker-{i}")
            for i in range(self._options.workers)
        ]

    def submit(self, call: Call, expires: float | None, tenant: str = DEFAULT_TENANT) -> Ticket:
        """Hand a call to an idle worker or put it into the queue.

        Args:
            call: what to do.
            expires: the event loop's time at which nobody waits any more; None for never.
            tenant: on whose behalf.

        Raises:
            CallFailedError: as `check`.
        """

        async def prepare() -> Call:
            return call

        ticket = Ticket(
            tenant=tenant,
            needs_model=call.needs_model,
            prepare=prepare,
            expires=expires,
            response=asyncio.get_running_loop().create_future(),
        )
        self.check(tenant)
        # An idle worker that is not warm is still a place to wait at.
        if not any(seat.suits(ticket) for seat in self._idle):
            self._check_places(tenant, len(self._idle))
        self.enter(ticket)
        return ticket

    def enter(self, ticket: Ticket) -> None:
        """Take a call whatever else waits.

        Raises:
            CallFailedError: the pool drains (``DRAINING``).
        """
        if self._closed or (self._handed_back and ticket.background):
            raise CallFailedError(DRAINING)
        self._waiting.push(ticket.tenant, ticket)
        ticket.response.add_done_callback(lambda _: self._waiting.discard(ticket.tenant, ticket))
        self._hand_out()

    def check(self, tenant: str = DEFAULT_TENANT) -> None:
        """Raise if a call would not be taken now.

        Raises:
            CallFailedError: the pool drains (``DRAINING``), no worker can be started
                (``NO_WORKER``), or the queue is full (``QUEUE_FULL``).
        """
        if self._closed:
            raise CallFailedError(DRAINING)
        if not self._available:
            raise CallFailedError(_NO_WORKER)
        if not self._idle:
            self._check_places(tenant, 0)

    def _check_places(self, tenant: str, further: int) -> None:
        owners = [ticket.tenant for ticket in self._waiting if not ticket.background]
        # One tenant's calls that fill the queue leave another tenant its first place.
        taken_by_others = bool(owners) and tenant not in owners
        if len(owners) >= self._options.queue + further and not taken_by_others:
            raise CallFailedError(self._full(len(owners)))

    def close(self) -> None:
        """Refuse further calls; those that run or wait go on."""
        self._closed = True
        self._changed()

    async def idle(self, timeout: float) -> bool:
        """Wait until no call runs or waits; return False when `timeout` seconds pass first."""
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout
        while self.busy and loop.time() < end:
            await asyncio.sleep(0.02)
        return not self.busy

    async def hand_back(self) -> None:
        """Fail the background calls (``DRAINING``) for good, and wait until no worker has one."""
        self._handed_back = True
        for ticket in [*self._waiting, *self._running]:
            if ticket.background:
                ticket.fail(DRAINING)
        while any(ticket.background for ticket in self._running):
            await asyncio.sleep(0.02)

    async def stop(self) -> None:
        """Fail the calls that are left and end every worker."""
        self.close()
        for ticket in [*self._waiting, *self._running]:
            ticket.fail(DRAINING)
        for tender in self._tenders:
            tender.cancel()
        await asyncio.gather(*self._tenders, return_exceptions=True)

    async def _tend(self) -> None:
        """Keep one worker alive, with a growing pause while it fails to become ready."""
        pause = _FIRST_PAUSE_SECONDS
        while True:
            if await self._use_one_worker():
                pause = _FIRST_PAUSE_SECONDS
                continue
            self._rest()
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            self._available += 1

    async def _use_one_worker(self) -> bool:
        """Start a worker and feed it until it ends; return whether the next may start at once."""
        try:
            worker = WorkerProcess(self._options, self._changed)
        except OSError:
            _log.exception("cannot start a worker process")
            return False
        self._workers.add(worker)
        try:
            await worker.started()
            self._changed()
            while True:
                await self._run(worker, await self._take(worker))
        except WorkerLostError as lost:
            _log.warning("%s (pid %d)", lost, worker.pid)
            self._observer.worker_lost()
            return worker.warmed or worker.killed
        finally:
            self._workers.discard(worker)
            self._changed()
            await worker.end(self._options.grace_seconds)

    def _rest(self) -> None:
        self._available -= 1
        if not self._available:
            _log.error("no worker can be started; calls are refused until one can")
            for ticket in self._waiting:
                if not ticket.background:
                    ticket.fail(_NO_WORKER)

    async def _take(self, worker: WorkerProcess) -> Ticket:
        """Return the next call for a worker; raise when the worker ends while it waits."""
        seat = _Seat(worker, asyncio.get_running_loop().create_future())
        self._idle.append(seat)
        self._hand_out()
        try:
            await first_of(seat.offered, worker.lost)
        finally:
            if seat in self._idle:
                self._idle.remove(seat)
        if not worker.lost.done():
            return seat.offered.result()
        if seat.offered.done():  # both at once: it has not been sent, another worker can have it
            ticket = seat.offered.result()
            self._running.discard(ticket)
            self._waiting.push_back(ticket.tenant, ticket)
            self._hand_out()
        raise WorkerLostError(worker.lost.result())

    def _hand_out(self) -> None:
        """Give every idle worker the waiting call whose turn it is."""
        for seat in [*self._idle]:
            ticket = self._waiting.take(partial(self._may_have, seat))
            if ticket is not None:
                self._idle.remove(seat)
                # Counted from here on, so that a drain cannot miss it.
                self._running.add(ticket)
                seat.offered.set_result(ticket)

    def _may_have(self, seat: _Seat, ticket: Ticket) -> bool:
        return seat.suits(ticket) and not (self._closed and ticket.background)

    async def _run(self, worker: WorkerProcess, ticket: Ticket) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        rpc, outcome, diagnostics = "", "CANCELLED", None
        try:
            call = await _prepared(ticket)
            if call is None or ticket.response.done():
                ticket.response.cancel()
                return
            rpc = call.rpc
            remaining = None if ticket.expires is None else ticket.expires - begun
            grace = self._options.grace_seconds
            reply = await worker.run(
                call.within(remaining),
                ticket.response,
                grace,
                ticket.listener,
                ticket.context.run(get_contextvars),
            )
            if reply is None or ticket.response.done():
                return
            if isinstance(reply, Done):
                outcome, diagnostics = "OK", reply.output.diagnostics
                ticket.response.set_result(reply.output)
            else:
                outcome = reply.failure.reason
                ticket.fail(reply.failure)
            self._typical_seconds += 0.2 * (loop.time() - begun - self._typical_seconds)
        except WorkerLostError:
            if not ticket.response.done():
                outcome = _WORKER_LOST.reason
                ticket.fail(_WORKER_LOST)
            raise
        finally:
            self._running.discard(ticket)
            if rpc:
                ended = Ended(
                    rpc=rpc,
                    outcome=outcome,
                    waited=max(begun - ticket.entered, 0.0),
                    seconds=loop.time() - begun,
                    diagnostics=diagnostics,
                )
                ticket.context.run(self._observer.job_ended, ended)

    def _changed(self) -> None:
        self._hand_out()  # a worker that has become warm suits more calls
        now = (self.started, self.ready)
        if now != self._was:
            self._was = now
            self._on_change()

    def _full(self, waiting: int) -> Failure:
        estimate = self._typical_seconds * (waiting + 1) / self._options.workers
        return Failure(
            reason="QUEUE_FULL",
            message=f"every worker is busy and {waiting} calls wait already; try again later",
            retry_after=min(max(estimate, 0.25), 10.0),
        )


async def _prepared(ticket: Ticket) -> Call | None:
    """Return what a ticket asks for; an error of its own making ends the ticket, not the worker."""
    if ticket.response.done():
        return None
    try:
        return await ticket.prepare()
    except Exception as error:
        if not ticket.response.done():
            ticket.response.set_exception(error)
        return None


DRAINING = Failure(
    reason="DRAINING", message="the server is shutting down and takes no further calls"
)
_NO_WORKER = Failure(
    reason="NO_WORKER",
    message="no worker process can be started; the server's log says why",
)
_WORKER_LOST = Failure(
    reason="WORKER_LOST",
    message="the worker process ended in the middle of the call; a new one has been started",
)
