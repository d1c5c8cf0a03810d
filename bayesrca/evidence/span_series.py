"""Latency, requests and failures counted from spans, where an incident comes without series."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bayesrca.incident import Family, Incident, Signal, Spans, Statistic, TimeWindow

Floats = NDArray[np.float64]

STEPS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
"""Lengths of an interval that people can think in, seconds."""
INTERVALS = 12
"""Intervals a window is cut into at least, if it is long enough."""
MOST_INTERVALS, MOST_COUNTS = 10_000, 1 << 22
"""Longest series that is made, and most counts of all components together."""
FAILED = 2
"""OpenTelemetry's status code of a span that failed."""


def with_series_of_spans(incident: Incident, notes: list[str]) -> Incident:
    """Return the incident with series counted from its spans, and note that they were.

    A component with a series of the same name keeps its own.

    Args:
        incident: any; one without spans is returned as it is.
        notes: receives a sentence.
    """
    if incident.spans is None:
        return incident
    made, step = series_of_spans(incident.spans, incident.window)
    have = {(signal.component, signal.name) for signal in incident.signals}
    new = tuple(signal for signal in made if (signal.component, signal.name) not in have)
    notes.append(
        f"No series that is read was given: latency, requests and failures of {len(made) // 3} "
        f"components were counted from spans, every {step:g} s."
    )
    return replace(incident, signals=(*incident.signals, *new))


def series_of_spans(spans: Spans, window: TimeWindow | None) -> tuple[tuple[Signal, ...], float]:
    """Count what spans say of the requests that components served.

    A request of a component is a span of it that was not made within another span of the same
    component. It counts in the interval in which it ended. An interval in which nobody recorded a
    span is missing; one in which others did has no request of this component.

    Args:
        spans: one recording.
        window: the time in question, which says how finely to count; None for all of it.

    Returns:
        The series (mean latency in seconds, requests, failed requests of each component with a
        span), and the length of an interval in seconds.
    """
    served = np.flatnonzero(_is_entry(spans))
    end = (spans.start_ns[served] + spans.duration_ns[served]) * 1e-9
    recorded = float(np.ptp(end))
    start, duration = (
        (float(end.min()), recorded) if window is None else (window.start, window.duration)
    )
    most = max(INTERVALS, min(MOST_INTERVALS, MOST_COUNTS // len(spans.components)))
    step = _step(duration, recorded, most)
    # Intervals begin with the window, so that none lies half in it.
    place = np.floor((end - start) / step).astype(np.int64)
    times, slot = np.unique(place, return_inverse=True)
    shape = (len(spans.components), len(times))
    at = np.ravel_multi_index((spans.component[served], slot), shape)
    count, failed, spent = (
        _sum_by(at, weight, shape)
        for weight in (
            np.ones(len(served)),
            spans.status[served] == FAILED,
            spans.duration_ns[served] * 1e-9,
        )
    )
    mean = np.divide(spent, count, out=np.full(shape, np.nan), where=count > 0)
    clock = np.asarray(start + (times + 0.5) * step, dtype=np.float64)
    found: list[Signal] = []
    for i in np.flatnonzero(count.sum(axis=1)):
        found += _series(spans.components[i], clock, mean[i], count[i], failed[i])
    return tuple(found), step


def _is_entry(spans: Spans) -> NDArray[np.bool_]:
    inside = spans.parent >= 0
    own = spans.component[np.where(inside, spans.parent, 0)] == spans.component
    return np.asarray(~(inside & own))


def _sum_by(at: NDArray[np.int64], weight: NDArray[np.generic], shape: tuple[int, int]) -> Floats:
    out = np.zeros(shape)
    np.add.at(out.reshape(-1), at, weight)
    return out


def _step(duration: float, recorded: float, most: int) -> float:
    """Longest of `STEPS` that cuts the window into enough intervals, unless that were too many."""
    least = recorded / most
    fitting = [step for step in STEPS if least <= step <= max(duration / INTERVALS, STEPS[0])]
    return fitting[-1] if fitting else max(least, STEPS[0])


def _series(
    component: str, clock: Floats, mean: Floats, count: Floats, failed: Floats
) -> list[Signal]:
    def make(name: str, family: Family, statistic: Statistic, values: Floats, unit: str) -> Signal:
        return Signal(component, name, family, statistic, clock, values, unit)

    return [
        make("spans.duration", Family.LATENCY, Statistic.MEAN, mean, "s"),
        make("spans.requests", Family.LOAD, Statistic.COUNT, count, ""),
        make("spans.failed", Family.ERRORS, Statistic.COUNT, failed, ""),
    ]
