"""The worker process: runs one call at a time and knows nothing of gRPC.

A thread of its own reads the pipe, so that a cancellation is seen while the call runs and the
end of the pipe (the front is gone, however it died) ends the process at once: no orphans.
"""

from __future__ import annotations

import importlib
import logging
import os
import queue
import signal
import threading
import traceback
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any

from structlog.contextvars import bind_contextvars, clear_contextvars

from bayesrca.errors import BayesRcaError
from bayesrca.service.messages import (
    Cancel,
    Done,
    Failed,
    Failure,
    Job,
    Ready,
    Report,
    Started,
)
from bayesrca.service.options import LogFormat
from bayesrca.service.tasks import Task, tasks
from bayesrca.service.telemetry_logs import set_up_logging

NICENESS = 10

_log = logging.getLogger("bayesrca.service.worker")


_TOO_MUCH_MEMORY = (
    "this call needs more memory than its worker may have; ask for fewer draws, fewer series or a "
    "shorter window, or give the server more memory"
)


class Worker:
    """One worker's state.

    Args:
        connection: this process's end of the pipe.
        tasks: what to do for each rpc.
        warmer: ``module:function`` that compiles the model; empty leaves that to the first
            analysis. Looked up late: its module may load PyMC, which no screen should wait for.
    """

    def __init__(
        self, connection: Connection[Any, Any], tasks: Mapping[str, Task], warmer: str
    ) -> None:
        self._connection = connection
        self._tasks = tasks
        self._warmer = warmer
        self._jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._sending = threading.Lock()
        self._cancelled = -1

    def run(self) -> None:
        """Serve jobs until the pipe ends, which ends the process."""
        threading.Thread(target=self._listen, name="listen", daemon=True).start()
        self._send(Started())
        threading.Thread(target=self._warm_up, name="warm-up", daemon=True).start()
        while True:
            self._send(self._answer(self._jobs.get()))

    def _listen(self) -> None:
        try:
            while True:
                message = self._connection.recv()
                if isinstance(message, Cancel):
                    self._cancelled = message.number
                else:
                    self._jobs.put(message)
        except (EOFError, OSError):
            os._exit(0)
        except BaseException:
            _log.exception("cannot read from the front")
            os._exit(1)

    def _send(self, message: object) -> None:
        try:
            with self._sending:
                self._connection.send(message)
        except OSError:
            os._exit(0)

    def _warm_up(self) -> None:
        # Beside the jobs, not before them: only some need a compiled model, and the front sends
        # those once it is there.
        try:
            if self._warmer:
                resolve(self._warmer)()
        except BaseException:
            _log.exception("cannot warm up")
            os._exit(1)
        self._send(Ready())

    def _answer(self, job: Job) -> Done | Failed:
        clear_contextvars()
        bind_contextvars(**job.about)

        def cancelled() -> bool:
            return self._cancelled >= job.number

        def report(told: Report) -> None:
            self._send(replace(told, number=job.number))

        try:
            output = self._tasks[job.call.rpc](job.call, cancelled, report)
            return Done(job.number, output)
        except BayesRcaError as error:
            failure = Failure(reason=error.reason, message=str(error), field=error.field)
            return Failed(job.number, failure)
        except MemoryError:
            _log.exception("%s ran out of memory", job.call.rpc)
            failure = Failure(reason="OUT_OF_MEMORY", message=_TOO_MUCH_MEMORY, retryable=False)
            return Failed(job.number, failure)
        # A panic of the native core arrives as a BaseException; it must not take the worker along.
        except BaseException:
            error_id = uuid.uuid4().hex
            _log.exception("%s failed, error id %s", job.call.rpc, error_id)
            message = "the call failed inside the server; its log has more under the error id"
            return Failed(
                job.number, Failure(reason="INTERNAL", message=message, error_id=error_id)
            )


def main(descriptor: int, analyzer: str, warmer: str, log_format: str) -> None:
    """Run a worker on an inherited socket; does not return.

    Args:
        descriptor: file descriptor of this process's end of the pipe.
        analyzer: ``module:function`` of the analysis.
        warmer: ``module:function`` that warms up; empty for no warm-up.
        log_format: how to log, a `LogFormat`.
    """
    # The front decides when to stop. A terminal's Ctrl-C and a service manager's SIGTERM reach the
    # whole process group, and must not cut short the calls that the front is draining.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.nice(NICENESS)
    os.set_inheritable(descriptor, False)
    # Libraries speak up when something is wrong, not when they load.
    set_up_logging(LogFormat(log_format), "%(levelname)s %(name)s: %(message)s", logging.WARNING)
    logging.getLogger("bayesrca").setLevel(logging.INFO)
    try:
        worker = Worker(Connection(descriptor), tasks(resolve(analyzer)), warmer)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    worker.run()


def resolve(path: str) -> Callable[..., Any]:
    """Return the function that ``module:function`` names.

    Raises:
        ImportError: there is no such module.
        AttributeError: there is no such function in it.
    """
    module, _, name = path.partition(":")
    function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return function
