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


def weigh_readings(n: Floats, trust: Floats) -> Floats:
    """Log weight, [r + 1, j], of reading all references together, then of each by itself.

    Args:
        n: [j, r] instances of each reference.
        trust: [r] weight of each by itself when it has many; it loses by having few.
    """
    alone = n / (n + TIE) * (n < n.sum(axis=1, keepdims=True)) * trust
    with np.errstate(divide="ignore"):
        return np.log(np.vstack([1.0 - alone.sum(axis=1), alone.T]))


def read_shares(k: Floats, n: Floats) -> tuple[Floats, Floats]:
    """Split counts of the references into readings of what is normal.

    One reading takes all references together; each reference by itself is another, since normal
    minutes may hold an earlier fault and the minutes before an incident its beginning. A reading by
    few instances leans on all.

    Args:
        k: [j, r] instances of each reference that show it.
        n: [j, r] instances.

    Returns:
        Share, and instances that it was read from, of each reading, [r + 1, j].
    """
    total_k, total_n = k.sum(axis=1), n.sum(axis=1)
    pooled = (total_k + 0.5) / (total_n + 1.0)
    alone = (k + TIE * pooled[:, None]) / (n + TIE)
    return np.vstack([pooled, alone.T]), np.vstack([total_n, n.T + TIE])


def log_quiet_mixture(k1: Floats, n1: Floats, k: Floats, n: Floats, trust: Floats) -> Floats:
    """Log probability, [j], of k1 among n1 in the window when quiet; see `read_shares`."""
    each = [log_quiet_count(k1, n1, *reading) for reading in zip(*read_shares(k, n), strict=True)]
    return np.asarray(logsumexp(np.stack(each) + weigh_readings(n, trust), axis=0))


def compare_times(moments: Floats, drift: Floats, trust: Floats, *, least: int = 3) -> TimeContrast:
    """Compare mean log times of the window with those of the references.

    Args:
        moments: [j, 1 + r, 3] number, mean and sum of squared deviations; the window's first.
        drift: [r] standard deviation between the window and each reference when quiet.
        trust: [r] see `weigh_readings`.
        least: values below which the window, or the references together, say nothing.
    """
    n, mean, squares = moments[..., 0], moments[..., 1], moments[..., 2]
    n1, n0 = n[:, 0], n[:, 1:]
    total = n0.sum(axis=1)
    known = (n1 >= least) & (total >= least)
    safe = np.maximum(n.sum(axis=1), 1.0)
    within = squares.sum(axis=1)
    variance = (within + PRIOR_DEGREES * PRIOR_VARIANCE) / (
        np.maximum(safe - (n > 0.0).sum(axis=1), 0.0) + PRIOR_DEGREES
    )
    share = n0 / np.maximum(total, 1.0)[:, None]
    level = np.vstack([(share * mean[:, 1:]).sum(axis=1), mean[:, 1:].T])
    worth = np.maximum(np.vstack([total, n0.T]), 1.0)
    step = np.vstack([share @ drift, np.broadcast_to(drift[:, None], n0.T.shape)])
    scale = np.sqrt(variance * (1.0 / np.maximum(n1, 1.0) + 1.0 / worth) + step**2)
    z = (mean[:, 0] - level) / scale
    log_weight = weigh_readings(n0, trust) - np.log(scale)
    quiet = logsumexp(log_quiet_time(z) + log_weight, axis=0)
    affected = logsumexp(log_affected_time(z) + log_weight, axis=0)
    blank = np.where(known, 0.0, np.nan)
    return TimeContrast(
        contrast=mean[:, 0] - level[0] + blank,
        scale=scale[0] + blank,
        log_ratio=affected - quiet + blank,
    )
