"""Effort, errors, determinism, watching and stopping, bad input."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bayesrca.attribution import (
    RULES,
    CallTreeGame,
    ExcessFlowGame,
    Game,
    GaussianTailGame,
    InteractionGame,
    LiveEdgeGame,
    NoisyOrGame,
    NonlinearTailGame,
    SampledTailGame,
    ShapleyProgress,
    compute_interactions,
    compute_shapley,
    estimate_shapley,
)
from bayesrca.errors import BayesRcaError, CancelledError, InvalidGameError, InvalidSettingsError
from tests.oracle.games import call_tree_case, interaction_case, noisy_or_case, tail_case


def big_noisy_or(n: int = 40) -> NoisyOrGame:
    return NoisyOrGame(**noisy_or_case(np.random.default_rng(n), n).arguments)


def big_tail(n: int = 40) -> SampledTailGame:
    case = tail_case(np.random.default_rng(n), n, nonlinear=False, samples=512)
    return SampledTailGame(**case.arguments)


def test_the_effort_chooses_the_rule() -> None:
    game = CallTreeGame(**call_tree_case(np.random.default_rng(1), 40).arguments)
    default = estimate_shapley(game, seed=1)
    assert default.rule == "sobol_scrambles_t_interval"
    assert default.n_evaluations <= 16 * 64 * 40
    assert default.n_units == 16
    by_tolerance = estimate_shapley(game, tolerance=0.2, seed=1)
    assert by_tolerance.rule == "antithetic_pairs_confidence_sequence"
    assert by_tolerance.n_units >= 64
    assert by_tolerance.converged
    active = by_tolerance.values[by_tolerance.std_err > 0]
    assert by_tolerance.half_width.max() <= 0.2 * np.sqrt(np.mean(active**2)) * 1.05
    capped = estimate_shapley(game, tolerance=1e-4, budget=20_000, seed=1)
    assert not capped.converged
    assert capped.n_evaluations <= 20_000
    for estimate in (default, by_tolerance, capped):
        assert estimate.rule in RULES


def test_a_tolerance_may_be_absolute() -> None:
    game = big_noisy_or()
    estimate = estimate_shapley(game, tolerance=0.004, tolerance_kind="absolute", seed=2)
    assert estimate.converged
    assert estimate.half_width.max() <= 0.004


@pytest.mark.parametrize("effort", [{"budget": 40_000}, {"tolerance": 0.3}])
@pytest.mark.parametrize("build", [big_noisy_or, big_tail])
def test_the_same_bits_for_any_number_of_threads(build: Any, effort: dict[str, Any]) -> None:  # noqa: ANN401
    game: Game = build()
    one = estimate_shapley(game, seed=9, threads=1, **effort)
    two = estimate_shapley(game, seed=9, threads=2, **effort)
    for name in ("values", "std_err", "half_width"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    other = estimate_shapley(game, seed=10, threads=2, **effort)
    assert (one.values != other.values).any()


def test_one_antithetic_pair_is_exact_on_pairwise_games() -> None:
    case = interaction_case(np.random.default_rng(3), 30, triples=False)
    game = InteractionGame(**case.arguments)
    exact = compute_shapley(game)
    assert exact.rule == "closed_form"
    pair = estimate_shapley(game, budget=60, seed=5, method="sampled")
    assert pair.n_evaluations == 60
    np.testing.assert_allclose(pair.values, exact.values, atol=1e-12)
    assert np.isinf(pair.std_err[exact.values != 0]).all()


def test_null_players_get_exactly_nothing() -> None:
    """Node 3 cannot reach the target, node 4's noise is that of usual times in every sample."""
    rng = np.random.default_rng(6)
    baseline = rng.normal(size=(64, 5))
    baseline[:, 4] = 1.5
    game = SampledTailGame(
        edges=[(0, 1), (1, 2), (2, 3), (4, 2)], weights=[0.8, 0.9, 1.0, 0.7], target=2,
        observed_noise=[3.0, 0.1, 0.2, 9.0, 1.5], baseline_noise=baseline,
    )  # fmt: skip
    for estimate in (compute_shapley(game), estimate_shapley(game, seed=1, method="sampled")):
        assert estimate.values[3] == estimate.values[4] == 0.0
        assert estimate.std_err[3] == 0.0


