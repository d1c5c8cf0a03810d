"""The front's side of one worker process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from typing import Any

from bayesrca.service.messages import (
    Call,
    Cancel,
    Done,
    Failed,
    Job,
    Ready,
    Report,
    Started,
)
from bayesrca.service.options import ServiceOptions

# A fresh interpreter instead of multiprocessing's spawn: nothing of the program that calls `serve`
# is imported again, and no third process has to be kept in mind when the server is killed.
_BOOT = """
import json, sys
descriptor, analyzer, warmer, log_format, sys.path[:] = json.loads(sys.argv[1])
from bayesrca.service.worker import main
main(descriptor, analyzer, warmer, log_format)
"""


class WorkerLostError(Exception):
    """The worker process ended.

    Args:
        code: its exit code, negative for the signal that killed it.
    """

    def __init__(self, code: int) -> None:
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        super().__init__(f"worker ended with {how}")
        self.code = code


class WorkerProcess:
    """One spawned worker. Use from the event loop's thread only.

    Args:
        options: what it runs, and how it logs.
        on_ready: called once, when the model is warm.

    Attributes:
        ready: whether the model is warm and the process alive.
        warmed: whether it was ever ready.
        killed: whether it was ended on purpose.
        lost: done once the process has ended and been reaped; holds its exit code.
    """

    def __init__(self, options: ServiceOptions, on_ready: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_ready = on_ready
        self._started: asyncio.Future[None] = self._loop.create_future()
        self._reply: asyncio.Future[Done | Failed] | None = None
        self._listener: Callable[[Report], None] | None = None
        self._number = 0
        self._sending = threading.Lock()
        self._sender = ThreadPoolExecutor(1, "worker-sender")
        self.ready = False
        self.warmed = False
        self.killed = False
        self.lost: asyncio.Future[int] = self._loop.create_future()

        self._socket, theirs = socket.socketpair()
        with theirs:
            warmer = options.warmer if options.warm else ""
            argument = json.dumps(
                [theirs.fileno(), options.analyzer, warmer, options.log_format, sys.path]
            )
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _BOOT, argument],
                stdin=subprocess.DEVNULL,
                stdout=2,  # whatever a library prints belongs into the log
                pass_fds=[theirs.fileno()],
            )
        self._connection: Connection[Any, Any] = Connection(os.dup(self._socket.fileno()))
        threading.Thread(target=self._read, name="worker-reader", daemon=True).start()

    @property
    def accepts(self) -> bool:
        """Whether jobs that need no model can be sent to it."""
        return self._started.done() and not (self.killed or self.lost.done())

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    async def started(self) -> None:
        """Wait until the worker accepts jobs.

        Raises:
            WorkerLostError: it ended instead.
        """
        await first_of(self._started, self.lost)
        if self.lost.done():
            raise WorkerLostError(self.lost.result())

    async def run(
        self,
        call: Call,
        abandoned: asyncio.Future[Any],
        grace: float,
        listener: Callable[[Report], None] | None = None,
        about: Mapping[str, object] | None = None,
    ) -> Done | Failed | None:
        """Run one call to its end, and see that the worker is free again afterwards.

        Args:
            call: what to do.
            abandoned: done when nobody waits any more; the worker is then told to stop.
            grace: seconds it may take to stop before it is killed.
            listener: told how far the call is.
            about: what the worker's log is to say beside every record, by key.

        Returns:
            The worker's reply, or None when the call was abandoned.

        Raises:
            WorkerLostError: the process ended, on its own or because it had to be killed.
        """
        self._number += 1
        self._reply = self._loop.create_future()
        self._listener = listener
        sending = asyncio.ensure_future(self._send(Job(self._number, call, about or {})))
        try:
            await first_of(self._reply, self.lost, abandoned)
            if not self._reply.done() and not self.lost.done():
                cancelling = asyncio.ensure_future(self._send(Cancel(self._number)))
                await first_of(self._reply, self.lost, timeout=grace)
                if not self._reply.done():
                    await self.end(0.0)
                await cancelling
            await sending
            if self._reply.done():
                return None if abandoned.done() else self._reply.result()
            raise WorkerLostError(await self.lost)
        finally:
            self._reply = self._listener = None

    async def end(self, patience: float) -> None:
        """End the process and wait until it is gone.

        Args:
            patience: seconds it may take to end by itself before it is killed.
        """
        self.killed = True
        self.ready = False
        with contextlib.suppress(OSError):
            # Wakes the reader on both sides; the worker takes it as the order to exit.
            self._socket.shutdown(socket.SHUT_RDWR)
        await asyncio.wait({self.lost}, timeout=patience)
        if not self.lost.done():
            self._process.kill()
            await asyncio.wait({self.lost})
        self._sender.shutdown(wait=False)
        self._socket.close()

    async def _send(self, message: Job | Cancel) -> None:
        # In a thread, for a large incident can fill the pipe; in one of its own, for a cancellation
        # must not wait until requests of others have been read in the loop's.
        try:
            sent = self._loop.run_in_executor(self._sender, self._send_now, message)
        except RuntimeError:
            return  # the worker has been ended meanwhile
        await sent

    def _send_now(self, message: Job | Cancel) -> None:
        # That the worker is gone shows in `lost`, whoever notices first.
        with self._sending, contextlib.suppress(OSError):
            self._connection.send(message)

    def _read(self) -> None:
        with contextlib.suppress(EOFError, OSError):
            while True:
                self._post(self._on_message, self._connection.recv())
        code = self._process.wait()
        with self._sending:
            self._connection.close()
        self._post(self._on_lost, code)

    def _post(self, callback: Callable[[Any], None], value: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
            self._loop.call_soon_threadsafe(callback, value)

    def _on_message(self, message: Started | Ready | Report | Done | Failed) -> None:
        match message:
            case Started():
                self._started.set_result(None)
            case Ready():
                self.warmed = True
                self.ready = not self.killed
                self._on_ready()
            case Report():
                if self._listener is not None and message.number == self._number:
                    self._listener(message)
            case Done() | Failed():
                if self._reply is not None and message.number == self._number:
                    self._reply.set_result(message)

    def _on_lost(self, code: int) -> None:
        self.ready = False
        self.lost.set_result(code)


async def first_of(*futures: asyncio.Future[Any], timeout: float | None = None) -> None:
    """Wait until one of the futures is done, or for at most `timeout` seconds; cancels none."""
    await asyncio.wait(futures, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
