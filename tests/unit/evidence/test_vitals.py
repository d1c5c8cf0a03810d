from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayesrca.evidence import VITALS, Evidence, VitalTable, build_evidence
from bayesrca.evidence.frame import Frame, build_frame
from bayesrca.evidence.remarks import Remarks
from bayesrca.evidence.vitals import LARGEST_Z, build_vitals
from bayesrca.incident import (
    Component,
    Edge,
    Family,
    Incident,
    Signal,
    Statistic,
    TimeWindow,
    Topology,
)
from tests.unit.evidence import slow_vitals
from tests.unit.evidence.kit import (
    INSIDE,
    N_NORMAL,
    STEP,
    TIME,
    WINDOW,
    Floats,
    incident,
    latency,
    noisy,
    series,
)

CPU = VITALS.index(Family.CPU)
NEAR: dict[str, Any] = {}
DISTANT: dict[str, Any] = {"baseline": TimeWindow(0.0, 25 * STEP)}
ALONE: dict[str, Any] = {"baseline": None}
PERIODS = {"near": NEAR, "distant": DISTANT, "alone": ALONE}


def vital(
    component: str,
    values: object,
    family: Family = Family.CPU,
    *,
    name: str = "",
    time: Floats = TIME,
) -> Signal:
    return series(component, values, family, Statistic.VALUE, name=name, time=time)


def reduce(*signals: Signal, **changes: Any) -> tuple[Frame, VitalTable, list[str]]:  # noqa: ANN401
    made = incident(*signals, **changes)
    frame = build_frame(made, made.signals, 5, [])
    remarks = Remarks()
    return frame, build_vitals(made, frame, remarks), remarks.sentences()


def at(frame: Frame, first: int, last: int) -> int:
    return int(np.flatnonzero((frame.first == first) & (frame.last == last))[0])


def step(before: float, during: float) -> Floats:
    return np.where(INSIDE, during, before)


def test_a_contrast_by_hand() -> None:
    # Sixty samples 9, 11, 9, 11 ...; then ten of 14. A footprint of one bin has two samples.
    values = np.where(INSIDE, 14.0, 10.0 + np.where(np.arange(len(TIME)) % 2, 1.0, -1.0))
    frame, table, _ = reduce(vital("front", values))
    assert table.component.tolist() == [0]
    assert table.family.tolist() == [CPU]
    assert table.signal == ("cpu_value",)
    np.testing.assert_allclose(table.contrast, 4.0, rtol=1e-12)
    # Blocks of two and of four, the longest allowed being six, average the swing away.
    for s in (at(frame, 0, 1), at(frame, 1, 3)):
        np.testing.assert_allclose(table.scale[0, s], 0.06 * 10.0, rtol=1e-12)
    np.testing.assert_allclose(table.z, table.contrast / table.scale, rtol=1e-12)


def test_an_odd_block_keeps_part_of_the_swing() -> None:
    values = np.where(INSIDE, 14.0, 10.0 + np.where(np.arange(len(TIME)) % 2, 1.0, -1.0))
    values[60] = np.nan  # one sample in the first bin, three in the first two
    frame, table, _ = reduce(vital("front", values), vital("back", noisy(1, 2), name="clock"))
    one, three = at(frame, 0, 1), at(frame, 0, 2)
    np.testing.assert_allclose(table.scale[0, one] ** 2, 61 / 60 + 0.6**2, rtol=1e-12)
    np.testing.assert_allclose(table.scale[0, three] ** 2, 63 / 60 / 9 + 0.6**2, rtol=1e-12)


def test_inside_the_window_the_rest_of_it_is_the_reference() -> None:
    values = step(10.0, 10.0)
    values[62:66] = 40.0
    frame, table, _ = reduce(vital("front", values), **DISTANT)
    s = at(frame, 1, 3)
    assert table.contrast[0, s] == pytest.approx(30.0)
    # Baseline and the bins outside are constant: only the floor of a distant baseline is left.
    assert table.scale[0, s] == pytest.approx(0.2 * 10.0)
    assert (table.scale[0] > 2.0 + 1e-9).sum() > 5  # others have the fault in their rest


