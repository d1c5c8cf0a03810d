"""What an analysis may see of an incident: all of it, its beginning, a quiet part, some telemetry.

No label is read here: only the periods and the target, which the incident itself holds.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesrca.errors import InvalidIncidentError
from bayesrca.incident import (
    Alert,
    Incident,
    Logs,
    Run,
    Signal,
    Spans,
    Target,
    TimeWindow,
    select_tables,
)

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

ONLINE_SECONDS = 300.0
ONLINE_INTERVALS = 3
"""Online, telemetry ends the longer of these two after the incident window begins."""
FULL_SHARE = 0.8
"""A normal window has at least this share of the sample times that the incident window has."""


class Telemetry(StrEnum):
    """A kind of telemetry that an analysis may be denied."""

    METRICS = "metrics"
    SPANS = "spans"
    LOGS = "logs"
    EVENTS = "events"
    ALERTS = "alerts"


def hide_telemetry(incident: Incident, kinds: Collection[Telemetry]) -> Incident:
    """Return the incident as it is known without some kinds of telemetry, in normal runs too.

    The topology stays as it is. Log records stay without their spans.

    Raises:
        InvalidIncidentError: nothing is left of it, or nothing in its window.
    """
    signals = () if Telemetry.METRICS in kinds else incident.signals
    events = () if Telemetry.EVENTS in kinds else incident.events
    runs = []
    for run in incident.normal_runs:
        spans, logs = _hide_tables(run.spans, run.logs, kinds)
        kept = () if Telemetry.METRICS in kinds else run.signals
        if kept or spans is not None or logs is not None:
            runs.append(replace(run, signals=kept, spans=spans, logs=logs))
    return _rebuild(
        incident,
        signals,
        _hide_tables(incident.spans, incident.logs, kinds),
        incident.window,
        events=events,
        alerts=None if Telemetry.ALERTS in kinds else incident.alerts,
        normal_runs=tuple(runs),
    )


def _hide_tables(
    spans: Spans | None, logs: Logs | None, kinds: Collection[Telemetry]
) -> tuple[Spans | None, Logs | None]:
    if Telemetry.LOGS in kinds:
        logs = None
    if Telemetry.SPANS in kinds:
        spans = None
        logs = None if logs is None else replace(logs, span=np.full_like(logs.span, -1))
    return spans, logs


def _rebuild(
    incident: Incident,
    signals: tuple[Signal, ...],
    tables: tuple[Spans | None, Logs | None],
    window: TimeWindow | None,
    **changes: Any,  # noqa: ANN401  further fields, each of its own type
) -> Incident:
    """Give an incident other telemetry; what its target and its normal period lack then is gone."""
    spans, logs = tables
    target = incident.target
    if target is not None and all(
        (s.component, s.name) != (target.component, target.signal) for s in signals
    ):
        target = Target(target.component)
    baseline = incident.baseline
    if baseline is not None:
        times = [s.timestamps for s in signals]
        times += [] if spans is None else [spans.start_ns / 1e9]
        times += [] if logs is None else [logs.time_ns / 1e9]
        normal = [baseline.contains(t) for t in times]
        if window is not None:
            normal = [n & ~window.contains(t) for n, t in zip(normal, times, strict=True)]
        baseline = baseline if any(rows.any() for rows in normal) else None
    return replace(
        incident,
        signals=signals,
        spans=spans,
        logs=logs,
        target=target,
        baseline=baseline,
        window=window,
        **changes,
    )


def cut_online(incident: Incident) -> Incident:
    """Return the incident as it was known shortly after it began.

    Everything later than T is dropped: samples, spans, log records, events and alerts (those
    without a time too), of the normal period as well, and spans and log records of normal runs. T
    is the start of the incident window plus the longer of 5 minutes and three sampling intervals
    (the median distance of sample times in the window), or the window's end if that is earlier.

    Raises:
        InvalidIncidentError: the incident has no window, or it has no sample before T.
    """
    if incident.window is None:
        msg = "mode online needs the incident window; give it (abnormal_window)"
        raise InvalidIncidentError(msg, field="window")
    window = incident.window
    times = _sample_times(incident.signals, window)
    interval = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    delay = max(ONLINE_SECONDS, ONLINE_INTERVALS * interval)
    end = min(window.start + delay, window.end)
    known = _keep(incident, -np.inf, end, window=TimeWindow(window.start, end))
    return replace(known, normal_runs=_cut_runs(incident.normal_runs, lambda t: t <= end))


def cut_normal(incident: Incident, quiet: TimeWindow) -> Incident:
    """Return a quiet part of the normal period as if it were the incident.

    Nothing but the normal period is kept, without what lies in the incident window; what is left of
    it outside `quiet` stays the normal period, and normal runs lose what they hold of it. Topology
    and target are the incident's.
    """
    if incident.baseline is None:
        msg = "there is no normal period to cut a quiet window from; give one (normal_window)"
        raise InvalidIncidentError(msg, field="baseline")
    baseline = incident.baseline
    kept = _keep(incident, baseline.start, baseline.end, window=quiet, without=incident.window)
    return replace(kept, normal_runs=_cut_runs(incident.normal_runs, lambda t: ~quiet.contains(t)))


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """Samples of the normal period of one incident.

    Attributes:
        times: [n] seconds, increasing.
        series: labels of the m series.
        values: [m, n] NaN where a sample is missing.
    """

    times: Floats
    series: tuple[str, ...]
    values: Floats

    def shares(self, other: Recording) -> Bools:
        """Return which of these times [n] are in another recording with the same values.

        Same values: every series both have agrees there, and there is one at least. Incidents of
        one system often come with the same normal period, which must not count twice.
        """
        theirs = {label: i for i, label in enumerate(other.series)}
        common = [(i, theirs[label]) for i, label in enumerate(self.series) if label in theirs]
        found = np.zeros(len(self.times), dtype=bool)
        _, mine, yours = np.intersect1d(self.times, other.times, return_indices=True)
        if common and len(mine):
            rows, columns = np.array(common).T
            a, b = self.values[rows][:, mine], other.values[columns][:, yours]
            found[mine] = ((a == b) | (np.isnan(a) & np.isnan(b))).all(axis=0)
        return found


def record_normal(incident: Incident) -> Recording:
    """Return the normal period of an incident, without what lies in the incident window.

    Args:
        incident: the incident; without a baseline the recording is empty.
    """
    times = np.empty(0)
    if incident.baseline is not None:
        times = _sample_times(incident.signals, incident.baseline)
    if incident.window is not None:
        times = times[~incident.window.contains(times)]
    values = np.full((len(incident.signals), len(times)), np.nan)
    for row, signal in zip(values, incident.signals, strict=True):
        _, at, of = np.intersect1d(times, signal.timestamps, return_indices=True)
        row[at] = signal.values[of]
    return Recording(times, tuple(s.label for s in incident.signals), values)


def find_quiet_windows(
    incident: Incident, normal: Recording, earlier: Sequence[Recording]
) -> tuple[TimeWindow, ...]:
    """Cut the normal period into windows as long as the incident's, none overlapping another.

    A window starts at the first normal sample after the one before, does not overlap the incident's
    own, has at least 80% of its sample times, and leaves at least as many normal samples outside.
    Samples that an earlier incident's recording already holds are left to that incident.

    Args:
        incident: the incident whose normal period it is.
        normal: its recording.
        earlier: the recordings of incidents whose windows are already cut.
    """
    if incident.window is None:
        return ()
    duration = incident.window.duration
    needed = FULL_SHARE * len(_sample_times(incident.signals, incident.window))
    taken = np.zeros(len(normal.times), dtype=bool)
    for other in earlier:
        taken |= normal.shares(other)
    free = normal.times[~taken]
    windows: list[TimeWindow] = []
    i = 0
    while i < len(free):
        window = TimeWindow(free[i], free[i] + duration)
        inside = _count(free, window)
        # Samples that are taken may lie between: they would be part of the window too.
        whole = _count(normal.times, window) == inside
        apart = window.end < incident.window.start or window.start > incident.window.end
        fits = whole and apart and inside >= needed and len(normal.times) >= 2 * inside
        if fits:
            windows.append(window)
        i += inside if fits else 1
    return tuple(windows)


def _count(times: Floats, window: TimeWindow) -> int:
    """How many of the increasing times lie in a window."""
    low = np.searchsorted(times, window.start)
    return int(np.searchsorted(times, window.end, side="right") - low)


def _sample_times(signals: Sequence[Signal], period: TimeWindow) -> Floats:
    axes = {id(s.timestamps): s.timestamps for s in signals}.values()
    times = np.unique(np.concatenate([np.empty(0), *axes]))
    return times[period.contains(times)]


def _keep(
    incident: Incident,
    start: float,
    end: float,
    *,
    window: TimeWindow,
    without: TimeWindow | None = None,
) -> Incident:
    """Keep what lies in [start, end] and not in a period; judge it by another window."""

    def kept(t: Floats) -> Bools:
        inside = (t >= start) & (t <= end)
        return inside if without is None else inside & ~without.contains(t)

    cut = tuple(s for signal in incident.signals if (s := _cut(signal, kept(signal.timestamps))))
    return _rebuild(
        incident,
        cut,
        select_tables(incident.spans, incident.logs, kept),
        window,
        events=tuple(e for e in incident.events if kept(np.array([e.time]))[0]),
        alerts=_dated(incident.alerts, kept),
    )


def _cut_runs(runs: Iterable[Run], keep: Callable[[Floats], Bools]) -> tuple[Run, ...]:
    """Keep the spans and log records of a time; series are on a clock of their own."""
    cut = []
    for run in runs:
        spans, logs = select_tables(run.spans, run.logs, keep)
        if spans is not None or logs is not None or run.signals:
            cut.append(replace(run, spans=spans, logs=logs))
    return tuple(cut)


def _dated(
    alerts: tuple[Alert, ...] | None, kept: Callable[[Floats], Bools]
) -> tuple[Alert, ...] | None:
    """Keep the alerts of a time; None where it is not known when any fired."""
    dated = [a for a in alerts or () if a.time is not None]
    if not dated:
        return None
    inside = kept(np.array([a.time for a in dated], dtype=np.float64))
    return tuple(a for a, there in zip(dated, inside, strict=True) if there)


def _cut(signal: Signal, keep: Bools) -> Signal | None:
    if keep.all():
        return signal
    if not keep.any():
        return None
    return replace(signal, timestamps=signal.timestamps[keep], values=signal.values[keep])
