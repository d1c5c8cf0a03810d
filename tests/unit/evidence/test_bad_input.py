"""Telemetry that lacks something: a stated answer or a clear error, never a silent NaN."""

from __future__ import annotations

from dataclasses import fields
from time import process_time

import numpy as np
import pytest

from bayesrca.errors import InvalidIncidentError, NoEvidenceError
from bayesrca.evidence import Evidence, build_evidence
from bayesrca.incident import (
    Component,
    Edge,
    Family,
    Incident,
    Signal,
    Statistic,
    Target,
    TimeWindow,
    Topology,
)
from bayesrca.kernels.propagation import PreparedLikelihood
from bayesrca.model.parameters import unconstrained_prior
from tests.unit.evidence.kit import (
    BASELINE,
    INSIDE,
    N_NORMAL,
    STEP,
    TIME,
    failures,
    incident,
    latency,
    noisy,
    requests,
    series,
)

THREE = Topology(
    (Component("front"), Component("back"), Component("far")), (Edge("front", "back"),)
)
CALM = latency("front", noisy(0.2, 0.2))
SLOW = latency("back", noisy(0.1, 0.5, 1))


def posterior(evidence: Evidence) -> dict[str, float]:
    """Probability of each component and of none at the prior's centre; checks every array."""
    check(evidence)
    theta = unconstrained_prior()[0]
    with PreparedLikelihood(evidence, none_prior=0.05, max_width=14) as likelihood:
        logp, gradient = likelihood.compute_logp_grad(theta)
        joint = np.logaddexp.reduce(likelihood.compute_footprint_log_joint(theta), axis=1)
    assert np.isfinite(logp)
    assert np.isfinite(gradient).all()
    p = np.exp(joint - np.logaddexp.reduce(joint))
    assert np.isfinite(p).all()
    n = len(evidence.components)
    by_component = p[:-1].reshape(n, -1).sum(axis=1)
    found = dict(zip(evidence.components, by_component.tolist(), strict=True))
    return found | {"none": float(p[-1])}


def check(evidence: Evidence) -> None:
    """No infinity; NaN only where a cell has nothing in a footprint, and then in all its arrays."""
    for table in evidence.families:
        for field in fields(table):
            values = getattr(table, field.name)
            if isinstance(values, np.ndarray) and field.name not in ("dose_low", "dose_high"):
                assert not np.isinf(values).any(), field.name
        seen = np.isfinite(table.contrast)
        assert (table.scale[seen] > 0).all()
        assert not np.isfinite(table.excess[~seen]).any()
    assert np.isfinite(evidence.vitals.z).any(axis=1).all()
    assert (evidence.vitals.scale[np.isfinite(evidence.vitals.z)] > 0).all()
    assert np.isfinite(evidence.root_log_factor).all()
    assert np.isfinite(evidence.footprint_log_prior).all()
    assert 0.0 < evidence.alarm.incident_p <= 1.0
    assert evidence.alarm.target_p is None or 0.0 < evidence.alarm.target_p <= 1.0
    for row in evidence.table().rows:
        assert np.isfinite([row.contrast, row.scale, row.z, row.season, row.trend]).all()


def test_a_component_whose_samples_are_all_missing_is_named() -> None:
    gone = (latency("far", np.nan), series("far", np.nan, Family.CPU), failures("far", np.nan))
    evidence = build_evidence(incident(CALM, SLOW, *gone, topology=THREE, target="front"))
    p = posterior(evidence)
    assert max(p, key=lambda name: p[name]) == "back"
    assert any("1 of 3 components" in note and "far" in note for note in evidence.notes)
    assert all(row.component != "far" for row in evidence.table().rows)


def test_everything_missing_is_an_error() -> None:
    with pytest.raises(NoEvidenceError, match="has a sample in the incident window"):
        build_evidence(incident(latency("front", np.nan), latency("back", np.nan)))
    absent = np.where(INSIDE, np.nan, 0.2)
    with pytest.raises(NoEvidenceError, match="widen the window"):
        build_evidence(incident(latency("front", absent)))


@pytest.mark.parametrize("level", [0.0, 0.1, 0.2, 1 / 3, 1e-9, 1e9])
@pytest.mark.parametrize("family", [Family.LATENCY, Family.LOAD, Family.CPU, Family.GENERIC])
def test_constant_series_stand_exactly_still(level: float, family: Family) -> None:
    still = series("back", level, family)
    evidence = build_evidence(incident(CALM, still, target="front"))
    posterior(evidence)
    rows = [row for row in evidence.table().rows if row.component == "back"]
    assert all(row.contrast == 0.0 for row in rows)
    assert rows or (family is Family.LATENCY and level == 0.0)  # no logarithm of zero
    assert not evidence.alarm.anomalous


