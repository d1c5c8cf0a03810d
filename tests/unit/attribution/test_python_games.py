"""Games that Python values: how they are called, and what comes of their failures."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import traceback
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bayesrca.attribution import BatchGame, TabularGame, compute_shapley, estimate_shapley
from bayesrca.errors import InvalidGameError, InvalidSettingsError
from tests.integration.kit import ROOT

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def squared(coalitions: Bools) -> Floats:
    return coalitions.sum(axis=1).astype(float) ** 2


def first(rows: Floats) -> Floats:
    return rows[:, 0]


def test_coalitions_come_in_batches_on_the_calling_thread() -> None:
    calls: list[tuple[int, int, int]] = []

    def value(coalitions: Bools) -> Floats:
        assert coalitions.dtype == np.bool_
        assert coalitions.shape[1] == 20
        calls.append((len(coalitions), threading.get_ident(), os.getpid()))
        return squared(coalitions)

    estimate = estimate_shapley(
        BatchGame(value=value, players=20), budget=12_800, seed=1, threads=2, method="sampled"
    )
    np.testing.assert_allclose(estimate.values, 20.0)
    assert {thread for _, thread, _ in calls} == {threading.get_ident()}
    rows = [count for count, *_ in calls]
    assert rows[0] == 2  # nobody and everybody
    assert min(rows[1:]) >= 256
    assert sum(rows) <= 12_800 + 2


def test_threads_change_no_bit() -> None:
    rng = np.random.default_rng(1)
    w = rng.normal(size=(30, 3))
    game = BatchGame(value=lambda c: np.tanh(c @ w).prod(axis=1), players=30)
    one, two = (estimate_shapley(game, seed=4, budget=30_000, threads=t) for t in (1, 2))
    np.testing.assert_array_equal(one.values, two.values)
    np.testing.assert_array_equal(one.std_err, two.std_err)


class OddError(Exception):
    """An exception with something to lose."""

    def __init__(self, payload: object) -> None:
        super().__init__("odd")
        self.payload = payload


@pytest.mark.parametrize("after", [0, 1, 5])
def test_an_exception_reaches_the_caller_intact(after: int) -> None:
    payload = object()
    raised: list[OddError] = []
    calls: list[int] = []

    def value(coalitions: Bools) -> Floats:
        calls.append(1)
        if len(calls) > after:
            raised.append(OddError(payload))
            raise raised[-1]
        return squared(coalitions)

    with pytest.raises(OddError) as caught:
        estimate_shapley(BatchGame(value=value, players=30), tolerance=1e-9, seed=1)
    assert caught.value is raised[0]
    assert caught.value.payload is payload
    assert len(raised) == 1  # nobody is asked again
    assert "in value" in "".join(traceback.format_tb(caught.value.__traceback__))


@pytest.mark.parametrize("method", ["automatic", "sampled"])
def test_failures_leak_nothing(method: Any) -> None:  # noqa: ANN401
    class Value:
        def __call__(self, coalitions: Bools) -> Floats:
            raise OddError(self)

    value = Value()
    alive = weakref.ref(value)
    game = BatchGame(value=value, players=8)
    for _ in range(50):
        with pytest.raises(OddError):
            estimate_shapley(game, seed=1, method=method)
    before = threading.active_count()
    with pytest.raises(OddError):
        estimate_shapley(game, seed=1, method=method)
    assert threading.active_count() == before
    del value, game
    gc.collect()
    assert alive() is None


def test_a_game_that_refers_to_itself_is_collected() -> None:
    class Holder:
        game: BatchGame

        def value(self, coalitions: Bools) -> Floats:
            return squared(coalitions)

    holder = Holder()
    holder.game = BatchGame(value=holder.value, players=3)
    compute_shapley(holder.game)
    alive = weakref.ref(holder)
    del holder
    gc.collect()
    assert alive() is None


WRONG: dict[str, tuple[Callable[[Bools], Any], str]] = {
    "too few": (lambda c: np.zeros(3), r"must return shape \(\d+,\).*returned \(3,\)"),
    "a column": (lambda c: np.zeros((len(c), 1)), "one value per row"),
    "NaN": (lambda c: np.where(c[:, 2], np.nan, 0.0), "returned nan for the coalition of players"),
    "infinity": (lambda c: np.full(len(c), np.inf), "returned inf"),
    "a word": (lambda c: "many", "array of numbers, returned str"),
    "nothing": (lambda c: None, "value"),
    "complex": (lambda c: np.ones(len(c)) * 1j, "array of numbers"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_values_are_named(name: str) -> None:
    value, message = WRONG[name]
    with pytest.raises(InvalidGameError, match=message) as caught:
        estimate_shapley(BatchGame(value=value, players=6), seed=1)
    assert caught.value.field == "value"


def test_bad_python_games_are_refused() -> None:
    for players in (0, (), None, "abc", True):
        with pytest.raises(InvalidGameError, match="players"):
            BatchGame(value=squared, players=players)
    with pytest.raises(InvalidGameError, match="value: must be a function"):
        BatchGame(value=3, players=2)  # type: ignore[arg-type]
    with pytest.raises(InvalidGameError, match="background"):
        TabularGame(predict=first, instance=[1.0, 2.0], background=np.zeros((0, 2)))
    with pytest.raises(InvalidGameError, match="background"):
        TabularGame(predict=first, instance=[1.0, 2.0], background=np.zeros((3, 3)))
    with pytest.raises(InvalidGameError, match="instance: values must be finite"):
        TabularGame(predict=first, instance=[1.0, np.nan], background=np.zeros((3, 2)))
    with pytest.raises(InvalidGameError, match="predict"):
        estimate_shapley(
            TabularGame(
                predict=lambda rows: rows, instance=[1.0, 2.0], background=np.zeros((3, 2))
            ),
            seed=1,
        )


def test_a_table_is_predicted_in_bounded_pieces() -> None:
    sizes: list[int] = []

    def predict(rows: Floats) -> Floats:
        sizes.append(len(rows))
        return rows[:, 0]

    game = TabularGame(predict=predict, instance=np.ones(16), background=np.zeros((1000, 16)))
    values = compute_shapley(TabularGame(
        predict=predict, instance=np.ones(6), background=np.zeros((1000, 6))
    )).values  # fmt: skip
    assert values[0] == pytest.approx(1.0)
    assert (values[1:] == 0.0).all()
    estimate_shapley(game, budget=16 * 32, seed=1, method="sampled")
    assert max(sizes) <= 1 << 16


def test_ctrl_c_in_a_value_function_arrives() -> None:
    code = """
        import numpy as np, os, signal, threading
        from bayesrca.attribution import BatchGame, estimate_shapley
        def value(c):
            return np.sin(c @ np.arange(30.0))
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
        estimate_shapley(BatchGame(value=value, players=30), tolerance=1e-9, seed=1)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "KeyboardInterrupt" in done.stderr
    assert done.returncode in (130, -signal.SIGINT)


