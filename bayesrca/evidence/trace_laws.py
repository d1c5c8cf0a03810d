"""Laws of what spans and log lines show, quiet and affected."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincc, betaln, gammaln, logsumexp

Floats = NDArray[np.float64]

EFFECT_LOG_MEDIAN, EFFECT_LOG_SD = np.log(6.0), 1.0
"""Log-normal law of the slowing of an affected time, in its own null scales."""
DEGREES = 4.0
"""Degrees of freedom of a quiet contrast of mean log times."""
PRIOR_VARIANCE, PRIOR_DEGREES = 0.25, 4.0
"""What the variance of log times is beforehand, and how many degrees of freedom that is worth."""
DRIFT, FAR_DRIFT = 0.2, 0.5
"""Standard deviation by which mean log times differ between stretches of the same normal period,
and between recordings of different times."""
PRECISIONS = np.array([2000.0, 30.0, 4.0])
"""How alike quiet shares are in two stretches of time: Beta precisions ..."""
PRECISION_WEIGHTS = np.array([0.6, 0.3, 0.1])
"""... and their prior weights."""
FREE = 0.5
"""Both Beta parameters of a share that a fault has changed to anything."""
FLIPPED = (0.1, 10.0)
"""Beta law of a share that a fault has made vanish, or has made complete the other way round."""
FOLLOWS = (4.0, 0.5)
"""Beta law of the share of a caller's changes that follow a changed call to what causes them."""

LARGEST_LOG_RATIO = 60.0
"""Largest log Bayes factor, either way, that is handed on; the likelihood accepts no larger one.
What it is worth has stopped growing long before: e^L / N(L) is at most 1 / `trace_strong`."""

_GRID = np.linspace(-60.0, 120.0, 721)


def log_quiet_time(z: Floats) -> Floats:
    """Log density of a quiet contrast in its own scale: Student's t, without the constant."""
    return np.asarray(-0.5 * (DEGREES + 1.0) * np.log1p(z * z / DEGREES))


def log_affected_time(z: Floats) -> Floats:
    """Log density of an affected contrast, less the constant that `log_quiet_time` leaves out.

    The contrast is quiet noise plus a log-normal slowing. Past the ends of a table it goes on as
    the tail of the noise does.
    """
    inside = np.clip(z, _GRID[0], _GRID[-1])
    out = np.interp(inside, _GRID, _affected_table())
    return np.asarray(out + log_quiet_time(z) - log_quiet_time(inside))


@lru_cache(maxsize=1)
def _affected_table() -> Floats:
    wide = np.exp(EFFECT_LOG_MEDIAN + EFFECT_LOG_SD * np.linspace(-6.0, 4.0, 601))
    out = np.empty_like(_GRID)
    for i, z in enumerate(_GRID):
        # At a large z the noise is narrower than the steps of `wide`: it gets steps of its own.
        near = z + np.linspace(-12.0, 12.0, 241)
        e = np.union1d(wide, near[near > 0.0])
        effect = -0.5 * ((np.log(e) - EFFECT_LOG_MEDIAN) / EFFECT_LOG_SD) ** 2 - np.log(e)
        out[i] = np.log(np.trapezoid(np.exp(log_quiet_time(z - e) + effect), e))
    return np.asarray(out - np.log(EFFECT_LOG_SD * np.sqrt(2.0 * np.pi)))


def log_beta_binomial(k: Floats, n: Floats, a: Floats, b: Floats) -> Floats:
    """Log probability of k among n when the share has a Beta(a, b) law."""
    return np.asarray(log_choose(k, n) + betaln(k + a, n - k + b) - betaln(a, b))


def log_quiet_count(k: Floats, n: Floats, share: Floats, worth: Floats) -> Floats:
    """Log probability of k among n when quiet, [j].

    Args:
        k: [j] instances that show it.
        n: [j] instances.
        share: [j] of the reference that shows it, in (0, 1).
        worth: [j] instances that the share was read from.
    """
    precision = 1.0 / (1.0 / PRECISIONS[:, None] + 1.0 / (worth + 1.0))
    each = log_beta_binomial(k, n, share * precision, (1.0 - share) * precision)
    return np.asarray(logsumexp(each + np.log(PRECISION_WEIGHTS)[:, None], axis=0))


def log_changed_count(k: Floats, n: Floats, share: Floats) -> Floats:
    """Log probability of k among n when a fault has changed the quiet ``share``.

    In equal parts to anything, or from mostly there to gone, or from mostly absent to always.
    """
    free = np.full_like(k, FREE)
    rare, common = (np.full_like(k, x) for x in FLIPPED)
    there = share >= 0.5
    flipped = log_beta_binomial(np.where(there, k, n - k), n, rare, common)
    return np.asarray(np.logaddexp(log_beta_binomial(k, n, free, free), flipped) - np.log(2.0))


def log_risen_count(k: Floats, n: Floats, share: Floats) -> Floats:
    """Log probability of k among n when a fault has raised the share above what it was."""
    above = betaincc(k + FREE, n - k + FREE, share)
    beforehand = betaincc(FREE, FREE, share)
    floor = np.finfo(np.float64).tiny
    free = np.full_like(k, FREE)
    inside = np.log(np.maximum(above, floor)) - np.log(beforehand)
    return np.asarray(log_beta_binomial(k, n, free, free) + inside)


def log_choose(k: Floats, n: Floats) -> Floats:
    """Log number of orders in which k of n instances may show it."""
    return np.asarray(gammaln(n + 1.0) - gammaln(k + 1.0) - gammaln(n - k + 1.0))
