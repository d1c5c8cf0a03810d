"""Seasons: found where they are, not in noise and drift, and taken out of what is contrasted."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from bayesrca.evidence import build_evidence
from bayesrca.evidence.season import Season, fit_season
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
DAY, STEP = 86_400.0, 300.0
WEEK = 7 * DAY
NOON = DAY / 2


def bump(t: Floats) -> Floats:
    """A daily peak of two hours around midnight."""
    return np.asarray(np.exp(-0.5 * (((t + NOON) % DAY - NOON) / 5400.0) ** 2))


def clock(days: float, step: float = STEP) -> Floats:
    return np.arange(0.0, days * DAY, step)


def random_walk(rng: np.random.Generator, n: int) -> Floats:
    return np.cumsum(rng.standard_normal(n))


def autoregression(rng: np.random.Generator, n: int) -> Floats:
    out = rng.standard_normal(n)
    for i in range(1, n):
        out[i] += 0.95 * out[i - 1]
    return out


def white(rng: np.random.Generator, n: int) -> Floats:
    return rng.standard_normal(n)


def heavy(rng: np.random.Generator, n: int) -> Floats:
    return rng.standard_t(2.5, n)


@pytest.mark.parametrize("make", [white, heavy, random_walk, autoregression])
@pytest.mark.parametrize("days", [2.05, 7.0])
def test_noise_and_drift_have_no_season(
    make: Callable[[np.random.Generator, int], Floats], days: float
) -> None:
    rng, t = np.random.default_rng(3), clock(days, 900.0)
    found = sum(fit_season(t, make(rng, len(t))) is not None for _ in range(150))
    assert found <= 3  # 2%; a level of .1% per period tested is meant


@pytest.mark.parametrize("days", [4.0, 7.0, 21.0])
def test_daily_season_is_found_and_extrapolated(days: float) -> None:
    rng, t = np.random.default_rng(4), clock(days)
    ahead = days * DAY + clock(1.0)
    for _ in range(10):
        season = fit_season(t, 5.0 + 3.0 * bump(t) + rng.standard_normal(len(t)))
        assert season is not None
        assert season.period == pytest.approx(DAY)
        error = season.season(ahead) - 3.0 * (bump(ahead) - bump(t).mean())
        assert np.sqrt(np.mean(error**2)) < 0.4  # of a noise of 1 in each sample
        assert season.trend(ahead) == pytest.approx(0.0, abs=0.6)


def test_outliers_and_gaps_do_not_hide_it() -> None:
    rng, t = np.random.default_rng(5), clock(7.0)
    y = 3.0 * bump(t) + rng.standard_normal(len(t))
    y[rng.integers(0, len(t), 40)] += 20.0
    kept = (rng.random(len(t)) > 0.1) & ~((t > 2.3 * DAY) & (t < 2.5 * DAY))
    season = fit_season(t[kept], y[kept])
    assert season is not None
    error = season.season(t) - 3.0 * (bump(t) - bump(t).mean())
    assert np.sqrt(np.mean(error**2)) < 0.4


def test_a_clear_trend_is_extrapolated_and_a_short_one_is_not() -> None:
    rng = np.random.default_rng(6)
    for days, expected in ((10.0, 1.0), (3.0, 0.0)):
        t = clock(days)
        y = 3.0 * bump(t) + t / DAY + 0.5 * rng.standard_normal(len(t))
        season = fit_season(t, y)
        assert season is not None
        assert season.slope * DAY == pytest.approx(expected, abs=0.1)


def test_another_period_is_found_nearby_and_not_trusted_far_away() -> None:
    rng, t = np.random.default_rng(7), np.arange(0.0, 7200.0, 10.0)
    y = 2.0 * np.sin(2 * np.pi * t / 613.0) + 0.5 * rng.standard_normal(len(t))
    season = fit_season(t, y)
    assert season is not None
    assert season.period == pytest.approx(613.0, rel=0.02)
    assert fit_season(t, y, near=False) is None


def test_a_recording_of_less_than_two_days_has_no_daily_season() -> None:
    t = clock(1.9)
    season = fit_season(t, 3.0 * bump(t))
    assert season is None or season.period < DAY / 2


def test_constant_and_short_series_have_none() -> None:
    assert fit_season(clock(7.0), np.ones(len(clock(7.0)))) is None
    assert fit_season(np.arange(9.0), np.arange(9.0)) is None


def test_the_profile_repeats_and_the_trend_is_a_line() -> None:
    season = Season(period=4.0, origin=1.0, profile=np.array([0.0, 2.0]), centre=10.0, slope=0.5)
    assert season.season(np.array([2.0, 4.0, 6.0, 3.0, 5.0])).tolist() == [0.0, 2.0, 0.0, 1.0, 1.0]
    assert season.trend(np.array([10.0, 12.0])).tolist() == [0.0, 1.0]


def busy_night(seed: int, *, fault: float = 1.0, seasonal: bool = True) -> Incident:
    """Six components at their daily peak after a week; c3 may be at fault."""
    rng = np.random.default_rng(seed)
    t = np.arange(0.0, WEEK + 5400.0, STEP)
    season = bump(t) if seasonal else 0.0 * t
    components = tuple(Component(f"c{i}") for i in range(6))
    signals = []
    for c in components:
        moved = np.where((t >= WEEK) & (c.name == "c3"), fault, 1.0)
        noise = rng.standard_normal((2, len(t)))
        slow = 0.2 * np.exp(season + 0.1 * noise[0]) * moved
        busy = (0.3 + 0.4 * season + 0.05 * noise[1]) * moved
        signals += [
            Signal(c.name, "latency", Family.LATENCY, Statistic.MEAN, t, slow, "s"),
            Signal(c.name, "cpu", Family.CPU, Statistic.VALUE, t, busy),
        ]
    return Incident(
        "busy",
        Topology(components, tuple(Edge(f"c{i}", f"c{i + 1}") for i in range(5))),
        tuple(signals),
        baseline=TimeWindow(0.0, WEEK - STEP),
        window=TimeWindow(WEEK, WEEK + 5400.0),
        target=Target("c0"),
    )


def test_the_daily_peak_is_no_anomaly_and_a_fault_in_it_is() -> None:
    for seed in range(5):
        calm = build_evidence(busy_night(seed))
        assert not calm.alarm.anomalous
        assert len(calm.seasons) == 12
        assert any("12 series" in note and "24 h" in note for note in calm.notes)
        rows = build_evidence(busy_night(seed, fault=1.5)).table().rows
        loudest = max(rows, key=lambda row: abs(row.z))
        assert loudest.component == "c3"
        assert all(abs(row.z) < 4.0 for row in rows if row.component != "c3")


def test_season_and_residual_add_up_to_the_raw_contrast() -> None:
    incident = busy_night(1, fault=1.5)
    evidence = build_evidence(incident)
    for row in evidence.table(14).rows:
        (signal,) = [s for s in incident.signals_of(row.component) if s.name == row.signal]
        y = np.log(signal.values) if row.family == "latency" else signal.values
        inside = (signal.timestamps >= row.seconds[0]) & (signal.timestamps < row.seconds[1])
        raw = y[inside].mean() - y[signal.timestamps < WEEK].mean()
        assert row.season > 0.1
        assert row.contrast + row.season + row.trend == pytest.approx(raw, abs=0.03)


def test_series_without_a_season_are_left_as_they_are() -> None:
    evidence = build_evidence(busy_night(2, seasonal=False))
    assert not evidence.seasons
    assert all(row.season == row.trend == 0.0 for row in evidence.table().rows)
