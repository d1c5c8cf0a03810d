"""When each component began to change: a change point in its strongest series."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayesrca.evidence.frame import Frame
from bayesrca.evidence.series import Transform
from bayesrca.evidence.states import StateTable
from bayesrca.evidence.vitals import VitalTable
from bayesrca.incident import Family, Signal, Statistic

if TYPE_CHECKING:
    from bayesrca.evidence.evidence import FamilyTable

Floats = NDArray[np.float64]

MIN_SAMPLES = 8
"""Samples in the window below which no onset is looked for."""
MIN_NORMAL = 10
"""Samples of an adjacent baseline below which it does not say where a series was before."""
MOST_BLOCKS = 256
"""Places an onset may have: samples of longer windows are averaged in as many blocks."""
LEAST_Z = 3.0
"""Contrast, in null scales, below which a series has not changed enough to have an onset."""
LEAST_GAIN = 3.0
"""Log likelihood by which the best change must beat none, beyond the number of possible changes."""
MASS = 0.9
"""Probability of the interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OnsetTable:
    """Onset of each of n components, NaN where none was found.

    Attributes:
        time: [n] seconds, the median over where it may have been.
        lower: [n] start of the central 90% interval.
        upper: [n] its end.
        error: [n] standard deviation (> 0).
        signal: [n] name of the series it was read from, empty where none was found.
    """

    time: Floats
    lower: Floats
    upper: Floats
    error: Floats
    signal: tuple[str, ...]

    @classmethod
    def empty(cls, n: int) -> OnsetTable:
        """Return a table without an onset."""
        none = np.full(n, np.nan)
        return cls(time=none, lower=none, upper=none, error=none, signal=("",) * n)

    def without(self, components: NDArray[np.bool_]) -> OnsetTable:
        """Return the table in which the given components, bool [n], have no onset."""
        return OnsetTable(
            time=np.where(components, np.nan, self.time),
            lower=np.where(components, np.nan, self.lower),
            upper=np.where(components, np.nan, self.upper),
            error=np.where(components, np.nan, self.error),
            signal=tuple(
                "" if gone else s for gone, s in zip(components, self.signal, strict=True)
            ),
        )

    @property
    def order(self) -> NDArray[np.int64]:
        """Components that have an onset, the earliest first."""
        found = np.flatnonzero(np.isfinite(self.time))
        return np.asarray(found[np.argsort(self.time[found], kind="stable")], dtype=np.int64)


def find_onsets(
    names: tuple[str, ...],
    signals: Sequence[Signal],
    frame: Frame,
    *,
    tables: tuple[FamilyTable, ...],
    vitals: VitalTable,
    states: StateTable,
) -> OnsetTable:
    """Place the onset of every component whose telemetry changed in the window.

    Of each component the series with the largest contrast that has `MIN_SAMPLES` in the window is
    read. Where that has no onset, it is the earliest value of a discrete series that its baseline
    has never shown.

    Args:
        names: the components.
        signals: their series.
        frame: the incident's time.
        tables: what its latency and errors say.
        vitals: what its other series say.
        states: what its states say, and when their rarest value was first seen.
    """
    named = {(s.component, s.name): s for s in signals}
    found: dict[int, tuple[Floats, str]] = {}
    for i, name, time in zip(states.component, states.signal, states.onset, strict=True):
        signal = named.get((names[i], name))
        if signal is not None and np.isfinite(time):
            first_seen = _first_seen(signal, float(time))
            if i not in found or first_seen[0] < found[i][0][0]:
                found[int(i)] = (first_seen, name)
    for i, signal in _strongest(names, named, frame, tables, vitals):
        place = place_onset(frame, signal)
        if place is not None:
            found[i] = (place, signal.name)
    rows = np.full((len(names), 4), np.nan)
    for i, (place, _) in found.items():
        rows[i] = place
    return OnsetTable(
        time=rows[:, 0],
        lower=rows[:, 1],
        upper=rows[:, 2],
        error=rows[:, 3],
        signal=tuple(found[i][1] if i in found else "" for i in range(len(names))),
    )


def _strongest(
    names: tuple[str, ...],
    named: dict[tuple[str | None, str], Signal],
    frame: Frame,
    tables: tuple[FamilyTable, ...],
    vitals: VitalTable,
) -> Iterator[tuple[int, Signal]]:
    """Each component with the series that changed most, if enough and over enough samples."""
    candidates: list[tuple[float, int, str]] = []
    for table in tables:
        size = _largest(table.contrast, table.scale)
        candidates += [(size[i], int(i), table.signal[i]) for i in np.flatnonzero(size >= LEAST_Z)]
    size = _largest(vitals.z, np.ones_like(vitals.z))
    candidates += [
        (size[row], int(vitals.component[row]), vitals.signal[row])
        for row in np.flatnonzero(size >= LEAST_Z)
    ]
    done: set[int] = set()
    for _, i, name in sorted(candidates, key=lambda c: -c[0]):
        signal = named.get((names[i], name))
        if i in done or signal is None:
            continue
        inside = frame.window.contains(signal.timestamps)
        if np.count_nonzero(inside & ~np.isnan(signal.values)) >= MIN_SAMPLES:
            done.add(i)
            yield i, signal


def _largest(contrast: Floats, scale: Floats) -> Floats:
    """[m] largest contrast of each row in null scales; 0 where there is none."""
    with np.errstate(invalid="ignore"):
        size = np.abs(contrast / scale)
    return np.asarray(np.fmax.reduce(size, axis=1, initial=0.0))