def test_leverage_is_a_regression_with_honest_errors() -> None:
    rng = np.random.default_rng(3)
    w, pair = rng.normal(size=24), rng.normal(size=(24, 24)) / 5
    game = BatchGame(
        value=lambda c: c @ w + np.einsum("bi,ij,bj->b", c * 1.0, pair, c * 1.0), players=24
    )
    truth = w + (np.diag(pair) + (pair + pair.T).sum(axis=1) / 2 - np.diag(pair))
    for seed in range(3):
        found = estimate_shapley(game, budget=6000, seed=seed, method="leverage")
        assert found.rule == "leverage_jackknife"
        assert found.n_evaluations <= 6000
        np.testing.assert_allclose(found.values, truth, atol=8 * found.std_err.max() + 1e-9)
        assert abs(found.efficiency_gap) < 1e-9
    with pytest.raises(InvalidSettingsError, match="budget"):
        estimate_shapley(game, budget=20, seed=1, method="leverage")


def test_an_expensive_function_gets_the_better_estimator() -> None:
    """On a budget, up to 20 players: the regression; its rule says so."""
    rng = np.random.default_rng(5)
    w = rng.normal(size=18)
    game = BatchGame(value=lambda c: np.tanh(c @ w), players=18)
    assert estimate_shapley(game, budget=4000, seed=1).rule == "leverage_jackknife"
