"""What is said for each cause."""

from __future__ import annotations

import dataclasses
import re
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bayesrca.analysis import analyze
from bayesrca.config import Method, Settings
from bayesrca.evidence import VITALS, build_evidence
from bayesrca.incident import Family, Incident, Signal, Statistic
from bayesrca.ingest import load_incident
from bayesrca.kernels.propagation import KINDS, PreparedLikelihood
from bayesrca.model.parameters import unconstrained_prior
from bayesrca.posterior.explain import _RESOURCES, Explainer
from bayesrca.posterior.result import Answer, Cause
from tests.integration.kit import ROOT
from tests.unit.posterior.synthetic import make_incident, make_shop

Floats = NDArray[np.float64]
FAST = Settings(method=Method.SCREEN, screen_scrambles=4, screen_points=8)
EXAMPLES = ("search_delay", "search_errors", "search_delay_no_baseline")


def explain(incident: Incident) -> dict[str, Cause]:
    return {c.component: c for c in ask(incident).posterior.causes}


def ask(incident: Incident) -> Answer:
    return analyze(incident, seed=1, settings=FAST).answer


def hops(incident: Incident, start: int, end: int, family: Family) -> int | None:
    """Length of a shortest path, by powers of the adjacency matrix."""
    n = len(incident.topology)
    step = np.zeros((n, n), dtype=bool)
    for a, b in incident.topology.propagation_edges(family):
        step[a, b] = True
    reached = np.eye(n, dtype=bool)
    for length in range(n):
        if reached[start, end]:
            return length
        reached = reached @ step
    return None


def check_paths(incident: Incident) -> None:
    assert incident.target is not None
    names = incident.topology.names
    end = names.index(incident.target.component)
    edges = {(names[a], names[b]) for a, b in incident.topology.propagation_edges(Family.LATENCY)}
    for name, cause in explain(incident).items():
        told = cause.explains
        length = hops(incident, names.index(name), end, Family.LATENCY)
        assert told.reaches_target is (length is not None)
        steps = [(e.source, e.target) for e in told.edges]
        if steps:  # the most probable path, which need not be a shortest one
            assert steps == list(pairwise(told.path))
            assert length is not None
            assert len(told.path) >= length + 1
            assert all(0.0 < e.probability <= 1.0 for e in told.edges)
        else:
            assert len(told.path) == (0 if length is None else length + 1)
        assert all(pair in edges for pair in pairwise(told.path))
        if told.path:
            assert (told.path[0], told.path[-1]) == (name, names[end])


@pytest.mark.parametrize("example", EXAMPLES)
def test_paths_of_examples_are_paths(example: str) -> None:
    check_paths(load_incident(ROOT / "examples" / example))


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6))
def test_paths_are_paths_in_any_graph(seed: int) -> None:
    rng = np.random.default_rng(seed)
    names = [f"s{i}" for i in range(7)]
    pairs = {tuple(rng.choice(7, 2, replace=False)) for _ in range(int(rng.integers(0, 12)))}
    calls = [(names[a], names[b]) for a, b in sorted(pairs)]
    check_paths(make_incident(names, calls, slow=names[:2], target="s0"))


def test_a_culprit_speaks_by_its_own_series_its_dose_and_its_path() -> None:
    told = explain(make_shop())["store"].explains
    own, load = told.own
    assert (own.family, own.signal) == ("latency", "latency")
    assert (load.family, load.signal, load.measure) == ("load", "requests", "difference of means")
    assert "load unchanged" in told.text
    assert own.contrast == pytest.approx(np.log(4.0), abs=0.1)
    assert own.contrast / own.scale > 5
    assert own.log_bayes_factor > 3
    assert told.dose is not None
    assert (told.dose.family, told.dose.unit) == ("latency", "s")
    # Twenty samples of fifty requests that wait 0.6 s longer.
    assert told.dose.cause == pytest.approx(600, rel=0.35)
    assert told.explained_share is not None
    assert told.explained_share.family == "latency"
    assert told.explained_share.value > 0.8  # all three are four times as slow
    assert told.explained_share.ratio == pytest.approx(told.dose.cause / told.dose.target, rel=0.2)
    assert re.search(r"explains \d+% \(\d+% to \d+%\) of the target's excess", told.text)
    assert told.path == ("store", "cart", "front")
    assert [e.probability > 0.8 for e in told.edges] == [True, True]
    assert {a.component for a in told.affected} == {"cart", "front"}
    assert told.reaches_target is True
    start, end = told.footprint
    assert 30.0 * 140 <= start < end
    assert "reaches the target in 2 hops" in told.text
    assert re.search(r"latency up \d+% \(\d+\.\d times its normal variation\)", told.text)


