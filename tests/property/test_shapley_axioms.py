"""Shapley's axioms, on games drawn at random: they single out the value (Shapley 1953)."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bayesrca.attribution import BatchGame, ShapleyEstimate, compute_shapley, estimate_shapley

Floats = NDArray[np.float64]
Way = Literal["exact", "scrambles", "pairs"]
WAYS: tuple[Way, ...] = ("exact", "scrambles", "pairs")

tables = st.integers(2, 6).flatmap(
    lambda n: st.integers(0, 2**32 - 1).map(
        lambda seed: np.random.default_rng(seed).normal(size=2**n)
    )
)


def solve(table: Floats, way: Way) -> ShapleyEstimate:
    """The game that looks coalitions up in a table of 2^n values, player i being bit i."""
    n = int(np.log2(len(table)))
    powers = 1 << np.arange(n)
    game = BatchGame(value=lambda c: table[c @ powers], players=n)
    if way == "exact":
        return compute_shapley(game)
    budget = 64 * n if way == "scrambles" else 20 * n
    return estimate_shapley(game, seed=1, method="sampled", budget=budget)


def swap(table: Floats, i: int, j: int) -> Floats:
    """The same game with players i and j in each other's place."""
    numbers = np.arange(len(table))
    different = (numbers >> i & 1) != (numbers >> j & 1)
    return table[np.where(different, numbers ^ (1 << i | 1 << j), numbers)]


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=25, deadline=None)
@given(table=tables)
def test_efficiency(way: Way, table: Floats) -> None:
    estimate = solve(table, way)
    assert abs(estimate.efficiency_gap) < 1e-12
    assert estimate.grand - estimate.baseline == pytest.approx(table[-1] - table[0], abs=1e-15)


@settings(max_examples=25, deadline=None)
@given(table=tables)
def test_symmetry(table: Floats) -> None:
    same = (table + swap(table, 0, 1)) / 2
    exact = solve(same, "exact")
    assert exact.values[0] == pytest.approx(exact.values[1], abs=1e-13)
    sampled = solve(same, "scrambles")
    spread = np.hypot(sampled.std_err[0], sampled.std_err[1])
    assert abs(sampled.values[0] - sampled.values[1]) <= 8 * spread + 1e-12


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=25, deadline=None)
@given(table=tables)
def test_dummy(way: Way, table: Floats) -> None:
    """A player that adds the same to every coalition gets that, a null player exactly nothing."""
    null = np.concatenate([table, table])
    assert solve(null, way).values[-1] == 0.0
    assert solve(np.concatenate([table, table + 0.75]), way).values[-1] == pytest.approx(0.75)


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=25, deadline=None)
@given(table=tables, a=st.floats(-3, 3), b=st.floats(-3, 3), seed=st.integers(0, 2**32 - 1))
def test_linearity(way: Way, table: Floats, a: float, b: float, seed: int) -> None:
    """Also of the estimates: with one seed, all games are walked along the same orders."""
    other = np.random.default_rng(seed).normal(size=len(table))
    mixed = solve(a * table + b * other, way).values
    apart = a * solve(table, way).values + b * solve(other, way).values
    np.testing.assert_allclose(mixed, apart, atol=1e-11)
