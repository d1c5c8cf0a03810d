"""Series that share their sample times, as matrices: what lets contrasts be vectorised."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayesrca.evidence.frame import Frame
from bayesrca.incident import Signal

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CHUNK = 2**17
"""Samples worked on at a time: few enough to stay in a processor's cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """m series on one clock, NaN where a sample is missing.

    Values are divided by a power of two per series, which brings the largest to [1/2, 1): no sum
    or square overflows, and nothing is rounded.

    Attributes:
        position: int64 [m], place of each series in the sequence it was taken from.
        normal: [m, k], samples of the baseline.
        window: [m, l], samples of the incident window.
        offsets: int64 [b + 1], first sample of each bin in ``window``, and their number.
        exponent: int32 [m], the powers of two.
    """

    position: Ints
    normal: Floats
    window: Floats
    offsets: Ints
    exponent: NDArray[np.int32]

    def take(self, rows: Ints | slice) -> Batch:
        """Return some of the series."""
        return Batch(
            position=self.position[rows],
            normal=self.normal[rows],
            window=self.window[rows],
            offsets=self.offsets,
            exponent=self.exponent[rows],
        )

    def chunks(self) -> Iterator[slice]:
        """Cut the series into groups of about `CHUNK` samples."""
        size = max(1, CHUNK // max(1, self.normal.shape[1] + self.window.shape[1]))
        for start in range(0, len(self.position), size):
            yield slice(start, start + size)

    def unscale(self, values: Floats, rows: slice | None = None) -> Floats:
        """Bring numbers per series, [m] or [m, s], back to the series' own unit."""
        exponent = self.exponent if rows is None else self.exponent[rows]
        largest = np.finfo(np.float64).max
        with np.errstate(over="ignore"):  # the difference of two huge numbers may not fit
            own = np.ldexp(values, exponent.reshape(-1, *([1] * (values.ndim - 1))))
        return np.clip(own, -largest, largest)


def build_batches(frame: Frame, signals: Sequence[Signal]) -> list[Batch]:
    """Group series by their clock and keep what lies in the baseline or the window.

    Series without a single sample there are left out.
    """
    batches = []
    for position in group_by_clock(signals):
        clock = signals[position[0]]
        normal, bins = frame.baseline_mask(clock), frame.bin_of(clock)
        values = np.stack([signals[i].values for i in position])
        batch = _scale(position, values[:, normal], values[:, bins >= 0], bins, frame.n_bins)
        if len(batch.position):
            batches.append(batch)
    return batches


def group_by_clock(signals: Sequence[Signal]) -> list[Ints]:
    """Positions of the series that have the same sample times, in order of appearance."""
    clocks: dict[tuple[int, float, float], list[tuple[Floats, list[int]]]] = {}
    for i, signal in enumerate(signals):
        time = signal.timestamps
        alike = clocks.setdefault((len(time), float(time[0]), float(time[-1])), [])
        for known, members in alike:
            if known is time or np.array_equal(known, time):
                members.append(i)
                break
        else:
            alike.append((time, [i]))
    return [np.array(members) for alike in clocks.values() for _, members in alike]


def _scale(position: Ints, normal: Floats, window: Floats, bins: Ints, n_bins: int) -> Batch:
    largest = np.fmax(_largest(normal), _largest(window))
    seen = largest >= 0
    _, exponent = np.frexp(largest[seen])
    inverse = -exponent[:, None]
    return Batch(
        position=position[seen],
        normal=np.ldexp(normal[seen], inverse),
        window=np.ldexp(window[seen], inverse),
        # Time increases, and with it the bin.
        offsets=np.searchsorted(bins[bins >= 0], np.arange(n_bins + 1)).astype(np.int64),
        exponent=exponent,
    )


def _largest(values: Floats) -> Floats:
    """Largest magnitude of each series; -1 where it has no sample."""
    size = np.abs(values)
    largest = size.max(axis=1, initial=-1.0)
    some_missing = np.isnan(largest)  # a plain maximum is several times faster than one past NaN
    largest[some_missing] = np.fmax.reduce(size[some_missing], axis=1, initial=-1.0)
    return largest
