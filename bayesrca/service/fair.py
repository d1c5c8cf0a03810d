"""A queue in which nobody's many items hold up another's few."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator


class FairQueue[T]:
    """Items of several owners. Owners take turns; each one's items keep their order."""

    def __init__(self) -> None:
        # In the order of the owners' next turns; no line is empty.
        self._lines: dict[str, deque[T]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._lines.values()))

    def __iter__(self) -> Iterator[T]:
        for line in [*self._lines.values()]:
            yield from [*line]

    def push(self, owner: str, item: T) -> None:
        """Add an item behind its owner's others."""
        self._lines.setdefault(owner, deque()).append(item)

    def push_back(self, owner: str, item: T) -> None:
        """Return an item that `take` gave out, to be the next of all."""
        line = self._lines.pop(owner, deque())
        line.appendleft(item)
        self._lines = {owner: line, **self._lines}

    def take(self, suits: Callable[[T], bool]) -> T | None:
        """Remove and return the first item that suits, of the owner whose turn it is.

        Owners without such an item keep their turn; the one served comes last again.
        """
        for owner, line in self._lines.items():
            for item in line:
                if suits(item):
                    line.remove(item)
                    del self._lines[owner]
                    if line:
                        self._lines[owner] = line
                    return item
        return None

    def discard(self, owner: str, item: T) -> None:
        """Remove an item, if it is there."""
        line = self._lines.get(owner)
        if line is not None and item in line:
            line.remove(item)
            if not line:
                del self._lines[owner]
