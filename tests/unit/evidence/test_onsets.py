"""Onsets of simulated level shifts: found where they are, covered by intervals, not in noise."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bayesrca.evidence import OnsetTable, build_evidence
from bayesrca.evidence.frame import Frame, build_frame
from bayesrca.evidence.onsets import MOST_BLOCKS, place_onset
from bayesrca.incident import Component, Family, Incident, Signal, Statistic, TimeWindow, Topology
from tests.unit.evidence.kit import INSIDE, N_NORMAL, STEP, TIME, incident, latency, noisy, series

N_BEFORE, N_IN = 100, 40


def framed(values: NDArray[np.float64], *, adjacent: bool = True) -> tuple[Frame, Signal]:
    time = np.arange(len(values), dtype=np.float64) * 60.0
    signal = Signal("a", "x", Family.CPU, Statistic.VALUE, time, values)
    whole = Incident(
        "shift",
        Topology((Component("a"),), ()),
        (signal,),
        baseline=TimeWindow(0.0, time[N_BEFORE - 1]) if adjacent else None,
        window=TimeWindow(time[N_BEFORE], time[-1]),
    )
    return build_frame(whole, whole.signals, 5, []), signal


def shifted(
    rng: np.random.Generator, size: float, *, correlation: float = 0.0, n: int = N_IN
) -> tuple[NDArray[np.float64], float]:
    """A level shift at a time within the window, in noise of unit variance."""
    noise = rng.standard_normal(N_BEFORE + n)
    for i in range(1, len(noise)):
        noise[i] = correlation * noise[i - 1] + np.sqrt(1 - correlation**2) * noise[i]
    onset = 60.0 * (N_BEFORE + rng.uniform(1.0, 0.8 * n))
    return 5.0 + noise + size * (60.0 * np.arange(len(noise)) >= onset), onset


@pytest.mark.parametrize("adjacent", [True, False])
@pytest.mark.parametrize("size", [3.0, 5.0])
def test_interval_covers_the_onset_nine_times_in_ten(size: float, adjacent: bool) -> None:
    rng = np.random.default_rng(5)
    covered = []
    for _ in range(200):
        values, onset = shifted(rng, size)
        place = place_onset(*framed(values, adjacent=adjacent))
        if place is not None:
            assert place[1] <= place[0] <= place[2]
            covered.append(place[1] <= onset <= place[2])
    assert len(covered) >= 150
    assert np.mean(covered) >= 0.84  # two standard errors below .9


def test_interval_still_covers_when_noise_is_correlated() -> None:
    rng = np.random.default_rng(6)
    made = [shifted(rng, 5.0, correlation=0.5) for _ in range(100)]
    found = [(place_onset(*framed(values)), onset) for values, onset in made]
    covered = [place[1] <= onset <= place[2] for place, onset in found if place is not None]
    assert len(covered) >= 90
    assert np.mean(covered) >= 0.84


@pytest.mark.parametrize(("correlation", "most"), [(0.0, 0.03), (0.5, 0.1)])
def test_noise_seldom_has_an_onset(correlation: float, most: float) -> None:
    rng = np.random.default_rng(7)
    made = [shifted(rng, 0.0, correlation=correlation)[0] for _ in range(200)]
    assert np.mean([place_onset(*framed(values)) is not None for values in made]) <= most


def test_a_change_between_two_samples_lies_between_them() -> None:
    values = np.where(np.arange(N_BEFORE + N_IN) >= N_BEFORE + 12, 2.0, 1.0)
    place = place_onset(*framed(values))
    assert place is not None
    start = 60.0 * (N_BEFORE + 11)
    np.testing.assert_allclose(place, [start + 30, start + 3, start + 57, 60 / np.sqrt(12)])


def test_a_long_window_is_cut_into_blocks() -> None:
    values, onset = shifted(np.random.default_rng(8), 4.0, n=10 * MOST_BLOCKS)
    place = place_onset(*framed(values))
    assert place is not None
    assert place[1] <= onset <= place[2]


def test_constant_and_short_series_have_none() -> None:
    assert place_onset(*framed(np.ones(N_BEFORE + N_IN))) is None
    values, _ = shifted(np.random.default_rng(9), 9.0, n=7)
    assert place_onset(*framed(values)) is None


def test_components_are_ordered_by_their_strongest_series() -> None:
    late = np.where(TIME >= STEP * (N_NORMAL + 6), 0.5, 0.1)
    early = np.where(TIME >= STEP * (N_NORMAL + 2), 0.9, 0.1)
    noise = noisy(1.0, 1.0)
    found = build_evidence(
        incident(
            latency("front", late * noise),
            series("front", noisy(0.5, 0.5, 1), Family.CPU),
            series("back", early * noisy(1.0, 1.0, 2), Family.CPU),
        )
    ).onsets
    assert found is not None
    assert found.order.tolist() == [1, 0]
    assert found.signal == ("latency_mean", "cpu_mean")
    np.testing.assert_allclose(found.time, STEP * (N_NORMAL + np.array([5.5, 1.5])), atol=STEP)
    assert (found.error > 0).all()


def test_unchanged_components_have_none() -> None:
    found = build_evidence(incident(latency("back", noisy(0.2, 0.2)))).onsets
    assert found is not None
    assert np.isnan(found.time).all()
    assert found.signal == ("", "")
    assert found.order.size == 0
    assert OnsetTable.empty(3).signal == ("", "", "")


def test_a_state_never_seen_before_is_an_onset() -> None:
    state = np.where(TIME >= STEP * (N_NORMAL + 4), 7.0, 3.0)
    usual = np.where(np.arange(len(TIME)) % 2 == 0, 7.0, 3.0)
    for values, expected in ((state, STEP * (N_NORMAL + 3.5)), (usual, np.nan)):
        signal = series("front", values, Family.STATE, Statistic.VALUE)
        found = build_evidence(incident(signal, latency("back", noisy(0.2, 0.2)))).onsets
        assert found is not None
        np.testing.assert_allclose(found.time, [expected, np.nan])
    assert INSIDE.sum() == 10


def test_of_several_states_the_earliest_change_counts() -> None:
    states = [
        series("front", np.where(STEP * (N_NORMAL + k) <= TIME, 1.0, 0.0), Family.STATE, name=name)
        for k, name in ((6, "late"), (3, "early"), (8, "last"))
    ]
    found = build_evidence(incident(*states, latency("back", noisy(0.2, 0.2)))).onsets
    assert found is not None
    assert found.signal == ("early", "")
