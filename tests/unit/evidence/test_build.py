from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from bayesrca.errors import NoEvidenceError
from bayesrca.evidence import Evidence, FamilyTable, build_evidence
from bayesrca.evidence.requests import SILENT_ROOT
from bayesrca.incident import Edge, Family, Incident, Signal, Statistic, TimeWindow
from bayesrca.kernels.propagation import PreparedLikelihood
from bayesrca.model.parameters import unconstrained_prior
from tests.unit.evidence.kit import (
    INSIDE,
    STEP,
    TIME,
    failures,
    incident,
    latency,
    noisy,
    requests,
    series,
)

LOADS = requests("front", 100.0), requests("back", 80.0)
DISTANT = TimeWindow(0.0, 25 * STEP)


def usable(evidence: Evidence) -> Evidence:
    """Check that the core takes it and gives a number."""
    with PreparedLikelihood(evidence, none_prior=0.05, max_width=14) as likelihood:
        logp, gradient = likelihood.compute_logp_grad(unconstrained_prior()[0])
    assert np.isfinite(logp)
    assert np.isfinite(gradient).all()
    return evidence


def same_numbers(one: FamilyTable, two: FamilyTable, atol: float = 1e-12) -> None:
    for field in fields(one):
        a, b = getattr(one, field.name), getattr(two, field.name)
        if isinstance(a, np.ndarray):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=atol, err_msg=field.name)


def test_slow_callee_shows_in_both_latency_cells() -> None:
    evidence = usable(
        build_evidence(
            incident(
                latency("front", noisy(0.3, 0.6)),
                latency("back", noisy(0.1, 0.4, seed=1)),
                *LOADS,
                target="front",
            )
        )
    )
    table = evidence.families[0]
    assert evidence.components == ("front", "back")
    assert table.edges.tolist() == [[1, 0]]  # a fault travels from the callee to its caller
    assert table.series_component.tolist() == [0, 1]
    whole = int(np.argmax(evidence.footprints[:, 1] - evidence.footprints[:, 0]))
    np.testing.assert_allclose(table.contrast[:, whole], np.log([2.0, 4.0]), atol=0.05)
    np.testing.assert_allclose(table.z, table.contrast / table.scale, rtol=1e-12)
    np.testing.assert_allclose(table.excess[:, whole], [1000 * 0.3, 800 * 0.3], rtol=0.1)
    assert table.unit == "s"
    assert (evidence.target, evidence.alarm_family) == (0, 0)
    assert not evidence.families[1].observed.any()
    assert any("latency" in note for note in evidence.notes)
    assert (evidence.root_log_factor == 0).all()
    np.testing.assert_allclose(np.exp(evidence.footprint_log_prior).sum(), 1.0)


def test_milliseconds_and_seconds_say_the_same() -> None:
    one, two = (
        build_evidence(incident(latency("front", noisy(0.3, 0.6) * x, unit), *LOADS))
        for x, unit in ((1.0, "s"), (1e3, "ms"))
    )
    same_numbers(one.families[0], two.families[0])


@pytest.mark.parametrize("counted", [True, False])
def test_percent_ratio_and_success_say_the_same(counted: bool) -> None:
    share = np.where(INSIDE, 0.2, 0.01)
    good, bad = Statistic.SUCCESS_RATIO, Statistic.ERROR_RATIO
    loads = LOADS if counted else ()
    tables = [
        usable(build_evidence(incident(series("front", x, Family.ERRORS, s, unit=u), *loads)))
        for x, s, u in (
            (share, bad, "1"),
            (100 * share, bad, "%"),
            (1 - share, good, ""),
            (100 * (1 - share), good, "%"),
        )
    ]
    for other in tables[1:]:
        same_numbers(tables[0].families[1], other.families[1], atol=1e-9)
    assert np.isnan(tables[0].families[1].log_quiet[0]).all() != counted


def test_counts_follow_from_failures_and_requests() -> None:
    failed = np.where(INSIDE, 15.0, 1.0)
    table = usable(build_evidence(incident(failures("front", failed), *LOADS))).families[1]
    ratio = series("front", failed / 100, Family.ERRORS, Statistic.ERROR_RATIO)
    same_numbers(table, build_evidence(incident(ratio, *LOADS)).families[1])
    assert table.unit == "failed requests"
    # The baseline says what is usual, not the rest of the window, which fails as well.
    ratio_of_laws = table.log_affected[0] - table.log_quiet[0]
    assert ratio_of_laws.argmax() == 4
    assert (ratio_of_laws > 2).all()
    assert table.series_component.size == 0