def test_inner_and_outer_noise_are_reported_apart() -> None:
    game = big_tail()
    small = estimate_shapley(game, budget=8_000, seed=1)
    large = estimate_shapley(game, budget=128_000, seed=1)
    assert small.inner_std_err is not None
    assert large.inner_std_err is not None
    assert large.std_err.mean() < 0.5 * small.std_err.mean()
    assert large.inner_std_err.mean() > 0.5 * small.inner_std_err.mean()
    np.testing.assert_allclose(
        large.total_std_err, np.sqrt(large.std_err**2 + large.inner_std_err**2)
    )
    assert estimate_shapley(big_noisy_or(), seed=1).inner_std_err is None


def test_progress_is_told_and_its_exception_reaches_the_caller() -> None:
    told: list[ShapleyProgress] = []
    estimate_shapley(big_tail(), budget=400_000, seed=1, progress=told.append)
    assert told
    assert told[-1].planned is not None
    done = [t.n_evaluations for t in told]
    assert done == sorted(done)
    assert done[-1] <= told[-1].planned

    class NotNowError(Exception):
        pass

    def refuse(_: ShapleyProgress) -> None:
        raise NotNowError

    with pytest.raises(NotNowError):
        estimate_shapley(big_tail(), tolerance=1e-5, seed=1, progress=refuse)


def test_cancellation_stops_between_blocks() -> None:
    begun = time.monotonic()
    with pytest.raises(CancelledError):
        estimate_shapley(
            big_tail(100), tolerance=1e-6, seed=1, cancelled=lambda: time.monotonic() > begun + 0.05
        )
    with pytest.raises(CancelledError):
        compute_shapley(
            SampledTailGame(
                **tail_case(np.random.default_rng(1), 22, nonlinear=False, samples=4096).arguments
            ),
            cancelled=lambda: time.monotonic() > begun + 0.1,
        )


def test_a_deadline_returns_what_there_is_with_its_errors() -> None:
    estimate = estimate_shapley(big_tail(100), tolerance=1e-6, seed=1, deadline=0.05)
    assert not estimate.converged
    assert estimate.n_units >= 64
    assert np.isfinite(estimate.half_width).all()
    assert abs(estimate.efficiency_gap) < 1e-9
    partial = estimate_shapley(big_tail(100), budget=10**9, seed=1, deadline=0.05)
    assert not partial.converged
    assert np.isfinite(partial.std_err).all()