def make_leak(**factors: float) -> Incident:
    """The shop with memory and cpu series everywhere; ``store_memory=4`` quadruples the store's."""
    shop = make_shop()
    (time,) = {s.timestamps.tobytes(): s.timestamps for s in shop.signals}.values()
    rng = np.random.default_rng(2)
    signals = list(shop.signals)
    for name in ("front", "cart", "store", "search"):
        for family, kinds in ((Family.MEMORY, ("memory", "pages")), (Family.CPU, ("cpu",))):
            for kind in kinds:
                values = 100.0 + rng.standard_normal(len(time))
                values[time >= time[140]] *= factors.get(f"{name}_{kind}", 1.0)
                signals.append(Signal(name, kind, family, Statistic.VALUE, time, values, "1"))
    return dataclasses.replace(shop, signals=tuple(signals))


def test_a_resource_fault_says_which_resource() -> None:
    cause = explain(make_leak(store_memory=4.0))["store"]
    assert cause.kind == "resource"
    assert cause.kinds["resource"] > 0.4
    loudest = cause.explains.own[1]
    assert (loudest.family, loudest.signal) == ("memory", "memory")
    assert loudest.measure == "difference of means"
    assert loudest.contrast == pytest.approx(300.0, abs=3.0)
    assert loudest.log_bayes_factor > 3
    text = cause.explains.text
    # Nobody reports the resources left out: the fault can hardly lie in another (eq. 13).
    assert re.match(r"resource at fault: memory \((9\d|100)%\); latency up \d+%", text)
    assert re.search(r"memory \(memory\) up \(\d+\.\d times its normal variation\)", text)
    assert "pages" not in text  # one that stood still
    assert "unchanged" not in text


def test_two_resources_alike_are_both_named() -> None:
    told = explain(make_leak(store_memory=4.0, store_pages=4.0, store_cpu=4.0))["store"].explains
    either = r"(cpu|memory) \(\d+%\)"
    assert re.match(f"resource at fault: {either}, else {either}; ", told.text)


def test_the_three_loudest_vitals_are_told_loudest_first() -> None:
    own = explain(make_leak(store_cpu=3.0))["store"].explains.own
    vitals = [e for e in own if e.measure == "difference of means"]
    assert len(vitals) == 3  # of cpu, memory, pages and requests
    assert vitals[0].signal == "cpu"
    factors = [e.log_bayes_factor for e in vitals]
    assert factors == sorted(factors, reverse=True)


def test_resources_that_stand_still_are_told_once() -> None:
    text = explain(make_leak())["search"].explains.text
    assert "memory" in text
    assert text.count("unchanged") == 2  # latency, and all resources together


def test_a_resource_fault_elsewhere_than_it_reports_says_so() -> None:
    incident = make_incident(("a", "b"), (("a", "b"),), slow=("a",), silent=("b",), target="a")
    evidence = build_evidence(incident)
    theta = unconstrained_prior()[0]
    with PreparedLikelihood(evidence, none_prior=0.05, max_width=14) as likelihood:
        explainer = Explainer(evidence, likelihood, theta, evidence.target, interval_mass=0.89)
        told = explainer.explain(1, KINDS.index("resource"))
    assert told.text.startswith("resource at fault: one it does not report (100%); no telemetry")