def test_percentiles_without_a_mean_make_one_cell_of_several_series() -> None:
    several = [
        series("front", noisy(x, 2 * x), statistic=Statistic.QUANTILE, name=f"p{x}")
        for x in (1, 2, 3)
    ]
    table = usable(build_evidence(incident(*several, *LOADS))).families[0]
    assert table.series_component.tolist() == [0, 0, 0]
    assert np.isnan(table.dose).all()
    mean = build_evidence(incident(*several, latency("front", noisy(1, 2)), *LOADS)).families[0]
    assert mean.series_component.tolist() == [0]


def test_error_rates_without_requests_are_compared_by_their_roots() -> None:
    rate = series("front", np.where(INSIDE, 9.0, 1.0), Family.ERRORS, Statistic.RATE)
    table = usable(build_evidence(incident(rate))).families[1]
    np.testing.assert_allclose(table.contrast[0], 2.0)


def test_series_that_stand_still_leave_the_noise_alone() -> None:
    """A success ratio that never leaves one is no contrast, but speaks against a fault there."""
    moved, still = np.where(INSIDE, 0.9, 1.0), np.where(TIME[-3] < TIME, np.nan, 1.0)
    signals = [
        series(name, x, Family.ERRORS, Statistic.SUCCESS_RATIO)
        for name, x in (("front", moved), ("back", still))
    ]
    table = usable(build_evidence(incident(*signals))).families[1]
    assert table.series_component.tolist() == [0]
    assert np.isnan(table.log_quiet[0]).all()
    seen = ~np.isnan(table.log_quiet[1])
    assert seen.any() and not seen.all()
    ratio = np.exp(table.log_affected[1, seen] - table.log_quiet[1, seen])
    np.testing.assert_allclose(ratio, 0.5 / 0.98, rtol=1e-12)
    assert table.observed.all()


def test_silence_counts_against_a_root() -> None:
    load = np.where(INSIDE & np.isin(TIME, TIME[-4:]), 0.0, 50.0)
    evidence = usable(
        build_evidence(incident(latency("front", noisy(1, 2)), requests("back", load)))
    )
    front, back = evidence.root_log_factor
    assert (front == 0).all()
    silent = evidence.footprints[:, 0] > TIME[-5]  # bins are cut between samples
    assert silent.sum() == 3  # the last two bins, alone and together
    assert (back[~silent] == 0).all()
    # No stretch of the baseline was silent: (0 + .5) / (stretches + 1).
    samples = np.round((evidence.footprints[silent, 1] - evidence.footprints[silent, 0]) / 108)
    stretches = 60 - 2 * samples + 1
    np.testing.assert_allclose(
        back[silent], np.minimum(0, np.log(SILENT_ROOT * (stretches + 1) / 0.5)), atol=1e-9
    )


def test_a_component_that_is_usually_silent_is_suspected_less_for_silence() -> None:
    load = np.zeros(len(TIME))
    load[3] = 5.0
    evidence = build_evidence(incident(latency("front", noisy(1, 2)), requests("back", load)))
    assert (evidence.root_log_factor[1] < np.log(0.07)).all()


CASES: dict[str, tuple[Signal, ...]] = {
    "missing altogether": (latency("front", np.nan), latency("back", noisy(1, 2))),
    "constant": (latency("front", 0.2), latency("back", 0.2), *LOADS),
    "one sample in the window": (
        latency("front", np.where(INSIDE & ~np.isin(TIME, TIME[64]), np.nan, noisy(1, 2))),
        latency("back", noisy(1, 2)),
    ),
    "zero latency": (latency("front", np.where(INSIDE, 0.0, 1.0)), latency("back", noisy(1, 2))),
    "latency with no request": (
        latency("front", noisy(1, 2)),
        requests("front", np.where(INSIDE, 0.0, 9.0)),
        latency("back", noisy(1, 2)),
    ),
    "zero requests": (failures("front", 0.0), requests("front", 0.0), latency("back", noisy(1, 2))),
    "requests missing in the window": (
        failures("front", 1.0),
        requests("front", np.where(INSIDE, np.nan, 9.0)),
        latency("back", noisy(1, 2)),
    ),
    "more failures than requests": (failures("front", 500.0), *LOADS),
    "everything fails": (failures("front", np.where(INSIDE, 100.0, 0.0)), *LOADS),
    "negative counts": (failures("front", -3.0), *LOADS),
    "a percentage beyond its range": (
        series(
            "front", np.where(INSIDE, 170.0, -20.0), Family.ERRORS, Statistic.ERROR_RATIO, unit="%"
        ),
        *LOADS,
    ),
    "requests on another clock": (
        latency("front", noisy(1, 2)),
        series("front", 9.0, Family.LOAD, Statistic.COUNT, time=TIME + 7.0),
    ),
    "a request rate": (
        latency("front", noisy(1, 2)),
        series("front", 9.0, Family.LOAD, Statistic.RATE),
    ),
    "fractions of failures": (failures("front", 0.4), *LOADS),
    "huge latency": (latency("front", np.where(INSIDE, 1e300, 1e-300)), *LOADS),
}


