"""What is said for each cause."""

from __future__ import annotations

import re
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayesrca.analysis import analyze
from bayesrca.config import Method, Settings
from bayesrca.incident import Family, Incident
from bayesrca.ingest import load_incident
from bayesrca.posterior.result import Answer, Cause
from tests.integration.kit import ROOT
from tests.unit.posterior.synthetic import make_incident, make_shop

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
        assert len(told.path) == (0 if length is None else length + 1)
        assert all(pair in edges for pair in pairwise(told.path))
        if told.path:
            assert (told.path[0], told.path[-1]) == (name, names[end])


@pytest.mark.parametrize("example", EXAMPLES)
def test_paths_of_examples_are_shortest(example: str) -> None:
    check_paths(load_incident(ROOT / "examples" / example))


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6))
def test_paths_are_shortest_in_any_graph(seed: int) -> None:
    rng = np.random.default_rng(seed)
    names = [f"s{i}" for i in range(7)]
    pairs = {tuple(rng.choice(7, 2, replace=False)) for _ in range(int(rng.integers(0, 12)))}
    calls = [(names[a], names[b]) for a, b in sorted(pairs)]
    check_paths(make_incident(names, calls, slow=names[:2], target="s0"))


def test_a_culprit_speaks_by_its_own_series_its_dose_and_its_path() -> None:
    told = explain(make_shop())["store"].explains
    (own,) = told.own
    assert (own.family, own.signal) == ("latency", "latency")
    assert own.contrast == pytest.approx(np.log(4.0), abs=0.1)
    assert own.contrast / own.scale > 5
    assert own.log_bayes_factor > 3
    assert told.dose is not None
    assert (told.dose.family, told.dose.unit) == ("latency", "s")
    # Twenty samples of fifty requests that wait 0.6 s longer.
    assert told.dose.cause == pytest.approx(600, rel=0.35)
    assert told.path == ("store", "cart", "front")
    assert told.reaches_target is True
    start, end = told.footprint
    assert 30.0 * 140 <= start < end
    assert "reaches the target in 2 hops" in told.text
    assert re.search(r"latency up \d+% \(\d+\.\d times its normal variation\)", told.text)


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
    assert told.text.startswith("no telemetry of its own in that interval; reaches")


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
