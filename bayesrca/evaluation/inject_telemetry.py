"""What telemetry is like: series missing, gaps, copies, a normal period from another day."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bayesrca.evaluation.inject_panel import MOST_STATES, RATIOS
from bayesrca.incident import Family, Incident, Signal, TimeWindow

Floats = NDArray[np.float64]

DAY = 86_400.0


def spoil(incident: Incident, rng: np.random.Generator) -> Incident:
    """Drop series, leave gaps and add derived series, by components unequally.

    Every component keeps one series, and the target the one that raised the alarm.
    """
    signals = _drop(incident, rng)
    if rng.random() < 0.5:
        rate = rng.uniform(0.0, 0.1)
        signals = [_leave_gaps(s, rate, rng) for s in signals]
    signals += _derive(signals, rng)
    return replace(incident, signals=tuple(signals))


def move_to_another_day(incident: Incident, rng: np.random.Generator) -> Incident:
    """Let the normal period have been recorded days earlier, when levels were others.

    The gap is longer than the normal period, so that its level says little about the window.
    """
    baseline, window = incident.baseline, incident.window
    if baseline is None or window is None:
        return incident
    reach = baseline.end - window.start + baseline.duration
    days = DAY * (np.ceil(max(reach, 0.0) / DAY) + rng.integers(1, 30))
    drift: dict[object, float] = {}
    signals = []
    for signal in incident.signals:
        key = (signal.component, signal.family)
        shift = drift.setdefault(key, 0.2 * float(rng.standard_normal()))
        time = signal.timestamps
        inside = window.contains(time)
        normal = baseline.contains(time) & ~inside
        before = time[normal] - days
        values = signal.values[normal] * _factor(signal, shift, rng)
        if not (len(before) or inside.any()):
            continue
        signals.append(
            replace(
                signal,
                timestamps=np.concatenate([before, time[inside]]),
                values=np.concatenate([values, signal.values[inside]]),
            )
        )
    moved = TimeWindow(baseline.start - days, baseline.end - days)
    return replace(incident, signals=tuple(signals), baseline=moved)


def _factor(signal: Signal, shift: float, rng: np.random.Generator) -> float:
    values = signal.values[~np.isnan(signal.values)]
    fixed = signal.statistic in RATIOS or signal.family in (Family.STATE, Family.AVAILABILITY)
    if fixed or not values.size or values.min() < 0 or len(np.unique(values)) <= MOST_STATES:
        return 1.0
    return float(np.exp(shift + 0.05 * rng.standard_normal()))


def _drop(incident: Incident, rng: np.random.Generator) -> list[Signal]:
    rate = rng.uniform(0.0, 0.3)
    target = incident.target
    kept: list[Signal] = []
    dropped: list[Signal] = []
    for signal in incident.signals:
        alarmed = target is not None and (signal.component, signal.name) == (
            target.component,
            target.signal,
        )
        (kept if alarmed or rng.random() >= rate else dropped).append(signal)
    seen = {s.component for s in kept}
    for signal in dropped:
        if signal.component not in seen:
            seen.add(signal.component)
            kept.append(signal)
    return kept


def _leave_gaps(signal: Signal, rate: float, rng: np.random.Generator) -> Signal:
    lost = rng.random(len(signal)) < rate
    if rng.random() < 0.05:  # an outage of the collector
        start = int(rng.integers(len(signal)))
        lost[start : start + max(1, len(signal) // 20)] = True
    if lost.all():
        return signal
    return replace(signal, values=np.where(lost, np.nan, signal.values))


def _derive(signals: list[Signal], rng: np.random.Generator) -> list[Signal]:
    """Copies, other units, smoothed and noisy versions, for a third of the components."""
    derived = []
    busy: dict[str | None, float] = {}
    for signal in signals:
        rate = busy.setdefault(signal.component, rng.uniform(0.3, 3.0) * (rng.random() < 0.3))
        for k in range(min(int(rng.poisson(rate)), 6)):
            values = _version(signal.values, rng)
            derived.append(replace(signal, name=f"{signal.name}_{k + 2}", values=values))
    names = {(s.component, s.name) for s in signals}
    return [s for s in derived if (s.component, s.name) not in names]


def _version(values: Floats, rng: np.random.Generator) -> Floats:
    kind = rng.choice(3)
    if kind == 0:
        return values.copy()
    if kind == 1 and len(values) > 1:  # smoothed over two samples
        return np.concatenate([values[:1], (values[1:] + values[:-1]) / 2])
    noisy = values * np.exp(0.05 * rng.standard_normal(len(values)))
    ratio = np.nanmax(np.abs(values), initial=0.0) <= 1.0
    return np.minimum(noisy, 1.0) if ratio else noisy