def test_without_a_baseline_the_default_is_wide() -> None:
    values = step(5.0, 1.0)
    values[68:] = 3.0
    frame, table, _ = reduce(vital("front", values), **ALONE)
    s = at(frame, 4, 5)
    assert table.contrast[0, s] == pytest.approx(2.0)
    floor, share = 0.2**2, 1 + 1 / 4
    expected = 4 * (0.3**2 * share + floor) / (4 + 3) + floor
    assert table.scale[0, s] ** 2 == pytest.approx(expected)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (step(5.0, 6.0), 1 / (0.06 * 5)),
        (step(5.0, 5.0), 0.0),
        (step(0.0, 7.0), 1 / 0.06),
        (step(0.0, 1e-300), 1 / 0.06),
        (step(-5.0, -6.0), -1 / (0.06 * 5)),
        (step(5.0, 0.0), -1 / 0.06),
        (step(0.0, 0.0), 0.0),
        (step(1e308, -1e308), -2 / 0.06),
    ],
)
def test_a_constant_series_that_changes_is_finite(values: Floats, expected: float) -> None:
    _, table, _ = reduce(vital("front", values))
    np.testing.assert_allclose(table.z, expected, rtol=1e-12)
    assert (table.scale > 0).all()
    assert np.isfinite(table.contrast).all()


def test_a_change_from_almost_nothing_is_cut_and_told() -> None:
    _, table, notes = reduce(vital("front", step(1e-9, 1.0)), vital("back", step(1.0, 1.1)))
    np.testing.assert_allclose(table.z[0], 1 / (0.06 * 0.1), rtol=1e-8)  # its peer has a level of 1
    _, table, notes = reduce(vital("front", step(1e-9, 1.0)))
    np.testing.assert_array_equal(table.z[0], LARGEST_Z)
    assert any("more than 3000 null scales" in note and "front|cpu_value" in note for note in notes)


def test_a_steady_counter_does_not_stand_out() -> None:
    _, table, _ = reduce(vital("front", 1000.0 * np.arange(len(TIME))))
    assert (table.z > 0).all()
    assert (table.z < 2.5).all()


def test_a_counter_that_was_always_zero_borrows_a_level() -> None:
    _, table, _ = reduce(vital("front", step(0.0, 7.0)), vital("back", step(100.0, 100.0)))
    np.testing.assert_allclose(table.z[0], 7 / (0.06 * 10.0))
    other = vital("back", step(100.0, 100.0), name="another")
    _, table, _ = reduce(vital("front", step(0.0, 7.0)), other)
    np.testing.assert_allclose(table.z[0], 1 / 0.06)


@pytest.mark.parametrize("periods", PERIODS)
def test_missing_footprints_are_missing(periods: str) -> None:
    values = noisy(1.0, 2.0)
    values[62:64] = np.nan  # the second bin
    frame, table, _ = reduce(vital("front", values), vital("back", noisy(1, 2)), **PERIODS[periods])
    missing = np.isnan(table.z[0])
    expected = (frame.first == 1) & (frame.last == 2)
    np.testing.assert_array_equal(missing, expected)
    for part in (table.contrast, table.scale):
        np.testing.assert_array_equal(np.isnan(part[0]), expected)
    assert not np.isnan(table.z[1]).any()


@pytest.mark.parametrize("periods", PERIODS)
def test_one_sample_in_the_window(periods: str) -> None:
    values = np.where(INSIDE, np.nan, noisy(1.0, 1.0))
    values[64] = 3.0
    frame, table, _ = reduce(vital("front", values), vital("back", noisy(1, 2)), **PERIODS[periods])
    seen = (frame.first <= 2) & (frame.last > 2)
    if periods == "near":
        np.testing.assert_array_equal(~np.isnan(table.z[0]), seen)
        assert (table.z[0, seen] > 3).all()
        # However long the footprint, its mean is that of one sample.
        assert np.ptp(table.scale[0, seen]) == 0
    else:
        assert table.component.tolist() == [1]  # nothing to compare the sample with


def test_series_without_a_sample_or_a_reference_are_left_out() -> None:
    gone = vital("front", np.nan, name="gone")
    early = vital("front", np.where(INSIDE, np.nan, 1.0), name="early")
    late = vital("front", np.where(INSIDE, 1.0, np.nan), name="late")
    _, table, _ = reduce(gone, early, late, vital("back", noisy(1, 2)))
    assert table.signal == ("cpu_value",)
    _, table, _ = reduce(gone, early, late, vital("back", noisy(1, 2)), **DISTANT)
    assert table.signal == ("late", "cpu_value")