def place_onset(frame: Frame, signal: Signal) -> Floats | None:
    """Onset of a level shift in the window: [onset, lower, upper, error] in seconds, or None.

    The series is at its usual level, then at another one from sample k until sample e, then at the
    usual one again, with normal noise of unknown variance. All (k, e) are weighed by their profile
    likelihood with as many independent samples as the residuals' lag-one correlation leaves, and e
    is summed out; the onset lies anywhere between sample k and the one before it. The usual level
    is that of an adjacent baseline. Without one it is estimated with the rest, and the window is
    taken to begin with it.

    Args:
        frame: the incident's time.
        signal: a continuous series.
    """
    y = _transformed(signal)
    good = ~np.isnan(y)
    inside = frame.window.contains(signal.timestamps) & good
    if np.count_nonzero(inside) < MIN_SAMPLES:
        return None
    normal = y[frame.baseline_mask(signal) & good]
    edges, level, size = _blocks(signal.timestamps[inside], y[inside])
    known = frame.against_baseline and len(normal) >= MIN_NORMAL
    deviation = level - (normal.mean() if known else np.average(level, weights=size))
    rss, none = _residuals(deviation, size, known=known)
    if not none > 0:
        return None
    first, last = np.unravel_index(np.argmin(rss), rss.shape)
    effective = _independent(deviation, int(first), int(last) + 1)
    log_likelihood = -0.5 * effective * np.log(rss / none + 1e-9)
    possible = np.isfinite(rss)
    if log_likelihood[possible].max() < LEAST_GAIN + np.log(np.count_nonzero(possible)):
        return None
    by_onset = np.logaddexp.reduce(np.where(possible, log_likelihood, -np.inf), axis=1)
    weight = np.exp(by_onset - np.logaddexp.reduce(by_onset))
    return _summary(edges, weight)


def _transformed(signal: Signal) -> Floats:
    """The series on the scale on which its noise is most even, NaN where that is undefined."""
    if signal.family is Family.LATENCY:
        return Transform.LOG(signal.values)
    if signal.family is Family.ERRORS and signal.statistic in (Statistic.COUNT, Statistic.RATE):
        return Transform.ROOT(signal.values)
    return signal.values


def _blocks(time: Floats, y: Floats) -> tuple[Floats, Floats, Floats]:
    """Edges [k + 1] between which a change may begin, means [k] and numbers [k] of samples.

    A change first seen in block j began between edges j and j + 1.
    """
    k = min(len(y), MOST_BLOCKS)
    start = np.linspace(0, len(y), k + 1).astype(np.int64)[:-1]
    size = np.diff(np.append(start, len(y))).astype(np.float64)
    level = np.add.reduceat(y, start) / size
    before = time[0] - float(np.median(np.diff(time)))
    seen = time[np.append(start[1:], len(y)) - 1]  # a change may begin anywhere in its block
    return np.concatenate([[before], seen]), level, size


def _residuals(deviation: Floats, size: Floats, *, known: bool) -> tuple[Floats, float]:
    """Residual squares for a shift from block k to block e, [k, e], and without a shift.

    Args:
        deviation: [n] level of each block less the usual one.
        size: [n] samples in each block.
        known: whether the usual level is known; where it is not, it is fitted to the other blocks.

    Infinite where e < k and, if the usual level is fitted, where the window begins with the shift.
    """
    none = float(np.sum(size * deviation**2))
    total = np.concatenate([[0.0], np.cumsum(size * deviation)])
    number = np.concatenate([[0.0], np.cumsum(size)])
    shift = total[None, 1:] - total[:-1, None]
    m = number[None, 1:] - number[:-1, None]
    left = number[-1] - m
    valid = m > 0
    if not known:
        valid[0] = False
    explained = shift**2 / np.where(valid, m, 1.0)
    if not known:
        explained = explained * number[-1] / np.where(valid, left, 1.0)
    return np.where(valid, np.maximum(none - explained, 0.0), np.inf), none


def _independent(deviation: Floats, first: int, end: int) -> float:
    """Number of independent blocks, by the lag-one correlation of what the best shift leaves."""
    residual = deviation.copy()
    for part in (slice(first, end), np.r_[0:first, end : len(deviation)]):
        if residual[part].size:
            residual[part] -= residual[part].mean()
    square = float(np.sum(residual**2))
    if not square > 0:
        return float(len(deviation))
    correlation = float(np.sum(residual[1:] * residual[:-1])) / square
    correlation = min(max(correlation, 0.0), 0.9)
    return len(deviation) * (1.0 - correlation) / (1.0 + correlation)


def _summary(edges: Floats, weight: Floats) -> Floats:
    """Median, interval and standard deviation of a law that is flat between edges."""
    width, middle = np.diff(edges), (edges[1:] + edges[:-1]) / 2
    mean = float(weight @ middle)
    spread = float(weight @ ((middle - mean) ** 2 + width**2 / 12))
    cumulative = np.concatenate([[0.0], np.cumsum(weight)])
    at = np.array([0.5, (1 - MASS) / 2, (1 + MASS) / 2]) * cumulative[-1]
    return np.append(np.interp(at, cumulative, edges), np.sqrt(spread))


def _first_seen(signal: Signal, time: float) -> Floats:
    """Onset of a discrete change that was first seen at a time: since the sample before it."""
    times = signal.timestamps[~np.isnan(signal.values)]
    at = int(np.searchsorted(times, time))
    step = float(np.median(np.diff(times))) if len(times) > 1 else 1.0
    previous = max(float(times[at - 1]), time - step) if at else time - step
    return _summary(np.array([previous, time]), np.ones(1))
