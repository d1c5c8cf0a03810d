"""Many tests, one factor: something changed here, and it is not known beforehand what."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def fold(group: Ints, log_ratio: Floats, n: int, weight: Floats | None = None) -> Floats:
    """Average Bayes factors within groups: log of sum of w e^LR, with weights that sum to one.

    Args:
        group: int64 [j] group of each test; those outside 0 .. n - 1 are left out.
        log_ratio: [j] log Bayes factors.
        n: number of groups.
        weight: [j] prior weight of each being the one that changed (> 0); None: all equal.

    Returns:
        [n] log Bayes factor of each group, NaN without a test.
    """
    out = np.full(n, np.nan)
    log_w = np.zeros_like(log_ratio) if weight is None else np.log(weight)
    for rows, g in _groups(group, n):
        out[g] = logsumexp(log_ratio[rows] + log_w[rows]) - logsumexp(log_w[rows])
    return out


def fold_contexts(group: Ints, log_ratio: Floats, n: int) -> Floats:
    """Join tests of one line of code in its n contexts, of which it changed in one or in all.

    Contexts share no span, so that under "in all of them" Bayes factors multiply.
    """
    out = np.full(n, np.nan)
    for rows, g in _groups(group, n):
        one = logsumexp(log_ratio[rows]) - np.log(len(rows))
        out[g] = np.logaddexp(one, log_ratio[rows].sum()) - np.log(2.0)
    return out


def _groups(group: Ints, n: int) -> list[tuple[Ints, int]]:
    """Rows of each group."""
    if not len(group):
        return []
    order = np.argsort(group, kind="stable")
    distinct, start = np.unique(group[order], return_index=True)
    rows = np.split(order, start[1:])
    return [(r, int(g)) for r, g in zip(rows, distinct, strict=True) if 0 <= g < n]