def test_a_short_baseline_takes_the_default_and_says_so() -> None:
    nine = {"baseline": TimeWindow((N_NORMAL - 9) * STEP, (N_NORMAL - 1) * STEP)}
    _, table, notes = reduce(vital("front", step(2.0, 2.0)), **nine)
    whole = 0.3**2 * 2**2 * (1 / 5 + 1 / 9) + 0.12**2
    whole *= 4 / (4 + 8)  # nine samples that do not vary
    assert table.scale[0].min() ** 2 == pytest.approx(whole + 0.12**2)
    assert any("too few samples of 1 series ('front|cpu_value')" in note for note in notes)
    ten = {"baseline": TimeWindow((N_NORMAL - 10) * STEP, (N_NORMAL - 1) * STEP)}
    _, table, notes = reduce(vital("front", step(2.0, 2.0)), **ten)
    np.testing.assert_allclose(table.scale, 0.12)
    assert not notes


def test_order_and_families() -> None:
    signals = [
        vital("back", noisy(1, 2, 1), Family.GENERIC),
        vital("back", noisy(1, 2, 2), Family.AVAILABILITY),
        vital("back", noisy(1, 2, 3), Family.LOAD),
        vital("front", noisy(1, 2, 4), Family.NETWORK),
        vital("front", noisy(1, 2, 5), Family.STATE),
        vital("front", noisy(1, 2, 6), Family.MEMORY, time=TIME + 7.0),
        vital("front", noisy(1, 2, 7), Family.DISK),
        latency("front", noisy(1, 2, 8)),
    ]
    _, table, _ = reduce(*signals)
    assert table.component.tolist() == [0, 0, 0, 1, 1, 1]
    assert [VITALS[f].value for f in table.family] == [
        "memory", "disk", "network", "load", "generic", "generic",
    ]  # fmt: skip
    assert table.signal[-2:] == ("generic_value", "availability_value")


@pytest.mark.parametrize("periods", PERIODS)
def test_series_on_several_clocks_are_contrasted_apart(periods: str) -> None:
    signals = [
        vital("front", noisy(1, 2, 1)),
        vital("front", noisy(1, 3, 2)[::2], Family.MEMORY, time=TIME[::2]),
        vital("front", noisy(1, 3, 3)[:-1], Family.DISK, time=TIME[:-1] + 7.0),
    ]
    frame, together, _ = reduce(*signals, **PERIODS[periods])
    for row, signal in enumerate(signals):
        alone = build_vitals(incident(signal, **PERIODS[periods]), frame, Remarks())
        np.testing.assert_array_equal(alone.z[0], together.z[row])


# ---- incidents


def test_vitals_alone_are_evidence() -> None:
    built = build_evidence(incident(vital("front", noisy(1, 4))))
    assert isinstance(built, Evidence)
    assert built.vitals.component.tolist() == [0]
    assert not built.families[0].observed.any()
    (note,) = (n for n in built.notes if "no usable series" in n)
    assert "1 of 2 components" in note
    assert "back" in note


def test_requests_are_both_weights_and_a_vital() -> None:
    load = series("front", step(100.0, 200.0), Family.LOAD, Statistic.COUNT)
    built = build_evidence(incident(latency("front", noisy(1, 2)), load))
    assert built.vitals.family.tolist() == [VITALS.index(Family.LOAD)]
    assert np.isfinite(built.families[0].dose[0]).all()


def test_no_vitals_make_an_empty_table() -> None:
    built = build_evidence(incident(latency("front", noisy(1, 2))))
    assert built.vitals.z.shape == (0, len(built.footprints))
    assert built.vitals.signal == ()


# ---- against loops


def random_values(rng: np.random.Generator) -> Floats:
    """A series with noise, steps, gaps, zeros or nothing at all."""
    level = 10.0 ** rng.uniform(-4, 4) * rng.choice([-1, 0, 1], p=[0.1, 0.1, 0.8])
    values = level + 10.0 ** rng.uniform(-3, 2) * rng.standard_normal(len(TIME)) * rng.integers(2)
    values[INSIDE] += 10.0 ** rng.uniform(-2, 3) * rng.integers(2)
    values[rng.random(len(TIME)) < rng.choice([0.0, 0.1, 0.9])] = np.nan
    if rng.random() < 0.2:
        values = np.round(values)
    if rng.random() < 0.2:
        values[INSIDE] = np.nan
    if rng.random() < 0.2:
        values[: rng.integers(N_NORMAL)] = np.nan
    return np.asarray(values)


