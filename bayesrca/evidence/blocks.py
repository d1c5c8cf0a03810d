"""Contrasts of many series at once: block means, and how far they move when nothing is wrong."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayesrca.evidence.batch import Batch
from bayesrca.evidence.frame import Frame
from bayesrca.evidence.nulls import NULLS
from bayesrca.evidence.series import BASELINE_WEIGHT, DEFAULT_WEIGHT, MIN_NULL_WINDOWS, ROUNDING

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

FLOOR_ADJACENT, FLOOR_ELSEWHERE = 0.06, 0.2
"""Smallest null scale, relative to a series' level, by where its baseline was recorded."""
DEFAULT_BIN_SD = 0.3
"""Noise of one bin relative to the level where no baseline tells it."""
PEER_SHARE = 0.1
"""Smallest level of a series, relative to that of other components' series of its name."""
LARGEST_LEVEL = 1e100
"""Largest relative level: its square is still a number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockContrasts:
    """Contrasts of m series in s footprints, in the batch's scaled units.

    Attributes:
        value: [m, s] mean in the footprint minus the mean of the reference, NaN where either has
            no sample.
        scale: [m, s] standard deviation of such a difference when nothing is wrong (> 0).
        samples: [m, s] samples in the footprint.
        default_scale: [m] whether any of these scales is the default, for want of a baseline.
    """

    value: Floats
    scale: Floats
    samples: Floats
    default_scale: Bools


def compute_levels(batch: Batch) -> Floats:
    """[m] median magnitude of each series over the baseline, or the window if it has none there."""
    level = np.concatenate([_median_magnitude(batch.normal[rows]) for rows in batch.chunks()])
    bare = np.isnan(level)
    if bare.any():
        level[bare] = _median_magnitude(batch.window[bare])
    return level


def lift_levels(batch: Batch, level: Floats, peers: Floats) -> Floats:
    """Raise levels to where a change can be judged against them: [m], in scaled units, > 0.

    Args:
        batch: the series.
        level: [m] their own levels, in scaled units.
        peers: [m] level of other components' series of the same name, in their own unit; NaN for
            none.
    """
    with np.errstate(over="ignore"):
        floor = np.ldexp(PEER_SHARE * np.nan_to_num(peers), -batch.exponent)
    level = np.minimum(np.maximum(level, floor), LARGEST_LEVEL)
    if batch.window.shape[1]:
        biggest = np.fmax.reduce(np.abs(batch.window), axis=1, initial=0.0)
        level = np.where(level > 0, level, biggest)
    return level


def compute_block_contrasts(frame: Frame, batch: Batch, level: Floats) -> BlockContrasts:
    """Contrast every series with its reference in every footprint (docs/concepts.md, "Vitals").

    Args:
        frame: the incident's time.
        batch: the series.
        level: [m] the level a change is judged against, from `lift_levels`.
    """
    parts = [_contrast_chunk(frame, batch.take(rows), level[rows]) for rows in batch.chunks()]
    return BlockContrasts(
        value=np.concatenate([p.value for p in parts]),
        scale=np.concatenate([p.scale for p in parts]),
        samples=np.concatenate([p.samples for p in parts]),
        default_scale=np.concatenate([p.default_scale for p in parts]),
    )


@dataclass(frozen=True, slots=True)
class _Usual:
    """What m baselines say where they are too short to be slid over.

    Attributes:
        number: [m] their samples.
        square: [m, s] variance of a contrast of samples that vary as theirs do; [1], 0 where every
            baseline is long enough.
    """

    number: Ints
    square: Floats


def _contrast_chunk(frame: Frame, batch: Batch, level: Floats) -> BlockContrasts:
    # Less some sample of its own, a constant series is exactly zero.
    origin = _first_sample(batch)[:, None]
    normal, good = _filled(batch.normal - origin)
    n_normal = good.sum(axis=1)
    window, seen = _filled(batch.window - origin)
    inside = frame.inside.astype(np.float64)
    count, total = _bin_sums(seen, batch.offsets), _bin_sums(window, batch.offsets)
    n_in, n_out = count @ inside.T, count @ (1.0 - inside).T
    level_out = _ratio(total @ (1.0 - inside).T, n_out)
    if frame.against_baseline:
        usual = _ratio(normal.sum(axis=1), n_normal)
        level_out = np.broadcast_to(usual[:, None], level_out.shape)
    square = _null_square(frame, batch, n_in)
    if not frame.against_baseline:
        rows = np.diff(batch.offsets).astype(np.float64)
        full = _ratio(1.0, inside @ rows) + _ratio(1.0, (1.0 - inside) @ rows)
        # Missing samples leave a mean over fewer than the baseline's windows had.
        square = square * np.maximum(_ratio(1.0, n_in) + _ratio(1.0, n_out), full) / full
    value = _ratio(total @ inside.T, n_in) - level_out
    value = np.where(np.abs(value) < ROUNDING, 0.0, value)  # the largest sample is about one
    spread = _ratio(total, count)
    usual_spread = np.zeros(1)
    if np.isnan(square).any():
        other = n_normal[:, None] if frame.against_baseline else n_out
        share = 1.0 / np.maximum(n_in, 1) + 1.0 / np.maximum(other, 1)
        usual_spread = _variance(normal, good)[:, None] * share
    found = _Usual(n_normal, usual_spread)
    scale = np.sqrt(_pool(frame, square, spread, found, level[:, None]))
    return BlockContrasts(
        value=value,
        samples=n_in,
        scale=np.where(scale > 0, scale, 1.0),  # of a series of zeros, which has no scale
        default_scale=(np.isnan(square) & ~np.isnan(value)).any(axis=1),
    )


def _null_square(frame: Frame, batch: Batch, n_in: Floats) -> Floats:
    """Mean square contrast of the baseline, [m, s]; NaN where it says nothing.

    A function of the baseline and the cut of time alone, to be remembered: series are brought to a
    size of their own first, because the batch's depends on the window too.
    """
    if batch.normal.shape[1] == 0:
        return np.full(n_in.shape, np.nan)
    _, exponent = np.frexp(np.fmax.reduce(np.abs(batch.normal), axis=1, initial=0.0))
    normal = np.ldexp(batch.normal, -exponent[:, None])

    def compute() -> Floats:
        first = normal[np.arange(len(normal)), (~np.isnan(normal)).argmax(axis=1)]
        own, good = _filled(normal - first[:, None])
        if not frame.against_baseline:
            return _slide_window(frame, own, good, batch.offsets)
        usual = np.nan_to_num(_ratio(own.sum(axis=1), good.sum(axis=1)))
        return _slide_blocks(np.where(good, own - usual[:, None], 0.0), good, n_in)

    cut = (n_in,) if frame.against_baseline else (batch.offsets, frame.first, frame.last)
    square = NULLS.get(compute, "blocks", frame.against_baseline, normal, *cut)
    return np.asarray(np.ldexp(square, 2 * exponent[:, None]))


def _slide_blocks(deviation: Floats, good: Bools, wanted: Floats) -> Floats:
    """Mean square of block means about the baseline's mean, inflated by the latter's: [m, s].

    Args:
        deviation: [m, k] the baseline less its mean, 0 where missing.
        good: [m, k] which samples are not.
        wanted: [m, s] samples in each footprint.

    A block is at most a tenth of the baseline: of longer ones there are too few that share no
    sample, and their means are not assumed to vary less, because drift does not average out.
    """
    n_normal = good.sum(axis=1)
    length = np.minimum(np.maximum(wanted, 1), np.maximum(n_normal // 10, 1)[:, None])
    length = _leading_bits(length.astype(np.int64))
    length[n_normal < MIN_NULL_WINDOWS] = 0
    square = np.full(wanted.shape, np.nan)
    sums, counts = _cumulative(deviation), _cumulative(good)
    rows: slice | Ints
    for n in np.unique(length[length > 0]).tolist():
        use = length == n
        some = use.any(axis=1)
        rows = slice(None) if some.all() else np.flatnonzero(some)
        number = counts[rows, n:] - counts[rows, :-n]
        mean = (sums[rows, n:] - sums[rows, :-n]) / np.maximum(number, 1)
        found = np.maximum(np.count_nonzero(number, axis=1), 1)
        each = np.einsum("ij,ij->i", mean, mean) / found * (1.0 + n / n_normal[rows])
        square[rows] = np.where(use[rows], each[:, None], square[rows])
    return square


def _slide_window(frame: Frame, normal: Floats, good: Bools, offsets: Ints) -> Floats:
    """Mean square contrast of footprints with the rest of a window slid over the baseline."""
    square = np.full((len(normal), len(frame.first)), np.nan)
    span = int(offsets[-1])
    n_windows = normal.shape[1] - span + 1
    if n_windows < MIN_NULL_WINDOWS:
        return square
    sums, counts = _cumulative(normal), _cumulative(good)
    whole, number = (a[:, span:] - a[:, :n_windows] for a in (sums, counts))
    for s, (low, high) in enumerate(zip(offsets[frame.first], offsets[frame.last], strict=True)):
        total, n_in = (
            a[:, high : high + n_windows] - a[:, low : low + n_windows] for a in (sums, counts)
        )
        n_out = number - n_in
        both = (n_in > 0) & (n_out > 0)
        contrast = total / np.maximum(n_in, 1) - (whole - total) / np.maximum(n_out, 1)
        found = np.count_nonzero(np.broadcast_to(both, contrast.shape), axis=1)
        mean = np.sum(np.where(both, contrast, 0.0) ** 2, axis=1) / np.maximum(found, 1)
        square[:, s] = np.where(found >= MIN_NULL_WINDOWS, mean, np.nan)
    return square


def _pool(frame: Frame, square: Floats, bins: Floats, usual: _Usual, level: Floats) -> Floats:
    """Variance of the contrasts when nothing is wrong, [m, s], as `series` pools it.

    Args:
        frame: the incident's time.
        square: [m, s] what the baseline says, NaN where it says nothing.
        bins: [m, b] mean of each bin, NaN where it has no sample.
        usual: the baseline's samples.
        level: [m, 1] what a change is judged against.
    """
    floor = (FLOOR_ADJACENT if frame.against_baseline else FLOOR_ELSEWHERE) * level
    base = square + floor**2
    silent = np.isnan(square)
    if frame.against_baseline and not silent.any():
        return base
    inside = frame.inside
    seen = ~np.isnan(bins)
    n_in, n_out = seen @ inside.T.astype(int), seen @ (~inside).T.astype(int)
    degrees = np.maximum(n_out - 1, 0)
    other = usual.number[:, None] if frame.against_baseline else n_out
    share = 1.0 / np.maximum(n_in, 1) + 1.0 / np.maximum(other, 1)
    own = _spread_outside(inside, bins, seen) * share
    default = (DEFAULT_BIN_SD * level) ** 2 * share + floor**2
    few = np.maximum(usual.number - 1, 0)[:, None]
    weight = DEFAULT_WEIGHT + degrees + few
    default = (DEFAULT_WEIGHT * default + degrees * own + few * usual.square) / weight + floor**2
    if not frame.against_baseline:
        pooled = (BASELINE_WEIGHT * base + degrees * own) / (BASELINE_WEIGHT + degrees)
        base = np.maximum(base, pooled)
    return np.where(silent, default, base)


def _variance(values: Floats, good: Bools) -> Floats:
    """[m] variance of the samples that are there, missing ones being 0; 0 for fewer than two."""
    n = good.sum(axis=1)
    mean = values.sum(axis=1) / np.maximum(n, 1)
    square = (np.where(good, values - mean[:, None], 0.0) ** 2).sum(axis=1)
    return np.asarray(square / np.maximum(n - 1, 1))


def _spread_outside(inside: Bools, bins: Floats, seen: Bools) -> Floats:
    """Variance of the bins outside each footprint, [m, s]; 0 with fewer than two of them."""
    own = np.zeros((len(bins), len(inside)))
    filled = np.where(seen, bins, 0.0)
    for s, footprint in enumerate(inside):
        use = seen & ~footprint
        n = use.sum(axis=1)
        mean = (filled * use).sum(axis=1) / np.maximum(n, 1)
        square = (np.where(use, filled - mean[:, None], 0.0) ** 2).sum(axis=1)
        own[:, s] = square / np.maximum(n - 1, 1)
    return own


def _median_magnitude(values: Floats) -> Floats:
    """Median of the magnitudes along the last axis; NaN where there is none."""
    if values.shape[1] == 0:
        return np.full(len(values), np.nan)
    ordered = np.sort(np.abs(values), axis=1)  # missing ones come last
    n = np.count_nonzero(~np.isnan(values), axis=1)
    rows = np.arange(len(values))
    return np.asarray((ordered[rows, np.maximum(n - 1, 0) // 2] + ordered[rows, n // 2]) / 2)


def _first_sample(batch: Batch) -> Floats:
    """[m] first sample of each series, in the baseline or else in the window."""
    first = np.full(len(batch.position), np.nan)
    for part in (batch.window, batch.normal):
        if part.shape[1]:
            seen = ~np.isnan(part)
            value = part[np.arange(len(part)), seen.argmax(axis=1)]
            first = np.where(seen.any(axis=1), value, first)
    return first


def _filled(values: Floats) -> tuple[Floats, Bools]:
    """Values with 0 for missing ones, and which are there."""
    good = ~np.isnan(values)
    return (values if good.all() else np.where(good, values, 0.0)), good


def _bin_sums(values: Floats | Bools, offsets: Ints) -> Floats:
    edges = zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)
    return np.stack([values[:, a:b].sum(axis=1, dtype=np.float64) for a, b in edges], axis=1)


def _cumulative(values: Floats | Bools) -> Floats:
    out = np.zeros((values.shape[0], values.shape[1] + 1))
    np.cumsum(values, axis=1, out=out[:, 1:])
    return out


def _ratio(total: Floats | float, weight: Floats | Ints) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(weight > 0, total / weight, np.nan)


def _leading_bits(n: Ints) -> Ints:
    """Round down to three leading bits, so that few lengths stand for all (8, 10, 12, 14, 16)."""
    _, bits = np.frexp(n)
    shift = np.maximum(bits - 3, 0)
    return np.asarray((n >> shift) << shift)
