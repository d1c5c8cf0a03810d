"""What is simulated: evidence that the likelihood takes, and incidents of any size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from scipy import stats

from bayesrca.errors import InvalidSettingsError, UnknownComponentError
from bayesrca.evaluation import (
    simulate_cells,
    simulate_faults,
    simulate_traces,
    simulate_vitals,
)
from bayesrca.evaluation.simulate import SimulatedTruth, simulate_evidence
from bayesrca.evaluation.simulate_faults import LAWS, Fault, FaultSpread
from bayesrca.evaluation.simulate_graph import Shape, draw_topology
from bayesrca.evaluation.simulate_incident import simulate_incident
from bayesrca.evaluation.simulate_vitals import LAWS as VITAL_LAWS
from bayesrca.evaluation.simulate_vitals import Disturbance, SimulatedVitals
from bayesrca.evidence import VITALS
from bayesrca.incident import Component, Edge, Family, Topology
from bayesrca.kernels.propagation import KINDS, SET_SIZES, PreparedLikelihood
from bayesrca.model.parameters import natural_values, unconstrained_prior
from tests.oracle import constants as oracle
from tests.oracle.densities import UP

MEAN, SD = unconstrained_prior()


def test_every_kind_and_vital_has_a_law() -> None:
    assert tuple(LAWS) == KINDS
    assert tuple(VITAL_LAWS) == VITALS


def test_priors_of_the_kinds_sum_to_one() -> None:
    for share in (0.2, 0.7):
        theta = {"error_kind": share}
        without_code = [law.prior(theta) for kind, law in LAWS.items() if kind != "code"]
        assert sum(without_code) == pytest.approx(1)


def test_the_same_seed_gives_the_same_evidence() -> None:
    one, truth = simulate_evidence(seed=(1, 2))
    other, same = simulate_evidence(seed=(1, 2))
    np.testing.assert_array_equal(one.families[0].z, other.families[0].z)
    np.testing.assert_array_equal(truth.theta, same.theta)
    assert truth.causes == same.causes


def test_topology_theta_and_prior_can_be_given() -> None:
    names = ("a", "b", "c")
    topology = Topology(tuple(map(Component, names)), (Edge("a", "b"), Edge("b", "c")))
    evidence, truth = simulate_evidence(topology, seed=0, theta=MEAN)
    assert evidence.components == names
    np.testing.assert_array_equal(evidence.families[0].edges, [[1, 0], [2, 1]])
    np.testing.assert_array_equal(truth.theta, MEAN)
    _, narrow = simulate_evidence(topology, seed=0, prior=(MEAN + 1, 1e-9 * SD))
    np.testing.assert_allclose(narrow.theta, MEAN + 1, atol=1e-6)
    with pytest.raises(ValueError, match="3 components cannot be 4 causes"):
        simulate_evidence(topology, seed=0, causes=(0.0, 0.0, 0.0, 1.0))


def test_none_and_the_number_of_causes() -> None:
    found = Counter(
        len(simulate_evidence(seed=i, components=8, none_prior=0.3, causes=(0.5, 0.5))[1].causes)
        for i in range(300)
    )
    assert 60 < found[0] < 120
    assert 75 < found[1] < 135
    assert 75 < found[2] < 135
    assert simulate_evidence(seed=0, none_prior=1.0)[1].causes == ()


def test_the_column_of_a_hypothesis() -> None:
    def at(*causes: tuple[int, str]) -> int | None:
        truth = SimulatedTruth(theta=MEAN, causes=causes)
        return truth.hypothesis(5, ((0, 1), (1, 4)))

    singles = 5 * len(KINDS)
    assert at((2, KINDS[1])) == 2 * len(KINDS) + 1
    assert at((1, KINDS[0]), (4, KINDS[0])) == singles + 1
    assert at((1, KINDS[0]), (3, KINDS[0])) is None
    assert at() == singles + 2


def test_the_likelihood_takes_what_is_simulated() -> None:
    for seed in range(20):
        evidence, truth = simulate_evidence(seed=seed, most_series=3, correlation=0.5)
        with PreparedLikelihood(evidence, none_prior=0.05, max_width=14) as likelihood:
            value, gradient = likelihood.compute_logp_grad(truth.theta)
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()


@pytest.mark.parametrize(("kind", "disturbed"), [("link", True), ("crash", False)])
def test_a_slow_way_to_the_target_leaves_its_alarm_to_others(kind: str, disturbed: bool) -> None:
    """Nothing but the alarm disturbs the target's vitals when the fault lies on the way to it."""
    rng = np.random.default_rng(0)
    topology = Topology((Component("a"), Component("b")), (Edge("a", "b"),))
    spread = FaultSpread(rng, topology, natural_values(MEAN), SimulatedVitals(rng, 2), [])
    spread.target, spread.alarm, spread.alarm_in_vitals = 1, 0, True
    seen: list[Disturbance] = []

    def draw(_: object, disturbances: Mapping[int, Disturbance]) -> tuple[None, None, set[int]]:
        seen.append(disturbances[1])
        return None, None, set()

    spread.vitals.draw = draw  # type: ignore[method-assign, assignment]
    spread.draw_vitals([Fault(1, kind, (True, False))])
    assert (seen[0].alarmed > 0) is disturbed
    assert (seen[0].rate == 0) is disturbed


