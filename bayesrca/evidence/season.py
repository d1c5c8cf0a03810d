"""Series with a daily, weekly or other season: what the hour explains is no anomaly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]

CANDIDATES = (86_400.0, 604_800.0)
"""Periods every recording is tested for, in seconds: a day and a week."""
MIN_PERIODS, MIN_PERIODS_FOUND = 2, 4
"""Whole periods a recording must span, for a candidate and for a period found in the series."""
MIN_PERIODS_TREND = 6
"""Periods from which a trend can be told from drift."""
MIN_PHASES, TEST_PHASES, MOST_PHASES = 8, 24, 48
"""Parts a period is cut into: at least, for the test (changes between long parts tell a slow season
from noise) and for the fit. A period of fewer samples than the first is not looked for."""
SIGNIFICANCE = 1e-3
"""Level of the test for a stable season, before it is shared among the periods tested."""
MIN_SHARE = 0.25
"""Share of the variance within a period that the other periods must predict."""
MOST_MISSING = 0.3
"""Share of blocks without a sample beyond which no season is looked for."""
CLIP = 4.0
"""Block-to-block changes are cut at so many standard deviations before they are tested."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Season:
    """Season and trend of a series, fitted to its normal period.

    Attributes:
        period: seconds.
        origin: seconds at which the profile begins.
        profile: [p] season in the middle of each of p equal parts of the period; mean 0.
        centre: seconds at which the trend is 0.
        slope: trend per second.
    """

    period: float
    origin: float
    profile: Floats
    centre: float
    slope: float

    def season(self, t: Floats) -> Floats:
        """Season at times [n]."""
        p = len(self.profile)
        phase = (t - self.origin) / self.period * p - 0.5
        return np.asarray(np.interp(phase, np.arange(p), self.profile, period=p))

    def trend(self, t: Floats) -> Floats:
        """Trend at times [n]."""
        return np.asarray(self.slope * (t - self.centre))


def fit_season(time: Floats, values: Floats, *, near: bool = True) -> Season | None:
    """Find the season of a series and fit it, or return None.

    Args:
        time: [n] seconds, increasing.
        values: [n] the normal period on the scale on which contrasts are taken, no NaN.
        near: whether it will be extrapolated to nearby times. Only days and weeks keep their phase
            for longer: the length of another period is not known well enough.
    """
    if len(time) < MIN_PERIODS * MIN_PHASES or not np.ptp(values) > 0:
        return None
    span = float(time[-1] - time[0])
    step = span / (len(time) - 1)
    best, chosen, shortest = MIN_SHARE, None, None
    for period in _periods(time, values, span, step, near=near):
        tested = _cut(time, values, period, step, TEST_PHASES)
        if tested is None or _p_value(tested.level) > SIGNIFICANCE / (len(CANDIDATES) + 1):
            continue
        shortest = period if shortest is None else shortest
        # Shares compare on parts of one length: the longer a part, the less noise it has.
        parts = _cut(time, values, period, step, round(TEST_PHASES * period / shortest))
        share = 0.0 if parts is None else _predicted_share(parts.level)
        if share >= best:
            # A multiple of the true period predicts as well; it must do better to be preferred.
            best, chosen = share + 0.05, period
    blocks = None if chosen is None else _cut(time, values, chosen, step, MOST_PHASES)
    return None if blocks is None else _decompose(blocks)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Blocks:
    """Medians of a series in equal parts of each whole period: [k periods, p parts]."""

    level: Floats
    period: float
    origin: float


def _periods(time: Floats, values: Floats, span: float, step: float, *, near: bool) -> list[float]:
    """Periods worth a test, the shortest first: candidates that fit, and the strongest there is."""
    found = [p for p in CANDIDATES if span + step >= MIN_PERIODS * p and p >= MIN_PHASES * step]
    strongest = _strongest_period(time, values, span, step) if near else None
    if strongest is not None and all(abs(strongest / p - 1.0) > 0.1 for p in found):
        found.append(strongest)
    return sorted(found)


def _strongest_period(time: Floats, values: Floats, span: float, step: float) -> float | None:
    """Period of the highest peak of the periodogram that is short enough, refined between bins."""
    n = len(time)
    grid = time[0] + step * np.arange(n)
    y = np.interp(grid, time, values)
    y = (y - np.polynomial.Polynomial.fit(grid, y, 1)(grid)) * np.hanning(n)
    power = np.abs(np.fft.rfft(y)) ** 2
    first, last = MIN_PERIODS_FOUND, n // MIN_PHASES
    if last <= first:
        return None
    j = first + int(np.argmax(power[first : last + 1]))
    if not 0 < j < len(power) - 1 or not power[j] > 0:
        return None
    low, top, high = np.log(np.maximum(power[j - 1 : j + 2], 1e-300))
    curve = low - 2 * top + high
    shift = float(np.clip(0.5 * (low - high) / curve, -0.5, 0.5)) if curve < 0 else 0.0
    return (span + step) / (j + shift)


