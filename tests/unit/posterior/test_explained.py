"""The share of the target's excess that a cause accounts for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from bayesrca.posterior.explained import compute_explained_share
from bayesrca.posterior.result import ExplainedShare


def share(
    cause: list[float],
    target: list[float],
    *,
    noise: float = 1.0,
    weight: list[float] | None = None,
    mass: float = 0.89,
) -> ExplainedShare | None:
    log_weight = np.log(weight) if weight else np.zeros(len(cause))
    dose = np.array([cause, target])
    return compute_explained_share("latency", dose, np.full_like(dose, noise), log_weight, mass)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10**6))
def test_it_is_the_law_of_the_ratio_of_noisy_doses(seed: int) -> None:
    """By drawing footprints and doses."""
    rng = np.random.default_rng(seed)
    dose = np.array([rng.uniform(-5, 30, 3), rng.uniform(10, 30, 3)])
    noise = rng.uniform(0.2, 6.0, (2, 3))
    weight = rng.dirichlet(np.ones(3))
    found = compute_explained_share("errors", dose, noise, np.log(weight) + 7.0, 0.8)
    assert found is not None
    n = 400_000
    s = rng.choice(3, n, p=weight)
    target = rng.normal(dose[1, s], noise[1, s])
    cause = rng.normal(dose[0, s], noise[0, s])
    # Targets at or below zero are drawn anew, in their own footprint.
    while (bad := target <= 0).any():
        target[bad] = rng.normal(dose[1, s[bad]], noise[1, s[bad]])
    drawn = np.clip(cause / target, 0.0, 1.0)
    assert found.value == pytest.approx(drawn.mean(), abs=0.004)
    # Compared by mass, for the law has jumps at 0 and 1 and may be flat between them.
    low, high = found.interval
    assert (drawn < low - 0.005).mean() <= 0.105
    assert (drawn <= low + 0.005).mean() >= 0.095
    assert (drawn > high + 0.005).mean() <= 0.105
    assert (drawn >= high - 0.005).mean() >= 0.095
    assert found.ratio == pytest.approx((weight @ dose[0]) / (weight @ dose[1]))


def test_without_noise_it_is_the_ratio() -> None:
    half = share([10.0], [20.0], noise=1e-9)
    assert half is not None
    assert_allclose([half.value, *half.interval, half.ratio], 0.5, rtol=1e-6)


def test_what_is_lost_on_the_way_does_not_explain_more_than_all() -> None:
    lost = share([40.0], [20.0], noise=0.1)
    assert lost is not None
    assert (lost.value, *lost.interval) == pytest.approx((1.0, 1.0, 1.0))
    assert lost.ratio == pytest.approx(2.0)
    none = share([-40.0], [20.0], noise=0.1)
    assert none is not None
    assert (none.value, *none.interval) == pytest.approx((0.0, 0.0, 0.0))


def test_more_noise_widens_the_interval() -> None:
    widths = []
    for noise in (0.1, 1.0, 3.0):
        found = share([10.0], [20.0], noise=noise)
        assert found is not None
        widths.append(found.interval[1] - found.interval[0])
    assert widths == sorted(widths)
    assert widths[0] < 0.05
    assert widths[2] > 0.2


def test_footprints_count_by_their_weight() -> None:
    found = share([5.0, 15.0], [20.0, 20.0], noise=1e-6, weight=[0.9, 0.1])
    assert found is not None
    assert found.value == pytest.approx(0.9 * 0.25 + 0.1 * 0.75, rel=1e-6)
    assert found.interval == pytest.approx((0.25, 0.75), rel=1e-3)


def test_there_is_none_where_the_targets_excess_is_not_known() -> None:
    nan = float("nan")
    assert share([10.0], [nan]) is None
    assert share([nan], [20.0]) is None
    assert share([10.0], [1.0]) is None  # within its noise
    assert share([10.0], [-20.0]) is None
    assert share([10.0, 10.0], [20.0, nan], weight=[0.4, 0.6]) is None
    known = share([10.0, nan], [20.0, 20.0], weight=[0.6, 0.4])
    assert known is not None
    assert known.ratio == pytest.approx(0.5)
