"""What the normal period says, remembered: the same baseline is often analysed again and again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_BYTES = 64 * 2**20
"""Memory that remembered arrays may take in one process; the least recently used go first."""
ENTRY_BYTES = 400
"""What an entry takes besides its array."""


class NullCache:
    """Arrays by the content of what they were computed from, bounded, safe for threads.

    Two computations of the same thing may run at once; they give the same numbers.

    Args:
        most_bytes: memory the arrays may take; one that is larger alone is not kept.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most = most_bytes
        self._held = 0
        self._arrays: OrderedDict[bytes, NDArray[Any]] = OrderedDict()
        self._lock = Lock()
        self.hits = 0
        self.misses = 0

    @property
    def held_bytes(self) -> int:
        """Memory in use."""
        return self._held

    def __len__(self) -> int:
        return len(self._arrays)

    def get(
        self, compute: Callable[[], NDArray[np.float64]], *parts: object
    ) -> NDArray[np.float64]:
        """Return what `compute` returns, read-only, from memory if it was computed before.

        Args:
            compute: a pure function of the parts.
            parts: arrays, and anything with a telling `repr`, that determine the result.
        """
        key = _digest(parts)
        with self._lock:
            known = self._arrays.get(key)
            if known is not None:
                self._arrays.move_to_end(key)
                self.hits += 1
                return known
            self.misses += 1
        found = compute()
        found.setflags(write=False)
        with self._lock:
            if key not in self._arrays and found.nbytes + ENTRY_BYTES <= self._most:
                self._arrays[key] = found
                self._held += found.nbytes + ENTRY_BYTES
                while self._held > self._most:
                    _, dropped = self._arrays.popitem(last=False)
                    self._held -= dropped.nbytes + ENTRY_BYTES
        return found

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._arrays.clear()
            self._held = self.hits = self.misses = 0


def _digest(parts: tuple[object, ...]) -> bytes:
    told = blake2b(digest_size=16)
    for part in parts:
        if isinstance(part, np.ndarray):
            told.update(f"{part.dtype.str}{part.shape}".encode())
            told.update(np.ascontiguousarray(part).data)
        else:
            told.update(repr(part).encode())
        told.update(b"\0")
    return told.digest()


NULLS = NullCache()
"""The process's cache, for null scales and seasons."""
