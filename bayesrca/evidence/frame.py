"""How an incident's time is cut: bins of the window, footprints over bins, and the reference."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bayesrca.errors import NoEvidenceError
from bayesrca.incident import Incident, Signal, TimeWindow

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Time of one incident.

    Attributes:
        window: the time in question.
        baseline: the normal period, or None.
        edges: [b + 1] bin edges in seconds; a sample at time t falls into bin i when
            ``edges[i] <= t < edges[i + 1]``.
        first: [s] first bin of each footprint.
        last: [s] one past its last bin.
        against_baseline: whether contrasts are taken against the baseline (it is adjacent in
            time) or against the rest of the window (it is not, or there is none).
    """

    window: TimeWindow
    baseline: TimeWindow | None
    edges: Floats
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    against_baseline: bool
    _clocks: dict[int, tuple[Floats, NDArray[np.int64], NDArray[np.bool_]]] = field(
        default_factory=dict, repr=False, compare=False
    )

    @property
    def n_bins(self) -> int:
        """Number of bins."""
        return len(self.edges) - 1

    @property
    def reference(self) -> str:
        """What contrasts are taken against, in words."""
        return "the baseline" if self.against_baseline else "the rest of the incident window"

    @property
    def inside(self) -> NDArray[np.bool_]:
        """[s, b] whether a bin lies in a footprint."""
        bins = np.arange(self.n_bins)
        return (bins >= self.first[:, None]) & (bins < self.last[:, None])

    @property
    def footprints(self) -> Floats:
        """[s, 2] start and end of each footprint in seconds."""
        return np.stack([self.edges[self.first], self.edges[self.last]], axis=1)

    def bin_of(self, signal: Signal) -> NDArray[np.int64]:
        """Return the bin of every sample of a signal: [n], -1 outside the window."""
        return self._places(signal)[1]

    def baseline_mask(self, signal: Signal) -> NDArray[np.bool_]:
        """Return which samples are normal: [n], in the baseline and not in the window."""
        return self._places(signal)[2]

    def _places(self, signal: Signal) -> tuple[Floats, NDArray[np.int64], NDArray[np.bool_]]:
        """Clock, bins and normal samples of a signal; most signals share one clock."""
        time = signal.timestamps
        known = self._clocks.get(id(time))
        if known is None:  # the clock is kept, so that no other array takes its identity
            known = time, self._bin(time), self._is_normal(time)
            self._clocks[id(time)] = known
        return known

    def _bin(self, time: Floats) -> NDArray[np.int64]:
        index = np.searchsorted(self.edges, time, side="right") - 1
        inside = self.window.contains(time) & (index < self.n_bins)
        return np.where(inside, index, -1)

    def _is_normal(self, time: Floats) -> NDArray[np.bool_]:
        if self.baseline is None:
            return np.zeros(len(time), dtype=bool)
        return self.baseline.contains(time) & ~self.window.contains(time)


