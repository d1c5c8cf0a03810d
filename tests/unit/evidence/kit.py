"""Small incidents to reduce: one sample a minute, an hour of baseline, a ten-minute window."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesrca.incident import (
    Component,
    Edge,
    Family,
    Incident,
    Signal,
    Statistic,
    Target,
    TimeWindow,
    Topology,
)

Floats = NDArray[np.float64]

STEP = 60.0
N_NORMAL, N_WINDOW = 60, 10
TIME: Floats = np.array(STEP * np.arange(N_NORMAL + N_WINDOW), dtype=np.float64)
BASELINE = TimeWindow(0.0, STEP * (N_NORMAL - 1))
WINDOW = TimeWindow(STEP * N_NORMAL, STEP * (N_NORMAL + N_WINDOW - 1))
INSIDE = WINDOW.contains(TIME)


def noisy(level: float, during: float, seed: int = 0, spread: float = 0.05) -> Floats:
    """A log-normal series that moves from `level` to `during` in the window."""
    noise = np.exp(spread * np.random.default_rng(seed).standard_normal(len(TIME)))
    return np.asarray(np.where(INSIDE, during, level) * noise)


def series(
    component: str,
    values: Any,  # noqa: ANN401
    family: Family = Family.LATENCY,
    statistic: Statistic = Statistic.MEAN,
    *,
    unit: str = "",
    name: str = "",
    time: Floats = TIME,
) -> Signal:
    values = np.broadcast_to(np.asarray(values, dtype=np.float64), time.shape)
    return Signal(component, name or f"{family}_{statistic}", family, statistic, time, values, unit)


def latency(component: str, values: Any, unit: str = "s") -> Signal:  # noqa: ANN401
    return series(component, values, unit=unit)


def requests(component: str, values: Any) -> Signal:  # noqa: ANN401
    return series(component, values, Family.LOAD, Statistic.COUNT)


def failures(component: str, values: Any) -> Signal:  # noqa: ANN401
    return series(component, values, Family.ERRORS, Statistic.COUNT)


def incident(
    *signals: Signal,
    target: str | None = None,
    alarm: str | None = None,
    **changes: Any,  # noqa: ANN401
) -> Incident:
    fields: dict[str, Any] = {
        "name": "outage",
        "topology": Topology((Component("front"), Component("back")), (Edge("front", "back"),)),
        "signals": signals,
        "baseline": BASELINE,
        "window": WINDOW,
        "target": None if target is None else Target(target, alarm),
    }
    return Incident(**(fields | changes))
