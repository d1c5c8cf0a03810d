"""Probabilities of hosts, services and whatever else contains components."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from bayesrca.analysis import analyze
from bayesrca.config import Method, Settings
from bayesrca.errors import UnknownComponentError
from bayesrca.incident import Component, ComponentKind, Topology
from bayesrca.kernels.propagation import KINDS
from bayesrca.posterior.levels import compute_level, compute_levels
from bayesrca.posterior.summary import compute_root_probabilities
from tests.unit.posterior.synthetic import make_draws, make_shop

HOST, SERVICE, ENDPOINT = ComponentKind.HOST, ComponentKind.SERVICE, ComponentKind.ENDPOINT
SYSTEM = (
    Component("h1", HOST),
    Component("h2", HOST),
    Component("a", SERVICE, "h1"),
    Component("b", SERVICE, "h1"),
    Component("c", SERVICE, "h2"),
    Component("a/get", ENDPOINT, "a"),
    Component("loose", ENDPOINT),
)
SETS = ((2, 3), (3, 4), (2, 4, 5))
"""Two causes in one host; one in each; two in the first and one in the second."""


def by_hand(
    components: tuple[Component, ...], sets: tuple[tuple[int, ...], ...], p: np.ndarray
) -> dict[str, float]:
    """p of each node, hypothesis by hypothesis: is any of its causes inside?"""
    names = [c.name for c in components]

    def inside(i: int, node: str) -> bool:
        at: Component | None = components[i]
        while at is not None:
            if at.name == node:
                return True
            at = components[names.index(at.parent)] if at.parent is not None else None
        return False

    hypotheses = [(i,) for i in range(len(components)) for _ in KINDS] + list(sets)
    return {
        node: sum(
            float(q)
            for causes, q in zip(hypotheses, p[:-1], strict=True)
            if any(inside(i, node) for i in causes)
        )
        for node in names
    }


@pytest.mark.parametrize("screen", [True, False])
def test_nodes_are_unions_of_hypotheses(screen: bool) -> None:
    draws = make_draws(4, components=7, sets=3, screen=screen)
    root = compute_root_probabilities(draws, 0.89, SETS)
    levels = compute_levels(draws, root, SYSTEM, 0.89)
    assert [level.kind for level in levels] == ["host", "service"]  # no endpoint contains any
    p = np.einsum("cd,cdk->k", draws.weights, np.exp(draws.log_root))
    expected = by_hand(SYSTEM, SETS, p)
    for level in levels:
        values = [node.probability.value for node in level.nodes]
        assert values == sorted(values, reverse=True)
        for node in level.nodes:
            assert node.probability.value == pytest.approx(expected[node.component], rel=1e-12)
            low, high = node.probability.interval
            assert 0.0 <= low < high <= 1.0
            assert 0.0 < node.probability.mcse < 0.05
    assert {n.component for n in levels[1].nodes} == {"a", "b", "c"}


def test_two_causes_in_one_host_count_once() -> None:
    draws = make_draws(1, components=7, sets=3, screen=True)
    log_root = np.full_like(draws.log_root, -np.inf)
    log_root[..., -4] = 0.0  # a and b, for certain
    draws = dataclasses.replace(draws, log_root=log_root)
    root = compute_root_probabilities(draws, 0.89, SETS)
    first, second = compute_level(draws, root, SYSTEM, HOST, 0.89).nodes
    assert (first.component, second.component) == ("h1", "h2")
    assert first.probability.value == pytest.approx(1.0, abs=1e-12)
    assert second.probability.value == 0.0
    assert root.values[2] + root.values[3] == pytest.approx(2.0)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6))
def test_a_place_is_at_least_as_probable_as_what_it_contains(seed: int) -> None:
    rng = np.random.default_rng(seed)
    kinds = [HOST, SERVICE, ENDPOINT]
    components = tuple(
        Component(
            f"c{i}",
            kinds[rng.integers(3)],
            f"c{rng.integers(i)}" if i and rng.random() < 0.7 else None,
        )
        for i in range(9)
    )
    Topology(components)  # legal
    sets = ((0, 4), (3, 7), (1, 5, 8))
    draws = make_draws(seed, draws=8, components=9, sets=3, screen=True)
    root = compute_root_probabilities(draws, 0.89, sets)
    found = {
        node.component: node.probability
        for kind in kinds
        for node in compute_level(draws, root, components, kind, 0.89).nodes
    }
    for i, component in enumerate(components):
        place = found[component.name]
        assert place.value >= root.values[i] - 1e-12
        if component.parent is not None:
            above = found[component.parent]
            assert above.value >= place.value - 1e-12
            assert above.interval[0] >= place.interval[0] - 1e-12
            assert above.interval[1] >= place.interval[1] - 1e-12
        assert place.value <= 1.0 - root.values[-1] + 1e-12
    p = np.einsum("cd,cdk->k", draws.weights, np.exp(draws.log_root))
    expected = by_hand(components, sets, p)
    assert_allclose([found[c.name].value for c in components], list(expected.values()), rtol=1e-12)


def test_levels_of_an_answer() -> None:
    shop = make_shop()
    extra = (Component("rack", HOST), Component("closet", HOST))
    home = {"cart": "rack", "store": "rack", "search": "closet"}
    components = tuple(
        dataclasses.replace(c, parent=home.get(c.name)) for c in shop.topology.components
    )
    shop = dataclasses.replace(shop, topology=Topology((*components, *extra), shop.topology.edges))
    fast = Settings(method=Method.SCREEN, screen_scrambles=4, screen_points=8)
    analysis = analyze(shop, seed=1, settings=fast)
    posterior = analysis.answer.posterior
    p = np.einsum("cd,cdk->k", analysis.draws.weights, np.exp(analysis.draws.log_root))
    expected = by_hand(shop.topology.components, analysis.root.members, p)
    rack, closet = posterior.by_level("host")
    assert rack.component == "rack"
    assert rack.probability.value == pytest.approx(expected["rack"])
    assert closet.probability.value == pytest.approx(expected["closet"])
    assert analysis.aggregate(HOST) == posterior.levels[0]
    assert [n.component for n in analysis.aggregate(SERVICE).nodes] == [
        c.component for c in posterior.causes if c.component not in {"rack", "closet"}
    ]
    with pytest.raises(UnknownComponentError, match="levels of this answer: host"):
        posterior.by_level("service")
    assert analysis.aggregate(ComponentKind.QUEUE).nodes == ()
