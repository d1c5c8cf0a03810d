"""Scores of probabilities against sums written out."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayesrca.evaluation.outcome import Outcome
from bayesrca.evaluation.scores import (
    collect_pairs,
    compute_bins,
    compute_brier,
    compute_ece,
    compute_log_score,
    compute_set_log_score,
)
from tests.unit.evaluation.kit import make_outcome, make_prediction

shares = st.floats(0.0, 1.0)
pairs = st.lists(st.tuples(shares, st.booleans()), min_size=1, max_size=60)


@given(pairs)
def test_brier_and_ece_are_their_definitions(said: list[tuple[float, bool]]) -> None:
    p, y = (np.array(column, dtype=np.float64) for column in zip(*said, strict=True))
    brier = sum((a - b) ** 2 for a, b in said) / len(said)
    assert compute_brier(p, y) == pytest.approx(brier)
    ece = 0.0
    for b in range(10):
        inside = [pair for pair in said if b == min(int(pair[0] * 10), 9)]
        if inside:
            mean = sum(a for a, _ in inside) / len(inside)
            came = sum(b for _, b in inside) / len(inside)
            ece += len(inside) / len(said) * abs(mean - came)
    assert compute_ece(p, y) == pytest.approx(ece)


@given(pairs)
def test_every_pair_is_in_one_bin(said: list[tuple[float, bool]]) -> None:
    p, y = (np.array(column, dtype=np.float64) for column in zip(*said, strict=True))
    bins = compute_bins(p, y)
    assert bins.count.sum() == len(said)
    filled = bins.count > 0
    low = np.arange(10)[filled] / 10
    assert ((bins.said[filled] >= low - 1e-12) & (bins.said[filled] <= low + 0.1 + 1e-12)).all()


def test_what_was_said_is_so() -> None:
    p = np.repeat([0.05, 0.25, 0.75, 1.0], 20)
    y = np.concatenate([np.arange(20) < n for n in (1, 5, 15, 20)]).astype(np.float64)
    assert compute_ece(p, y) == pytest.approx(0.0)


def test_nothing_was_said() -> None:
    p, y = collect_pairs([make_outcome(None, ["c0"])])
    assert len(p) == len(y) == 0
    assert compute_brier(p, y) is None
    assert compute_ece(p, y) is None


def test_none_of_these_is_right_when_the_cause_is_not_listed() -> None:
    p, y = collect_pairs(
        [make_outcome([0.5, 0.2], ["c0"], none=0.3), make_outcome([0.4], ["elsewhere"], none=0.6)]
    )
    assert p.tolist() == [0.5, 0.2, 0.3, 0.4, 0.6]
    assert y.tolist() == [1, 0, 0, 0, 1]


def test_log_score() -> None:
    assert compute_log_score(make_outcome([0.5, 0.25], ["c1"])) == pytest.approx(math.log(0.25))
    two = make_outcome([0.5, 0.25], ["c0", "c1"])
    assert compute_log_score(two) == pytest.approx((math.log(0.5) + math.log(0.25)) / 2)
    floor = math.log(1e-6)
    assert compute_log_score(make_outcome([1e-9, 1.0], ["c0"])) == pytest.approx(floor)
    assert compute_log_score(make_outcome([1.0], ["unlisted"])) == pytest.approx(floor)
    assert compute_log_score(make_outcome(None, ["c0", "c1"])) == pytest.approx(floor)


def test_set_log_score() -> None:
    single = make_outcome([0.5, 0.25], ["c1"])
    assert compute_set_log_score(single) == pytest.approx(math.log(0.25))
    floor = math.log(1e-6)
    assert compute_set_log_score(make_outcome([0.5, 0.5], ["c0", "c1"])) == pytest.approx(floor)
    assert compute_set_log_score(make_outcome(None, ["c0"])) == pytest.approx(floor)


def test_a_posterior_over_sets_is_scored_on_the_exact_set() -> None:
    pair = frozenset({"c0", "c1"})
    prediction = make_prediction([0.9, 0.8], sets={pair: 0.7, frozenset({"c0"}): 0.2})
    outcome = Outcome(case="x", truth=("c1", "c0"), fault=None, prediction=prediction)
    assert compute_set_log_score(outcome) == pytest.approx(math.log(0.7))
