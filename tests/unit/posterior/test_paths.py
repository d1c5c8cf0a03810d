"""The most probable way from a cause to the target."""

from __future__ import annotations

from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayesrca.posterior.paths import find_most_probable_path


def brute(p: np.ndarray, source: int, target: int) -> float:
    """Largest product over all simple paths, by trying them."""
    n = len(p)
    between = [i for i in range(n) if i not in (source, target)]
    best = 1.0 if source == target else 0.0
    for length in range(n - 1):
        for inner in permutations(between, length):
            steps = pairwise((source, *inner, target))
            best = max(best, float(np.prod([p[a, b] for a, b in steps])))
    return best


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6))
def test_no_path_is_more_probable(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 6))
    present = rng.random((n, n)) < 0.5
    np.fill_diagonal(present, val=False)
    p = np.where(present, rng.choice([0.0, 0.2, 0.5, 0.9, 1.0], (n, n)), 0.0)
    edges = np.argwhere(present)
    source, target = (int(i) for i in rng.choice(n, 2, replace=False))
    path = find_most_probable_path(edges, p[edges[:, 0], edges[:, 1]], source, target)
    best = brute(p, source, target)
    if path is None:
        assert best == 0.0
        return
    steps = edges[path]
    assert steps[0, 0] == source
    assert steps[-1, 1] == target
    assert (steps[1:, 0] == steps[:-1, 1]).all()
    assert float(np.prod(p[steps[:, 0], steps[:, 1]])) == pytest.approx(best, rel=1e-12)


def test_a_cause_that_is_the_target_needs_no_edge() -> None:
    assert find_most_probable_path(np.empty((0, 2), dtype=np.int64), np.empty(0), 3, 3) == []


def test_of_certain_paths_the_shortest() -> None:
    edges = np.array([[0, 1], [1, 2], [0, 2]])
    assert find_most_probable_path(edges, np.ones(3), 0, 2) == [2]
