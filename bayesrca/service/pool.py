"""Supervised workers behind a bounded queue. Knows nothing of gRPC."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from bayesrca.service.messages import Call, CallFailedError, Done, Failure
from bayesrca.service.options import ServiceOptions
from bayesrca.service.process import WorkerLostError, WorkerProcess, first_of

_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0

_log = logging.getLogger("bayesrca.service.pool")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Ticket:
    """A call on its way through the pool.

    Attributes:
        call: what to do.
        expires: the event loop's time at which nobody waits any more; None for never.
        response: the serialised response; cancelling it abandons the call wherever it is.
    """

    call: Call
    expires: float | None
    response: asyncio.Future[bytes]

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

    def suits(self, call: Call) -> bool:
        return self.worker.ready or not call.needs_model


class WorkerPool:
    """Workers that are started again when they end, and the calls that wait for them.

    Calls are given out in order of arrival, except that those which need a compiled model let the
    others pass while no warm worker is free.

    Args:
        options: how many workers, how long a queue, what they run.
        on_change: called whenever `started` or `ready` changes.
    """

    def __init__(self, options: ServiceOptions, on_change: Callable[[], None]) -> None:
        self._options = options
        self._on_change = on_change
        self._tenders: list[asyncio.Task[None]] = []
        self._workers: set[WorkerProcess] = set()
        self._waiting: deque[Ticket] = deque()
        self._idle: list[_Seat] = []
        self._running: set[Ticket] = set()
        self._available = 0  # workers that run or are starting, not those resting after a failure
        self._closed = False
        self._was = (False, False)
        self._typical_seconds = 1.0

    @property
    def started(self) -> bool:
        """Whether a worker is alive, warm or not, and calls are accepted."""
        return not self._closed and any(worker.accepts for worker in self._workers)

    @property
    def ready(self) -> bool:
        """Whether a warm worker is alive and calls are accepted."""
        return not self._closed and any(worker.ready for worker in self._workers)

    @property
    def busy(self) -> bool:
        """Whether a call runs or waits."""
        return bool(self._running or self._waiting)

    def start(self) -> None:
        """Start the workers; returns at once."""
        self._available = self._options.workers
        self._tenders = [
            asyncio.create_task(self._tend(), name=f"worker-{i}")
            for i in range(self._options.workers)
        ]

    def submit(self, call: Call, expires: float | None) -> Ticket:
        """Hand a call to an idle worker or put it into the queue.

        Args:
            call: what to do.
            expires: the event loop's time at which nobody waits any more; None for never.

        Raises:
            CallFailedError: as `check`.
        """
        self.check()
        # An idle worker that is not warm is still a place to wait at.
        places = self._options.queue + len(self._idle)
        if len(self._waiting) >= places and not any(seat.suits(call) for seat in self._idle):
            raise CallFailedError(self._full())
        response: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        ticket = Ticket(call, expires, response)
        self._waiting.append(ticket)
        ticket.response.add_done_callback(lambda _: self._forget(ticket))
        self._hand_out()
        return ticket

    def check(self) -> None:
        """Raise if a call would not be taken now.

        Raises:
            CallFailedError: the pool drains (``DRAINING``), no worker can be started
                (``NO_WORKER``), or the queue is full (``QUEUE_FULL``).
        """
        if self._closed:
            raise CallFailedError(_DRAINING)
        if not self._available:
            raise CallFailedError(_NO_WORKER)
        if not self._idle and len(self._waiting) >= self._options.queue:
            raise CallFailedError(self._full())

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

    async def stop(self) -> None:
        """Fail the calls that are left and end every worker."""
        self.close()
        for ticket in [*self._waiting, *self._running]:
            ticket.fail(_DRAINING)
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
        warmer = self._options.warmer if self._options.warm else ""
        try:
            worker = WorkerProcess(self._options.analyzer, warmer, self._changed)
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
            return worker.warmed or worker.killed
        finally:
            self._workers.discard(worker)
            self._changed()
            await worker.end(self._options.grace_seconds)

    def _rest(self) -> None:
        self._available -= 1
        if not self._available:
            _log.error("no worker can be started; calls are refused until one can")
            for ticket in [*self._waiting]:
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
            self._running.discard(seat.offered.result())
            self._waiting.appendleft(seat.offered.result())
            self._hand_out()
        raise WorkerLostError(worker.lost.result())

    def _hand_out(self) -> None:
        """Give every idle worker the first waiting call that suits it."""
        for seat in [*self._idle]:
            ticket = next((t for t in self._waiting if seat.suits(t.call)), None)
            if ticket is not None:
                self._idle.remove(seat)
                self._waiting.remove(ticket)
                # Counted from here on, so that a drain cannot miss it.
                self._running.add(ticket)
                seat.offered.set_result(ticket)

    async def _run(self, worker: WorkerProcess, ticket: Ticket) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        try:
            if ticket.response.done():
                return
            remaining = None if ticket.expires is None else ticket.expires - begun
            call = ticket.call.within(remaining)
            reply = await worker.run(call, ticket.response, self._options.grace_seconds)
            if reply is None or ticket.response.done():
                return
            if isinstance(reply, Done):
                ticket.response.set_result(reply.response)
            else:
                ticket.fail(reply.failure)
            self._typical_seconds += 0.2 * (loop.time() - begun - self._typical_seconds)
        except WorkerLostError:
            ticket.fail(_WORKER_LOST)
            raise
        finally:
            self._running.discard(ticket)

    def _forget(self, ticket: Ticket) -> None:
        if ticket in self._waiting:
            self._waiting.remove(ticket)

    def _changed(self) -> None:
        self._hand_out()  # a worker that has become warm suits more calls
        now = (self.started, self.ready)
        if now != self._was:
            self._was = now
            self._on_change()

    def _full(self) -> Failure:
        waiting = len(self._waiting)
        estimate = self._typical_seconds * (waiting + 1) / self._options.workers
        return Failure(
            reason="QUEUE_FULL",
            message=f"every worker is busy and {waiting} calls wait already; try again later",
            retry_after=min(max(estimate, 0.25), 10.0),
        )


_DRAINING = Failure(
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
