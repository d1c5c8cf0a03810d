"""Supervised workers behind a bounded queue. Knows nothing of gRPC."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from bayesrca.config import Method, Settings
from bayesrca.service.messages import CallFailedError, Done, Failure
from bayesrca.service.options import ServiceOptions
from bayesrca.service.process import WorkerLostError, WorkerProcess, first_of

_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0

_log = logging.getLogger("bayesrca.service.pool")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Ticket:
    """A call on its way through the pool.

    Attributes:
        request: a serialised `AnalyzeRequest`, found valid.
        settings: how to analyse it.
        expires: the event loop's time at which nobody waits any more; None for never.
        response: the serialised response; cancelling it abandons the call wherever it is.
    """

    request: bytes
    settings: Settings
    expires: float | None
    response: asyncio.Future[bytes]

    def fail(self, failure: Failure) -> None:
        """End the call without an answer, unless it has already ended."""
        if not self.response.done():
            self.response.set_exception(CallFailedError(failure))


class WorkerPool:
    """Workers that are started again when they end, and the calls that wait for them.

    Args:
        options: how many workers, how long a queue, what they run.
        on_change: called with `ready` whenever it changes.
    """

    def __init__(self, options: ServiceOptions, on_change: Callable[[bool], None]) -> None:
        self._options = options
        self._on_change = on_change
        self._tenders: list[asyncio.Task[None]] = []
        self._workers: set[WorkerProcess] = set()
        self._waiting: deque[Ticket] = deque()
        self._idle: deque[asyncio.Future[Ticket]] = deque()
        self._running: set[Ticket] = set()
        self._available = 0  # workers that run or are starting, not those resting after a failure
        self._closed = False
        self._was_ready = False
        self._typical_seconds = 1.0

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

    def submit(self, request: bytes, settings: Settings, expires: float | None) -> Ticket:
        """Hand a call to an idle worker or put it into the queue.

        Args:
            request: a serialised `AnalyzeRequest`, found valid.
            settings: how to analyse it.
            expires: the event loop's time at which nobody waits any more; None for never.

        Raises:
            CallFailedError: as `check`.
        """
        self.check()
        response: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        ticket = Ticket(request, settings, expires, response)
        if self._idle:
            self._idle.popleft().set_result(ticket)
            # Counted from here on, so that a drain cannot miss it.
            self._running.add(ticket)
        else:
            self._waiting.append(ticket)
            ticket.response.add_done_callback(lambda _: self._forget(ticket))
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
        if self._waiting:
            ticket = self._waiting.popleft()
            self._running.add(ticket)
            return ticket
        offered: asyncio.Future[Ticket] = asyncio.get_running_loop().create_future()
        self._idle.append(offered)
        try:
            await first_of(offered, worker.lost)
        finally:
            if offered in self._idle:
                self._idle.remove(offered)
        if not worker.lost.done():
            return offered.result()
        if offered.done():  # both at once: the call has not been sent, another worker can have it
            self._running.discard(offered.result())
            self._waiting.appendleft(offered.result())
        raise WorkerLostError(worker.lost.result())

    async def _run(self, worker: WorkerProcess, ticket: Ticket) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        try:
            if ticket.response.done():
                return
            remaining = None if ticket.expires is None else ticket.expires - begun
            settings = with_budget(ticket.settings, remaining)
            reply = await worker.run(
                ticket.request, settings, ticket.response, self._options.grace_seconds
            )
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
        if self.ready != self._was_ready:
            self._was_ready = self.ready
            self._on_change(self.ready)

    def _full(self) -> Failure:
        waiting = len(self._waiting)
        estimate = self._typical_seconds * (waiting + 1) / self._options.workers
        return Failure(
            reason="QUEUE_FULL",
            message=f"every worker is busy and {waiting} calls wait already; try again later",
            retry_after=min(max(estimate, 0.25), 10.0),
        )


def with_budget(settings: Settings, remaining: float | None) -> Settings:
    """Return settings that leave time for the answer to reach the caller.

    Only `Method.AUTO` has a choice to make, so only its deadline is set or lowered.

    Args:
        settings: what the caller asked for.
        remaining: seconds until the caller stops waiting; None for never.
    """
    if settings.method is not Method.AUTO or remaining is None:
        return settings
    remaining = max(remaining, 1e-3)
    margin = min(max(0.1, 0.05 * remaining), 1.0, 0.5 * remaining)
    budget = remaining - margin
    if settings.deadline is not None:
        budget = min(budget, settings.deadline)
    return replace(settings, deadline=budget)


_DRAINING = Failure(
    reason="DRAINING", message="the server is shutting down and takes no further calls"
)
_NO_WORKER = Failure(
    reason="NO_WORKER",
    message="no worker process can be started; the server's log says why",
)
_WORKER_LOST = Failure(
    reason="WORKER_LOST",
    message="the worker process ended in the middle of the analysis; a new one has been started",
)