def _cut(time: Floats, values: Floats, period: float, step: float, most: int) -> _Blocks | None:
    """Medians over equal parts of whole periods, gaps filled; None where too many parts are empty.

    A period has at most ``most`` parts, and no more than it has samples.
    """
    parts = int(min(most, np.floor(period / step * (1 + 1e-9))))
    number = int(np.floor((time[-1] - time[0] + step) / period + 1e-6))
    if number < MIN_PERIODS or parts < MIN_PHASES:
        return None
    end = time[-1] + step / 2
    origin = end - number * period  # the latest periods are the nearest to what comes
    first = int(np.searchsorted(time, origin))
    at = np.floor((time[first:] - origin) / (period / parts)).astype(np.int64)
    at = np.minimum(at, number * parts - 1)
    count = np.bincount(at, minlength=number * parts)
    if np.mean(count == 0) > MOST_MISSING:
        return None
    ordered = values[first:][np.lexsort((values[first:], at))]
    start = np.cumsum(count) - count
    low, high = (ordered[np.where(count > 0, start + n // 2, 0)] for n in (count - 1, count))
    level = np.where(count > 0, (low + high) / 2, np.nan).reshape(number, parts)
    return _Blocks(level=_filled(level), period=period, origin=float(origin))


def _filled(level: Floats) -> Floats:
    """Fill gaps by the neighbours where they are short, else by what the phase usually is."""
    missing = np.isnan(level)
    if not missing.any():
        return level
    flat, gaps = level.ravel(), missing.ravel()
    index = np.arange(len(flat))
    near = np.interp(index, index[~gaps], flat[~gaps])
    left = index - np.maximum.accumulate(np.where(gaps, -1, index))
    right = np.minimum.accumulate(np.where(gaps, len(flat), index)[::-1])[::-1] - index
    short = (left + right <= 4).reshape(level.shape)  # at most three parts in a row
    several = ~missing.all(axis=0)
    usual = np.full(level.shape[1], np.nan)
    usual[several] = np.nanmedian(level[:, several], axis=0)
    usual = np.broadcast_to(usual, level.shape)
    fill = np.where(short | np.isnan(usual), near.reshape(level.shape), usual)
    return np.where(missing, fill, level)


def _p_value(level: Floats) -> float:
    """Test of a stable season: one-way analysis of variance of the changes by phase.

    Changes between neighbouring blocks are tested, because those of a random walk are independent,
    and a drift would otherwise pass for a season.
    """
    k, p = level.shape
    change = np.diff(level.ravel(), prepend=np.nan)[1:]
    change = np.append(np.median(change), change).reshape(k, p)
    spread = 1.4826 * np.median(np.abs(change - np.median(change))) or float(np.std(change))
    if not spread > 0:
        return 1.0
    change = np.clip(change - np.median(change), -CLIP * spread, CLIP * spread)
    usual = change.mean(axis=0)
    between = k * np.sum((usual - usual.mean()) ** 2) / (p - 1)
    within = np.sum((change - usual) ** 2) / (p * (k - 1))
    if not within > 0:
        return 0.0 if between > 0 else 1.0
    return float(stats.f.sf(between / within, p - 1, p * (k - 1)))


def _predicted_share(level: Floats) -> float:
    """Median over periods of the variance within one that the mean of the others predicts."""
    k = len(level)
    centred = level - level.mean(axis=1, keepdims=True)
    others = (centred.sum(axis=0) - centred) / (k - 1)
    variance = np.mean(centred**2, axis=1)
    left = np.mean((centred - others) ** 2, axis=1)
    return float(np.median(1.0 - left / np.where(variance > 0, variance, np.inf)))


def _decompose(blocks: _Blocks) -> Season:
    """Fit season and trend by robust STL (Cleveland et al. 1990).

    The season is one profile for all periods. Of the trend only a straight line beyond doubt is
    kept (Theil 1950): what it does besides is drift, which cannot be extrapolated and is noise.
    """
    from statsmodels.tsa.seasonal import STL  # noqa: PLC0415  loads pandas; few series need it

    k, p = blocks.level.shape
    jump = max(1, p // 10)
    fitted = STL(
        blocks.level.ravel(),
        period=p,
        seasonal=2 * (k // 2) * 10 + 11,  # far longer than the recording: one profile for all
        robust=True,
        seasonal_jump=k,
        trend_jump=jump,
        low_pass_jump=jump,
        seasonal_deg=0,
    ).fit(inner_iter=2, outer_iter=5)
    profile = np.asarray(fitted.seasonal).reshape(k, p).mean(axis=0)
    middle = blocks.origin + blocks.period * (np.arange(k, dtype=np.float64) + 0.5)
    level = np.array(np.median(blocks.level - profile, axis=1), dtype=np.float64)
    return Season(
        period=blocks.period,
        origin=blocks.origin,
        profile=profile - profile.mean(),
        centre=float(middle.mean()),
        slope=_slope(middle, level),
    )


def _slope(x: Floats, y: Floats) -> float:
    """Median of the slopes between all pairs; 0 unless Kendall's test at 1% tells it from none."""
    if len(x) < MIN_PERIODS_TREND or not np.ptp(y) > 0 or stats.kendalltau(x, y).pvalue > 0.01:
        return 0.0
    return float(stats.theilslopes(y, x).slope)
