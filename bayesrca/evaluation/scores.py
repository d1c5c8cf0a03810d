"""Scores of probabilities: logarithmic, quadratic, and how often what was said came true."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayesrca.evaluation.outcome import Outcome

Floats = NDArray[np.float64]
FLOOR = 1e-6
"""Probabilities are raised to this before their logarithm is taken."""
BINS = 10
"""Equal bins of [0, 1] for the calibration error and the reliability diagram."""


def compute_log_score(outcome: Outcome) -> float:
    """Mean over the true components of ln p(component is a cause), each floored at 1e-6.

    The logarithmic score (Good 1952) of one case: in [ln 1e-6, 0], larger is better. A true
    component that the answer does not list has probability 0, and so has everything in a case that
    failed.
    """
    known: dict[str, float] = {}
    if outcome.prediction is not None:
        names, values = outcome.prediction.components, outcome.prediction.probabilities
        known = dict(zip(names, values, strict=True))
    p = np.array([known.get(name, 0.0) for name in outcome.truth])
    return float(np.log(np.maximum(p, FLOOR)).mean())


def compute_set_log_score(outcome: Outcome) -> float:
    """Return ln p(exactly the true set is the cause), floored at 1e-6; in [ln 1e-6, 0]."""
    p = 0.0
    if outcome.prediction is not None:
        p = outcome.prediction.sets.get(frozenset(outcome.truth), 0.0)
    return float(np.log(max(p, FLOOR)))


def collect_pairs(outcomes: Sequence[Outcome]) -> tuple[Floats, Floats]:
    """Return every probability that was stated, beside whether it came true.

    Of each case with an answer these are its components and "none of these". That last one is true
    when no listed component is a true cause. A case without an answer states nothing.

    Returns:
        p [m] in [0, 1] and y [m], 0 or 1.
    """
    p, y = [np.empty(0)], [np.empty(0)]
    for outcome in outcomes:
        if outcome.prediction is not None:
            true = outcome.is_true
            p += [outcome.probabilities, np.array([outcome.prediction.none])]
            y += [true.astype(np.float64), np.array([0.0 if true.any() else 1.0])]
    return np.concatenate(p), np.concatenate(y)


def compute_brier(p: Floats, y: Floats) -> float | None:
    """Mean of (p - y)^2 over all pairs (Brier 1950), in [0, 1]; None without a pair.

    The mean over pairs, not the sum over a case's components: systems of different sizes compare
    only with this in mind.
    """
    return float(np.mean((p - y) ** 2)) if len(p) else None


@dataclass(frozen=True, slots=True)
class Bins:
    """Stated probabilities in `BINS` equal bins of [0, 1], the last one closed at 1.

    Attributes:
        count: [b] pairs in each bin.
        said: [b] mean stated probability, NaN in an empty bin.
        came: [b] share that came true, NaN in an empty bin.
    """

    count: NDArray[np.int64]
    said: Floats
    came: Floats


def compute_bins(p: Floats, y: Floats) -> Bins:
    """Sort pairs into the bins of the calibration error and the reliability diagram."""
    index = np.minimum((p * BINS).astype(np.int64), BINS - 1)
    count = np.bincount(index, minlength=BINS)
    share = np.where(count > 0, count, np.nan)
    return Bins(
        count,
        np.bincount(index, p, minlength=BINS) / share,
        np.bincount(index, y, minlength=BINS) / share,
    )


def compute_ece(p: Floats, y: Floats) -> float | None:
    """Expected calibration error, in [0, 1]; None without a pair.

    The sum over bins of (pairs in the bin / all pairs) |mean p - share that came true| (Naeini et
    al. 2015). Most pairs are components nobody suspects, so a large system has a small one.
    """
    if not len(p):
        return None
    bins = compute_bins(p, y)
    filled = bins.count > 0
    gap = np.abs(bins.said - bins.came)[filled]
    return float(bins.count[filled] @ gap / len(p))