def test_one_player_takes_everything_and_five_thousand_are_sampled() -> None:
    one = estimate_shapley(InteractionGame(single=[2.5], constant=1.0), seed=1)
    assert one.values.tolist() == [2.5]
    assert one.exact
    n = 5000
    parent = np.concatenate([[-1], (np.arange(1, n) - 1) // 3])
    times = np.ones(n)
    game = CallTreeGame(parent=parent, stage=np.arange(n) % 2, baseline=times, observed=3 * times)
    many = estimate_shapley(game, budget=64 * n, seed=1)
    assert many.rule == "antithetic_pairs_t_interval_above_256_players"
    assert abs(many.efficiency_gap) < 1e-8


BAD_GAMES: dict[str, tuple[Callable[[], Game], str]] = {
    "NaN weight": (lambda: tail({"weights": [np.nan]}), "weights"),
    "infinite noise": (lambda: tail({"observed_noise": [np.inf, 0.0]}), "observed_noise"),
    "a cycle": (lambda: tail({"edges": [(0, 1), (1, 0)], "weights": [1.0, 1.0]}), "edges"),
    "an unknown node": (lambda: tail({"edges": [(0, 7)]}), "edges"),
    "an unknown name": (lambda: tail({"edges": [("a", "z")], "players": ("a", "b")}), "edges"),
    "a name twice": (lambda: tail({"players": ("a", "a")}), "players"),
    "too many names": (lambda: tail({"players": ("a", "b", "c")}), "players"),
    "target out of range": (lambda: tail({"target": 2}), "target"),
    "wrong number of weights": (lambda: tail({"weights": [1.0, 2.0]}), "weights"),
    "ragged noise": (lambda: tail({"baseline_noise": [[0.0, 1.0, 2.0]] * 4}), "baseline_noise"),
    "one sample": (lambda: tail({"baseline_noise": [[0.0, 1.0]]}), "baseline_noise"),
    "no such tail": (lambda: tail({"tail": "both"}), "tail"),
    "words for numbers": (lambda: tail({"weights": ["x"]}), "weights"),
    "no players": (lambda: InteractionGame(single=[]), "game"),
    "an asymmetric pair": (lambda: InteractionGame(single=[1, 1], pair=[[0, 1], [2, 0]]), "pair"),
    "a probability above 1": (lambda: live(transmission=[1.5]), "transmission"),
    "a NaN transmission": (lambda: live(transmission=[np.nan]), "transmission"),
    "a pair that is no square": (lambda: InteractionGame(single=[1, 1], pair=[[0.0] * 4]), "pair"),
    "a NaN probability": (lambda: live(leak=[np.nan, 0.0]), "leak"),
    "two roots": (lambda: tree(parent=[-1, -1]), "parent"),
    "a negative time": (lambda: tree(observed=[1.0, -1.0]), "observed"),
    "a negative stage": (lambda: tree(stage=[0, -1]), "stage"),
    "too few stages": (lambda: tree(stage=[0]), "stage"),
    "a negative node": (lambda: tail({"edges": [(0, -1)]}), "edges"),
    "one row of edges": (lambda: tail({"edges": [0, 1]}), "edges"),
    "ragged edges": (lambda: tail({"edges": [[0, 1], [0]]}), "edges"),
    "huge nodes": (lambda: tail({"edges": [(0, 2**70)]}), "edges"),
    "names that are numbers": (lambda: tail({"players": (0, 1)}), "players"),
    "one text for names": (lambda: tail({"players": "ab"}), "players"),
    "names without order": (lambda: tail({"players": {"a", "b"}}), "players"),
    "two targets": (lambda: tail({"target": [0, 1]}), "target"),
    "calls out of range": (lambda: flow(calls=[(0, 5)]), "calls"),
    "a negative weight": (lambda: flow(weights=[-1.0]), "weights"),
    "a negative threshold": (lambda: flow(min_signal=-1.0), "min_signal"),
    "an endless cycle": (
        lambda: flow(calls=[(1, 2), (2, 1), (0, 1)], weights=[1.0, 1.0, 1.0], dose=[1.0] * 3),
        "calls",
    ),
    "a negative deviation": (lambda: gaussian(baseline_sd=[1.0, -1.0]), "baseline_sd"),
}


def tail(change: dict[str, Any]) -> SampledTailGame:
    arguments: dict[str, Any] = {
        "edges": [(0, 1)], "weights": [1.0], "target": 1,
        "observed_noise": [3.0, 0.0], "baseline_noise": np.eye(2),
    }  # fmt: skip
    return SampledTailGame(**arguments | change)


def live(**change: Any) -> LiveEdgeGame:  # noqa: ANN401
    arguments: dict[str, Any] = {
        "edges": [(0, 1)], "transmission": [0.5], "target": 1, "leak": [0, 0], "activation": [1, 1],
    }  # fmt: skip
    return LiveEdgeGame(**arguments | change)


def tree(**change: Any) -> CallTreeGame:  # noqa: ANN401
    arguments: dict[str, Any] = {
        "parent": [-1, 0], "stage": [0, 0], "baseline": [1.0, 1.0], "observed": [2.0, 2.0],
    }  # fmt: skip
    return CallTreeGame(**arguments | change)


def gaussian(**change: Any) -> GaussianTailGame:  # noqa: ANN401
    arguments: dict[str, Any] = {
        "edges": [(0, 1)], "weights": [1.0], "target": 1, "observed_noise": [3.0, 0.0],
        "baseline_mean": [0.0, 0.0], "baseline_sd": [1.0, 1.0],
    }  # fmt: skip
    return GaussianTailGame(**arguments | change)


def flow(**change: Any) -> ExcessFlowGame:  # noqa: ANN401
    arguments: dict[str, Any] = {
        "calls": [(0, 1)], "weights": [0.5], "target": 0, "dose": [1.0, 1.0],
    }  # fmt: skip
    return ExcessFlowGame(**arguments | change)


@pytest.mark.parametrize("name", BAD_GAMES)
def test_a_bad_game_is_refused_when_built_and_the_offender_named(name: str) -> None:
    build, field = BAD_GAMES[name]
    with pytest.raises(InvalidGameError) as caught:
        build()
    assert caught.value.field == field
    assert field in str(caught.value)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"seed": -1}, "seed"),
        ({"seed": 2**64}, "seed"),
        ({"seed": True}, "seed"),
        ({"tolerance": 0.0}, "tolerance"),
        ({"tolerance": float("nan")}, "tolerance"),
        ({"budget": 0}, "budget"),
        ({"budget": 39}, "budget"),
        ({"budget": 1.5}, "budget"),
        ({"confidence": 1.0}, "confidence"),
        ({"threads": 0}, "threads"),
        ({"deadline": -1.0}, "deadline"),
        ({"method": "magic"}, "method"),
        ({"tolerance_kind": "both"}, "tolerance_kind"),
        ({"tolerance": "x"}, "tolerance"),
        ({"deadline": 1e30}, "deadline"),
        ({"guarantee": "total"}, "guarantee"),
    ],
)
def test_a_bad_setting_is_refused_and_named(change: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidSettingsError) as caught:
        estimate_shapley(big_noisy_or(40), **{"seed": 1} | change)
    assert caught.value.field == field


