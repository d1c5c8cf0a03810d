"""Excess work ("dose"): conserved along a fault's path, so it ties a cause to its symptoms.

A service that waits 10 ms longer in each of 1000 requests costs its caller the same 10 seconds. The
dose of a component is the excess work in a footprint; a true path carries the root's dose, whole or
in part, to the target.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from bayesrca.evidence.counts import CountLaws
from bayesrca.evidence.series import DOSE_FLOOR, FLOOR, Contrast

Floats = NDArray[np.float64]


LARGE = 2.0
"""Contrast, in null scales, beyond which untraced effects are compared with the root's dose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dose:
    """Doses of one component, [s] each, NaN where undefined.

    Attributes:
        excess: excess work, signed.
        log: log of its softly positive part: ``log(noise * softplus(excess / noise))``.
        noise: standard deviation of the excess when quiet (> 0).
        jacobian: d(log)/d(z) for a continuous series, else NaN.
        low: log dose half a count below, -inf for a count without excess; for a continuous series
            the log dose at z = `LARGE`.
        high: log dose half a count above, infinity when every request failed.
    """

    excess: Floats
    log: Floats
    noise: Floats
    jacobian: Floats
    low: Floats
    high: Floats


def compute_time_dose(contrast: Contrast, seconds: float = 1.0) -> Dose:
    """Excess time of a latency series weighted by requests, in seconds if its unit is known.

    Beyond zero the excess is linear in the log ratio, so that log dose and contrast stand in a
    one-to-one relation on the whole line and densities of one are densities of the other.

    Args:
        contrast: contrasts of the mean latency, weighted by requests.
        seconds: the latency's unit in seconds.
    """
    c = contrast.value
    base = contrast.weight * contrast.reference * seconds
    up = c >= 0
    with np.errstate(over="ignore", invalid="ignore"):
        ratio = np.where(up, np.expm1(np.minimum(c, 700.0)), c)
        # That a change is too small to be worth an alarm makes its measurement no worse.
        own = np.sqrt(contrast.scale**2 - FLOOR["log"] ** 2 + DOSE_FLOOR**2)
        noise = base * own
        x = ratio / own
        slope = np.where(up, np.exp(np.minimum(c, 700.0)), 1.0)
    undefined = ~(noise > 0) | np.isnan(c)
    return _masked(
        undefined,
        Dose(
            excess=base * ratio,
            log=_log_soft(x, noise),
            noise=noise,
            jacobian=_soft_slope(x) * slope * contrast.scale / own,
            low=_log_soft(np.expm1(LARGE * contrast.scale) / own, noise),
            high=np.full_like(c, np.nan),
        ),
    )


def compute_failure_dose(laws: CountLaws) -> Dose:
    """Excess failed requests.

    Where there is no excess, the log dose is that of the most failures that are none.
    """
    n, p = laws.requests, laws.reference
    noise = np.sqrt(2.0 * n * p * (1 - p) + 0.5)
    excess = laws.failed - n * p

    def log_at(shift: float) -> Floats:
        return _log_soft((laws.read - n * p + shift) / noise, noise)

    nan = np.full_like(excess, np.nan)
    # The outermost counts take the dose's whole tails: its law has to add up to one.
    low = np.where((laws.failed > 0) & ~laws.no_excess, log_at(-0.5), -np.inf)
    high = np.where(laws.failed < n, log_at(0.5), np.inf)
    return _masked(
        np.isnan(excess),
        Dose(excess=excess, log=log_at(0.0), noise=noise, jacobian=nan, low=low, high=high),
    )


def _masked(undefined: NDArray[np.bool_], dose: Dose) -> Dose:
    def clear(a: Floats) -> Floats:
        return np.where(undefined, np.nan, a)

    return Dose(
        excess=clear(dose.excess),
        log=clear(dose.log),
        noise=clear(dose.noise),
        jacobian=clear(dose.jacobian),
        low=clear(dose.low),
        high=clear(dose.high),
    )


def _log_soft(x: Floats, noise: Floats) -> Floats:
    """``log(noise * softplus(x))``, without underflow for very negative x."""
    with np.errstate(divide="ignore", invalid="ignore"):
        softplus = np.logaddexp(0.0, x)
        return np.log(noise) + np.where(x < -30.0, x, np.log(softplus))


def _soft_slope(x: Floats) -> Floats:
    """d(log softplus(x))/dx."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(x < -30.0, 1.0, expit(x) / np.logaddexp(0.0, x))
