"""A topology map in words, as data and as a picture."""

import json
import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayesrca.errors import NotSupportedError
from bayesrca.incident import (
    Component,
    ComponentKind,
    Edge,
    EdgeKind,
    KnownComponent,
    KnownEdge,
    Provenance,
    TopologyMap,
)
from bayesrca.report.layers import place_in_layers
from bayesrca.report.topology import (
    find_unconnected,
    format_seconds,
    format_share,
    map_to_json,
    summarise,
)
from bayesrca.report.topology_plot import MOST_COMPONENTS, plot_topology

SPANS = (Provenance.SPANS,)


def known(*names: str, kind: ComponentKind = ComponentKind.SERVICE) -> tuple[KnownComponent, ...]:
    return tuple(KnownComponent(Component(name, kind), SPANS) for name in names)


MAP = TopologyMap(
    (*known("web", "cart", "alone"), *known("db", kind=ComponentKind.DATASTORE)),
    (
        KnownEdge(Edge("web", "cart"), SPANS, 10, 5, 3, 0.25, 0.9),
        KnownEdge(Edge("cart", "db", EdgeKind.READS), (Provenance.DECLARED,)),
    ),
)


def test_the_summary_counts() -> None:
    assert summarise(MAP) == (
        "4 components (3 service, 1 datastore); 2 edges (known: 1 by spans, 1 by declared)"
    )
    assert find_unconnected(MAP) == ["alone"]


def test_figures_in_their_own_units() -> None:
    values = (2.0, 0.25, 12.3456e-6, 5e-9, math.nan)
    assert [format_seconds(v) for v in values] == ["2 s", "250 ms", "12.3 us", "5 ns", ""]
    assert [format_share(v) for v in (0.5, 0.0, math.nan)] == ["50%", "0%", ""]


def test_as_data_without_nan() -> None:
    data = json.loads(json.dumps(map_to_json(MAP), allow_nan=False))
    assert data["components"][3] == {
        "name": "db",
        "kind": "datastore",
        "parent": None,
        "known_by": ["spans"],
    }
    assert data["edges"][0]["latency_seconds"] == 0.25
    assert data["edges"][1] == {
        "source": "cart",
        "target": "db",
        "kind": "reads",
        "known_by": ["declared"],
        "calls": 0,
        "errors": 0,
        "traces": 0,
        "latency_seconds": None,
        "confidence": 1.0,
    }


GRAPHS = st.integers(1, 8).flatmap(
    lambda n: st.tuples(
        st.just([f"n{i}" for i in range(n)]),
        st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=20),
    )
)


@given(GRAPHS)
def test_every_node_has_one_place_and_long_edges_have_bends(
    graph: tuple[list[str], list[tuple[int, int]]],
) -> None:
    nodes, pairs = graph
    edges = [(nodes[a], nodes[b]) for a, b in pairs]
    layers = place_in_layers(nodes, edges)
    depth = {n: i for i, layer in enumerate(layers) for n in layer if isinstance(n, str)}
    assert sorted(depth) == sorted(nodes)
    bends = sorted(b for layer in layers for b in layer if not isinstance(b, str))
    assert bends == sorted(
        {(a, b, i) for a, b in edges if a != b for i in range(depth[a] + 1, depth[b])}
    )
    if all(a < b for a, b in pairs):  # no cycle: all lead forward, by the longest path
        assert all(depth[a] < depth[b] for a, b in edges)
        for node in nodes:
            above = [depth[a] + 1 for a, b in edges if b == node]
            assert depth[node] == max(above, default=0)


def test_a_chain_is_drawn_as_one() -> None:
    nodes = ["d", "b", "a", "c"]
    assert place_in_layers(nodes, pairwise("abcd")) == [["a"], ["b"], ["c"], ["d"]]
    assert place_in_layers([], []) == []


def test_crossings_are_undone() -> None:
    layers = place_in_layers(["a", "b", "x", "y"], [("a", "y"), ("b", "x")])
    assert [layers[0].index("a"), layers[0].index("b")] == [
        layers[1].index("y"),
        layers[1].index("x"),
    ]


@pytest.mark.parametrize(
    ("suffix", "magic"), [(".svg", b"<?xml"), (".PNG", b"\x89PNG"), (".pdf", b"%PDF")]
)
def test_pictures(suffix: str, magic: bytes) -> None:
    assert plot_topology(MAP, suffix).startswith(magic)


def test_pictures_hold_every_name_even_odd_ones() -> None:
    names = ("a$b$c", "x" * 60, "cycle", "\u6f22\n\0", "alone_$")
    edges = [*pairwise(names[:4]), ("cycle", "a$b$c"), ("a$b$c", "\u6f22\n\0")]
    drawn = plot_topology(
        TopologyMap(known(*names), tuple(KnownEdge(Edge(a, b), SPANS) for a, b in edges)), ".svg"
    )
    text = drawn.decode()
    assert "a$b$c" in text
    assert f"{'x' * 39}\u2026" in text
    assert "alone" in text


def test_a_map_without_edges_can_be_drawn_and_one_too_large_cannot() -> None:
    assert plot_topology(TopologyMap(known("only")), ".svg").startswith(b"<?xml")
    many = TopologyMap(known(*(f"c{i}" for i in range(MOST_COMPONENTS + 1))))
    with pytest.raises(NotSupportedError, match="251 components are too many"):
        plot_topology(many, ".svg")
