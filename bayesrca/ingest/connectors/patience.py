"""How long, how often and for how much a source of telemetry is asked, whatever it speaks."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from bayesrca.errors import SourceError

TOLD = 200
"""Characters of a server's own words that a message repeats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What asking one source may cost.

    Attributes:
        connect_seconds: to connect.
        read_seconds: between two pieces of an answer.
        attempt_seconds: for one attempt as a whole, however steadily its bytes drip.
        source_seconds: for everything asked of the source, pauses included.
        attempts: tries of one question.
        first_pause: seconds before the second try; doubles with each further one.
        longest_pause: most seconds between two tries, also where the server asks for more.
        max_bytes: of one answer, after decompression.
        max_total_bytes: of all answers, after decompression.
    """

    connect_seconds: float = 5.0
    read_seconds: float = 30.0
    attempt_seconds: float = 60.0
    source_seconds: float = 300.0
    attempts: int = 4
    first_pause: float = 0.5
    longest_pause: float = 30.0
    max_bytes: int = 64 << 20
    max_total_bytes: int = 512 << 20


class TryAgainError(Exception):
    """An attempt failed in a way that another may not.

    Args:
        message: what happened, to stand behind the source's name.
        after: seconds that the server asks to wait, None if it does not.
        lost: whether every other question would have met with the same.
    """

    def __init__(self, message: str, *, after: float | None = None, lost: bool = False) -> None:
        super().__init__(message)
        self.after = after
        self.lost = lost


class Patience:
    """Counts the time, the attempts and the bytes of one source.

    Args:
        name: the source's name in messages.
        limits: what asking may cost.
        pause: waits the given seconds.
        clock: seconds that only grow.
        jitter: factors in [0, 1) for the pauses.
    """

    def __init__(
        self,
        name: str,
        limits: Limits | None = None,
        *,
        pause: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.name = name
        self.limits = limits or Limits()
        self.clock = clock
        self._pause, self._jitter = pause, jitter
        self._ends = 0.0
        self._left = self.limits.max_total_bytes

    def begin(self) -> None:
        """Start the source's time and its bytes."""
        self._ends = self.clock() + self.limits.source_seconds
        self._left = self.limits.max_total_bytes

    def persist[T](self, attempt: Callable[[float], T]) -> T:
        """Try until it works or the limits are reached.

        Args:
            attempt: given the seconds that it may take.

        Raises:
            SourceError: no attempt worked; ``lost`` when every other question would fail too.
        """
        limits = self.limits
        pause = limits.first_pause
        for number in range(1, limits.attempts + 1):
            try:
                return attempt(self._seconds())
            except TryAgainError as again:
                if number == limits.attempts:
                    self.fail(f"{again}, {number} times in a row", lost=again.lost)
                wait = pause * (0.5 + 0.5 * self._jitter())
                if again.after is not None:
                    wait = max(again.after, wait)
                if wait > limits.longest_pause:
                    self.fail(
                        f"{again} and asks for {wait:.0f} s of patience, more than the "
                        f"{limits.longest_pause:.0f} s allowed; try later",
                        lost=again.lost,
                    )
                if self.clock() + wait >= self._ends:
                    self.fail(f"{again}, and its time of asking is over", lost=True)
                self._pause(wait)
                pause = min(2 * pause, limits.longest_pause)
        raise AssertionError  # the last attempt has failed

    def _seconds(self) -> float:
        left = min(self.limits.attempt_seconds, self._ends - self.clock())
        if left <= 0.0:
            self.fail(
                f"the {self.limits.source_seconds:.0f} s for asking it are over; ask for a "
                "shorter time or a longer step",
                lost=True,
            )
        return left

    def room(self, most: int) -> int:
        """Return how many bytes an answer may have, of which it should have `most` at most."""
        return min(most, self._left)

    def spend(self, n_bytes: int) -> None:
        """Count the bytes of an answer that was taken."""
        self._left -= n_bytes

    def refuse_size(self, most: int) -> NoReturn:
        """Raise a `SourceError`: an answer has more bytes than the `most` that it had room for."""
        if most == self._left:
            total = self.limits.max_total_bytes
            self.fail(f"has answered with more than {total} bytes in all", lost=True)
        self.fail(
            f"answers with more than {most} bytes; ask for a shorter time, a longer step or "
            "fewer series"
        )

    def fail(self, message: str, *, lost: bool = False) -> NoReturn:
        """Raise a `SourceError` with the message behind the source's name."""
        raise SourceError(message, source=self.name, lost=lost)