@pytest.mark.parametrize("shape", Shape)
def test_shapes_of_systems(shape: Shape) -> None:
    for seed in range(10):
        topology = draw_topology(np.random.default_rng(seed), components=20, shape=shape)
        assert len(topology) == 20
        assert _has_cycle(topology) == (shape is Shape.CYCLIC)
        assert bool(topology.edges) == (shape is not Shape.NONE)


def _has_cycle(topology: Topology) -> bool:
    left = {name: {e.target for e in topology.edges if e.source == name} for name in topology.names}
    while free := [name for name, calls in left.items() if not calls & left.keys()]:
        for name in free:
            del left[name]
    return bool(left)


def test_an_incident_of_any_size() -> None:
    incident, truth = simulate_incident(components=300, samples=40, seed=0)
    assert len(incident.topology) == 300
    assert len(incident.signals) == 1500
    assert {len(s) for s in incident.signals} == {40}
    assert incident.baseline is not None
    assert incident.window is not None
    assert incident.baseline.end < incident.window.start
    assert len(truth.root_causes) == 1
    assert simulate_incident(components=300, samples=40, seed=0)[0] == incident


def test_load_follows_the_season() -> None:
    steady, daily = (
        simulate_incident(components=5, samples=144, step=600.0, season=s, seed=1, faulty=False)[0]
        for s in (None, 86_400.0)
    )

    def swing(incident: object) -> float:
        (signal,) = (s for s in incident.signals_of("c0", Family.LOAD))  # type: ignore[attr-defined]
        first, second = signal.values[:72].mean(), signal.values[72:].mean()
        return float(first / second)

    assert abs(swing(steady) - 1) < 0.1
    assert swing(daily) > 1.4


def test_the_fault_is_the_one_asked_for() -> None:
    incident, truth = simulate_incident(components=20, samples=60, seed=2, fault=("c7", "latency"))
    assert truth.root_causes == (("c7", None),)
    assert truth.fault_type == "latency"
    (latency,) = incident.signals_of("c7", Family.LATENCY)
    assert latency.values[54:].max() > 1.2 * np.median(latency.values[:54])
    assert simulate_incident(components=20, samples=60, seed=2, faulty=False)[1].root_causes == ()


def test_what_cannot_be_simulated_is_said() -> None:
    with pytest.raises(InvalidSettingsError, match="kinds are latency"):
        simulate_incident(seed=0, fault=("c0", "flood"))
    with pytest.raises(UnknownComponentError, match="c99"):
        simulate_incident(seed=0, components=5, fault=("c99", "latency"))
    with pytest.raises(InvalidSettingsError, match="20 samples"):
        simulate_incident(seed=0, samples=5)


