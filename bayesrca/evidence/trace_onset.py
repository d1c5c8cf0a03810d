"""Counts whose change may begin some time into the window: a fault takes hold when it does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from bayesrca.evidence.trace_laws import log_choose
from bayesrca.evidence.trace_reference import log_quiet_mixture

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

AT_ONCE = 0.7
"""Prior probability that what a fault changes is changed in all of the window; else it begins at
one of the bounds between its parts, each as probable that could tell."""
LEAST = 2
"""Instances after a bound, and one before it, below which a change there could not be told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OnsetCounts:
    """What counts over the parts of a window say of a change that lasts to its end, [j] each.

    Attributes:
        log_ratio: log Bayes factor, changed from some part on against quiet throughout.
        k: instances that show it from the most probable onset on.
        n: instances from there on.
    """

    log_ratio: Floats
    k: Floats
    n: Floats


def compare_parts(
    present: Ints,
    instances: Ints,
    references: tuple[Floats, Floats],
    trust: Floats,
    log_change: Callable[[Floats, Floats, Floats], Floats],
) -> OnsetCounts:
    """Compare counts of the window's parts with what is normal (eq. 25).

    All laws are those of the sequence of parts, so that the Bayes factor has mean one when quiet: a
    quiet share is one and the same in all parts, and one that changes is another from its onset on.

    Args:
        present: int64 [j, q] instances of each part that show it.
        instances: int64 [j, q] instances of each part.
        references: [j, r] instances of each reference that show it, and [j, r] instances.
        trust: [r] see `weigh_readings`.
        log_change: log probability of k among n once the share of the references has changed.
    """
    k0, n0 = references
    share0 = (k0.sum(axis=1) + 0.5) / (n0.sum(axis=1) + 1.0)
    before_k, before_n = _before(present), _before(instances)
    total_k, total_n = before_k[-1], before_n[-1]
    throughout = _quiet(total_k, total_n, references, trust)
    terms = []
    for k, n, w in zip(before_k[:-1], before_n[:-1], _weigh_onsets(before_n), strict=True):
        after_k, after_n = total_k - k, total_n - n
        changed = log_change(after_k, after_n, share0) - log_choose(after_k, after_n)
        quiet = _quiet(k, n, references, trust) if n.any() else 0.0
        with np.errstate(divide="ignore"):  # onsets that could not be told
            terms.append(np.log(w) + quiet + changed - throughout)
    stacked = np.stack(terms)
    best = np.argmax(stacked, axis=0)
    at = np.arange(len(best))
    return OnsetCounts(
        log_ratio=np.asarray(logsumexp(stacked, axis=0)),
        k=(total_k - before_k[:-1])[best, at],
        n=(total_n - before_n[:-1])[best, at],
    )


def _weigh_onsets(before: Floats) -> Floats:
    """Prior probability, [q, j], of an onset at the start and at each bound, given what came."""
    told = (before[1:-1] >= 1) & (before[-1] - before[1:-1] >= LEAST)
    bounds = told.sum(axis=0)
    later = told * (1.0 - AT_ONCE) / np.maximum(bounds, 1)
    return np.vstack([np.where(bounds > 0, AT_ONCE, 1.0), later])


def _before(counts: Ints) -> Floats:
    """[q + 1, j] sums over the parts before each bound."""
    sums = np.cumsum(counts, axis=1, dtype=np.float64).T
    return np.concatenate([np.zeros((1, sums.shape[1])), sums])


def _quiet(k: Floats, n: Floats, references: tuple[Floats, Floats], trust: Floats) -> Floats:
    """Log probability of one order of k among n instances when quiet."""
    return np.asarray(log_quiet_mixture(k, n, *references, trust) - log_choose(k, n))
