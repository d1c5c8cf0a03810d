"""Which share of the target's excess a cause's own excess accounts for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from bayesrca.posterior.result import ExplainedShare

Floats = NDArray[np.float64]

LEAST_SIGNAL = 1.5
"""Standard deviations of noise by which the target's excess has to stand out, in a footprint."""
LEAST_WEIGHT = 0.5
"""Posterior weight of the footprints in which it does and both doses are known."""
_POINTS = 64
"""Points of the quadrature over the target's dose; twice as many move no figure by .001."""
_BISECTIONS = 40


def compute_explained_share(
    family: str, dose: Floats, noise: Floats, log_weight: Floats, interval_mass: float
) -> ExplainedShare | None:
    """Compare the doses of cause and target over footprints and the noise of both.

    In footprint s the doses are normal, ``dose[i, s] +- noise[i, s]``, independent of each other,
    the target's given that it is positive. The share is ``min(1, max(0, cause / target))``: work
    lost between a cause and the target does not make the cause explain more than all of it. The
    cause's dose is integrated in closed form, the target's by quadrature, so no seed is needed.

    Args:
        family: ``latency`` or ``errors``, of the doses.
        dose: [2, s] excess work of the cause and of the target, NaN where unknown.
        noise: [2, s] standard deviations of their noise.
        log_weight: [s] log posterior weights of the footprints, given the cause; any constant may
            be added.
        interval_mass: mass of the interval, in (0, 1).

    Returns:
        None where footprints with less than half of the weight have both doses and an excess at the
        target of 1.5 standard deviations or more.
    """
    weight = np.exp(log_weight - np.max(log_weight))
    weight = weight / weight.sum()
    with np.errstate(invalid="ignore"):
        stands_out = dose[1] >= LEAST_SIGNAL * noise[1]
    used = np.isfinite(dose).all(axis=0) & stands_out & (weight > 0.0)
    if weight[used].sum() < LEAST_WEIGHT:
        return None
    weight, (cause, target), (error, spread) = weight[used], dose[:, used], noise[:, used]
    weight = weight / weight.sum()
    # [s, q]: midpoints of equally probable parts of the target's dose above zero.
    below = ndtr(-target / spread)[:, None]
    middles = (np.arange(_POINTS) + 0.5) / _POINTS
    t = target[:, None] + spread[:, None] * ndtri(below + (1.0 - below) * middles)
    m, s = cause[:, None], error[:, None]
    w = weight[:, None] / _POINTS

    def cdf(r: float) -> float:
        return float((w * ndtr((r * t - m) / s)).sum())

    tail = 0.5 - 0.5 * interval_mass
    return ExplainedShare(
        family=family,
        value=float(np.clip((w * _mean_clipped(m, s, t) / t).sum(), 0.0, 1.0)),
        interval=(_quantile(cdf, tail), _quantile(cdf, 1.0 - tail)),
        ratio=float(weight @ cause / (weight @ target)),
    )


def _mean_clipped(m: Floats, s: Floats, t: Floats) -> Floats:
    """E[min(t, max(0, X))] of X ~ N(m, s): t less the integral of X's CDF from 0 to t."""

    def integral(z: Floats) -> Floats:
        density = np.exp(-0.5 * z**2) / np.sqrt(2.0 * np.pi)
        return np.asarray(z * ndtr(z) + density)

    return np.asarray(t - s * (integral((t - m) / s) - integral(-m / s)))


def _quantile(cdf: Callable[[float], float], p: float) -> float:
    """Quantile of a law on [0, 1] whose ends may hold mass."""
    if cdf(0.0) >= p:
        return 0.0
    if cdf(1.0) < p:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if cdf(middle) >= p else (middle, high)
    return high