def test_a_state_is_a_resource_that_it_reports() -> None:
    shop = make_shop()
    time = shop.signals[0].timestamps
    mode = np.where(time >= time[140], 7.0, 3.0)
    state = Signal("store", "mode", Family.STATE, Statistic.VALUE, time, mode, "")
    evidence = build_evidence(dataclasses.replace(shop, signals=(*shop.signals, state)))
    theta = unconstrained_prior()[0]
    with PreparedLikelihood(evidence, none_prior=0.05, max_width=14) as likelihood:
        explainer = Explainer(evidence, likelihood, theta, evidence.target, interval_mass=0.89)
        told = explainer.explain(evidence.components.index("store"), KINDS.index("resource"))
    assert told.text.startswith("resource at fault: its state (")


@pytest.mark.parametrize(
    ("kind", "ratio", "words"),
    [
        ("load", 0.0, "at fault: the demand on it; latency up"),
        ("link", 0.0, "at fault: the way to it, not the component itself; latency up"),
        ("crash", 0.0, "crashed: nothing tells whether it fell silent; "),
        ("crash", 3.25, "crashed: its telemetry fell silent (log Bayes factor 3.2); "),
        ("crash", -1.5, "crashed: but its telemetry went on (log Bayes factor -1.5); "),
    ],
)
def test_other_kinds_say_what_they_are(kind: str, ratio: float, words: str) -> None:
    evidence = build_evidence(make_shop())
    crash = np.full_like(evidence.crash_log_ratio, ratio)
    evidence = dataclasses.replace(evidence, crash_log_ratio=crash)
    theta = unconstrained_prior()[0]
    with PreparedLikelihood(evidence, none_prior=0.05, max_width=14) as likelihood:
        explainer = Explainer(evidence, likelihood, theta, evidence.target, interval_mass=0.89)
        told = explainer.explain(2, KINDS.index(kind))
    assert told.text.startswith(words)
    assert (told.explained_share is None) == (kind == "link")


class Spreading:
    """A likelihood that also tells how a fault spread: straight, or by a more probable detour."""

    def __init__(self, likelihood: PreparedLikelihood, straight: float) -> None:
        self._likelihood = likelihood
        self._straight = straight
        self.asked: list[tuple[int, int]] = []

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  whatever a likelihood has
        return getattr(self._likelihood, name)

    def compute_path_probabilities(
        self, theta: Floats, component: int, family: int, footprint: int
    ) -> tuple[NDArray[np.int64], Floats, NDArray[np.int64], Floats]:
        assert theta.ndim == 1
        assert footprint >= 0
        self.asked.append((component, family))
        pairs = np.array([[2, 0], [2, 1], [1, 0], [3, 0]])
        p_edge = np.array([self._straight, 0.9, 0.8, 0.0])
        return np.array([0, 1, 3]), np.array([0.7, 0.95, 0.1]), pairs, p_edge


@pytest.mark.parametrize("straight", [0.71, 0.73])
def test_the_path_is_the_most_probable_one(straight: float) -> None:
    names = ("front", "middle", "slow", "other")
    calls = (("front", "middle"), ("middle", "slow"), ("front", "slow"), ("front", "other"))
    incident = make_incident(names, calls, slow=names[:3], target="front")
    evidence = build_evidence(incident)
    theta = unconstrained_prior()[0]
    with PreparedLikelihood(evidence, none_prior=0.05, max_width=14) as prepared:
        likelihood: Any = Spreading(prepared, straight)
        explainer = Explainer(evidence, likelihood, theta, evidence.target, interval_mass=0.89)
        told = explainer.explain(2, 0)
        aside = explainer.explain(2, 0, leading=False)
        unconnected = explainer.explain(3, 0)
    detour = straight < 0.9 * 0.8
    assert told.path == (("slow", "middle", "front") if detour else ("slow", "front"))
    assert [(e.source, e.target, e.probability) for e in told.edges] == (
        [("slow", "middle", 0.9), ("middle", "front", 0.8)]
        if detour
        else [("slow", "front", straight)]
    )
    assert {e.family for e in told.edges} == {"latency"}
    assert [(a.component, a.probability) for a in told.affected] == [
        ("middle", 0.95),
        ("front", 0.7),
    ]
    assert not aside.edges
    assert not aside.affected
    assert aside.path == ("slow", "front")
    assert aside.explained_share is None
    assert unconnected.edges == ()
    assert unconnected.path == ("other", "front")  # an edge that carried nothing is still a path
    assert likelihood.asked == [(2, 0), (3, 0)]


