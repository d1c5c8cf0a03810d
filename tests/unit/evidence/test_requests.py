import numpy as np
import pytest

from bayesrca.evidence import build_evidence
from bayesrca.evidence.frame import build_frame
from bayesrca.evidence.remarks import Remarks
from bayesrca.evidence.requests import (
    SILENT_ROOT,
    align_requests,
    compute_request_rate,
    compute_silence,
)
from bayesrca.incident import Component, Family, Signal, Statistic, Topology
from tests.unit.evidence.kit import (
    INSIDE,
    STEP,
    TIME,
    Floats,
    incident,
    latency,
    noisy,
    requests,
    series,
)


def load(time: Floats, values: object = 9.0, statistic: Statistic = Statistic.COUNT) -> Signal:
    return series("front", values, Family.LOAD, statistic, time=time)


@pytest.mark.parametrize("shift", [7.0, -7.0, 29.0, -29.0])
def test_samples_take_the_nearest_requests_within_half_a_step(shift: float) -> None:
    count = np.arange(len(TIME), dtype=float) + 1
    got = align_requests(load(TIME + shift, count), latency("front", 1.0), Remarks())
    np.testing.assert_array_equal(got, count)


def test_a_coarser_request_series_reaches_half_its_own_step() -> None:
    count = np.arange(14, dtype=float) + 1
    got = align_requests(load(TIME[2::5], count), latency("front", 1.0), Remarks())
    np.testing.assert_array_equal(got, np.repeat(count, 5))


def test_requests_too_far_from_a_sample_are_missing() -> None:
    remarks = Remarks()
    got = align_requests(load(TIME[30:]), latency("front", 1.0), remarks)
    assert got is not None
    np.testing.assert_array_equal(np.isnan(got), TIME[30] - STEP / 2 > TIME)
    assert not remarks.sentences()


def test_requests_of_another_time_are_named_once_with_all_their_owners() -> None:
    names = ("a", "b", "c", "d")
    signals: list[Signal] = []
    for name in names:
        signals += [
            latency(name, noisy(1, 2)),
            series(name, 0.1, Family.ERRORS, Statistic.ERROR_RATIO),
            series(name, 9.0, Family.LOAD, Statistic.COUNT, time=TIME + 1e7),
        ]
    topology = Topology(tuple(Component(name) for name in names), ())
    evidence = build_evidence(incident(*signals, topology=topology))
    assert np.isnan(evidence.families[0].dose).all()
    (note,) = (n for n in evidence.notes if "other times" in n)
    assert "4 components (a, b, c, ...)" in note


def test_offset_requests_give_the_doses_of_aligned_ones() -> None:
    slow = latency("front", noisy(0.3, 0.6))
    one, two = (
        build_evidence(incident(slow, load(TIME + shift))).families[0] for shift in (0.0, 7.0)
    )
    np.testing.assert_array_equal(two.dose, one.dose)
    assert np.isfinite(one.dose[0]).all()


def test_missing_baseline_samples_are_not_silence() -> None:
    slow = latency("front", noisy(1, 2))
    values = np.where(INSIDE, 0.0, 5.0)
    values[:50] = np.nan
    holes = requests("front", values)
    frame = build_frame(incident(slow), (slow,), 5, [])
    got = compute_silence(frame, holes)
    # Ten busy samples are left; a stretch of two samples fits nine times, never silent.
    two = np.flatnonzero(frame.last - frame.first == 1)
    np.testing.assert_allclose(got[two], np.log(SILENT_ROOT / (0.5 / 10.0)), atol=1e-12)


def rates(values: object, statistic: Statistic = Statistic.COUNT) -> Floats:
    signal = load(TIME, values, statistic)
    front = latency("front", noisy(1, 2))
    return compute_request_rate(build_frame(incident(front), (front,), 5, []), signal)


def test_counts_and_rates_tell_the_same_requests_per_second() -> None:
    np.testing.assert_allclose(rates(30.0), 30.0 / STEP)
    np.testing.assert_allclose(rates(0.5, Statistic.RATE), 0.5)
    np.testing.assert_array_equal(rates(0.0), 0.0)


def test_gaps_do_not_lower_the_request_rate() -> None:
    holes = np.where(np.arange(len(TIME)) % 2 == 0, 30.0, np.nan)
    np.testing.assert_allclose(rates(holes), 30.0 / STEP)


def test_an_unknown_request_rate_is_missing() -> None:
    assert np.isnan(rates(np.where(INSIDE, np.nan, 30.0))).all()
    assert np.isnan(rates(-30.0)).all()
    frame = build_frame(incident(latency("front", 1.0)), (latency("front", 1.0),), 5, [])
    assert np.isnan(compute_request_rate(frame, None)).all()


def test_evidence_holds_the_rates_of_all_components() -> None:
    signals = (latency("front", noisy(1, 2)), load(TIME, 30.0))
    rate = build_evidence(incident(*signals)).request_rate
    np.testing.assert_allclose(rate[0], 30.0 / STEP)
    assert np.isnan(rate[1]).all()
