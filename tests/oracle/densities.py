"""Densities of docs/concepts.md by SciPy and quadrature, sharing no code with the core."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import logsumexp

Floats = NDArray[np.float64]

UP = 0.95  # eq. 4

_NODE, _WEIGHT = np.polynomial.legendre.leggauss(120)
_SHARE = -2.5 + 2.5 * _NODE  # nodes of U(-5, 0)
_SHARE_WEIGHT = _WEIGHT / 2.0


def held_against(
    log_law: Callable[[float, float], Floats],
    tail: float,
    scale: float,
) -> tuple[Floats, float]:
    """Eq. 3 over footprints: the density an effect is held against, [s], and the composite's term.

    Footprints are told apart by the law at unit scale and tail .02 alone.
    """
    with np.errstate(invalid="ignore"):  # missing footprints are NaN and stay so
        at, reference = log_law(tail, scale), log_law(0.02, 1.0)
    if np.isnan(at).all():
        return at, 0.0
    return np.exp(reference - np.nanmean(reference) + np.nanmean(at)), float(np.nanmean(at))


def effect(z: float, median: float) -> float:
    """Eq. 4: a Lomax law of shape 1 on each side has the median `median` and the density wanted."""
    side = UP if z >= 0 else 1 - UP
    return float(side * stats.lomax.pdf(abs(z), 1, scale=median))


def interval(law: Any, low: float, high: float) -> float:  # noqa: ANN401
    """P(low < X < high), from the tail that keeps more digits."""
    return float(law.sf(low) - law.sf(high) if low > 0 else law.cdf(high) - law.cdf(low))


def partial_density(ratio: float, noise_sq: float) -> float:
    """Eq. 7: U(-5, 0) blurred by N(0, .4^2 + noise), by quadrature over the uniform."""
    width = np.sqrt(0.16 + noise_sq)
    return float(_SHARE_WEIGHT @ stats.norm.pdf(ratio, loc=_SHARE, scale=width))


def partial_density_beyond(ratio: float, low: float, noise_sq: float) -> float:
    """The same given that it exceeds `low`; in logarithms, as both may be beyond any double."""
    width = np.sqrt(0.16 + noise_sq)
    # Far above the root's dose only the upper end of U(-5, 0) counts: put the nodes there.
    reach = min(5.0, 60.0 * width**2 / low) if low > 0 else 5.0
    share = 0.5 * reach * (_NODE - 1.0)
    log_density = stats.norm.logpdf(max(ratio, low), loc=share, scale=width)
    log_beyond = stats.norm.logsf(low, loc=share, scale=width)
    log_ratio = logsumexp(log_density, b=_SHARE_WEIGHT) - logsumexp(log_beyond, b=_SHARE_WEIGHT)
    return float(np.exp(log_ratio))


def partial_probability(low: float, high: float, noise_sq: float) -> float:
    """P(low < ratio < high) of a partial dose, by the same quadrature."""
    width = np.sqrt(0.16 + noise_sq)
    a, b = (low - _SHARE) / width, (high - _SHARE) / width
    p = np.where(a > 0, stats.norm.sf(a) - stats.norm.sf(b), stats.norm.cdf(b) - stats.norm.cdf(a))
    return float(_SHARE_WEIGHT @ p)
