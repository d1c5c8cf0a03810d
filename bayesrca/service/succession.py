"""Which server may use a folder, and which one waits to succeed it.

Both are told by locks on files in the folder, which the kernel lets go of when a process ends.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Callable
from pathlib import Path

from bayesrca.errors import ServiceError
from bayesrca.service.artefacts import make_folder

_LOOK_SECONDS = 0.05
_LONGEST_SECONDS = 10.0
"""How long a server that hands over waits for its successor to listen."""
_TRIES = 20
"""How often a waiting server asks for its place: who looks whether it is taken holds it briefly."""


def take(folder: Path, name: str = "lock") -> int | None:
    """Return a descriptor that holds a lock of a folder until it is closed; None where it is held.

    Raises:
        OSError: the file cannot be opened.
    """
    descriptor = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


class Succession:
    """A server's place among those that follow one another on a folder.

    Args:
        folder: theirs; made when it does not exist.

    Raises:
        ServiceError: it cannot be used (``STORE_UNUSABLE``).
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            make_folder(folder)
            for name in ("lock", "successor"):
                (folder / name).touch(0o600)
        except OSError as error:
            msg = f"the data directory {folder} cannot be used: {error}"
            raise ServiceError(msg, reason="STORE_UNUSABLE") from error
        self._place: int | None = None

    def at_once(self) -> int | None:
        """Return the folder's lock where no other server holds it."""
        return take(self._folder)

    async def turn(self, ready: Callable[[], bool], waits: Callable[[], None]) -> int:
        """Return the folder's lock, once the server before has let go of it.

        Args:
            ready: whether the server before need not be kept any longer.
            waits: called when it is ready, and the server before knows that it has a successor.

        Raises:
            ServiceError: another server waits already (``STORE_IN_USE``).
        """
        tries = 0
        while True:
            lock = self.at_once()
            if lock is not None:
                return lock
            if self._place is None and ready():
                self._place = take(self._folder, "successor")
                tries += 1
                if self._place is not None:
                    waits()
                elif tries == _TRIES:
                    msg = f"another server waits already to take over the folder {self._folder}"
                    raise ServiceError(msg, reason="STORE_IN_USE")
            await asyncio.sleep(_LOOK_SECONDS)

    def arrived(self) -> None:
        """Tell the server before that this one listens; may be called without having waited."""
        if self._place is not None:
            os.close(self._place)
            self._place = None

    def awaited(self) -> bool:
        """Whether a successor is ready and waits."""
        place = take(self._folder, "successor")
        if place is None:
            return True
        os.close(place)
        return False

    async def handed_over(self) -> bool:
        """Wait until the successor listens, or has ended; return False when it takes too long."""
        end = asyncio.get_running_loop().time() + _LONGEST_SECONDS
        while self.awaited():
            if asyncio.get_running_loop().time() > end:
                return False
            await asyncio.sleep(_LOOK_SECONDS / 2)
        return True
