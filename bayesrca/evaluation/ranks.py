"""Ranked accuracy when probabilities tie: exact means over every way of breaking the ties.

A component that ties with others for ranks g+1 .. g+m is equally likely to get any of them. What is
computed is the expectation of each score over those orders, so no component wins by its name.
"""

from __future__ import annotations

from math import comb

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def compute_first_rank_law(p: Floats, is_true: Bools) -> Floats:
    """Return the law of the rank of the best-ranked true component.

    Let the first group of equal probabilities that holds a true component have m members, r of them
    true, behind g others. Its first true member is the j-th of the group with probability
    C(m - j, r - 1) / C(m, r), and then has rank g + j.

    Args:
        p: [n] probabilities.
        is_true: [n] which components are true causes.

    Returns:
        [n] probability that this rank is i + 1; sums to one, or to 0 when none is true.
    """
    law = np.zeros(len(p))
    if is_true.any():
        best = p[is_true].max()
        ahead, tied = int((p > best).sum()), int((p == best).sum())
        r = int((is_true & (p == best)).sum())
        for j in range(1, tied - r + 2):
            law[ahead + j - 1] = comb(tied - j, r - 1) / comb(tied, r)
    return law


def compute_top_k(p: Floats, is_true: Bools, k: int) -> float:
    """Probability that a true component is among the first k ranks, in [0, 1]."""
    return float(compute_first_rank_law(p, is_true)[:k].sum())


def compute_reciprocal_rank(p: Floats, is_true: Bools) -> float:
    """Mean of 1 / rank of the best-ranked true component, in [0, 1]; 0 when none is ranked.

    For a single true component in a tie of m behind g others this is the mean of 1 / (g + j) over
    j = 1 .. m. Averaged over cases it is the MRR (Voorhees 1999).
    """
    law = compute_first_rank_law(p, is_true)
    return float(law @ (1.0 / np.arange(1, len(law) + 1)))


def compute_average_precision(p: Floats, is_true: Bools, n_true: int, k: int = 3) -> float:
    """Mean of AP@k = sum over j <= k of precision@j [rank j is true] / min(n_true, k).

    With x_i = [rank i is true], precision@j x_j is the sum over i <= j of x_i x_j / j. Ranks i < j
    in one tie of m with r true are both true with probability r (r - 1) / (m (m - 1)); ranks in
    different ties are independent. Averaged over cases it is MAP@k.

    Args:
        p: [n] probabilities.
        is_true: [n] which components are true causes.
        n_true: how many causes there were, those that are no component of the answer included.
        k: deepest rank that counts (>= 1).
    """
    ordered = np.sort(p)[::-1][:k]
    members = [p == value for value in ordered]
    size = [int(group.sum()) for group in members]
    hits = [int((group & is_true).sum()) for group in members]
    total = 0.0
    for j in range(len(ordered)):
        both = hits[j] / size[j]
        for i in range(j):
            if ordered[i] == ordered[j]:
                both += hits[j] * (hits[j] - 1) / (size[j] * (size[j] - 1))
            else:
                both += hits[i] / size[i] * hits[j] / size[j]
        total += both / (j + 1)
    return total / min(n_true, k)
