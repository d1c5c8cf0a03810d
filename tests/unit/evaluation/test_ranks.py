"""Ranked accuracy under ties against every order there is."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayesrca.evaluation.ranks import (
    compute_average_precision,
    compute_first_rank_law,
    compute_reciprocal_rank,
    compute_top_k,
)

Ranked = list[bool]


@st.composite
def rankings(draw: st.DrawFn) -> tuple[list[float], list[bool]]:
    """Up to six components, few distinct probabilities, any of them true."""
    n = draw(st.integers(1, 6))
    p = draw(st.lists(st.sampled_from([0.0, 0.1, 0.3, 0.6]), min_size=n, max_size=n))
    true = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    return p, true


def mean_over_orders(p: list[float], true: list[bool], score: Callable[[Ranked], float]) -> float:
    """The score's mean over all orders in which no probability precedes a larger one."""
    n = len(p)
    orders = [
        order
        for order in permutations(range(n))
        if all(p[order[i]] >= p[order[i + 1]] for i in range(n - 1))
    ]
    return fmean(score([true[i] for i in order]) for order in orders)


def reciprocal_rank(ranked: Ranked) -> float:
    return 1.0 / (ranked.index(True) + 1) if any(ranked) else 0.0


def average_precision(ranked: Ranked, n_true: int, k: int) -> float:
    hits = [(j, sum(ranked[:j]) / j) for j in range(1, min(k, len(ranked)) + 1)]
    return sum(precision for j, precision in hits if ranked[j - 1]) / min(n_true, k)


@given(rankings())
@settings(max_examples=150, deadline=None)
def test_reciprocal_rank(ranking: tuple[list[float], list[bool]]) -> None:
    p, true = ranking
    ours = compute_reciprocal_rank(np.array(p), np.array(true))
    assert ours == pytest.approx(mean_over_orders(p, true, reciprocal_rank))


@given(rankings(), st.integers(1, 7))
@settings(max_examples=150, deadline=None)
def test_top_k(ranking: tuple[list[float], list[bool]], k: int) -> None:
    p, true = ranking
    ours = compute_top_k(np.array(p), np.array(true), k)
    assert ours == pytest.approx(mean_over_orders(p, true, lambda r: float(any(r[:k]))))


@given(rankings(), st.integers(0, 3), st.integers(1, 5))
@settings(max_examples=150, deadline=None)
def test_average_precision(ranking: tuple[list[float], list[bool]], unlisted: int, k: int) -> None:
    p, true = ranking
    n_true = sum(true) + unlisted
    if n_true:
        ours = compute_average_precision(np.array(p), np.array(true), n_true, k)
        theirs = mean_over_orders(p, true, lambda r: average_precision(r, n_true, k))
        assert ours == pytest.approx(theirs)


@given(rankings())
def test_the_law_of_the_first_rank_sums_to_one(ranking: tuple[list[float], list[bool]]) -> None:
    p, true = ranking
    law = compute_first_rank_law(np.array(p), np.array(true))
    assert (law >= 0).all()
    assert law.sum() == pytest.approx(float(any(true)))


def test_a_case_without_an_answer_is_a_miss() -> None:
    p, true = np.empty(0), np.empty(0, dtype=bool)
    assert compute_top_k(p, true, 5) == 0.0
    assert compute_reciprocal_rank(p, true) == 0.0
    assert compute_average_precision(p, true, 2) == 0.0


def test_a_constant_answer_is_worth_what_chance_is() -> None:
    p, true = np.full(4, 0.25), np.array([False, True, False, False])
    assert compute_top_k(p, true, 1) == pytest.approx(0.25)
    assert compute_top_k(p, true, 3) == pytest.approx(0.75)
    assert compute_reciprocal_rank(p, true) == pytest.approx((1 + 1 / 2 + 1 / 3 + 1 / 4) / 4)
