"""A quiet window that can be written to: series, requests and the ways a fault can travel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bayesrca.evidence.requests import find_requests
from bayesrca.evidence.units import PERCENT, SECONDS
from bayesrca.incident import Family, Incident, Signal, Statistic

Floats = NDArray[np.float64]

RATIOS = (Statistic.SUCCESS_RATIO, Statistic.ERROR_RATIO)
MOST_STATES = 3
"""A series with at most so many distinct values is one of states, whatever its family."""
_FLOOR = 0.02
"""A change is judged against the spread of normal samples plus this share of their level."""


class Panel:
    """The series of an incident's window, to be changed in place.

    Args:
        incident: an incident whose window is quiet.

    Attributes:
        incident: it, unchanged.
        times: [m] sample times in the window.
        names: component names, in topology order.
        requests: per component [m] requests per second in the window, or None.
    """

    def __init__(self, incident: Incident) -> None:
        if incident.window is None:
            msg = "a panel needs an incident with a window"
            raise ValueError(msg)
        self.incident, self.window = incident, incident.window
        self.names = incident.topology.names
        index = {name: i for i, name in enumerate(self.names)}
        self._of: list[list[int]] = [[] for _ in self.names]
        for s, signal in enumerate(incident.signals):
            if signal.component is not None:
                self._of[index[signal.component]].append(s)
        clocks = {id(s.timestamps): s.timestamps for s in incident.signals}.values()
        times = np.unique(np.concatenate(list(clocks)))
        self.times = times[self.window.contains(times)]
        self._changed: dict[int, Floats] = {}
        self.requests = [self._read_requests(i) for i in range(len(self.names))]

    def series(self, i: int, *families: Family) -> list[int]:
        """Positions of a component's series, of some families only, that have samples here."""
        return [
            s
            for s in self._of[i]
            if (not families or self.incident.signals[s].family in families)
            and not np.isnan(self.before(s)).all()
        ]

    def signal(self, s: int) -> Signal:
        """The series at a position, as it was."""
        return self.incident.signals[s]

    def normal(self, s: int) -> Floats:
        """Samples of a series outside the window that are not missing."""
        signal = self.signal(s)
        values = signal.values[~self.window.contains(signal.timestamps)]
        return values[~np.isnan(values)]

    def before(self, s: int) -> Floats:
        """[m] values of a series in the window as they were, NaN where it has no sample."""
        signal = self.signal(s)
        at = np.searchsorted(signal.timestamps, self.times)
        at = np.minimum(at, len(signal) - 1)
        return np.where(signal.timestamps[at] == self.times, signal.values[at], np.nan)

    def values(self, s: int) -> Floats:
        """[m] values of a series in the window as they are now."""
        return self._changed.get(s, self.before(s))

    def write(self, s: int, values: Floats) -> None:
        """Put values into the window, kept within what the series can measure."""
        normal = self.normal(s)
        signal = self.signal(s)
        low = 0.0 if not normal.size or normal.min() >= 0.0 else -np.inf
        high = np.inf
        if signal.statistic in RATIOS:
            high = ratio_top(signal, normal)
        elif signal.unit in PERCENT and normal.size and normal.max() <= 100.0:
            high = 100.0
        self._changed[s] = np.clip(values, low, high)

    def level(self, s: int) -> float:
        """Usual size of a series: its median size outside the window, else its largest, else 1."""
        size = np.abs(self.normal(s))
        if not size.size:
            return 1.0
        return float(np.median(size) or size.max() or 1.0)

    def has_states(self, s: int) -> bool:
        """Whether a series takes but a few values."""
        return len(np.unique(self.normal(s))) <= MOST_STATES

    def latency(self, i: int) -> Floats | None:
        """[m] seconds a request takes at a component, by its mean or else its lowest quantile."""
        found = self.series(i, Family.LATENCY)
        if not found:
            return None
        means = [s for s in found if self.signal(s).statistic is Statistic.MEAN]
        s = means[0] if means else min(found, key=self.level)
        usual = self.level(s)
        return np.nan_to_num(self.before(s), nan=usual) * self.seconds(s)

    def seconds(self, s: int) -> float:
        """What one unit of a latency series is worth; an unknown unit is taken for a second."""
        return SECONDS.get(self.signal(s).unit.strip(), 1.0)

    def moved(self, s: int) -> float:
        """How far a series was moved, in standard deviations of its normal samples."""
        if s not in self._changed:
            return 0.0
        before, after = self.before(s), self._changed[s]
        both = ~np.isnan(before) & ~np.isnan(after)
        if not both.any():
            return 0.0
        normal = self.normal(s)
        spread = float(normal.std()) if normal.size else 0.0
        scale = spread + _FLOOR * self.level(s)
        return float(abs((after - before)[both].mean()) / scale)

    def moved_most(self, i: int) -> tuple[float, int | None]:
        """How far a component was moved at most, and in which series."""
        return max(((self.moved(s), s) for s in self._of[i]), default=(0.0, None))

    def finish(self) -> Incident:
        """Return the incident with what was written."""
        signals = list(self.incident.signals)
        for s, values in self._changed.items():
            signal = signals[s]
            whole = signal.values.copy()
            inside = self.window.contains(signal.timestamps)
            whole[inside] = values[np.searchsorted(self.times, signal.timestamps[inside])]
            signals[s] = replace(signal, values=whole)
        return replace(self.incident, signals=tuple(signals))

    def _read_requests(self, i: int) -> Floats | None:
        loads = [self.signal(s) for s in self._of[i] if self.signal(s).family is Family.LOAD]
        signal = find_requests(loads)
        if signal is None:
            return None
        values = self.before(next(s for s in self._of[i] if self.signal(s) is signal))
        if np.isnan(values).all():
            return None
        step = float(np.median(np.diff(signal.timestamps))) if len(signal) > 1 else 1.0
        return np.maximum(np.nan_to_num(values), 0.0) / (
            step if signal.statistic is Statistic.COUNT else 1.0
        )


def ratio_top(signal: Signal, values: Floats) -> float:
    """What a ratio reads when all requests count: 100 for percentages, else 1."""
    return 100.0 if signal.unit in PERCENT or (values.size and values.max() > 1.5) else 1.0


def layers(edges: Sequence[tuple[int, int]], root: int) -> list[tuple[int, int]]:
    """Edges that lead away from a root, nearest first; those within a layer or back are left out.

    So a fault passes each component once, on cyclic graphs too.
    """
    onward: dict[int, list[int]] = {}
    for a, b in edges:
        onward.setdefault(a, []).append(b)
    distance = {root: 0}
    queue = [root]
    for a in queue:
        for b in onward.get(a, ()):
            if b not in distance:
                distance[b] = distance[a] + 1
                queue.append(b)
    away = [(a, b) for a in queue for b in onward.get(a, ()) if distance[b] > distance[a]]
    return sorted(away, key=lambda e: (distance[e[0]], e))
