"""Probabilities from draws, with their Monte Carlo errors and intervals."""

from __future__ import annotations

import math
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from bayesrca.analysis import analyze
from bayesrca.config import Method, Settings
from bayesrca.kernels.propagation import KINDS
from bayesrca.model.draws import Draws
from bayesrca.posterior.result import Probability
from bayesrca.posterior.summary import compute_root_probabilities, summarise
from tests.unit.posterior.synthetic import make_draws, make_shop

array_stats: Any = import_module("arviz_stats.base").array_stats
K = len(KINDS)
SETS = ((0, 1), (1, 2), (0, 1, 3))


def test_probabilities_of_components_kinds_and_none_add_up() -> None:
    for draws in (make_draws(1), make_draws(1, chains=16, draws=64, screen=True)):
        root = compute_root_probabilities(draws, 0.89)
        assert root.values.sum() == pytest.approx(1.0, abs=1e-12)
        assert_allclose(root.by_draw.sum(axis=-1), 1.0, rtol=1e-12)
        assert_allclose(root.by_kind.sum(axis=1), root.values[:-1], rtol=1e-12)
        assert (root.values >= 0).all()


def test_kinds_are_read_in_the_order_of_hypotheses() -> None:
    first, second = np.arange(1.0, K + 1), np.arange(2.0, K + 2)
    weights = np.concatenate([first, second, [1.0]])
    total = weights.sum()
    log_root = np.log(np.array([[weights / total]] * 4))
    draws = replace(
        make_draws(chains=4, draws=1, components=2, screen=True),
        log_root=log_root,
        log_weights=np.zeros((4, 1)),
    )
    root = compute_root_probabilities(draws, 0.89)
    assert_allclose(root.by_kind, np.array([first, second]) / total)
    assert_allclose(root.values, np.array([first.sum(), second.sum(), 1.0]) / total)
    assert root.probability(-1).value == root.values[-1]


def test_screen_probability_is_the_self_normalised_average() -> None:
    draws = make_draws(2, chains=8, draws=32, screen=True)
    root = compute_root_probabilities(draws, 0.89)
    top = bottom = 0.0
    for c in range(8):
        for d in range(32):
            weight = math.exp(draws.log_weights[c, d])
            top += weight * sum(math.exp(draws.log_root[c, d, j]) for j in range(K, 2 * K))
            bottom += weight
    assert root.values[1] == pytest.approx(top / bottom, rel=1e-12)


def by_hand(draws: Draws, column: int) -> float:
    """Delta method: the ratio of means of independent pairs (a_b, w_b), one pair per scramble.

    var(A / W) ~ var(a - r w) / (B W^2), r = A / W.
    """
    weight = np.exp(draws.log_weights)
    values = np.exp(draws.log_root)[..., K * column : K * column + K].sum(axis=-1)
    pairs: list[tuple[float, float]] = [
        (sum(w * v for w, v in zip(ws, vs, strict=True)), sum(ws))
        for ws, vs in zip(weight.tolist(), values.tolist(), strict=True)
    ]
    b = len(pairs)
    mean_a = sum(a for a, _ in pairs) / b
    mean_w = sum(w for _, w in pairs) / b
    ratio = mean_a / mean_w
    var_a = sum((a - mean_a) ** 2 for a, _ in pairs) / (b - 1)
    var_w = sum((w - mean_w) ** 2 for _, w in pairs) / (b - 1)
    cov = sum((a - mean_a) * (w - mean_w) for a, w in pairs) / (b - 1)
    return math.sqrt((var_a - 2 * ratio * cov + ratio**2 * var_w) / b) / mean_w


@pytest.mark.parametrize("column", [0, 1, 2])
def test_screen_error_is_the_delta_method_over_scrambles(column: int) -> None:
    draws = make_draws(3, chains=16, draws=64, screen=True)
    root = compute_root_probabilities(draws, 0.89)
    assert root.mcse[column] == pytest.approx(by_hand(draws, column), rel=1e-9)


def test_screen_error_predicts_the_spread_over_seeds_and_shrinks_as_the_root() -> None:
    spread = {}
    for scrambles in (16, 256):
        runs = [
            compute_root_probabilities(
                make_draws(seed, chains=scrambles, draws=8, screen=True), 0.89
            )
            for seed in range(60)
        ]
        actual = np.std([r.values for r in runs], axis=0, ddof=1)
        claimed = np.sqrt(np.mean([r.mcse**2 for r in runs], axis=0))
        assert_allclose(claimed, actual, rtol=0.35)  # a spread of 60 is known to a tenth
        spread[scrambles] = claimed
    assert_allclose(spread[16] / spread[256], 4.0, rtol=0.15)


