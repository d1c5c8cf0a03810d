"""Every game against its definition: values of coalitions and Shapley values, player by player."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from bayesrca.attribution import (
    BatchGame,
    CallTreeGame,
    ExcessFlowGame,
    Game,
    GaussianTailGame,
    InteractionGame,
    LiveEdgeGame,
    NoisyOrGame,
    NonlinearTailGame,
    SampledTailGame,
    TabularGame,
    compute_interactions,
    compute_shapley,
    estimate_shapley,
)
from tests.oracle.games import (
    Bools,
    Case,
    Floats,
    all_coalitions,
    call_tree_case,
    interaction_case,
    noisy_or_case,
    random_dag,
    shapley_by_definition,
    tabulate,
    tail_case,
)

Pair = tuple[Callable[..., Game], Callable[[np.random.Generator, int], Case]]

GAMES: dict[str, Pair] = {
    "sampled tail": (SampledTailGame, lambda rng, n: tail_case(rng, n, nonlinear=False)),
    "nonlinear tail": (NonlinearTailGame, lambda rng, n: tail_case(rng, n, nonlinear=True)),
    "noisy-or": (NoisyOrGame, noisy_or_case),
    "call tree": (CallTreeGame, call_tree_case),
    "interaction": (InteractionGame, interaction_case),
}


@pytest.mark.parametrize("name", GAMES)
@pytest.mark.parametrize("n", [10, 12])
def test_exact_values_are_those_of_the_definition(name: str, n: int) -> None:
    build, draw = GAMES[name]
    case = draw(np.random.default_rng(7 * n), n)
    game = build(**case.arguments)
    coalitions = all_coalitions(n)[:: 2**n // 256]
    np.testing.assert_allclose(game.compute_values(coalitions), case.value(coalitions), atol=1e-6)
    exact = compute_shapley(game)
    truth = shapley_by_definition(case.value, n)
    assert exact.exact
    np.testing.assert_allclose(exact.values, truth, atol=2e-6)
    assert abs(exact.efficiency_gap) < 1e-12 * max(1.0, abs(exact.grand))


@pytest.mark.parametrize("name", ["noisy-or", "call tree", "interaction"])
def test_twenty_players_are_enumerated(name: str) -> None:
    build, draw = GAMES[name]
    case = draw(np.random.default_rng(20), 20)
    np.testing.assert_allclose(
        compute_shapley(build(**case.arguments)).values,
        shapley_by_definition(case.value, 20),
        atol=1e-9,
    )


@pytest.mark.parametrize("name", GAMES)
@pytest.mark.parametrize("n", [12, 20])
def test_sampled_values_lie_within_their_errors(name: str, n: int) -> None:
    """Simultaneously for all players: Bonferroni over players at 1e-4, t with 15 degrees."""
    build, draw = GAMES[name]
    case = draw(np.random.default_rng(n), n)
    game = build(**case.arguments)
    truth = compute_shapley(game).values
    estimate = estimate_shapley(game, budget=400 * n, seed=3, method="sampled")
    assert estimate.rule == "sobol_scrambles_t_interval"
    limit = stats.t.isf(1e-4 / (2 * n), 15) * estimate.std_err + 1e-9
    assert (np.abs(estimate.values - truth) <= limit).all()


def test_a_gaussian_tail_is_what_many_samples_tend_to() -> None:
    rng = np.random.default_rng(5)
    edges, weights = random_dag(rng, 8)
    observed = rng.normal(size=8) + np.array([0, 2.5, 0, 0, 0, 0, 0, 0])
    common = {"edges": edges, "weights": weights, "target": 7, "observed_noise": observed}
    formula = compute_shapley(
        GaussianTailGame(**common, baseline_mean=np.zeros(8), baseline_sd=np.ones(8))
    )
    sampled = compute_shapley(
        SampledTailGame(**common, baseline_noise=rng.normal(size=(200_000, 8)))
    )
    assert sampled.inner_std_err is not None
    error = np.abs(sampled.values - formula.values)
    assert (error < 5 * sampled.inner_std_err + 0.01).all()


def test_live_edges_are_the_coverage_of_all_worlds_even_in_cycles() -> None:
    edges = np.array([(0, 1), (1, 2), (2, 0), (1, 3), (2, 3)])
    q = np.array([0.5, 0.7, 0.4, 0.6, 0.3])
    activation, leak = np.array([0.9, 0.5, 0.8, 0.0]), np.array([0.0, 0.1, 0.0, 0.05])

    def value(coalitions: Bools) -> Floats:
        """Expectation over every set of live edges of "some failed node reaches node 3"."""
        out = np.zeros(len(coalitions))
        for world in range(2**5):
            live = (world >> np.arange(5)) & 1 == 1
            reach = np.eye(4, dtype=bool)
            for _ in range(4):
                for (a, b), on in zip(edges, live, strict=True):
                    if on:
                        reach[a] |= reach[b]
            reaching = reach[:, 3]
            fails = 1 - (1 - leak) * (1 - activation * coalitions)
            spared = np.where(reaching, 1 - fails, 1.0).prod(axis=1)
            out += np.where(live, q, 1 - q).prod() * (1 - spared)
        return out

    game = LiveEdgeGame(edges=edges, transmission=q, target=3, leak=leak, activation=activation)
    estimate = estimate_shapley(game, budget=64 * 4096, seed=2)
    truth = shapley_by_definition(value, 4)
    assert (np.abs(estimate.values - truth) <= 5 * estimate.std_err + 1e-12).all()
    assert estimate.values[3] == 0.0  # it cannot fail as a member
    ends = value(np.array([[False] * 4, [True] * 4]))
    np.testing.assert_allclose([estimate.baseline, estimate.grand], ends, atol=0.005)


def test_the_in_tree_formula_would_be_wrong_where_paths_share_ancestors() -> None:
    """Owen's multilinear integral of the noisy-OR recursion is exact on trees only.

    On a graph with shared ancestors it still sums to the whole gain, so efficiency alone would not
    find the error; the estimator must not fall into that trap.
    """
    edges = [(0, 1), (0, 2), (1, 3), (2, 3), (0, 3)]
    q, n = np.array([0.9, 0.9, 0.8, 0.8, 0.5]), 4
    leak, activation = np.zeros(4), np.array([0.9, 0.4, 0.4, 0.3])

    def recursion(activated: Floats) -> float:
        p = np.zeros(4)
        for j in range(4):
            spared = 1 - activated[j]
            for (a, b), w in zip(edges, q, strict=True):
                if b == j:
                    spared *= 1 - w * p[a]
            p[j] = 1 - spared
        return float(p[3])

    nodes, weights = np.polynomial.legendre.leggauss(24)
    owen = np.zeros(n)
    for x, w in zip((nodes + 1) / 2, weights / 2, strict=True):
        for i in range(n):
            step = 1e-5 * activation * (np.arange(n) == i)
            rise = recursion(x * activation + step) - recursion(x * activation - step)
            owen[i] += w * rise / 2e-5
    game = NoisyOrGame(edges=edges, transmission=q, target=3, leak=leak, activation=activation)
    exact = compute_shapley(game)
    assert abs(owen.sum() - (exact.grand - exact.baseline)) < 1e-9
    assert np.abs(owen - exact.values).max() > 0.02
    estimate = estimate_shapley(game, budget=8000, seed=1, method="sampled")
    assert (np.abs(estimate.values - exact.values) <= 5 * estimate.std_err + 1e-9).all()


def test_excess_flows_along_all_paths() -> None:
    game = ExcessFlowGame.from_requests(
        players=("web", "api", "db", "cache"),
        calls=[("web", "api"), ("web", "cache"), ("api", "db"), ("cache", "db")],
        requests=[100.0, 60.0, 80.0, 20.0],
        target="web",
        dose=[11.0, 7.0, 8.0, 4.0],
        dose_sd=[0.1] * 4,
    )
    # api and cache see 3/4 and 1/4 of db's excess; web sees all of theirs.
    own = np.array([11.0 - 7.0 - 4.0, 7.0 - 6.0, 8.0, 4.0 - 2.0])
    exact = compute_shapley(game)
    np.testing.assert_allclose(exact.values, own, atol=1e-12)
    shares, share_std_err, value_std_err = game.estimate_shares(seed=1)
    np.testing.assert_allclose(shares, own / own.sum())
    assert (share_std_err > 0).all()
    assert value_std_err[2] == pytest.approx(0.1, rel=0.2)


def test_interactions_are_those_of_the_definition() -> None:
    case = interaction_case(np.random.default_rng(2), 7)
    table = tabulate(case.value, 7)
    numbers = np.arange(2**7)
    expected = np.zeros((7, 7))
    for i in range(7):
        for j in range(i):
            rest = numbers[(numbers >> i & 1 == 0) & (numbers >> j & 1 == 0)]
            sizes = np.bitwise_count(rest)
            weight = 1 / (6 * np.array([1, 5, 10, 10, 5, 1]))[sizes]
            both = table[rest | 1 << i | 1 << j] - table[rest | 1 << i] - table[rest | 1 << j]
            expected[i, j] = expected[j, i] = (weight * (both + table[rest])).sum()
    by_formula = compute_interactions(InteractionGame(**case.arguments))
    by_enumeration = compute_interactions(BatchGame(value=case.value, players=7))
    np.testing.assert_allclose(by_formula.values, expected, atol=1e-10)
    np.testing.assert_allclose(by_enumeration.values, expected, atol=1e-10)


def test_features_replaced_by_background_rows() -> None:
    rng = np.random.default_rng(8)
    instance, background = rng.normal(size=5), rng.normal(size=(30, 5))

    def predict(rows: Floats) -> Floats:
        return np.tanh(rows[:, 0] * rows[:, 1]) + rows[:, 2] - rows[:, 3] ** 2

    def value(coalitions: Bools) -> Floats:
        return np.array(
            [np.mean([predict(np.where(c, instance, b)[None])[0] for b in background])
             for c in coalitions]
        )  # fmt: skip

    game = TabularGame(predict=predict, instance=instance, background=background)
    exact = compute_shapley(game)
    np.testing.assert_allclose(exact.values, shapley_by_definition(value, 5), atol=1e-12)
    assert exact.values[4] == 0.0
    # The inner error is that of a mean over background rows.

    def alone(row: Floats) -> Floats:
        return shapley_by_definition(lambda c: predict(np.where(c, instance, row)), 5)

    single = np.array([alone(row) for row in background])
    expected = single.std(axis=0, ddof=1) / np.sqrt(30)
    assert exact.inner_std_err is not None
    np.testing.assert_allclose(exact.inner_std_err, expected, rtol=0.35, atol=1e-12)


def test_a_linear_model_is_fitted_from_samples() -> None:
    rng = np.random.default_rng(4)
    noise = rng.normal(size=(5000, 3))
    normal = np.empty_like(noise)
    normal[:, 0] = 2.0 + noise[:, 0]
    normal[:, 1] = 0.8 * normal[:, 0] + noise[:, 1]
    normal[:, 2] = 0.5 * normal[:, 0] - 0.7 * normal[:, 1] + 1.0 + noise[:, 2]
    game = SampledTailGame.from_samples(
        players=("a", "b", "c"), edges=[("a", "b"), ("a", "c"), ("b", "c")],
        target="c", normal=normal, observed=[2.0, 6.0, -1.2], tail="lower",
    )  # fmt: skip
    np.testing.assert_allclose(np.asarray(game.weights), [0.8, 0.5, -0.7], atol=0.05)
    estimate = compute_shapley(game)
    assert estimate.table().index[0] == "b"
