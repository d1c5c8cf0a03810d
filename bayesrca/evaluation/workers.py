"""The same function over many tasks, in this process or in several."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection


def work[T, R](
    tasks: Sequence[T], function: Callable[[T], R], jobs: int
) -> Generator[tuple[int, R]]:
    """Yield the position and the result of every task, in the order in which they are done.

    Close the generator to stop: no process outlives it. An interrupt is the caller's to handle.

    Args:
        tasks: arguments of the function, picklable for several jobs.
        function: what to do with each, picklable likewise.
        jobs: processes that work at once (>= 1); 1 works in this process.

    Raises:
        concurrent.futures.process.BrokenProcessPool: a worker process died.
    """
    if jobs == 1:
        yield from ((i, function(task)) for i, task in enumerate(tasks))
    else:
        yield from _work_in_processes(tasks, function, jobs)


_function: Callable[..., object]
"""What a worker process was started with."""


def _start(function: Callable[..., object], parent: Connection) -> None:
    global _function  # noqa: PLW0603  set once, before the first task
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    threading.Thread(target=_leave_with, args=(parent,), daemon=True).start()
    _function = function


def _leave_with(parent: Connection) -> None:
    """End this process, whatever it is at, as soon as the parent hangs up or dies."""
    with suppress(EOFError, OSError):
        parent.recv_bytes()
    os._exit(1)


def _do(i: int, task: object) -> tuple[int, object]:
    return i, _function(task)


def _work_in_processes[T, R](
    tasks: Sequence[T], function: Callable[[T], R], jobs: int
) -> Generator[tuple[int, R]]:
    context = get_context("spawn")
    theirs, ours = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(
        min(jobs, max(1, len(tasks))), context, initializer=_start, initargs=(function, theirs)
    )
    try:
        with _ignoring_interrupts():
            futures = [pool.submit(_do, i, task) for i, task in enumerate(tasks)]
        for future in as_completed(futures):
            yield future.result()  # type: ignore[misc]  # the function's own result
        pool.shutdown()
    finally:
        ours.close()
        pool.shutdown(cancel_futures=True)
        theirs.close()


@contextmanager
def _ignoring_interrupts() -> Iterator[None]:
    """Let processes that are started here ignore Ctrl-C from their first instruction on."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