def build_frame(
    incident: Incident, signals: tuple[Signal, ...], max_bins: int, notes: list[str]
) -> Frame:
    """Cut the incident's time.

    A window of at most `max_bins` distinct sample times gets one bin per sample, a longer one
    `max_bins` equal bins. A baseline further from the window than it is long was recorded at
    another time: its level is not the window's, so contrasts are taken inside the window and the
    baseline only gives their scale (docs/concepts.md, "the reference"). Without a window, the
    recording after the baseline is searched, or before it when nothing follows.

    Args:
        incident: the incident.
        signals: the series that count as evidence.
        max_bins: most bins (>= 2).
        notes: receives what was absent or assumed.

    Raises:
        NoEvidenceError: the window holds no sample of these series, or a single one and there is
            no adjacent baseline to compare it with.
    """
    window, baseline = _periods(incident, signals, notes)
    times = _sample_times(signals, window)
    if times.size == 0:
        msg = (
            f"no series that is read has a sample in the incident window "
            f"[{window.start}, {window.end}]; widen the window"
        )
        raise NoEvidenceError(msg, field="window")
    edges = _edges(times, max_bins)
    n_bins = len(edges) - 1
    adjacent = baseline is not None and _gap(baseline, window) <= baseline.duration
    if baseline is not None and not adjacent:
        notes.append(
            "The baseline was recorded at another time: it gives the scale of normal changes, and "
            "contrasts are taken inside the incident window."
        )
    if n_bins == 1 and not adjacent:
        msg = (
            "the incident window holds a single sample and there is no adjacent baseline to "
            "compare it with; widen the window or give a baseline near it"
        )
        raise NoEvidenceError(msg, field="window")
    pairs = [(a, b) for a in range(n_bins) for b in range(a + 1, n_bins + 1)]
    if not adjacent:
        pairs.remove((0, n_bins))
    first, last = np.array(pairs, dtype=np.int64).T
    return Frame(
        window=window,
        baseline=baseline,
        edges=edges,
        first=first,
        last=last,
        against_baseline=adjacent,
    )


def _periods(
    incident: Incident, signals: tuple[Signal, ...], notes: list[str]
) -> tuple[TimeWindow, TimeWindow | None]:
    """Window and baseline in use, where either may have been left out or be of no use."""
    baseline, window = incident.baseline, incident.window
    if window is None:
        window, where = _choose_window(baseline, signals)
        notes.append(
            f"No incident window was given: {where} was searched, "
            "with onset and end anywhere in it."
        )
    alone = "contrasts and their scales come from the incident window alone, with a wide default"
    if baseline is None:
        notes.append(f"No baseline window was given: {alone} for the noise.")
    elif not any(_normal_samples(s, baseline, window) for s in signals):
        notes.append(
            "The baseline holds no sample outside the incident window and could not be "
            f"used: {alone} for the noise."
        )
        baseline = None
    return window, baseline


def _choose_window(
    baseline: TimeWindow | None, signals: tuple[Signal, ...]
) -> tuple[TimeWindow, str]:
    """The recording outside the baseline, rather what follows it; all of it where that is none."""
    times = _sample_times(signals)
    if times.size == 0:
        times = np.unique(np.concatenate([s.timestamps for s in signals]))
    part, where = times, "the whole recording"
    if baseline is not None:
        after, before = times[times > baseline.end], times[times < baseline.start]
        if after.size:
            part, where = after, "the recording after the baseline"
        elif before.size:
            part, where = before, "the recording before the baseline"
    start, end = float(part[0]), float(part[-1])
    return TimeWindow(start, max(end, float(np.nextafter(start, np.inf)))), where


def _normal_samples(signal: Signal, baseline: TimeWindow, window: TimeWindow) -> bool:
    time = signal.timestamps[~np.isnan(signal.values)]
    return bool((baseline.contains(time) & ~window.contains(time)).any())


def _sample_times(signals: tuple[Signal, ...], window: TimeWindow | None = None) -> Floats:
    """Distinct times of the samples there are, in a window or at all."""
    # Most series share one clock, and usually the very array.
    clocks: dict[int, tuple[Floats, NDArray[np.bool_]]] = {}
    for signal in signals:
        time, seen = signal.timestamps, ~np.isnan(signal.values)
        known = clocks.get(id(time))
        clocks[id(time)] = (time, seen if known is None else known[1] | seen)
    times = np.unique(np.concatenate([time[seen] for time, seen in clocks.values()]))
    return times if window is None else times[window.contains(times)]


def _edges(times: Floats, max_bins: int) -> Floats:
    # Bins end with the data: a window may reach far beyond it.
    end = np.nextafter(times[-1], np.inf)
    if len(times) <= max_bins:
        return np.append(times, end)
    return np.append(np.linspace(times[0], end, max_bins + 1)[:-1], end)


def _gap(a: TimeWindow, b: TimeWindow) -> float:
    return max(0.0, b.start - a.end, a.start - b.end)