def test_what_cannot_be_exact_says_so() -> None:
    with pytest.raises(InvalidGameError, match="at most 22: estimate instead"):
        compute_shapley(big_noisy_or(40))
    with pytest.raises(InvalidGameError, match="sampled worlds only"):
        compute_interactions(live())
    with pytest.raises(InvalidGameError, match="not valued here"):
        live().compute_values([[True, False]])
    with pytest.raises(InvalidGameError, match="must be one of"):
        estimate_shapley("a game", seed=1)  # type: ignore[arg-type]
    assert issubclass(InvalidGameError, BayesRcaError)


def test_arrays_of_a_game_do_not_change_with_the_callers() -> None:
    noise = np.array([3.0, 0.0])
    game = tail({"observed_noise": noise})
    before = compute_shapley(game).values
    noise[:] = 0.0
    np.testing.assert_array_equal(compute_shapley(game).values, before)
    with pytest.raises(ValueError, match="read-only"):
        np.asarray(game.observed_noise)[0] = 1.0


def test_numbers_of_numpy_are_numbers() -> None:
    game = big_noisy_or()
    plain = estimate_shapley(game, seed=3, budget=8000, threads=1)
    same = estimate_shapley(game, seed=np.int64(3), budget=np.int64(8000), threads=np.int32(1))
    np.testing.assert_array_equal(plain.values, same.values)


def test_coalitions_are_truth_values() -> None:
    game = big_noisy_or(5)
    for wrong in ([[0, 5]], [[float("nan")] * 5], [["a"] * 5], [True] * 5, [[2, 0, 0, 0, 0]]):
        with pytest.raises(InvalidGameError, match="coalitions"):
            game.compute_values(wrong)
    assert game.compute_values([[0, 1, 0, 1, 1]]) == game.compute_values(
        [[False, True, False, True, True]]
    )


def test_games_travel_between_processes() -> None:
    game = big_tail(12)
    again = pickle.loads(pickle.dumps(game))
    np.testing.assert_array_equal(compute_shapley(again).values, compute_shapley(game).values)
    assert again.players == game.players


def test_an_enumeration_out_of_time_gives_way_to_walks() -> None:
    case = tail_case(np.random.default_rng(1), 13, nonlinear=True, samples=60_000)
    estimate = estimate_shapley(
        NonlinearTailGame(**case.arguments), seed=1, deadline=0.01, threads=1
    )
    assert not estimate.exact
    assert not estimate.converged
    assert np.isfinite(estimate.std_err).all()


def test_far_tails_keep_causes_apart() -> None:
    game = GaussianTailGame(
        edges=[(0, 2), (1, 2)], weights=[1.0, 1.0], target=2,
        observed_noise=[1500.0, 15000.0, 0.0], baseline_mean=[0.0] * 3, baseline_sd=[1.0] * 3,
    )  # fmt: skip
    ends = game.compute_values([[False] * 3, [True, False, False], [False, True, False]])
    # -z^2 / 2 to four digits: 16500^2 / 6, 15000^2 / 4, 1500^2 / 4.
    np.testing.assert_allclose(ends, [-4.5375e7, -5.625e7, -5.625e5], rtol=1e-3)
