"""Presence: components that fell silent while others went on reporting."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bayesrca.evidence.frame import Frame
from bayesrca.incident import Incident, Signal

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

CRASH_SILENT = 0.9
"""Probability that a crash silences a component in the footprint; else it goes on as usual."""
LEAST_SILENCE = 0.02
"""Least quiet probability of a silent stretch: collectors have gaps that no baseline shows."""


def compute_crash_ratio(
    incident: Incident, frame: Frame, requests: Sequence[Signal | None]
) -> Floats:
    """[n, s] log of p(silent or not | it crashed) / p(silent or not | nothing is wrong).

    A component is silent in a footprint in which it served no request by its own count, or in which
    no series of it has a sample while other components have. With p the quiet probability of
    silence, the ratio is (.9 + .1 p) / p for a silent component and .1 for another: its mean under
    the quiet law is one. p is the share of silent stretches in the baseline that are as long as the
    footprint in sample times of the whole system, with half a count each way, and at least
    `LEAST_SILENCE`; without any it is 1/2. A baseline recorded at another time may know a busier
    system: p is then at least the share of silent times of the window outside the footprint, with
    half a count each way. Of a component without a sample in the window and the baseline nothing is
    known: 0.

    Args:
        incident: whose series.
        frame: its time.
        requests: per component the series that counts its requests, or None.
    """
    clock = _Clock(incident, frame)
    own: dict[str, list[Signal]] = {name: [] for name in incident.topology.names}
    for signal in incident.signals:
        if signal.component is not None:
            own[signal.component].append(signal)
    out = np.zeros((len(own), len(frame.first)))
    for row, signals, served in zip(out, own.values(), requests, strict=True):
        marks = clock.mark(signals, served)
        silent = _silent(marks @ clock.inside.T) & (clock.length > 0)
        ratio = np.full(len(row), np.log(1.0 - CRASH_SILENT))
        least = np.full(len(row), LEAST_SILENCE)
        if not frame.against_baseline:
            here = _silent(marks) & clock.window
            left = np.count_nonzero(clock.window) - clock.length
            least = (np.count_nonzero(here) - clock.inside @ here + 0.5) / (left + 1.0)
        for length in np.unique(clock.length[silent]).tolist():
            at = silent & (clock.length == length)
            p = np.maximum(_silence_rate(marks[:, clock.normal], length), least[at])
            ratio[at] = np.log((CRASH_SILENT + (1.0 - CRASH_SILENT) * p) / p)
        known = marks[0, clock.normal].any() or marks[0, clock.window].any()
        row[:] = np.where(known & (clock.length > 0), ratio, 0.0)
    return out


class _Clock:
    """Times at which any component of the system has a sample.

    Attributes:
        normal: bool [t] which of them are normal.
        window: bool [t] which of them lie in the window.
        inside: [s, t] 1 where one lies in a footprint, else 0.
        length: [s] how many lie in each footprint.
    """

    def __init__(self, incident: Incident, frame: Frame) -> None:
        seen: dict[int, tuple[Floats, Bools]] = {}
        for signal in incident.signals:
            if signal.component is not None:
                time, there = signal.timestamps, ~np.isnan(signal.values)
                known = seen.get(id(time))
                seen[id(time)] = (time, there if known is None else known[1] | there)
        self._times = np.unique(np.concatenate([time[there] for time, there in seen.values()]))
        self._places = {key: np.searchsorted(self._times, time) for key, (time, _) in seen.items()}
        self.window = frame.window.contains(self._times)
        self.normal = np.zeros(len(self._times), dtype=bool)
        if frame.baseline is not None:
            self.normal = frame.baseline.contains(self._times) & ~self.window
        bins = np.searchsorted(frame.edges, self._times, side="right") - 1
        inside = self.window & (bins >= frame.first[:, None]) & (bins < frame.last[:, None])
        self.inside = inside.astype(np.float64)
        self.length = np.count_nonzero(inside, axis=1)

    def mark(self, signals: Sequence[Signal], requests: Signal | None) -> Floats:
        """[3, t] whether a component has a sample, counts requests, and has served one."""
        marks = np.zeros((3, len(self._times)))
        for signal in signals:
            marks[0, self._places[id(signal.timestamps)][~np.isnan(signal.values)]] = 1.0
        if requests is not None:
            place, counted = self._places[id(requests.timestamps)], ~np.isnan(requests.values)
            marks[1, place[counted]] = 1.0
            marks[2, place[counted]] = requests.values[counted] > 0
        return marks


def _silent(sums: Floats) -> Bools:
    """Whether a stretch is silent, from the sums of `_Clock.mark` over it: [3, ...]."""
    samples, counted, served = sums
    return np.asarray((samples == 0) | ((counted > 0) & (served == 0)))


def _silence_rate(marks: Floats, length: int) -> float:
    """Probability that a stretch of so many times is silent when nothing is wrong."""
    total = np.concatenate([np.zeros((3, 1)), np.cumsum(marks, axis=1)], axis=1)
    silent = _silent(total[:, length:] - total[:, :-length])
    return float((np.count_nonzero(silent) + 0.5) / (silent.size + 1.0))
