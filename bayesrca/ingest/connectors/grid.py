"""The instants that series are asked for, and putting answers on them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bayesrca.errors import InvalidSettingsError
from bayesrca.ingest.connectors.interface import Ask
from bayesrca.ingest.connectors.shapes import Shapes

Floats = NDArray[np.float64]
MAX_POINTS = 100_000
"""Samples of one series, at most."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Equidistant instants from the start of the time asked for to its end.

    Attributes:
        start: the first, in seconds since the epoch, a whole millisecond.
        step: seconds between them, whole milliseconds.
        times: [n] all of them, read-only; every series of a source shares this array.
    """

    start: float
    step: float
    times: Floats = field(repr=False)

    def parts(self, most: int) -> Iterator[tuple[float, float]]:
        """Yield first and last instant of consecutive parts of at most so many instants."""
        for i in range(0, len(self.times), most):
            yield float(self.times[i]), float(self.times[min(i + most, len(self.times)) - 1])

    def place(self, times: Floats, shapes: Shapes) -> NDArray[np.int64]:
        """Return the positions of an answer's times.

        Raises:
            SourceError: a time is none of the instants, or one repeats.
        """
        with np.errstate(invalid="ignore", over="ignore"):
            steps = (times - self.start) / self.step
            index = np.rint(steps)
            # Servers round to milliseconds.
            off = ~(np.abs(times - (self.start + index * self.step)) <= 2e-3)
            off |= ~((index >= 0) & (index < len(self.times)))
        if off.any():
            shapes.reject(f"time {times[off][0]!r:.30} is none of the instants asked for")
        at = index.astype(np.int64)
        if len(np.unique(at)) < len(at):
            shapes.reject("it holds two samples of one series at the same time")
        return at


def make_grid(ask: Ask) -> Grid:
    """Return the instants of a question.

    Raises:
        InvalidSettingsError: the step is under a millisecond, or there would be more than
            `MAX_POINTS` instants.
    """
    step = round(ask.step, 3) if math.isfinite(ask.step) else 0.0
    if step < 1e-3:
        msg = f"the step must be at least 0.001 s, got {ask.step}"
        raise InvalidSettingsError(msg, field="step")
    start = round(ask.window.start, 3)
    count = (ask.window.end - start) / step + 1e-6
    if count >= MAX_POINTS:
        msg = f"the time asked for holds more than {MAX_POINTS} steps of {step} s; take longer ones"
        raise InvalidSettingsError(msg, field="step")
    times = start + np.arange(int(count) + 1, dtype=np.float64) * step
    times.setflags(write=False)
    return Grid(start, step, times)