def random_incident(seed: int) -> Incident:
    rng = np.random.default_rng(seed)
    names = ("a", "b", "c", "d")
    signals = [vital("a", noisy(1.0, 1.0), Family.LOAD, name="clock")]
    for name in names:
        metrics = [f"m{i}" for i in range(int(rng.integers(1, 4)))]
        signals += [vital(name, random_values(rng), name=metric) for metric in metrics]
    periods = [*PERIODS.values(), {"baseline": TimeWindow(STEP * 40, STEP * 59)}]
    window = WINDOW if rng.random() < 0.6 else TimeWindow(WINDOW.start, WINDOW.start + 3 * STEP)
    topology = Topology(tuple(Component(n) for n in names), (Edge("a", "b"),))
    return incident(
        *signals, topology=topology, window=window, **periods[int(rng.integers(len(periods)))]
    )


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_loops_say_the_same(seed: int) -> None:
    made = random_incident(seed)
    frame = build_frame(made, made.signals, 5, [])
    table = build_vitals(made, frame, Remarks())
    names = made.topology.names
    kept = {(names[c], n) for c, n in zip(table.component, table.signal, strict=True)}
    for signal in made.signals:
        peers = [
            slow_vitals.own_level(frame, s)
            for s in made.signals
            if s.name == signal.name and s.component != signal.component
        ]
        value, scale = (np.array(x) for x in slow_vitals.contrast(frame, signal, peers))
        if (str(signal.component), signal.name) not in kept:
            copies = [s for s in made.signals if s.component == signal.component]
            assert np.isnan(value).all() or len(copies) > 1  # a constant may repeat another
            continue
        row = next(
            i
            for i, n in enumerate(table.signal)
            if n == signal.name and names[table.component[i]] == signal.component
        )
        size = np.nanmax(np.abs(signal.values))
        np.testing.assert_allclose(table.contrast[row], value, rtol=1e-9, atol=1e-12 * size)
        seen = ~np.isnan(value)
        scale = np.where(scale > 0, scale, 1.0)  # of zeros wherever it is looked at
        np.testing.assert_allclose(table.scale[row, seen], scale[seen], rtol=1e-9)
        z = np.clip(value[seen] / scale[seen], -LARGEST_Z, LARGEST_Z)
        # A change that rounding may have made is none (concepts.md), at the latest here.
        lost = 1e-9 + 4e-12 * size / scale[seen]
        assert (np.abs(table.z[row, seen] - z) <= 1e-8 * np.abs(z) + lost).all()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), factor=st.sampled_from([1e-6, 0.3, -1.0, 4.0, 1e9]))
def test_units_do_not_matter(seed: int, factor: float) -> None:
    made = random_incident(seed)
    other = [
        Signal(s.component, s.name, s.family, s.statistic, s.timestamps, s.values * factor)
        for s in made.signals
    ]
    frame = build_frame(made, made.signals, 5, [])
    one = build_vitals(made, frame, Remarks())
    two = build_vitals(
        incident(*other, topology=made.topology, window=made.window, baseline=made.baseline),
        frame,
        Remarks(),
    )
    assert one.signal == two.signal
    np.testing.assert_allclose(two.z, np.sign(factor) * one.z, rtol=1e-8, atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_what_always_holds(seed: int) -> None:
    made = random_incident(seed)
    frame = build_frame(made, made.signals, 5, [])
    table = build_vitals(made, frame, Remarks())
    assert (np.diff(table.component * len(VITALS) + table.family) >= 0).all()
    assert not np.isnan(table.z).all(axis=1).any()
    seen = ~np.isnan(table.z)
    np.testing.assert_array_equal(seen, ~np.isnan(table.contrast))
    np.testing.assert_array_equal(seen, ~np.isnan(table.scale))
    assert (np.abs(table.z[seen]) <= LARGEST_Z).all()
    assert (table.scale[seen] > 0).all()
    again = build_vitals(made, frame, Remarks())
    np.testing.assert_array_equal(again.z, table.z)


def test_five_thousand_components() -> None:
    rng = np.random.default_rng(7)
    names = [f"c{i}" for i in range(5000)]
    values = np.abs(5.0 + rng.standard_normal((5000, len(TIME))))
    made = incident(
        *(vital(n, v) for n, v in zip(names, values, strict=True)),
        topology=Topology(tuple(Component(n) for n in names), ()),
    )
    frame = build_frame(made, made.signals, 5, [])
    table = build_vitals(made, frame, Remarks())
    assert table.z.shape == (5000, len(frame.first))
    assert np.abs(table.z).max() < 10
