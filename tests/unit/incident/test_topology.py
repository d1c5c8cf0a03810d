import pickle

import numpy as np
import pytest

from bayesrca.errors import InvalidIncidentError, UnknownComponentError
from bayesrca.incident import Component, ComponentKind, Edge, EdgeKind, Family, Topology

LETTERS = tuple(Component(name) for name in "abc")


def topology_of(*edges: Edge) -> Topology:
    return Topology(LETTERS, edges)


def test_names_and_indices_follow_the_declaration_order() -> None:
    topology = topology_of()
    assert topology.names == ("a", "b", "c")
    assert len(topology) == 3
    assert topology.index("c") == 2
    assert "b" in topology
    assert "d" not in topology


def test_unknown_name_is_named() -> None:
    with pytest.raises(UnknownComponentError, match="'nobody'"):
        topology_of().index("nobody")


@pytest.mark.parametrize("name", ["a/b::C;d e", "ünï — 漢字", "x|y", " ", "\n"])
def test_names_are_opaque(name: str) -> None:
    assert Topology((Component(name),)).index(name) == 0


SYMPTOMS = (Family.LATENCY, Family.ERRORS)
SATURATIONS = (Family.CPU, Family.MEMORY, Family.DISK, Family.NETWORK)
OTHERS = (Family.AVAILABILITY, Family.STATE, Family.GENERIC)
FORWARD, BACKWARD, NOWHERE = [[0, 1]], [[1, 0]], list[list[int]]()


@pytest.mark.parametrize(
    ("kind", "families", "expected"),
    [
        (EdgeKind.CALLS, SYMPTOMS, BACKWARD),
        (EdgeKind.READS, SYMPTOMS, BACKWARD),
        (EdgeKind.PUBLISHES, SYMPTOMS, BACKWARD),
        (EdgeKind.HOSTS, SYMPTOMS, FORWARD),
        (EdgeKind.CALLS, (Family.LOAD,), FORWARD),
        (EdgeKind.READS, (Family.LOAD,), FORWARD),
        (EdgeKind.PUBLISHES, (Family.LOAD,), FORWARD),
        (EdgeKind.HOSTS, (Family.LOAD,), NOWHERE),
        (EdgeKind.HOSTS, SATURATIONS, FORWARD),
        (EdgeKind.CALLS, SATURATIONS, NOWHERE),
        (EdgeKind.READS, SATURATIONS, NOWHERE),
        (EdgeKind.PUBLISHES, SATURATIONS, NOWHERE),
        (EdgeKind.CALLS, OTHERS, NOWHERE),
        (EdgeKind.HOSTS, OTHERS, NOWHERE),
        (EdgeKind.CAUSES, tuple(Family), FORWARD),
    ],
)
def test_direction_of_propagation(
    kind: EdgeKind, families: tuple[Family, ...], expected: list[list[int]]
) -> None:
    topology = topology_of(Edge("a", "b", kind))
    for family in families:
        edges = topology.propagation_edges(family)
        assert edges.dtype == np.int64
        assert edges.shape == (len(expected), 2)
        assert edges.tolist() == expected


def test_propagation_edges_are_sorted_and_without_repeats() -> None:
    topology = topology_of(
        Edge("c", "b"), Edge("b", "a"), Edge("b", "a"), Edge("a", "b", EdgeKind.CAUSES)
    )
    assert topology.propagation_edges(Family.LATENCY).tolist() == [[0, 1], [1, 2]]


def test_cycles_are_legal() -> None:
    topology = topology_of(Edge("a", "b"), Edge("b", "c"), Edge("c", "a"))
    assert len(topology.propagation_edges(Family.LATENCY)) == 3


@pytest.mark.parametrize(
    ("components", "edges", "message", "field"),
    [
        ((), (), "no component", "topology.components"),
        ("aba", (), "'a' is declared twice", "topology.components[2].name"),
        ("ab", (Edge("a", "b"), Edge("x", "a")), "names 'x'", "topology.edges[1].source"),
        ("ab", (Edge("a", "x"),), "names 'x'", "topology.edges[0].target"),
        ("ab", (Edge("a", "a"),), "joins 'a' to itself", "topology.edges[0].target"),
    ],
)
def test_what_is_wrong_is_named(
    components: str, edges: tuple[Edge, ...], message: str, field: str
) -> None:
    with pytest.raises(InvalidIncidentError, match=message) as caught:
        Topology(tuple(Component(name) for name in components), edges)
    assert caught.value.field == field


def test_items_of_the_wrong_type_are_named() -> None:
    with pytest.raises(InvalidIncidentError, match="must be of type Component, got 'a'"):
        Topology(("a",))  # type: ignore[arg-type]
    with pytest.raises(InvalidIncidentError, match="must be of type Edge"):
        Topology(LETTERS, (("a", "b"),))  # type: ignore[arg-type]


def test_parents_nest() -> None:
    host = Component("host", ComponentKind.HOST)
    pod = Component("pod", ComponentKind.POD, parent="host")
    Topology((Component("svc", parent="pod"), pod, host))


def test_undeclared_parent_is_named() -> None:
    with pytest.raises(InvalidIncidentError, match="names parent 'ghost'") as caught:
        Topology((Component("a"), Component("b", parent="ghost")))
    assert caught.value.field == "topology.components[1].parent"


@pytest.mark.parametrize("parents", [{"a": "a"}, {"a": "b", "b": "c", "c": "a"}])
def test_parent_cycle_is_named(parents: dict[str, str]) -> None:
    components = tuple(Component(name, parent=parents.get(name)) for name in "abc")
    with pytest.raises(InvalidIncidentError, match="parents form a cycle: 'a' -> "):
        Topology(components)


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (("",), "name"),
        ((3,), "name"),
        (("\ud800",), "name"),
        (("a", "wizard"), "kind"),
        (("a", "host", ""), "parent"),
    ],
)
def test_component_arguments_are_checked(arguments: tuple[str, ...], field: str) -> None:
    with pytest.raises(InvalidIncidentError) as caught:
        Component(*arguments)  # type: ignore[arg-type]
    assert caught.value.field == field


def test_kinds_may_be_spelled() -> None:
    assert Component("a", "host").kind is ComponentKind.HOST  # type: ignore[arg-type]
    assert Edge("a", "b", "hosts").kind is EdgeKind.HOSTS  # type: ignore[arg-type]
    with pytest.raises(InvalidIncidentError, match="one of calls, hosts"):
        Edge("a", "b", "eats")  # type: ignore[arg-type]


def test_pickles() -> None:
    topology = topology_of(Edge("a", "b"))
    copy = pickle.loads(pickle.dumps(topology))
    assert copy == topology
    assert copy.index("b") == 1
