"""Contrasts of one continuous series: how far it moved in each footprint, and how far that is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from bayesrca.evidence.frame import Frame
from bayesrca.evidence.nulls import NULLS
from bayesrca.incident import Signal

Floats = NDArray[np.float64]

FLOOR = {"log": 0.05, "share": 0.01, "root": 0.25}
"""Smallest null scale per transform: changes below it are never worth an alarm."""
DOSE_FLOOR = 0.02
"""The same of a logarithm where it is measured and not judged: what an excess may be off by."""
DEFAULT_SAMPLE_SD = {"log": 0.15, "share": 0.05, "root": 0.5}
"""Noise of one sample where no baseline tells it, worth `DEFAULT_WEIGHT` observations."""
DEFAULT_WEIGHT = 4.0
BASELINE_WEIGHT = 8.0
"""Observations a baseline scale is worth when the window's own spread exceeds it."""
WIDEST = 3.0
"""How much rare contrasts of the baseline may widen its scale; more would be another incident."""
ROUNDING = 1e-12
"""Contrasts below this come from rounding sums: the series stands still."""
MIN_NULL_WINDOWS = 10
"""Baseline windows below which the baseline says nothing about a series."""


class Transform(StrEnum):
    """How a mean level becomes a number whose differences compare across systems.

    ``LOG``: log of the mean (latency). ``SHARE``: arcsine square root of a share in [0, 1].
    ``ROOT``: square root of a count or rate.
    """

    LOG = "log"
    SHARE = "share"
    ROOT = "root"

    def __call__(self, level: Floats) -> Floats:
        """Transform mean levels; NaN where the level is outside the transform's domain."""
        with np.errstate(invalid="ignore", divide="ignore"):
            if self is Transform.LOG:
                return np.where(level > 0, np.log(level), np.nan)
            if self is Transform.SHARE:
                return np.arcsin(np.sqrt(np.clip(level, 0.0, 1.0)))
            return np.sqrt(np.where(level >= 0, level, np.nan))


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """Contrasts of one series, [s] each, NaN where a footprint or its reference has no sample.

    Attributes:
        value: change of the transformed mean in the footprint.
        scale: standard deviation of such a change when nothing is wrong (> 0).
        reference: untransformed mean level outside the footprint.
        weight: total weight (requests) inside the footprint; the number of samples if unweighted.
        samples: number of samples inside the footprint.
        default_scale: whether the scale of any of these changes is the default, for want of a
            baseline that tells it.
    """

    value: Floats
    scale: Floats
    reference: Floats
    weight: Floats
    samples: Floats
    default_scale: bool = False


def compute_contrast(
    frame: Frame, signal: Signal, transform: Transform, weights: Floats | None = None
) -> Contrast:
    """Contrast a series in every footprint with its reference.

    The null scale is a Student-t(4) scale fitted to the same contrast slid over the baseline, plus
    a floor, pooled with the window's own spread where that is larger (docs/concepts.md eq. 1).

    Args:
        frame: the incident's time.
        signal: the series.
        transform: how levels compare.
        weights: [n] requests behind each sample, so that means are per request; None for plain
            means. Samples with missing or zero weight count as missing.
    """
    values = signal.values
    w = np.ones(len(signal)) if weights is None else weights
    good = ~np.isnan(values) & (np.nan_to_num(w) > 0)
    x, w = np.where(good, values, 0.0), np.where(good, w, 0.0)
    bins = frame.bin_of(signal)
    *sums, number = _bin_sums(bins, frame.n_bins, w, x * w, good.astype(np.float64))
    inside = frame.inside
    weight_in, total_in = np.array(sums) @ inside.T
    normal = frame.baseline_mask(signal)
    if frame.against_baseline:
        weight_out, total_out = np.sum(w[normal]), np.sum((x * w)[normal])
    else:
        weight_out, total_out = np.array(sums) @ ~inside.T
    with np.errstate(invalid="ignore", divide="ignore"):
        level_in = np.asarray(total_in / weight_in)
        level_out = np.asarray(total_out / weight_out)
    value = transform(level_in) - transform(level_out)
    value = np.where(np.abs(value) < ROUNDING, 0.0, value)
    per_bin = max(1, round(np.count_nonzero(bins >= 0) / frame.n_bins))
    usual = x[normal], w[normal]
    null = NULLS.get(
        lambda: _null_scale(frame, *usual, transform, per_bin),
        *("series", frame.first, frame.last, frame.against_baseline),
        *(*usual, transform, per_bin),
    )
    samples = number @ inside.T
    level = transform(_safe_ratio(*sums[::-1]))
    if np.isnan(null).any():
        few = _Few.of(frame, transform(usual[0][usual[1] > 0]), samples, number.sum() - samples)
    else:
        few = _Few()
    scale = _pooled_scale(frame, null, level, few, str(transform))
    return Contrast(
        value=value,
        scale=scale,
        reference=level_out,
        weight=weight_in,
        samples=samples,
        default_scale=bool((np.isnan(null) & ~np.isnan(value)).any()),
    )


