import numpy as np
import pytest

from bayesrca.errors import InvalidIncidentError
from bayesrca.evidence import Evidence, build_evidence
from bayesrca.evidence.units import compare_units
from bayesrca.incident import Family, Signal, Statistic
from tests.unit.evidence.kit import INSIDE, failures, incident, latency, noisy, requests, series

LOADS = requests("front", 100.0), requests("back", 80.0)
SHARE = np.where(INSIDE, 0.2, 0.005)


def reduce_ratio(values: object, statistic: Statistic, unit: str, *loads: Signal) -> Evidence:
    return build_evidence(
        incident(series("front", values, Family.ERRORS, statistic, unit=unit), *loads)
    )


@pytest.mark.parametrize("counted", [True, False])
@pytest.mark.parametrize("unit", ["", "1"])
def test_percentages_without_their_sign_are_read_as_such_and_said(unit: str, counted: bool) -> None:
    loads = LOADS if counted else ()
    success = Statistic.SUCCESS_RATIO
    bare = reduce_ratio(100 * (1 - SHARE), success, unit, *loads)
    named = reduce_ratio(100 * (1 - SHARE), success, "%", *loads)
    np.testing.assert_array_equal(bare.families[1].contrast, named.families[1].contrast)
    assert (bare.families[1].contrast[0] > 0.15).all()
    (note,) = set(bare.notes) - set(named.notes)
    assert "'front|errors_success_ratio'" in note
    assert "percent" in note


@pytest.mark.parametrize("values", [SHARE * 1000, SHARE - 0.1, np.where(INSIDE, 99.0, -1.0)])
def test_a_ratio_that_is_neither_share_nor_percentage_is_refused(values: object) -> None:
    with pytest.raises(InvalidIncidentError, match=r"'front\|errors_error_ratio'.* unit '%'"):
        reduce_ratio(values, Statistic.ERROR_RATIO, "", *LOADS)


@pytest.mark.parametrize("statistic", [Statistic.ERROR_RATIO, Statistic.SUCCESS_RATIO])
def test_shares_a_little_below_zero_are_cut_off_and_said(statistic: Statistic) -> None:
    values = np.where(INSIDE, 0.5, -0.004)
    stray = reduce_ratio(values, statistic, "")
    clean = reduce_ratio(np.maximum(values, 0.0), statistic, "")
    np.testing.assert_array_equal(stray.families[1].z, clean.families[1].z)
    (note,) = set(stray.notes) - set(clean.notes)
    assert "cut off" in note
    assert statistic.value in note


def test_rounding_beyond_one_is_still_a_share() -> None:
    evidence = reduce_ratio(1 + 1e-9 - SHARE, Statistic.SUCCESS_RATIO, "1")
    assert not any("percent" in n for n in evidence.notes)
    assert (evidence.families[1].contrast[0] > 0.3).all()


def test_percentages_outside_their_range_are_cut_off_and_said() -> None:
    evidence = reduce_ratio(101.0 - 100 * SHARE, Statistic.SUCCESS_RATIO, "%")
    assert any("cut off" in n and "'front|errors_success_ratio'" in n for n in evidence.notes)


@pytest.mark.parametrize(
    ("unit", "seconds"),
    [
        ("seconds", 1.0),
        ("sec", 1.0),
        ("milliseconds", 1e-3),
        ("millisecond", 1e-3),
        ("msec", 1e-3),
        ("microseconds", 1e-6),
        ("usec", 1e-6),
        ("\u00b5s", 1e-6),
        ("\u03bcs", 1e-6),
        ("nanoseconds", 1e-9),
        ("nsec", 1e-9),
        ("minutes", 60.0),
        ("min", 60.0),
    ],
)
def test_every_spelling_of_a_unit_says_the_same(unit: str, seconds: float) -> None:
    slow = noisy(0.3, 0.6)
    one = build_evidence(incident(latency("front", slow, "s"), *LOADS)).families[0]
    two = build_evidence(incident(latency("front", slow / seconds, unit), *LOADS)).families[0]
    np.testing.assert_allclose(two.excess, one.excess, rtol=1e-9)
    assert two.unit == "s"


def test_a_lone_m_is_no_unit_of_time() -> None:
    assert compare_units(["m", "s"]) == {"m": None, "s": 1.0}


@pytest.mark.parametrize(
    ("units", "dosed"),
    [
        (("s", "ms"), (True, True)),
        (("s", "ticks"), (True, False)),
        (("", "ms"), (False, True)),
        (("ticks", "beats"), (False, False)),
        (("ticks", ""), (False, False)),
        (("ticks", "ticks"), (True, True)),
        (("", ""), (True, True)),
    ],
)
def test_only_comparable_latencies_have_excess_times(
    units: tuple[str, str], dosed: tuple[bool, bool]
) -> None:
    evidence = build_evidence(
        incident(
            latency("front", noisy(0.3, 0.6), units[0]),
            latency("back", noisy(0.2, 0.5, seed=1), units[1]),
            *LOADS,
        )
    )
    table = evidence.families[0]
    assert tuple(np.isfinite(table.dose).all(axis=1)) == dosed
    assert table.observed.all()
    said = [n for n in evidence.notes if "another unit" in n]
    missing = dosed.count(False)
    assert len(said) == (missing > 0)
    assert not said or f"of {missing} component" in said[0]


@pytest.mark.parametrize("statistic", [Statistic.COUNT, Statistic.RATE])
def test_counts_beyond_counting_are_refused_by_their_owner(statistic: Statistic) -> None:
    many = series("back", 1e300, Family.LOAD, statistic)
    with pytest.raises(InvalidIncidentError, match="component 'back'"):
        build_evidence(incident(latency("front", noisy(1, 2)), many))
    overflowing = series("back", 1e15, Family.LOAD, statistic)
    with pytest.raises(InvalidIncidentError, match="component 'back'"):
        build_evidence(incident(latency("back", noisy(1, 2)), overflowing))


def test_failures_beyond_counting_are_refused_by_their_owner() -> None:
    with pytest.raises(InvalidIncidentError, match="component 'front'"):
        build_evidence(incident(failures("front", 2.0**54), *LOADS))
