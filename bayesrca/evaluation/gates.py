"""Automation that acts above a threshold: how often it acts and how often it is then right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv, stdtrit

from bayesrca.evaluation.outcome import Outcome, Prediction

THRESHOLDS = (0.8, 0.9, 0.95)
FEWEST_CLUSTERS = 6
"""With fewer clusters than this no interval is stated."""
MASS = 0.95
"""Confidence of the intervals."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What acting on every healthy answer above a threshold would have come to.

    Attributes:
        n: cases in which the gate fired.
        right: those in which the component it fired on was a true cause.
        coverage: n / all cases, in [0, 1]; None without a case.
        precision: right / n; None when it never fired.
        interval: 95% confidence interval of the precision, clustered by (root causes, fault); None
            with fewer than 6 clusters: not estimable.
    """

    n: int
    right: int
    coverage: float | None
    precision: float | None
    interval: tuple[float, float] | None


def find_fired(prediction: Prediction | None, threshold: float) -> str | None:
    """Return the component a gate would act on, None when it does not fire.

    It fires on the most probable component (the first of the answer under ties, which cannot happen
    above one half) when the answer is healthy, says that something is anomalous, and its
    probability is at least the threshold.
    """
    if prediction is None or not prediction.components:
        return None
    if not (prediction.healthy and prediction.anomalous):
        return None
    best = int(np.argmax(prediction.probabilities))
    return prediction.components[best] if prediction.probabilities[best] >= threshold else None


def compute_gate(outcomes: Sequence[Outcome], threshold: float) -> Gate:
    """Apply one gate to all cases; a case that failed does not fire."""
    acted = ((o, find_fired(o.prediction, threshold)) for o in outcomes)
    fired = [(o, name) for o, name in acted if name is not None]
    hits = [name in o.truth for o, name in fired]
    n, right = len(fired), sum(hits)
    return Gate(
        n=n,
        right=right,
        coverage=n / len(outcomes) if outcomes else None,
        precision=right / n if n else None,
        interval=compute_clustered_interval(hits, [o.cluster for o, _ in fired]),
    )


def compute_clustered_interval(
    hits: Sequence[bool], clusters: Sequence[Hashable]
) -> tuple[float, float] | None:
    """95% confidence interval of a proportion whose trials come in clusters.

    Korn & Graubard (1998): the Clopper-Pearson interval at an effective number of trials
    n* = p (1 - p) / v, where v is the variance of the ratio estimate p = sum k_c / sum n_c between
    the C clusters, C / (C - 1) sum (k_c - p n_c)^2 / n^2. n* is shrunk by the squared ratio of the
    t quantiles at n - 1 and C - 1 degrees of freedom and never exceeds n. Where every trial agrees
    v says nothing, and n* is what is left when the trials of a cluster are copies of one another,
    n^2 / sum n_c^2 (Kish 1965).

    Args:
        hits: [n] outcomes of the trials.
        clusters: [n] the cluster each belongs to.

    Returns:
        (low, high) in [0, 1], or None with fewer than 6 clusters.
    """
    sizes = Counter(clusters)
    if len(sizes) < FEWEST_CLUSTERS:
        return None
    wins = Counter(c for c, hit in zip(clusters, hits, strict=True) if hit)
    n_c = np.array(list(sizes.values()), dtype=np.float64)
    k_c = np.array([wins[c] for c in sizes], dtype=np.float64)
    n, c, p = n_c.sum(), len(n_c), k_c.sum() / n_c.sum()
    tail = 0.5 - 0.5 * MASS
    if 0.0 < p < 1.0:
        v = c / (c - 1) * ((k_c - p * n_c) ** 2).sum() / n**2
        shrink = (stdtrit(n - 1, 1 - tail) / stdtrit(c - 1, 1 - tail)) ** 2
        effective = min(shrink * p * (1 - p) / v, n) if v > 0 else n
    else:
        effective = n**2 / (n_c**2).sum()
    x = p * effective
    low = 0.0 if p == 0.0 else float(betaincinv(x, effective - x + 1, tail))
    high = 1.0 if p == 1.0 else float(betaincinv(x + 1, effective - x, 1 - tail))
    return low, high
