"""Simulated onsets follow eq. 16: who has one, and how near to the root's it lies."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from bayesrca.evaluation.simulate import simulate_evidence
from bayesrca.evaluation.simulate_onsets import FOUND, LEAST_Z, WIDTHS, draw_onsets, draw_related
from bayesrca.evidence import onsets as read
from bayesrca.model.parameters import parameter_names, unconstrained_prior

MEAN, SD = unconstrained_prior()
EVERYBODY = np.ones(3, dtype=bool)


def test_the_threshold_is_that_of_real_onsets() -> None:
    assert LEAST_Z == read.LEAST_Z


@pytest.mark.parametrize(("start", "step"), [(0.5, 0.01), (0.02, 0.1), (1.0, 0.3)])
def test_related_onsets_have_the_density_of_the_lag(start: float, step: float) -> None:
    rng = np.random.default_rng(1)
    drawn = [draw_related(rng, start, step) for _ in range(4000)]
    grid = np.linspace(0.0, 1.0, 200_001)
    density = 1.0 / (np.abs(grid - start) + step)
    cumulative = np.cumsum(density) / density.sum()
    assert stats.kstest(drawn, lambda t: np.interp(t, grid, cumulative)).pvalue > 0.001


def test_onsets_of_the_disturbed_are_near_the_roots() -> None:
    time, width = _draw({1: [(0, 1)]}, unrelated=0.3)
    known = np.isfinite(time)
    assert known.mean() == pytest.approx(FOUND, abs=0.02)
    for i in (0, 2):  # the root, and whom it did not disturb
        assert stats.kstest(time[known[:, i], i], "uniform").pvalue > 0.001
    assert WIDTHS[0] < width[known].min() < 1.2 * WIDTHS[0]
    assert 0.8 * WIDTHS[1] < width[known].max() < WIDTHS[1]
    _check_law(time, width, 1, {0: 0.7}, unrelated=0.3)
    with pytest.raises(AssertionError):  # the check would see another share
        _check_law(time, width, 1, {0: 1.0}, unrelated=0.0)


def test_the_nearer_of_two_roots_counts_double() -> None:
    ways = {2: [(0, 1), (1, 2)]}
    _check_law(*_draw(ways, unrelated=0.0), 2, {0: 2 / 3, 1: 1 / 3}, unrelated=0.0)


def _draw(
    ways: dict[int, list[tuple[int, int]]], *, unrelated: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Onsets and widths, [5000, 3], of three components that moved."""
    rng = np.random.default_rng(2)
    tables = [draw_onsets(rng, EVERYBODY, ways, unrelated=unrelated) for _ in range(5000)]
    return np.array([t.time for t in tables]), np.array([t.upper - t.lower for t in tables])


def _check_law(
    time: NDArray[np.float64],
    width: NDArray[np.float64],
    i: int,
    roots: dict[int, float],
    *,
    unrelated: float,
) -> None:
    """Onsets of i given the roots': each root's share of them near it, the rest anywhere."""
    known = np.isfinite(time[:, [i, *roots]]).all(axis=1)
    other = time[known, i]
    below = unrelated * other
    for root, share in roots.items():
        start, step = time[known, root], np.hypot(width[known, root], width[known, i])
        before, after = np.log1p(start / step), np.log1p((1.0 - start) / step)
        at = np.sign(other - start) * np.log1p(np.abs(other - start) / step)
        below += share * (at + before) / (before + after)
    assert stats.kstest(below, "uniform").pvalue > 0.001


def test_a_root_without_an_onset_says_nothing_of_others() -> None:
    rng = np.random.default_rng(4)
    moved = np.array([False, True])
    time = [draw_onsets(rng, moved, {1: [(0, 1)]}, unrelated=0.0).time for _ in range(3000)]
    assert np.isnan(np.array(time)[:, 0]).all()
    found = np.array(time)[:, 1]
    assert stats.kstest(found[np.isfinite(found)], "uniform").pvalue > 0.001


def test_only_what_moved_has_an_onset() -> None:
    seen = 0
    for seed in range(40):
        evidence, _ = simulate_evidence(seed=seed, components=12)
        assert evidence.onsets is not None
        for i in np.flatnonzero(np.isfinite(evidence.onsets.time)):
            seen += 1
            largest = [np.abs(evidence.vitals.z[evidence.vitals.component == i])]
            largest += [np.abs(t.z[t.series_component == i]) for t in evidence.families]
            states = evidence.states.log_disturbed[evidence.states.component == i]
            counted = np.isfinite(evidence.families[1].log_quiet[i, 0])
            reason = max(x.max(initial=0.0) for x in largest) >= LEAST_Z or (states > 0).any()
            assert reason or counted
    assert seen > 40


def test_lags_of_the_disturbed_reach_the_evidence() -> None:
    """With nothing unrelated and nothing else that moves vitals, callers follow the root."""
    theta, names = MEAN.copy(), parameter_names()
    theta[names.index("unrelated_delay")] = theta[names.index("vital_rate")] = -8.0
    theta[names.index("vital_transmission[latency]")] = 6.0
    callers: list[bool] = []
    others: list[bool] = []
    for seed in range(200):
        evidence, truth = simulate_evidence(seed=seed, theta=theta, components=10, none_prior=0.0)
        (root, kind), onsets = truth.causes[0], evidence.onsets
        assert onsets is not None
        calling = {int(b) for a, b in evidence.families[0].edges if a == root}
        for i in set(np.flatnonzero(np.isfinite(onsets.time + onsets.time[root]))) - {root}:
            caused = kind != "load" and i in calling and i in evidence.vitals.component
            (callers if caused else others).append(abs(onsets.time[i] - onsets.time[root]) < 0.05)
    assert len(callers) > 30
    assert np.mean(callers) > 0.3
    assert np.mean(others) < 0.2
