"""Takes season and trend out of series before they are contrasted, and tells how much that was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from bayesrca.evidence.batch import group_by_clock
from bayesrca.evidence.frame import Frame
from bayesrca.evidence.nulls import NULLS
from bayesrca.evidence.remarks import shorten
from bayesrca.evidence.season import (
    CANDIDATES,
    MIN_PERIODS,
    MIN_PERIODS_FOUND,
    MIN_PHASES,
    Season,
    fit_season,
)
from bayesrca.evidence.series import Transform
from bayesrca.evidence.vitals import is_vital
from bayesrca.incident import Family, Signal

Floats = NDArray[np.float64]

MOST_FITTED = 500
"""Series whose season is fitted in one analysis: about ten milliseconds each."""
MIN_POWER = 0.1
"""Share of a series' power at a period and its harmonics below which it is not looked at closer."""
HARMONICS = 8
SHORTEST = MIN_PERIODS_FOUND * MIN_PHASES
"""Samples of the baseline below which no season is looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeasonShare:
    """What season and trend would have added to a contrast.

    Attributes:
        period: of the season, in seconds.
        season: [s] season in the footprint less that in the reference, on the contrast's scale.
        trend: [s] the same of the trend.
    """

    period: float
    season: Floats
    trend: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Seasonal:
    """Seasonal series of an incident.

    Attributes:
        series: the series less their season and trend, by (component, name).
        shares: what these would have added to the contrasts, by the same.
        left: how many series may have a season that was not fitted, for `MOST_FITTED`.
    """

    series: Mapping[tuple[str, str], Signal]
    shares: Mapping[tuple[str, str], SeasonShare]
    left: int = 0

    def of(self, signals: Sequence[Signal]) -> list[Signal]:
        """Return the same series without their seasons."""
        if not self.series:
            return list(signals)
        return [self.series.get((str(s.component), s.name), s) for s in signals]


def find_seasonal(frame: Frame, signals: Sequence[Signal]) -> Seasonal:
    """Fit the seasons of latencies and vitals to the baseline and extrapolate them.

    Args:
        frame: the incident's time; without a baseline no series has a season.
        signals: the incident's series.
    """
    series: dict[tuple[str, str], Signal] = {}
    shares: dict[tuple[str, str], SeasonShare] = {}
    read = [s for s in signals if s.component is not None and _is_read(s)]
    promising = _promising(frame, read) if frame.baseline is not None else []
    for i in promising[:MOST_FITTED]:
        signal = read[i]
        y = _transformed(signal)
        good = ~np.isnan(y)
        normal = frame.baseline_mask(signal) & good
        time = signal.timestamps[normal]
        season = _remembered(time, y[normal], near=frame.against_baseline)
        if season is not None:
            key = str(signal.component), signal.name
            series[key] = _without(signal, season)
            shares[key] = _share(frame, signal, season, good)
    return Seasonal(series=series, shares=shares, left=max(0, len(promising) - MOST_FITTED))


def note_seasonal(seasonal: Seasonal, notes: list[str]) -> None:
    """Note which series were read without their season, and how many may have one that was not."""
    if seasonal.shares:
        names = [f"'{component}|{name}'" for component, name in seasonal.shares]
        hours = sorted({share.period / 3600 for share in seasonal.shares.values()})
        periods = shorten([f"{h:.3g} h" for h in hours])
        notes.append(
            f"Season and trend of the baseline were taken out of {len(names)} series "
            f"({shorten(names)}) with a period of {periods}."
        )
    if seasonal.left:
        notes.append(
            f"{seasonal.left} more series may have a season: seasons of at most {MOST_FITTED} "
            "series are fitted, those that stand out most."
        )


def _remembered(time: Floats, values: Floats, *, near: bool) -> Season | None:
    """Fit a season, or find that there is none, once for equal baselines."""

    def compute() -> Floats:
        found = fit_season(time, values, near=near)
        if found is None:
            return np.empty(0)
        return np.array([found.period, found.origin, found.centre, found.slope, *found.profile])

    numbers = NULLS.get(compute, "season", time, values, near)
    if numbers.size == 0:
        return None
    period, origin, centre, slope = numbers[:4].tolist()
    return Season(period=period, origin=origin, profile=numbers[4:], centre=centre, slope=slope)


def _is_read(signal: Signal) -> bool:
    return signal.family is Family.LATENCY or is_vital(signal)


def _transformed(signal: Signal) -> Floats:
    """Values on the scale on which contrasts are taken: logarithms of latencies, others as is."""
    return Transform.LOG(signal.values) if signal.family is Family.LATENCY else signal.values


def _without(signal: Signal, season: Season) -> Signal:
    part = season.season(signal.timestamps) + season.trend(signal.timestamps)
    if signal.family is Family.LATENCY:
        return replace(signal, values=signal.values * np.exp(-part))
    return replace(signal, values=signal.values - part)


def _share(frame: Frame, signal: Signal, season: Season, good: NDArray[np.bool_]) -> SeasonShare:
    bins = frame.bin_of(signal)
    inside, use = frame.inside, (bins >= 0) & good
    normal = frame.baseline_mask(signal) & good
    number = np.bincount(bins[use], minlength=frame.n_bins)

    def contrast(values: Floats) -> Floats:
        total = np.bincount(bins[use], values[use], minlength=frame.n_bins)
        with np.errstate(invalid="ignore", divide="ignore"):
            level = (inside @ total) / (inside @ number)
            rest = (~inside @ total) / (~inside @ number)
        return np.asarray(level - (values[normal].mean() if frame.against_baseline else rest))

    time = signal.timestamps
    return SeasonShare(
        period=season.period,
        season=contrast(season.season(time)),
        trend=contrast(season.trend(time)),
    )


def _promising(frame: Frame, signals: Sequence[Signal]) -> list[int]:
    """Positions of the series whose spectrum may hold a season, the strongest first."""
    found: list[tuple[float, int]] = []
    for position in group_by_clock(signals):
        clock = signals[position[0]]
        normal = frame.baseline_mask(clock)
        n = int(np.count_nonzero(normal))
        if n < SHORTEST:
            continue
        values = np.stack([_transformed(signals[i])[normal] for i in position])
        time, near = clock.timestamps[normal], frame.against_baseline
        look = partial(_peak_excess, time, values, near=near)
        excess = NULLS.get(look, "spectra", time, values, near)
        found += [(-float(excess[row]), int(position[row])) for row in np.flatnonzero(excess > 0)]
    return [i for _, i in sorted(found)]


def _peak_excess(time: Floats, values: Floats, *, near: bool) -> Floats:
    """[m] power share at the best period, less what noise without a period hardly has.

    A quick look that lets through what `fit_season` then tests. It takes samples as evenly spaced
    and missing ones as average.
    """
    n = len(time)
    step = (time[-1] - time[0]) / (n - 1)
    x = np.arange(n) - (n - 1) / 2
    seen = ~np.isnan(values)
    # Shares have no unit; at most 1 in size, no value's square overflows.
    largest = np.where(seen, np.abs(values), 0.0).max(axis=1, keepdims=True)
    values = values / np.where(largest > 0, largest, 1.0)
    mean = np.nansum(values, axis=1, keepdims=True) / np.maximum(seen.sum(axis=1)[:, None], 1)
    y = np.where(seen, values - mean, 0.0)
    y -= (y @ x / (x @ x))[:, None] * x
    power = np.abs(np.fft.rfft(y, axis=1)) ** 2
    power[:, 0] = 0.0
    total = power.sum(axis=1)
    share = power / np.where(total > 0, total, 1.0)[:, None]
    half = share.shape[1]
    around = share.copy()
    around[:, 1:] += share[:, :-1]
    around[:, :-1] += share[:, 1:]
    best = np.zeros(len(values))
    if near:
        # Fisher (1929): the largest of n/2 ordinates of noise is about log(n/2) times their mean.
        least = max(MIN_POWER, 4 * np.log(half) / half)
        best = around[:, MIN_PERIODS_FOUND:].max(axis=1, initial=0.0) - least
    for period in CANDIDATES:
        cycles = n * step / period
        if cycles < MIN_PERIODS * (1 - 1 / n) or period < MIN_PHASES * step:
            continue
        at = np.round(cycles * np.arange(1, HARMONICS + 1)).astype(np.int64)
        around_it = np.unique(at[:, None] + np.array([-1, 0, 1]))
        around_it = around_it[(around_it > 0) & (around_it < half)]
        usual = len(around_it) / half
        best = np.maximum(best, share[:, around_it].sum(axis=1) - max(MIN_POWER, 1.5 * usual))
    return np.where(total > 0, best, 0.0)
