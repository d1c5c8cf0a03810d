"""States: what a novelty is worth, that it is a proper ratio, and what cannot be said."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import integrate

from bayesrca.evidence import Evidence, build_evidence
from bayesrca.evidence.novelty import compare_range, compare_states, range_ratio
from bayesrca.incident import Component, Family, Incident, Run, Signal, Statistic, Topology
from tests.unit.evidence.kit import INSIDE, N_NORMAL, TIME, WINDOW, incident, noisy, series

Floats = NDArray[np.float64]
ALL = np.ones((1, 1))


def one(units: Sequence[Any], value: float, absent: int = 0, *, states: bool = True) -> float:
    """Ratio at fault of a window that holds a single value."""
    compare = compare_states if states else compare_range
    arrays = [np.atleast_1d(np.asarray(u, dtype=np.float64)) for u in units]
    found = compare(arrays, absent, np.array([value]), np.zeros(1), ALL)
    return float(np.exp(found.log_fault[0]))


def state(component: str, values: Any, family: Family = Family.GENERIC) -> Signal:  # noqa: ANN401
    return series(component, values, family, Statistic.VALUE, name="mode")


def runs(*values: Any, name: str = "mode") -> tuple[Run, ...]:  # noqa: ANN401
    """Normal runs of `front`, each with one series on a clock of its own."""
    time = 1e6 + np.arange(5.0)
    return tuple(
        Run(
            f"run{i}",
            (
                Signal(
                    "front",
                    name,
                    Family.GENERIC,
                    Statistic.VALUE,
                    time,
                    np.broadcast_to(np.asarray(v, dtype=np.float64), 5),
                ),
            ),
        )
        for i, v in enumerate(values)
    )


def evidence(signal: Signal, normal: tuple[Run, ...], **changes: Any) -> Evidence:  # noqa: ANN401
    return build_evidence(incident(signal, normal_runs=normal, **changes))


# -- what a novelty is worth, by hand --------------------------------------------------------------


def test_a_state_that_no_recording_visits() -> None:
    # 9 recordings, all common: quiet probability of "new" (0 + 1/2) / (9 + 4/2).
    assert one([1.0] * 9, 0.0) == pytest.approx(0.95 * 0.6 / (0.5 / 11) + 0.05)
    assert one([1.0] * 9, 1.0) == pytest.approx(0.95 * 0.15 / (9.5 / 11) + 0.05)


def test_recordings_that_disagree_make_novelty_cheap() -> None:
    # Each recording has a state of its own: judged by the others, all nine were new.
    assert one([[0.0, i] for i in range(1, 10)], 77.0) == pytest.approx(
        0.95 * 0.6 / (9.5 / 11) + 0.05
    )


def test_rare_and_uncommon_states() -> None:
    units = [[0.0, 1.0]] * 2 + [[0.0, 2.0]] * 8 + [0.0] * 10  # 20 recordings
    # Of 19 others, 1 visits state 1 (rare), 7 visit state 2 (uncommon).
    quiet = np.array([0.0, 2.0, 8.0, 10.0]) + 0.5
    quiet /= quiet.sum()
    assert one(units, 1.0) == pytest.approx(0.95 * 0.15 / quiet[1] + 0.05)
    assert one(units, 2.0) == pytest.approx(0.95 * 0.10 / quiet[2] + 0.05)


def test_a_recording_without_the_series_rested() -> None:
    assert one([1.0], 0.0, absent=8) == pytest.approx(one([1.0] * 9, 0.0))


def test_the_farther_outside_the_range_the_more() -> None:
    units = [[0.0, float(i)] for i in range(1, 12)]
    ratios = [one(units, v, states=False) for v in (5.0, 12.0, 30.0, 1e6)]
    assert ratios == sorted(ratios)
    assert ratios[0] < 1 < ratios[1]


# -- proper ratios ---------------------------------------------------------------------------------


@given(
    st.lists(st.sets(st.integers(0, 5), min_size=1), min_size=1, max_size=30), st.integers(0, 20)
)
def test_the_mean_ratio_under_the_quiet_law_is_one(units: list[set[int]], absent: int) -> None:
    """Recount the categories in plain Python and weigh the ratios of all of them."""
    total = len(units) + absent
    visits = {v: sum(v in u for u in units) for v in range(6)}
    rest = [v for v in visits if visits[v] == max(visits.values())]
    visits = {v: n + absent * (v in rest) for v, n in visits.items()}

    def category(n: int, of: int) -> int:
        share = n / of if of else 1.0
        return 0 if share == 0 else 1 if share <= 0.1 else 2 if share <= 0.5 else 3

    counts = [0.5, 0.5, 0.5, 0.5 + absent]
    for unit in units:
        counts[category(min(visits[v] for v in unit) - 1, total - 1)] += 1
    quiet = [c / sum(counts) for c in counts]
    arrays = [sorted(u) for u in units]
    seen: dict[int, float] = {}
    for value in range(-1, 6):
        found = category(visits.get(value, 0), total)
        ratio = one(arrays, value, absent)
        assert seen.setdefault(found, ratio) == pytest.approx(ratio)
        law = (0.6, 0.15, 0.1, 0.15)[found]
        assert ratio * quiet[found] == pytest.approx(0.95 * law + 0.05 * quiet[found])
    if len(seen) == 4:
        assert sum(quiet[k] * seen[k] for k in range(4)) == pytest.approx(1.0)


@pytest.mark.parametrize("rate", [0.01, 0.2, 0.7])
def test_the_mean_ratio_of_a_range_is_one(rate: float) -> None:
    def integrand(u: float) -> float:  # u = 1 / (1 + e) has a uniform quiet law outside
        return float(range_ratio(np.array([1 / u - 1]), rate)[0])

    outside = integrate.quad(integrand, 0.0, 1.0, points=[0.01])[0]
    inside = float(range_ratio(np.zeros(1), rate)[0])
    assert rate * outside + (1 - rate) * inside == pytest.approx(1.0, abs=1e-4)


@given(
    st.lists(st.sets(st.integers(0, 4), min_size=1), min_size=1, max_size=12),
    st.sets(st.integers(0, 5), min_size=1),
    st.permutations(range(6)),
)
def test_names_of_states_mean_nothing(
    units: list[set[int]], window: set[int], names: list[int]
) -> None:
    def ratio(label: Sequence[int]) -> Any:  # noqa: ANN401
        values = np.array([float(label[v]) for v in sorted(window)])
        arrays = [np.array([float(label[v]) for v in sorted(u)]) for u in units]
        return compare_states(
            arrays, 2, values, np.arange(len(values), dtype=float), np.ones((1, len(values)))
        )

    first, second = ratio(range(6)), ratio(names)
    assert first.log_fault == pytest.approx(second.log_fault)
    assert first.visits == pytest.approx(second.visits)


@given(st.floats(1e-3, 1e3), st.sampled_from([-1e300, -3.0, 1e-300, 1e-3, 1e290]))
def test_the_unit_of_a_range_means_nothing(value: float, scale: float) -> None:
    units = [[-3.0, 5.0 + i] for i in range(7)]
    scaled = [sorted(scale * x for x in u) for u in units]
    assert one(units, value, states=False) == pytest.approx(
        one(scaled, scale * value, states=False), rel=1e-6
    )


# -- tables ----------------------------------------------------------------------------------------


def test_a_table_says_what_was_seen_and_when() -> None:
    values = np.where(INSIDE, np.where(TIME[-3] <= TIME, 7.0, 1.0), 1.0)
    table = evidence(state("front", values), runs(*[1.0] * 9)).states
    assert table.component.tolist() == [0]
    assert table.signal == ("mode",)
    assert table.units.tolist() == [10]  # the baseline is one of them
    assert table.onset.tolist() == [TIME[-3]]
    assert set(table.state[0]) == {1.0, 7.0}
    assert table.visits[0][table.state[0] == 7.0].tolist() == [0.0] * (table.state[0] == 7).sum()
    new = 0.95 * 0.6 / (0.5 / 12)
    assert np.exp(table.log_fault.max()) == pytest.approx(new + 0.05)
    assert np.exp(table.log_disturbed.max()) == pytest.approx(new / 0.95 * 0.6 + 0.4)


def test_a_quantity_is_read_once() -> None:
    few = evidence(state("front", np.where(INSIDE, 0.0, 1.0)), runs(*[1.0] * 3))
    many = evidence(state("front", np.where(INSIDE, 0.0, 1.0)), runs(*[1.0] * 4))
    assert (len(few.vitals.signal), len(few.states.signal)) == (1, 0)
    assert (len(many.vitals.signal), len(many.states.signal)) == (0, 1)
    assert any("compared with the states and ranges of 4 normal runs" in n for n in many.notes)


@pytest.mark.parametrize("family", [Family.LATENCY, Family.ERRORS, Family.LOAD, Family.CPU])
def test_measured_families_are_no_states(family: Family) -> None:
    normal = runs(*[1.0] * 9)
    signal = series("front", noisy(1, 2), family, Statistic.VALUE, name="mode")
    assert evidence(signal, normal).states.signal == ()


def test_a_declared_state_needs_no_runs() -> None:
    table = evidence(state("front", np.where(INSIDE, 3.0, 1.0), Family.STATE), ()).states
    assert table.units.tolist() == [1]
    assert np.exp(table.log_fault) == pytest.approx(0.95 * 0.6 / (0.5 / 3) + 0.05)


def test_missing_samples_and_missing_runs() -> None:
    values = np.where(INSIDE, np.nan, 1.0)
    values[N_NORMAL] = 1.0
    table = evidence(state("front", values), runs(*[1.0] * 8, np.nan)).states
    assert table.units.tolist() == [9]  # a run without a sample says nothing
    assert np.isnan(table.log_fault).any() or table.log_fault.shape[1] == 1
    nothing = state("front", np.where(INSIDE, np.nan, 1.0))
    with_other = incident(nothing, series("back", noisy(1, 2)), normal_runs=runs(*[1.0] * 9))
    assert build_evidence(with_other).states.signal == ()


def test_one_sample_and_no_baseline() -> None:
    signal = Signal("front", "mode", Family.GENERIC, Statistic.VALUE, TIME, 0.0 * TIME + 2.0)
    table = evidence(signal, runs(*[1.0] * 9), baseline=None).states
    assert table.units.tolist() == [9]
    assert (table.log_fault > 1).all()


@pytest.mark.parametrize("value", [0.0, 1.0, -5e300])
def test_all_constant_is_evidence_against(value: float) -> None:
    table = evidence(state("front", value), runs(*[value] * 9)).states
    assert (table.log_fault < 0).all()
    assert np.isnan(table.onset).all()


def test_a_constant_reading_that_leaves_a_range() -> None:
    levels = [np.linspace(0, 1 + i / 100, 5) for i in range(9)]
    table = evidence(state("front", np.where(INSIDE, 50.0, 0.5)), runs(*levels)).states
    assert (table.log_fault > 3).all()
    assert (table.state == 50.0).all()
    assert (table.visits == 0).all()


# -- recordings that keep changes only -------------------------------------------------------------


def changes_only(n_still: int) -> Incident:
    """Twelve two-state series, some of which rest, and a component without any series."""
    names = [f"c{i}" for i in range(12)]
    signals = [
        state(name, np.where(TIME[3 * i] == TIME, 0.0, 1.0) if i >= n_still else 1.0)
        for i, name in enumerate(names)
    ]
    topology = Topology(tuple(Component(n) for n in [*names, "silent"]))
    return incident(*signals, topology=topology, normal_runs=runs(*[1.0] * 6), window=WINDOW)


def test_what_a_recording_of_changes_lacks_did_not_change() -> None:
    found = build_evidence(changes_only(1))
    row = found.states.component.tolist().index(12)
    assert found.states.signal[row] == ""
    assert found.states.units[row] == 7
    assert np.exp(found.states.log_fault[row]) == pytest.approx(0.95 * 0.15 / (7.5 / 9) + 0.05)
    assert any("keep changes only" in note for note in found.notes)


def test_elsewhere_a_silent_component_says_nothing() -> None:
    found = build_evidence(changes_only(2))
    assert 12 not in found.states.component
    assert not any("keep changes only" in note for note in found.notes)
