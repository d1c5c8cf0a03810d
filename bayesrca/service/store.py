"""What outlives the server: one SQLite database and its artefacts, below one folder.

The event loop never waits for the disk. One thread writes, so that a row and the files it names
change together, as seen by every other call; others read, which SQLite's write-ahead log lets them
do meanwhile.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from bayesrca.errors import ServiceError
from bayesrca.service.artefacts import Artefacts, make_folder
from bayesrca.service.store_schema import migrate
from bayesrca.service.succession import take

_READERS = 2


class StoreFullError(Exception):
    """There is no space left to write to."""


def _steady_seconds() -> float:
    """Return seconds that go on while the machine sleeps, where the system can tell.

    An analysis must not stay young, and let a runbook run, because the machine was suspended.
    """
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime(clock)


class StoreClosedError(Exception):
    """The store is closed: another server may use it by now."""


class Clock:
    """Seconds since 1970 that only move forward while the program runs.

    The wall clock is read once: a step of it must neither expire what is young nor finish an
    analysis before it began.

    Args:
        wall: seconds since 1970.
        steady: seconds from any moment on, never set back. By default they go on while the machine
            sleeps, on Linux.
    """

    def __init__(
        self,
        wall: Callable[[], float] = time.time,
        steady: Callable[[], float] = _steady_seconds,
    ) -> None:
        self._steady = steady
        self._offset = wall() - steady()

    def now(self) -> float:
        """Return the seconds."""
        return self._offset + self._steady()


class Store:
    """An open store. At most one is open on a folder, in whichever process.

    Args:
        folder: where; made when it does not exist, for its owner only.
        clock: the time that rows are given.
        lock: the folder's lock, if it has been taken already (`bayesrca.service.succession`).

    Raises:
        ServiceError: another server uses the folder (reason ``STORE_IN_USE``), or it cannot be
            used: no permission, a newer schema, not a database (``STORE_UNUSABLE``).
    """

    def __init__(self, folder: Path, clock: Clock | None = None, lock: int | None = None) -> None:
        self.clock = clock or Clock()
        self.folder = folder
        self._lock = _locked(folder) if lock is None else lock
        try:
            self.artefacts = Artefacts(folder / "artefacts")
            self._engine = _engine(folder / "store.sqlite")
            with self._engine.begin() as connection:
                self.version = migrate(connection)[1]
        except (OSError, sa.exc.DBAPIError, ValueError) as error:
            os.close(self._lock)
            raise _unusable(folder, error) from error
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="store-writer")
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="store-reader")

    async def write[T](self, work: Callable[[sa.Connection], T]) -> T:
        """Run a function in a transaction of its own, after those before it; all or nothing.

        Raises:
            StoreFullError: the disk is full; nothing has changed.
            StoreClosedError: `close` has been called.
        """
        return await self._on(self._writer, lambda: self._transact(work))

    async def read[T](self, work: Callable[[sa.Connection], T]) -> T:
        """Run a function that changes nothing, on one state of the database."""
        return await self._on(self._readers, lambda: self._transact(work, writes=False))

    async def aside[T](self, work: Callable[[], T]) -> T:
        """Run a function that reads artefacts."""
        return await self._on(self._readers, work)

    def close(self) -> None:
        """Finish what was begun and let go of the folder; may be called twice."""
        self._writer.shutdown()
        self._readers.shutdown()
        self._engine.dispose()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    async def _on[T](self, threads: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        try:
            running = asyncio.get_running_loop().run_in_executor(threads, work)
        except RuntimeError as error:  # the threads take nothing more
            raise StoreClosedError from error
        # Shielded: a caller who goes away must not leave a transaction half waited for.
        return await asyncio.shield(running)

    def _transact[T](self, work: Callable[[sa.Connection], T], *, writes: bool = True) -> T:
        try:
            with self._engine.connect() as connection:
                connection.execution_options(begin="IMMEDIATE" if writes else "DEFERRED")
                with connection.begin():
                    return work(connection)
        except OperationalError as error:
            if _is_full(error):
                raise StoreFullError(str(error.orig)) from error
            raise


def _locked(folder: Path) -> int:
    """Return a descriptor that holds the folder; the kernel lets go when the process ends."""
    try:
        make_folder(folder)
        descriptor = take(folder)
    except OSError as error:
        raise _unusable(folder, error) from error
    if descriptor is None:
        msg = f"another server uses the data directory {folder}; stop it, or name another directory"
        raise ServiceError(msg, reason="STORE_IN_USE")
    return descriptor


def _unusable(folder: Path, error: Exception) -> ServiceError:
    said = error.orig if isinstance(error, sa.exc.DBAPIError) else error
    return ServiceError(
        f"the data directory {folder} cannot be used: {said}", reason="STORE_UNUSABLE"
    )


def _engine(path: Path) -> sa.Engine:
    engine = sa.create_engine(f"sqlite:///{path}", connect_args={"timeout": 10.0})

    @sa.event.listens_for(engine, "connect")
    def _connect(connection: Any, _: object) -> None:  # noqa: ANN401  a driver's, untyped
        # The driver begins transactions late and only before some statements; `_begin` does it.
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        kind = connection.get_execution_options().get("begin", "IMMEDIATE")
        connection.exec_driver_sql(f"BEGIN {kind}")

    return engine


def _is_full(error: OperationalError) -> bool:
    # SQLITE_FULL, and SQLITE_IOERR_WRITE and its like, which a limit on file sizes looks like.
    name = str(getattr(error.orig, "sqlite_errorname", ""))
    return name == "SQLITE_FULL" or name.startswith("SQLITE_IOERR")