def test_one_hop_is_singular() -> None:
    assert "in 1 hop." in explain(make_shop())["cart"].explains.text


def test_the_target_has_no_dose_of_its_own_and_a_path_of_one() -> None:
    told = explain(make_shop())["front"].explains
    assert told.dose is None
    assert told.path == ("front",)
    assert told.reaches_target is True
    assert told.text.endswith("it is the target itself.")


def test_a_component_without_series_says_so() -> None:
    told = explain(make_shop())["hosts/dark"].explains
    assert told.own == ()
    assert told.dose is None
    assert "no telemetry of its own in that interval; reaches" in told.text


def test_without_a_path_it_says_so() -> None:
    incident = make_incident(
        ("front", "cart", "other"), (("front", "cart"),), slow=("front", "cart"), target="front"
    )
    told = explain(incident)["other"].explains
    assert told.path == ()
    assert told.reaches_target is False
    assert "no path" in told.text
    assert "latency unchanged" in told.text


def test_without_a_target_nothing_is_said_about_reaching_it() -> None:
    incident = make_incident(("a", "b"), (("a", "b"),), slow=("a", "b"))
    for cause in explain(incident).values():
        assert cause.explains.reaches_target is None
        assert cause.explains.path == ()
        assert cause.explains.dose is None
        assert cause.explains.text.endswith("no target to reach.")


def test_a_target_whose_alarm_could_not_be_used_is_still_a_place() -> None:
    incident = make_incident(
        ("front", "cart"), (("front", "cart"),), slow=("cart",), silent=("front",),
        target="front", alarm=None,
    )  # fmt: skip
    causes = explain(incident)
    assert causes["cart"].explains.path == ("cart", "front")
    assert causes["front"].explains.reaches_target is True


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_word_and_number_is_finite(example: str) -> None:
    answer = ask(load_incident(ROOT / "examples" / example))
    for cause in answer.posterior.causes:
        told = cause.explains
        assert not re.search(r"\b(nan|inf)\b", told.text, re.IGNORECASE)
        numbers = [*told.footprint]
        for own in told.own:
            numbers += [own.contrast, own.scale, own.log_bayes_factor]
            assert own.scale > 0
            assert own.signal
        if told.dose is not None:
            numbers += [told.dose.cause, told.dose.target]
        assert np.isfinite(numbers).all()


def test_causes_are_ranked_and_ties_keep_the_order_of_the_topology() -> None:
    incident = make_incident(
        ("front", "dark 1", "cart", "dark 2"),
        (("front", "cart"), ("front", "dark 1"), ("front", "dark 2")),
        slow=("front", "cart"), silent=("dark 1", "dark 2"), target="front",
    )  # fmt: skip
    causes = ask(incident).posterior.causes
    values = [c.probability.value for c in causes]
    assert values == sorted(values, reverse=True)
    assert sorted(c.component for c in causes) == sorted(incident.topology.names)
    dark = [c for c in causes if c.component.startswith("dark")]
    assert dark[0].probability.value == pytest.approx(dark[1].probability.value, rel=1e-9)
    if dark[0].probability.value == dark[1].probability.value:
        assert [c.component for c in dark] == ["dark 1", "dark 2"]


def test_every_family_of_a_vital_has_its_words() -> None:
    assert set(_RESOURCES) == set(VITALS)
