"""What is normal, from several stretches of time of which each may be wrong."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from bayesrca.evidence.trace_laws import (
    PRIOR_DEGREES,
    PRIOR_VARIANCE,
    log_affected_time,
    log_quiet_count,
    log_quiet_time,
)

Floats = NDArray[np.float64]

TIE = 10.0
"""Instances of all references together that are added to each one's own: few say little alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeContrast:
    """How mean log times in the window compare with what is normal, [j] each; NaN where unknown.

    Attributes:
        contrast: window less all references together.
        scale: its standard deviation when quiet.
        log_ratio: log Bayes factor, affected against quiet.
    """

    contrast: Floats
    scale: Floats
    log_ratio: Floats


def share_counts(k: Floats, n: Floats) -> tuple[Floats, Floats, Floats]:
    """Split counts of the references into readings of what is normal.

    One reading takes all references together; each reference by itself is another, since normal
    minutes may hold an earlier fault and the minutes before an incident its beginning. A reading by
    few instances leans on all.

    Args:
        k: [j, r] instances of each reference that show it.
        n: [j, r] instances.

    Returns:
        Share, instances that it was read from and log weight of each reading, [r + 1, j].
    """
    total_k, total_n = k.sum(axis=1), n.sum(axis=1)
    pooled = (total_k + 0.5) / (total_n + 1.0)
    share, worth, weight = [pooled], [total_n], [np.ones_like(pooled)]
    if n.shape[1] > 1:
        for own_k, own_n in zip(k.T, n.T, strict=True):
            share.append((own_k + TIE * pooled) / (own_n + TIE))
            worth.append(own_n + TIE)
            weight.append(own_n / (own_n + TIE) * (own_n < total_n) / (n.shape[1] + 1.0))
        weight[0] = 1.0 - np.sum(weight[1:], axis=0)
    with np.errstate(divide="ignore"):
        return np.stack(share), np.stack(worth), np.log(np.stack(weight))


def log_quiet_mixture(k1: Floats, n1: Floats, k: Floats, n: Floats) -> Floats:
    """Log probability, [j], of k1 among n1 in the window when quiet, see `share_counts`."""
    share, worth, log_weight = share_counts(k, n)
    each = [
        log_quiet_count(k1, n1, s, w) + lw
        for s, w, lw in zip(share, worth, log_weight, strict=True)
    ]
    return np.asarray(logsumexp(np.stack(each), axis=0))


def compare_times(moments: Floats, drift: Floats, *, least: int = 3) -> TimeContrast:
    """Compare mean log times of the window with those of the references.

    Args:
        moments: [j, 1 + r, 3] number, mean and sum of squared deviations; the window's first.
        drift: [r] standard deviation between the window and each reference when quiet.
        least: values below which the window, or the references together, say nothing.
    """
    n, mean, squares = moments[..., 0], moments[..., 1], moments[..., 2]
    n1, n0 = n[:, 0], n[:, 1:]
    total = n0.sum(axis=1)
    known = (n1 >= least) & (total >= least)
    safe = np.maximum(n.sum(axis=1), 1.0)
    within = squares.sum(axis=1)
    variance = (within + PRIOR_DEGREES * PRIOR_VARIANCE) / (
        np.maximum(safe - n.shape[1], 0.0) + PRIOR_DEGREES
    )
    share = n0 / np.maximum(total, 1.0)[:, None]
    readings = [((share * mean[:, 1:]).sum(axis=1), total, share @ drift, np.ones_like(total))]
    if n0.shape[1] > 1:
        for r in range(n0.shape[1]):
            own = n0[:, r]
            weight = own / (own + TIE) * (own < total) / (n0.shape[1] + 1.0)
            readings.append((mean[:, 1 + r], own, np.full_like(own, drift[r]), weight))
        others = np.sum([reading[3] for reading in readings[1:]], axis=0)
        readings[0] = (*readings[0][:3], 1.0 - others)
    quiet, affected = [], []
    for level, worth, step, weight in readings:
        noise = 1.0 / np.maximum(n1, 1.0) + 1.0 / np.maximum(worth, 1.0)
        scale = np.sqrt(variance * noise + step**2)
        z = (mean[:, 0] - level) / scale
        with np.errstate(divide="ignore"):
            log_weight = np.log(weight) - np.log(scale)
        quiet.append(log_quiet_time(z) + log_weight)
        affected.append(log_affected_time(z) + log_weight)
    level, worth, step, _ = readings[0]
    noise = 1.0 / np.maximum(n1, 1.0) + 1.0 / np.maximum(worth, 1.0)
    blank = np.where(known, 0.0, np.nan)
    return TimeContrast(
        contrast=mean[:, 0] - level + blank,
        scale=np.sqrt(variance * noise + step**2) + blank,
        log_ratio=logsumexp(affected, axis=0) - logsumexp(quiet, axis=0) + blank,
    )
