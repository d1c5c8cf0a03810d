"""Files that are read again when they change."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from bayesrca.errors import BayesRcaError

_log = logging.getLogger("bayesrca.service")


class Watched[T]:
    """What files hold. Safe to share among threads.

    Files that are replaced by ones that cannot be read, or not yet, leave things as they were: the
    log says so, once.

    Args:
        paths: the files.
        read: reads them; a `BayesRcaError` or `OSError` means that they will not do.

    Raises:
        BayesRcaError: what `read` raises the first time.
    """

    def __init__(self, paths: Sequence[Path], read: Callable[[], T]) -> None:
        self._paths = tuple(paths)
        self._read = read
        self._lock = threading.Lock()
        self._signature = self._sign()
        self._value = read()

    def current(self) -> T:
        """Return what the files hold now; costs one look at each file's date."""
        # Before the reading: a change in the middle of it is found the next time.
        signature = self._sign()
        with self._lock:
            if signature != self._signature:
                self._signature = signature
                self._reload()
            return self._value

    def _reload(self) -> None:
        names = ", ".join(str(path) for path in self._paths)
        try:
            self._value = self._read()
        except (BayesRcaError, OSError) as error:
            _log.error("%s changed, but what was read before stays in use: %s", names, error)
        else:
            _log.info("%s changed and was read again", names)

    def _sign(self) -> tuple[tuple[int, int, int] | None, ...]:
        return tuple(_signature(path) for path in self._paths)


def _signature(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