def _bin_sums(bins: NDArray[np.int64], n_bins: int, *arrays: Floats) -> Floats:
    keep = bins >= 0
    return np.array([np.bincount(bins[keep], a[keep], minlength=n_bins) for a in arrays])


def _safe_ratio(total: Floats, weight: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(weight > 0, total / weight, np.nan)


def _null_scale(frame: Frame, x: Floats, w: Floats, transform: Transform, per_bin: int) -> Floats:
    """Scale of the contrast slid over the baseline, [s]; NaN where the baseline is too short."""
    slide = _slide_alone if frame.against_baseline else _slide_window
    contrasts, column = slide(frame, x, w, transform, per_bin)
    number = np.count_nonzero(~np.isnan(contrasts), axis=0)
    scale = np.sqrt(_t4_scale(contrasts) ** 2 + FLOOR[str(transform)] ** 2)
    # The fit hardly sees a few contrasts far out, and a series that rests but for rare jumps has no
    # others: the largest of n must be where the law has one in n + 1.
    beyond = stats.t.isf(0.5 / (np.maximum(number, MIN_NULL_WINDOWS) + 1), 4)
    largest = np.nanmax(np.abs(contrasts), axis=0, initial=0.0) / beyond
    scale = np.clip(largest, scale, WIDEST * scale)
    return np.where(number >= MIN_NULL_WINDOWS, scale, np.nan)[column]


def _slide_alone(
    frame: Frame, x: Floats, w: Floats, transform: Transform, per_bin: int
) -> tuple[Floats, NDArray[np.int64]]:
    """Contrast stretches of each footprint's length with the rest of the baseline.

    Returns:
        [m, j] contrasts by start and length, NaN past the end; [s] the footprints' lengths in them.
        A footprint too long for the baseline takes the longest length that fits: means over more
        samples change less, so that its scale is at worst too wide.
    """
    lengths, column = np.unique((frame.last - frame.first) * per_bin, return_inverse=True)
    fitting = lengths[lengths <= len(x) - MIN_NULL_WINDOWS + 1]
    if fitting.size == 0:
        return np.zeros((0, len(lengths))), column
    column = np.minimum(column, len(fitting) - 1)
    start = np.arange(len(x) - fitting[0] + 1)[:, None]
    end = np.minimum(start + fitting, len(x))
    weight, total = _cumulative(w), _cumulative(x * w)
    weight_in, total_in = weight[end] - weight[start], total[end] - total[start]
    contrasts = transform(_safe_ratio(total_in, weight_in)) - transform(
        _safe_ratio(total[-1] - total_in, weight[-1] - weight_in)
    )
    return np.where(start + fitting <= len(x), contrasts, np.nan), column


def _slide_window(
    frame: Frame, x: Floats, w: Floats, transform: Transform, per_bin: int
) -> tuple[Floats, NDArray[np.int64]]:
    """Contrast footprints with the rest of a window slid over the baseline: [m, s] and [s]."""
    span = frame.n_bins * per_bin
    column = np.arange(len(frame.first))
    n_windows = len(x) - span + 1
    if n_windows < MIN_NULL_WINDOWS:
        return np.zeros((0, len(column))), column
    weight, total = _cumulative(w), _cumulative(x * w)
    start = np.arange(n_windows)[:, None]
    end, low, high = start + span, start + frame.first * per_bin, start + frame.last * per_bin
    weight_in, total_in = weight[high] - weight[low], total[high] - total[low]
    weight_out = weight[end] - weight[start] - weight_in
    total_out = total[end] - total[start] - total_in
    contrasts = transform(_safe_ratio(total_in, weight_in)) - transform(
        _safe_ratio(total_out, weight_out)
    )
    return contrasts, column


def _cumulative(a: Floats) -> Floats:
    out: Floats = np.concatenate([np.zeros(1), np.cumsum(a)])
    return out


def _t4_scale(samples: Floats) -> Floats:
    """Scale of a zero-centred Student-t(4) per column, by EM (Lange, Little & Taylor 1989)."""
    valid = ~np.isnan(samples)
    square = np.where(valid, samples, 0.0) ** 2
    n = np.maximum(valid.sum(axis=0), 1)
    variance = square.sum(axis=0) / n
    for _ in range(12):
        safe = np.maximum(variance, 1e-300)
        variance = (5.0 * square / (4.0 + square / safe)).sum(axis=0) / n
    return np.asarray(np.sqrt(variance))


@dataclass(frozen=True, slots=True)
class _Few:
    """What a baseline too short to be slid over still says: how much its samples vary.

    Attributes:
        degrees: degrees of freedom, 0 for fewer than two samples.
        square: [s] variance of a contrast of such samples; 0 where nobody asks.
    """

    degrees: int = 0
    square: Floats | float = 0.0

    @classmethod
    def of(cls, frame: Frame, usual: Floats, n_in: Floats, n_out: Floats) -> _Few:
        """Take the baseline's samples, and the number in and outside of each footprint."""
        degrees = max(usual.size - 1, 0)
        other = np.full_like(n_out, usual.size) if frame.against_baseline else n_out
        variance = float(np.var(usual, ddof=1)) if degrees else 0.0
        return cls(degrees, variance * (1 / np.maximum(n_in, 1) + 1 / np.maximum(other, 1)))


def _pooled_scale(frame: Frame, null: Floats, level: Floats, few: _Few, transform: str) -> Floats:
    """Combine the baseline's scale with the spread of the window's own bins, [s]."""
    inside = frame.inside
    seen = ~np.isnan(level)
    n_in = (inside & seen).sum(axis=1)
    n_out = (~inside & seen).sum(axis=1)
    own, degrees = _spread_outside(inside, level), np.maximum(n_out - 1, 0)
    share = 1.0 / np.maximum(n_in, 1)
    if not frame.against_baseline:
        share = share + 1.0 / np.maximum(n_out, 1)
    own = own * share
    floor = FLOOR[transform] ** 2
    default = DEFAULT_SAMPLE_SD[transform] ** 2 * share + floor
    weight = DEFAULT_WEIGHT + degrees + few.degrees
    default = (DEFAULT_WEIGHT * default + degrees * own + few.degrees * few.square) / weight + floor
    if frame.against_baseline:
        return np.sqrt(np.where(np.isnan(null), default, null**2))
    # Bins without a sample leave a mean over fewer than the baseline's windows had.
    full = 1.0 / inside.sum(axis=1) + 1.0 / (~inside).sum(axis=1)
    base = null**2 * np.maximum(share / full, 1.0)
    pooled = (BASELINE_WEIGHT * base + degrees * own) / (BASELINE_WEIGHT + degrees)
    return np.sqrt(np.where(np.isnan(null), default, np.maximum(pooled, base)))


def _spread_outside(inside: NDArray[np.bool_], level: Floats) -> Floats:
    """Variance of the bins' levels outside each footprint, [s]; 0 with fewer than two of them."""
    outside = np.where(~inside & ~np.isnan(level), level, np.nan)
    own = np.zeros(len(inside))
    several = np.count_nonzero(~np.isnan(outside), axis=1) >= 2
    if several.any():
        own[several] = np.nanvar(outside[several], axis=1, ddof=1)
    return own