def test_error_of_a_real_screen_predicts_its_spread_over_seeds() -> None:
    incident = make_shop()
    runs = []
    for seed in range(24):
        settings = Settings(method=Method.SCREEN, screen_scrambles=16, screen_points=32)
        runs.append(analyze(incident, seed=seed, settings=settings).root)
    actual = np.std([r.values for r in runs], axis=0, ddof=1)
    claimed = np.sqrt(np.mean([r.mcse**2 for r in runs], axis=0))
    ratio = claimed / actual
    assert (ratio > 0.6).all()
    assert (ratio < 1.8).all()


def test_more_scrambles_of_a_real_screen_shrink_its_error() -> None:
    def error(scrambles: int) -> float:
        settings = Settings(method=Method.SCREEN, screen_scrambles=scrambles, screen_points=32)
        runs = [analyze(make_shop(), seed=s, settings=settings).root.mcse[2] for s in range(4)]
        return float(np.sqrt(np.mean(np.square(runs))))

    assert error(16) / error(144) == pytest.approx(3.0, rel=0.35)


def test_chain_error_is_arvizs() -> None:
    draws = make_draws(4)
    root = compute_root_probabilities(draws, 0.89)
    expected = [
        array_stats.mcse(root.by_draw[..., j], chain_axis=0, draw_axis=1, method="mean")
        for j in range(4)
    ]
    assert_allclose(root.mcse, expected, rtol=1e-12)
    iid = root.by_draw.std(axis=(0, 1)) / math.sqrt(root.by_draw[..., 0].size)
    assert_allclose(root.mcse, iid, rtol=0.3)


def test_chain_error_grows_with_autocorrelation() -> None:
    draws = make_draws(4, draws=200)
    repeated = replace(
        draws,
        thetas=np.repeat(draws.thetas, 5, axis=1),
        log_root=np.repeat(draws.log_root, 5, axis=1),
        log_weights=np.zeros((4, 1000)),
    )
    one = compute_root_probabilities(draws, 0.89).mcse
    five = compute_root_probabilities(repeated, 0.89).mcse
    assert_allclose(five, one, rtol=0.15)  # five copies of a draw are one draw


def test_a_probability_that_never_moves_has_no_error_and_a_point_interval() -> None:
    for screen in (False, True):
        draws = make_draws(5, chains=8, draws=64, screen=screen)
        shares = np.repeat([0.5, 0.2, 0.3], K) / K
        fixed = np.log(np.append(shares, 1e-300))
        constant = replace(draws, log_root=np.broadcast_to(fixed, (8, 64, len(fixed))).copy())
        root = compute_root_probabilities(constant, 0.89)
        assert_allclose(root.mcse, 0.0, atol=1e-15)
        assert_allclose(root.intervals[0], 0.5, rtol=1e-12)
        assert np.isfinite(root.intervals).all()


@pytest.mark.parametrize("draws", [1, 2, 3])
@pytest.mark.filterwarnings("error")
def test_the_error_of_a_few_draws_is_the_largest_there_can_be(draws: int) -> None:
    root = compute_root_probabilities(make_draws(5, chains=1, draws=draws), 0.89)
    assert_allclose(root.mcse, np.sqrt(root.values * (1 - root.values)))
    assert root.mcse.max() > 0.1
    assert np.isfinite(root.intervals).all()


def test_an_impossible_hypothesis_has_probability_zero() -> None:
    draws = make_draws(6, screen=True)
    log_root = draws.log_root.copy()
    log_root[..., :K] = -np.inf
    log_root -= np.logaddexp.reduce(log_root, axis=-1, keepdims=True)
    root = compute_root_probabilities(replace(draws, log_root=log_root), 0.89)
    assert_array_equal(root.values[0], 0.0)
    assert_array_equal(root.mcse[0], 0.0)
    assert_array_equal(root.intervals[0], [0.0, 0.0])


@pytest.mark.parametrize("mass", [0.5, 0.89, 0.99])
def test_intervals_are_weighted_quantiles(mass: float) -> None:
    draws = make_draws(7, chains=16, draws=256, screen=True)
    root = compute_root_probabilities(draws, mass)
    weight = draws.weights.ravel()
    for j in range(4):
        values = root.by_draw[..., j].ravel()
        low, high = root.intervals[j]
        below = weight[values < low].sum()
        above = weight[values > high].sum()
        assert below == pytest.approx((1 - mass) / 2, abs=weight.max())
        assert above == pytest.approx((1 - mass) / 2, abs=weight.max())


