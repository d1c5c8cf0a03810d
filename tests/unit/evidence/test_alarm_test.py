"""The alarm test against a plain loop over scipy's laws, and against simulated calm and trouble."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from bayesrca.evidence import VITALS, Evidence, build_evidence
from bayesrca.evidence.alarm_test import (
    CALM,
    TAIL_WEIGHT,
    TRACE_POWERS,
    TRACE_STRONG,
    TRACE_WEAK,
    VITAL_INDEX,
    VITAL_SCALE,
    compute_alarm_test,
    compute_cell_p_values,
    compute_trace_p_values,
)
from bayesrca.evidence.trace_evidence import TraceEvidence
from bayesrca.incident import (
    Component,
    Edge,
    Family,
    Incident,
    Run,
    Signal,
    Statistic,
    Topology,
)
from bayesrca.model.parameters import PRIORS
from tests.oracle.incidents import random_evidence
from tests.unit.evidence.kit import (
    INSIDE,
    TIME,
    WINDOW,
    failures,
    incident,
    latency,
    noisy,
    requests,
    series,
)

WIDE = Topology(tuple(Component(f"c{i}") for i in range(20)), (Edge("c0", "c1"),))


def slow_tail(z: float) -> float:
    narrow, wide = stats.t(4), stats.t(4, scale=3.0)
    return float(2 * (0.98 * narrow.sf(abs(z)) + 0.02 * wide.sf(abs(z))))


def slow_cells(evidence: Evidence) -> list[list[float]]:
    """Harmonic means by component, then family; NaN where nothing was seen."""
    cells = []
    for i in range(len(evidence.components)):
        row = []
        for table in evidence.families:
            owned = [z for j, z in zip(table.series_component, table.z, strict=True) if j == i]
            if not np.isnan(table.log_quiet[i]).all():
                owned.append(table.contrast[i] / table.scale[i])
            row.append([slow_tail(z) for one in owned for z in one if not np.isnan(z)])
        vitals = evidence.vitals
        row += [
            [
                float(stats.lomax(2.5, scale=0.9).sf(abs(z)))
                for r in range(len(vitals.z))
                if (vitals.component[r], vitals.family[r]) == (i, w)
                for z in vitals.z[r]
                if not np.isnan(z)
            ]
            for w in range(len(VITALS))
        ]
        cells.append([stats.hmean(p) if p else np.nan for p in row])
    return cells


@pytest.mark.parametrize("seed", range(12))
def test_cells_and_incident_agree_with_a_plain_loop(seed: int) -> None:
    evidence = random_evidence(np.random.default_rng(seed))
    cells = np.array(slow_cells(evidence))
    np.testing.assert_allclose(compute_cell_p_values(evidence), cells, rtol=1e-9)
    p = sorted(cells[~np.isnan(cells)])
    simes = min([1.0, *(len(p) * x / (k + 1) for k, x in enumerate(p))])
    assert evidence.alarm.incident_p == pytest.approx(simes)


def quiet(seed: int, **during: float) -> Incident:
    """Twenty components of noise; those named move in the window by a factor."""
    signals = []
    for i, name in enumerate(c.name for c in WIDE.components):
        signals.append(latency(name, noisy(0.2, 0.2 * during.get(name, 1.0), 100 * seed + i)))
        signals.append(series(name, noisy(0.5, 0.5, 100 * seed + 50 + i), Family.CPU))
    return incident(*signals, target="c0", topology=WIDE)


def test_noise_is_mostly_called_calm_and_a_fault_never() -> None:
    calm = [not build_evidence(quiet(seed)).alarm.anomalous for seed in range(40)]
    assert sum(calm) >= 36
    for seed in range(10):
        assert build_evidence(quiet(seed, c0=2.0)).alarm.anomalous  # at the target
        found = build_evidence(quiet(seed, c7=2.0)).alarm  # elsewhere
        assert found.anomalous
        assert found.incident_p < 0.05


def test_the_sentence_names_the_target_and_both_p() -> None:
    calm = build_evidence(quiet(3)).alarm
    assert calm.target_p is not None
    assert calm.text.startswith("Nothing here is anomalous: the target 'c0' has p = ")
    assert f"{calm.incident_p:.2g}" in calm.text
    assert min(calm.target_p, calm.incident_p) > CALM / 2
    assert f"none at most {CALM / 2:g}" in calm.text
    assert build_evidence(quiet(3, c0=2.0)).alarm.text.startswith("Something here is anomalous")


def test_failing_requests_are_an_alarm_and_the_usual_few_are_none() -> None:
    loads = requests("front", 100.0), requests("back", 100.0)
    for during, expected in ((15.0, True), (1.0, False)):
        failed = failures("front", np.where(INSIDE, during, 1.0))
        found = build_evidence(incident(failed, *loads, target="front")).alarm
        assert found.anomalous == expected
        assert (found.target_p is not None) and (found.target_p <= CALM / 2) == expected


def test_series_that_stand_still_are_calm() -> None:
    still = [latency(name, 0.2) for name in ("front", "back")]
    found = build_evidence(incident(*still, target="front")).alarm
    assert found.target_p == pytest.approx(1.0)
    assert found.incident_p == pytest.approx(1.0)
    assert not found.anomalous


def test_without_a_target_only_the_incident_counts() -> None:
    found = build_evidence(incident(latency("back", noisy(0.2, 0.6)))).alarm
    assert found.target_p is None
    assert found.anomalous
    assert "target" not in found.text


def test_a_target_without_the_alarms_family_is_judged_by_what_it_has() -> None:
    cpu = series("front", noisy(0.2, 0.9), Family.CPU)
    found = build_evidence(incident(cpu, latency("back", noisy(0.2, 0.2, 1)), target="front")).alarm
    assert found.target_p is not None
    assert found.target_p < 0.05
    silent = build_evidence(incident(latency("back", noisy(0.2, 0.2, 1)), target="front")).alarm
    assert silent.target_p is None


def with_runs(new: int, n_series: int = 20, n_runs: int = 30) -> Evidence:
    """States of one component beside normal runs; the first few show what no recording did."""
    rng = np.random.default_rng(new)

    def states(time: NDArray[np.float64], changed: int) -> tuple[Signal, ...]:
        return tuple(
            Signal(
                "front",
                f"state{j}",
                Family.STATE,
                Statistic.VALUE,
                time,
                np.where(
                    (j < changed) & (time >= WINDOW.start), 5.0, rng.integers(0, 2, len(time))
                ),
            )
            for j in range(n_series)
        )

    runs = tuple(Run(f"run{r}", states(TIME[:60], 0)) for r in range(n_runs))
    made = incident(*states(TIME, new), normal_runs=runs, target="back")
    return build_evidence(made)


def test_many_new_states_are_an_alarm_and_one_is_none() -> None:
    """Of 20 series beside 31 recordings 20 / 32 are expected to show something new."""
    found = {new: with_runs(new).alarm for new in (0, 1, 4, 8)}
    assert not found[0].anomalous
    assert not found[1].anomalous
    for new in (4, 8):
        usual = 20 / 32
        assert found[new].anomalous
        assert found[new].incident_p == pytest.approx(2 * (usual / (1 + usual)) ** new)


def test_the_table_tells_the_state_that_is_new() -> None:
    (row,) = [r for r in with_runs(1).table().rows if r.family == "state"]
    assert (row.component, row.signal, row.series) == ("front", "state0", 20)
    assert (row.contrast, row.scale, row.z) == (5.0, None, None)
    assert row.measure == "value in 0 of 31 recordings"
    assert row.log_ratio is not None
    assert row.log_ratio > 1.0
    assert "value in 0 of 31 recordings" in str(with_runs(1).table())


def traced(factors: NDArray[np.float64]) -> TraceEvidence:
    """Of so many calls between two components of the incident, with these log factors."""
    n = len(factors)
    return replace(
        TraceEvidence.empty(20),
        edge_source=np.zeros(n, np.int64),
        edge_target=np.ones(n, np.int64),
        edge_gap=factors,
        edge_terminal=np.full(n, np.nan),
        edge_order=np.full(n, 50.0),
    )


def test_p_of_spans_bound_how_often_a_quiet_cell_says_as_much() -> None:
    """Drawn from eq. 21: the p are no smaller than uniform ones, whatever a comparison can tell."""
    rng = np.random.default_rng(0)
    n, usual = 200_000, 1 - TRACE_STRONG
    for d in TRACE_POWERS:
        change = rng.choice(
            [-0.5, 0.0, 0.5],
            size=n,
            p=[usual * (1 - TRACE_WEAK[0]), usual * TRACE_WEAK[0], TRACE_STRONG],
        )
        told = rng.normal(change * d**2, d)
        p = compute_trace_p_values(traced(told))
        for level in (0.004, 0.01, 0.03, 0.1):
            assert np.mean(p <= level) <= level + 4 * np.sqrt(level / n)


def test_spans_are_a_look_of_their_own() -> None:
    calm = build_evidence(quiet(1), max_bins=8)
    assert not compute_alarm_test(calm).anomalous
    told = np.full(20, -1.0)
    for changed, anomalous in ((0, False), (1, True), (3, True)):
        told[:changed] = 20.0
        found = compute_alarm_test(replace(calm, traces=traced(told)))
        assert found.anomalous is anomalous
        # Simes, of numbers that are all as large as can be or all small.
        if changed:
            assert found.incident_p == pytest.approx(20 * TRACE_STRONG / changed, rel=1e-3)
    # The more calls there are, the likelier one of them changes for no reason.
    many = np.r_[20.0, np.full(199, -1.0)]
    assert not compute_alarm_test(replace(calm, traces=traced(many))).anomalous


def test_reference_laws_are_at_the_priors_centres() -> None:
    assert PRIORS["trace_weak"].centre == TRACE_WEAK
    assert PRIORS["trace_strong"].centre == (TRACE_STRONG, TRACE_STRONG)
    assert PRIORS["tail_weight"].centre == (TAIL_WEIGHT, TAIL_WEIGHT)
    assert PRIORS["vital_scale"].centre == (VITAL_SCALE,)
    assert PRIORS["vital_index"].centre == (VITAL_INDEX,)
