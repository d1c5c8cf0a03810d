"""The tempering exponent gamma, from held-out scores of whole groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from bayesrca.evaluation.scores import FLOOR
from bayesrca.model.tempering import temper_outcomes

Floats = NDArray[np.float64]

GAMMAS = np.round(np.linspace(0.1, 1.0, 46), 2)
"""Exponents that are tried; the last one, 1, changes nothing."""
WIDEST = 1.0
"""Largest standard error that is stated: the exponent is then anywhere."""
_REACH = 5
FEWEST_ERRORS = 2.0
"""Standard errors by which another exponent must score better than 1 to be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gamma:
    """The exponent, and what speaks for it.

    Attributes:
        value: what analyses use: the estimate, or 1 where the evidence for it is weak.
        estimate: the best of `GAMMAS` on held-out groups.
        std_err: its standard error over groups, at most 1 (from the slopes and curvatures of
            their scores: Huber 1967).
        gain: held-out log score at the estimate less that at 1, a mean over groups.
        gain_std_err: its standard error over groups.
    """

    value: float
    estimate: float
    std_err: float
    gain: float
    gain_std_err: float


def compute_tempered_scores(
    log_outcomes: Floats, weights: Floats, truth: int, log_prior: Floats
) -> Floats:
    """Log score [g] of one incident under each of `GAMMAS`, floored at ln 1e-6.

    Args:
        log_outcomes: [d, o] log probability of each outcome given each draw.
        weights: [d] weights of the draws; they sum to one.
        truth: the outcome that happened.
        log_prior: [o] log prior of the outcomes, up to a constant.
    """
    log_weights = np.log(np.maximum(weights, np.finfo(float).tiny))
    scores = []
    for gamma in GAMMAS:
        tempered = temper_outcomes(log_outcomes, float(gamma), log_prior)
        scores.append(float(logsumexp(log_weights + tempered[:, truth])))
    return np.maximum(scores, np.log(FLOOR))


def choose_gamma(scores: Floats) -> Gamma:
    """Choose the exponent that scores best on groups it was not learned from.

    Args:
        scores: [n, g] mean log score of each of n >= 2 held-out groups under each of `GAMMAS`.
    """
    n = len(scores)
    best = int(scores.mean(axis=0).argmax())
    # Parabolas through three points around the best one, a fixed distance apart.
    middle = int(np.clip(best, _REACH, len(GAMMAS) - 1 - _REACH))
    low, at, high = (scores[:, middle + shift] for shift in (-_REACH, 0, _REACH))
    h = GAMMAS[_REACH] - GAMMAS[0]
    curvature = (low - 2.0 * at + high) / h**2
    slope = (high - low) / (2.0 * h) + curvature * (GAMMAS[best] - GAMMAS[middle])
    variance = n / (n - 1) * ((slope - slope.mean()) ** 2).sum()
    total = -curvature.sum()
    std_err = min(float(np.sqrt(variance) / total), WIDEST) if total > 0 else WIDEST
    gain, gain_std_err = mean_and_error(scores[:, best] - scores[:, -1])
    strong = gain > FEWEST_ERRORS * gain_std_err
    return Gamma(
        value=float(GAMMAS[best]) if strong else 1.0,
        estimate=float(GAMMAS[best]),
        std_err=std_err,
        gain=gain,
        gain_std_err=gain_std_err,
    )


def mean_and_error(values: Sequence[float] | Floats) -> tuple[float, float]:
    """Mean of n >= 2 values and its standard error."""
    x = np.asarray(values)
    return float(x.mean()), float(x.std(ddof=1) / np.sqrt(len(x)))