def test_constants_are_those_of_the_oracle() -> None:
    """The likelihood is held against the oracle, so the simulation is of the same model."""
    laws = list(VITAL_LAWS.values())
    for name, table in (
        ("at_fault", oracle.AT_FAULT),
        ("root_up", oracle.ROOT_UP),
        ("effect_up", oracle.EFFECT_UP),
        ("shows", oracle.ECHO),
    ):
        assert tuple(getattr(law, name) for law in laws) == table
    theta = {"cross_family": (0.2, 0.3), "error_kind": 0.4}
    for number, kind in enumerate(KINDS):
        law = LAWS[kind]
        assert law.in_sets == (number in oracle.SET_KINDS)
        if number in oracle.KIND_SHOWS:
            prior = oracle.KIND_PRIOR | {oracle.CODE: oracle.CODE_PRIOR}
            assert law.prior(theta) == prior[number]
            assert law.shows(theta) == oracle.KIND_SHOWS[number]
    for name in (
        "ALARM_TRUE",
        "DEPENDENCY",
        "UNSEEN",
        "CALLED",
        "AT_ROOT",
        "CODE_AT_ROOT",
        "WAITS",
        "LOAD_PASSED",
    ):
        assert getattr(simulate_faults, name) == getattr(oracle, name), name
    for name in ("UNREPORTED", "ROOT_EFFECT", "EFFECT_INDEX"):
        assert getattr(simulate_vitals, name) == getattr(oracle, name), name
    assert (simulate_faults.MAX_NOISE, simulate_cells.LARGE) == (oracle.MAX_NOISE, oracle.LARGE)
    assert simulate_cells.UP == UP
    assert np.log(simulate_faults.UNCONNECTED) == pytest.approx(oracle.LOG_UNCONNECTED)
    assert oracle.SIZES == SET_SIZES
    assert (simulate_traces.UNSEEN, simulate_traces.TIMED_LINK) == (
        oracle.UNSEEN,
        oracle.TIMED_LINK,
    )
    for name, numbers in oracle.TRACE_SHOWS.items():
        way = simulate_traces.WAYS[name]
        assert (*way.own, *way.groups) == tuple(numbers.values())
    assert tuple(oracle.TRACE_SHARE.values()) == (*simulate_traces.SHARES[:8], 0.7, 0.7)
    ways = {"code": simulate_traces.KIND_WAYS["code"], "several": simulate_traces.SET_WAYS}
    assert ways == oracle.TRACE_WAYS


@pytest.mark.parametrize(("name", "value"), [("step", np.nan), ("step", -1.0), ("season", 1e18)])
def test_times_beyond_reason_are_refused(name: str, value: float) -> None:
    with pytest.raises(InvalidSettingsError, match=f"{name} must be in"):
        given: dict[str, Any] = {name: value}
        simulate_incident(components=4, samples=60, seed=1, **given)


@pytest.mark.parametrize("correlation", [0.0, 0.9])
def test_several_series_of_a_cell_share_their_noise_and_one_responds(correlation: float) -> None:
    rng = np.random.default_rng(5)
    cell = simulate_cells.Several(rng, 4, correlation)
    cell.prepare(natural_values(MEAN), 0)
    quiet, shown = [], []
    for _ in range(2000):
        cell.draw_quiet(rng)
        quiet.append(cell.contrasts.copy())
        cell.draw_root(rng)
        shown.append((cell.contrasts != quiet[-1]).sum())
    assert set(shown) == {1}
    law = stats.t(4, scale=float(natural_values(MEAN)["noise_scale"][0]))
    middle = np.abs(np.array(quiet)) < 1.5  # the wide part of the law is in the tails
    assert middle.mean() == pytest.approx(law.cdf(1.5) - law.cdf(-1.5), abs=0.02)
    one, other, *_ = np.array(quiet).T
    assert stats.spearmanr(one, other).statistic == pytest.approx(correlation, abs=0.1)