def test_all_series_constant_is_calm() -> None:
    still = [latency("front", 0.2), latency("back", 0.3), requests("front", 100.0)]
    evidence = build_evidence(incident(*still, failures("front", 0.0), target="front"))
    posterior(evidence)
    assert evidence.alarm.text.startswith("Nothing here is anomalous")
    assert evidence.alarm.incident_p > 0.9


@pytest.mark.parametrize("max_bins", [2, 5])
def test_one_sample_in_the_window_is_enough_beside_a_baseline(max_bins: int) -> None:
    one = TimeWindow(STEP * N_NORMAL, STEP * N_NORMAL + 1.0)
    evidence = build_evidence(incident(CALM, SLOW, window=one, target="front"), max_bins=max_bins)
    p = posterior(evidence)
    assert evidence.footprints.shape == (1, 2)
    assert p["back"] > p["front"]
    for baseline in (None, TimeWindow(0.0, 9 * STEP)):
        with pytest.raises(NoEvidenceError, match="single sample"):
            build_evidence(incident(CALM, SLOW, window=one, baseline=baseline))


def test_without_a_normal_period_the_window_stands_alone() -> None:
    evidence = build_evidence(incident(CALM, SLOW, baseline=None, target="front"))
    posterior(evidence)
    assert any("No baseline window was given" in note for note in evidence.notes)
    assert evidence.table().reference == "the rest of the incident window"


def test_a_target_that_is_not_declared_is_an_error() -> None:
    with pytest.raises(InvalidIncidentError, match="'nobody' is not a declared component"):
        incident(CALM, target="nobody")


def test_a_target_without_edges_is_said_and_excludes_nobody() -> None:
    evidence = build_evidence(incident(CALM, SLOW, topology=THREE, target="far"))
    p = posterior(evidence)
    assert any("does not connect the target 'far'" in note for note in evidence.notes)
    assert min(p.values()) > 0.0


def test_parts_of_a_graph_without_a_path_between_them_are_all_ranked() -> None:
    names = ("front", "back", "left", "right")
    parts = Topology(
        tuple(Component(n) for n in names), (Edge("front", "back"), Edge("left", "right"))
    )
    other = latency("right", noisy(0.1, 0.5, 2))
    evidence = build_evidence(
        incident(CALM, SLOW, other, latency("left", noisy(0.2, 0.2, 3)), topology=parts)
    )
    p = posterior(evidence)
    assert min(p["right"], p["back"]) > max(p["front"], p["left"])


def test_nothing_anomalous_is_said() -> None:
    signals = [latency(n, noisy(0.2, 0.2, i)) for i, n in enumerate(("front", "back", "far"))]
    evidence = build_evidence(incident(*signals, topology=THREE, target="front"))
    posterior(evidence)
    assert not evidence.alarm.anomalous
    assert evidence.alarm.text.startswith("Nothing here is anomalous")
    assert evidence.onsets is not None
    assert evidence.onsets.order.size == 0


def test_missing_samples_here_and_there() -> None:
    rng = np.random.default_rng(11)
    signals: list[Signal] = []
    for i, name in enumerate(("front", "back", "far")):
        holes = np.where(rng.random(len(TIME)) < 0.6, np.nan, 1.0)
        signals += [
            latency(name, noisy(0.2, 0.4, i) * holes),
            requests(name, 100.0 * holes[::-1]),
            failures(name, np.where(INSIDE, 5.0, 1.0) * holes),
            series(name, noisy(3.0, 3.0, i) * holes, Family.MEMORY),
        ]
    for baseline in (BASELINE, None, TimeWindow(0.0, 25 * STEP)):
        posterior(build_evidence(incident(*signals, topology=THREE, baseline=baseline)))


def test_five_thousand_components() -> None:
    n = 5000
    rng = np.random.default_rng(12)
    values = 0.2 * np.exp(0.1 * rng.standard_normal((n, len(TIME))))
    values[4321, INSIDE] *= 4.0
    names = tuple(f"c{i}" for i in range(n))
    chain = Topology(
        tuple(Component(name) for name in names),
        tuple(Edge(names[i // 3], names[i]) for i in range(1, n)),
    )
    signals = tuple(
        Signal(name, "latency", Family.LATENCY, Statistic.MEAN, TIME, row, "s")
        for name, row in zip(names, values, strict=True)
    )
    made = Incident("many", chain, signals, (), BASELINE, incident(CALM).window, Target("c0"))
    begun = process_time()
    evidence = build_evidence(made)
    assert process_time() - begun < 60.0  # some 2 s; a quadratic step would show
    check(evidence)
    rows = evidence.table().rows
    assert len(rows) == n
    assert max(rows, key=lambda row: row.z).component == "c4321"
    assert evidence.onsets is not None
    assert 4321 in evidence.onsets.order