def test_equal_weights_give_ordinary_quantiles() -> None:
    draws = make_draws(8)
    root = compute_root_probabilities(draws, 0.89)
    flat = root.by_draw.reshape(-1, 4)
    expected = np.quantile(flat, [0.055, 0.945], axis=0, method="hazen").T
    assert_allclose(root.intervals, expected, rtol=1e-9)


@settings(deadline=None, max_examples=50)
@given(
    chains=st.integers(4, 8),
    points=st.integers(1, 20),
    components=st.integers(1, 6),
    seed=st.integers(0, 10**6),
    width=st.floats(0.0, 300.0),
)
def test_any_weights_give_probabilities(
    chains: int, points: int, components: int, seed: int, width: float
) -> None:
    draws = make_draws(seed, chains=chains, draws=points, components=components, screen=True)
    rng = np.random.default_rng(seed)
    wild = replace(draws, log_weights=width * rng.standard_normal((chains, points)))
    root = compute_root_probabilities(wild, 0.89)
    assert root.values.sum() == pytest.approx(1.0, abs=1e-9)
    assert np.isfinite(root.mcse).all()
    assert (root.mcse >= 0).all()
    assert (root.intervals[:, 0] <= root.intervals[:, 1]).all()
    assert (root.intervals >= 0).all()
    assert (root.intervals <= 1 + 1e-12).all()


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.booleans())
def test_a_component_is_a_cause_alone_or_in_a_set(seed: int, screen: bool) -> None:
    draws = make_draws(seed, draws=20, components=5, sets=len(SETS), screen=screen)
    root = compute_root_probabilities(draws, 0.89, SETS)
    w, p = draws.weights, np.exp(draws.log_root)
    by_hand = np.array([(w * p[..., j]).sum() for j in range(p.shape[-1])])
    alone = [by_hand[K * i : K * i + K].sum() for i in range(5)]
    together = dict(zip(SETS, by_hand[5 * K : -1], strict=True))
    for i in range(5):
        within = sum(q for members, q in together.items() if i in members)
        assert root.values[i] == pytest.approx(alone[i] + within, rel=1e-12)
        assert root.only.values[i] == pytest.approx(alone[i], rel=1e-12)
        assert root.values[i] >= root.only.values[i] - 1e-15
    assert_allclose(root.sets.values, list(together.values()), rtol=1e-12)
    assert_allclose(root.by_kind.sum(axis=1), root.only.values, rtol=1e-12)
    exclusive = root.only.values.sum() + root.sets.values.sum() + root.values[-1]
    assert exclusive == pytest.approx(1.0, abs=1e-12)
    assert root.values[:-1].sum() > 1.0 - root.values[-1]  # a pair counts for both
    assert root.members == SETS


def assert_close(one: Probability, other: Probability) -> None:
    assert_allclose(
        [one.value, one.mcse, *one.interval], [other.value, other.mcse, *other.interval], rtol=1e-9
    )


@pytest.mark.parametrize("screen", [True, False])
def test_sets_and_single_causes_have_errors_and_intervals_of_their_own(screen: bool) -> None:
    draws = make_draws(3, chains=16, draws=64, components=5, sets=len(SETS), screen=screen)
    root = compute_root_probabilities(draws, 0.89, SETS)
    # Each as if it were the only event there is.
    for j in range(len(SETS)):
        column = np.exp(draws.log_root[..., 5 * K + j, None])
        alone = summarise(draws, column, 0.89)
        assert_close(root.sets.probability(j), alone.probability(0))
    for i in range(5):
        alone = summarise(draws, root.only_by_draw[..., i : i + 1], 0.89)
        assert_close(root.only.probability(i), alone.probability(0))
    assert root.only.probability(4) == root.probability(4)  # in no set
    assert root.only.mcse[0] != root.mcse[0]


def test_more_causes_than_one_do_not_exceed_certainty() -> None:
    draws = make_draws(3, components=2, sets=1, screen=True)
    log_root = np.full_like(draws.log_root, -800.0)
    log_root[..., -2] = 0.0
    root = compute_root_probabilities(replace(draws, log_root=log_root), 0.89, ((0, 1),))
    assert (root.values <= 1.0).all()
    assert_allclose(root.values, [1.0, 1.0, 0.0], rtol=1e-14)
    assert_array_equal(root.only.values, [0.0, 0.0])
    assert_array_equal(root.intervals[0], [1.0, 1.0])