@pytest.mark.parametrize("baseline", ["near", "distant", "none"])
@pytest.mark.parametrize("case", CASES)
def test_strange_series_never_make_a_nan(case: str, baseline: str) -> None:
    every: dict[str, dict[str, Any]] = {
        "near": {},
        "distant": {"baseline": DISTANT},
        "none": {"baseline": None},
    }
    usable(build_evidence(incident(*CASES[case], target="front", **every[baseline])))


EDGE = Edge("front", "back")


@pytest.mark.parametrize(
    ("signals", "changes", "remedy"),
    [
        ((latency("front", np.nan),), {}, "widen the window"),
        ((latency("front", np.where(INSIDE, np.nan, 1.0)),), {}, "widen the window"),
        ((latency("front", 0.0),), {}, "give a baseline"),
        ((replace(series("front", 1.0), component=None, edge=EDGE),), {}, "series of edges"),
        ((series("front", np.nan, Family.CPU, Statistic.VALUE),), {}, "widen the window"),
        (
            (latency("front", noisy(1, 2)),),
            {"window": TimeWindow(STEP * 60, STEP * 60 + 1), "baseline": None},
            "give a baseline",
        ),
    ],
)
def test_no_evidence_names_the_remedy(
    signals: tuple[Signal, ...], changes: dict[str, Any], remedy: str
) -> None:
    with pytest.raises(NoEvidenceError, match=remedy):
        build_evidence(incident(*signals, **changes))


def test_a_named_alarm_decides_its_family() -> None:
    share = series("front", np.where(INSIDE, 0.3, 0.0), Family.ERRORS, Statistic.ERROR_RATIO)
    slow = latency("front", noisy(1, 1))
    named = build_evidence(incident(slow, share, alarm="latency_mean", target="front"))
    assert named.alarm_family == 0
    found = build_evidence(incident(slow, share, target="front"))
    assert found.alarm_family == 1
    assert any("was not named" in note for note in found.notes)


def test_what_is_not_read_is_counted_by_family() -> None:
    unread = [
        series("back", 1.0, Family.CPU, Statistic.VALUE),
        Signal(
            None,
            "hop",
            Family.LATENCY,
            Statistic.MEAN,
            TIME,
            1.0 + 0 * TIME,
            "s",
            Edge("front", "back"),
        ),
    ]
    evidence = build_evidence(incident(latency("front", noisy(1, 2)), *LOADS, *unread))
    assert "Not read in this version: 1 series of edges (latency 1)." in evidence.notes


def test_a_short_baseline_is_used_as_far_as_it_goes_and_none_is_told() -> None:
    slow = latency("front", noisy(1, 2))
    twelve = build_evidence(incident(slow, baseline=TimeWindow(48 * STEP, 59 * STEP)))
    assert not any("wide default" in n for n in twelve.notes)
    eight = build_evidence(incident(slow, *LOADS, baseline=TimeWindow(52 * STEP, 59 * STEP)))
    (note,) = (n for n in eight.notes if "wide default" in n)
    assert "3 series ('front|latency_mean', 'front|load_count', 'back|load_count')" in note


def test_a_fault_as_long_as_the_window_shows_in_every_part_of_it() -> None:
    failed = np.where(INSIDE, 12.0, 1.0) + np.arange(len(TIME)) % 2
    table = build_evidence(incident(failures("front", failed), *LOADS)).families[1]
    assert (table.log_affected[0] > table.log_quiet[0] + 2).all()
    assert (table.excess[0] > 0).all()


def test_series_are_found_in_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    several = incident(latency("front", noisy(1, 2)), latency("back", noisy(1, 2)), *LOADS)

    def refuse(*_: object) -> None:
        pytest.fail("a search through every series for one component")

    monkeypatch.setattr(Incident, "signals_of", refuse)
    assert build_evidence(several).families[0].observed.all()
