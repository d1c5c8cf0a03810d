"""Many tests, one factor: something changed here, and it is not known beforehand what."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

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
    inside = (group >= 0) & (group < n)
    group, log_ratio = group[inside], log_ratio[inside]
    w = np.ones(len(group)) if weight is None else weight[inside]
    largest = np.full(n, -np.inf)
    np.maximum.at(largest, group, log_ratio)
    total = np.bincount(group, w * np.exp(log_ratio - largest[group]), minlength=n)
    with np.errstate(divide="ignore", invalid="ignore"):  # groups without a test
        return np.asarray(largest + np.log(total / np.bincount(group, w, minlength=n)))


def fold_contexts(group: Ints, log_ratio: Floats, n: int) -> Floats:
    """Join tests of one line of code in its n contexts, of which it changed in one or in all.

    Contexts share no span, so that under "in all of them" Bayes factors multiply.
    """
    one = fold(group, log_ratio, n)
    inside = (group >= 0) & (group < n)
    every = np.bincount(group[inside], log_ratio[inside], minlength=n)
    with np.errstate(invalid="ignore"):  # groups without a test
        return np.asarray(np.logaddexp(one, every) - np.log(2.0))
