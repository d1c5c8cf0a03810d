"""One map out of a declared graph, spans and resource attributes."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayesrca.errors import IncidentFormatError, InvalidIncidentError
from bayesrca.incident import (
    Component,
    ComponentKind,
    Edge,
    EdgeKind,
    KnownComponent,
    KnownEdge,
    Provenance,
    Spans,
    TopologyMap,
)
from bayesrca.ingest import load_incident, load_topology_map, save_incident
from bayesrca.ingest.places import Place
from bayesrca.ingest.topology_map import Sources, build_topology_map

MakeFolder = Callable[..., Path]
MS = 10**6

# (trace, id, parent, component, kind, error, milliseconds, peer, database, topic)
ROWS: list[tuple[Any, ...]] = [
    ("t1", "a", "", "web", 2, False, 90, None, None, None),
    ("t1", "b", "a", "cart", 2, True, 40, None, None, None),
    ("t1", "c", "a", "cart", 2, False, 20, None, None, None),
    ("t1", "d", "b", "cart", 3, False, 7, "cart-db", "mysql", None),
    ("t1", "e", "b", "cart", 4, False, 1, None, None, "orders"),
    ("t2", "a", "", "web", 2, False, 50, None, None, None),
    ("t2", "b", "a", "web", 3, False, 45, None, None, None),
    ("t2", "c", "b", "cart", 2, False, 30, None, None, None),
    ("t2", "d", "a", "web", 3, True, 9, "stripe", None, None),
    ("t3", "a", "", "web", 4, False, 1, None, None, None),
    ("t3", "b", "a", "mailer", 5, False, 5, None, None, "orders"),
]


def trace(folder: Path, **more: list[Any]) -> Path:
    names = ("trace_id", "span_id", "parent_id", "service", "kind")
    columns: dict[str, Any] = {name: [r[i] for r in ROWS] for i, name in enumerate(names)}
    columns |= {
        "name": ["op"] * len(ROWS),
        "start_ns": list(range(len(ROWS))),
        "status": ["ERROR" if r[5] else "OK" for r in ROWS],
        "duration_ns": [r[6] * MS for r in ROWS],
        "peer.service": [r[7] for r in ROWS],
        "db.system": [r[8] for r in ROWS],
        "messaging.destination.name": [r[9] for r in ROWS],
        **more,
    }
    pq.write_table(pa.table(columns), folder / "traces.parquet")
    return folder


def edges(found: TopologyMap) -> dict[tuple[str, str], KnownEdge]:
    return {(known.edge.source, known.edge.target): known for known in found.edges}


def test_calls_counts_errors_and_medians(make_folder: MakeFolder) -> None:
    found = edges(load_topology_map(trace(make_folder(None))))
    assert list(found) == [
        ("web", "cart"),
        ("cart", "cart-db"),
        ("cart", "orders"),
        ("web", "stripe"),
        ("web", "mailer"),
        ("mailer", "orders"),
    ]
    # Three calls of 40, 20 and 30 ms in two traces, one of them failed; the client span between
    # web and cart belongs to web and is none.
    call = found["web", "cart"]
    assert (call.edge.kind, call.calls, call.errors, call.traces) == (EdgeKind.CALLS, 3, 1, 2)
    assert call.latency == pytest.approx(0.03)
    assert call.error_share == pytest.approx(1 / 3)
    assert call.provenance == (Provenance.SPANS,)


def test_what_sends_no_spans_is_known_by_who_calls_it(make_folder: MakeFolder) -> None:
    incident = load_incident(trace(make_folder(None)))
    kinds = {c.name: c.kind for c in incident.topology.components}
    assert kinds == {
        "web": ComponentKind.SERVICE,
        "cart": ComponentKind.SERVICE,
        "mailer": ComponentKind.SERVICE,
        "cart-db": ComponentKind.DATASTORE,
        "orders": ComponentKind.QUEUE,
        "stripe": ComponentKind.EXTERNAL,
    }
    assert {(e.source, e.target): e.kind for e in incident.topology.edges} == {
        ("web", "cart"): EdgeKind.CALLS,
        ("cart", "cart-db"): EdgeKind.READS,
        ("cart", "orders"): EdgeKind.PUBLISHES,
        ("web", "stripe"): EdgeKind.CALLS,
        ("web", "mailer"): EdgeKind.CAUSES,
        ("mailer", "orders"): EdgeKind.READS,
    }


def test_the_median_of_two_is_between_them(make_folder: MakeFolder) -> None:
    folder = trace(make_folder(None), service=["web"] + ["cart"] * 2 + ["web"] * 8)
    assert edges(load_topology_map(folder))["web", "cart"].latency == pytest.approx(0.03)


def test_a_declared_graph_keeps_its_kinds_and_gains_what_was_seen(make_folder: MakeFolder) -> None:
    graph = {
        "components": [{"name": "cart-db", "kind": "queue", "parent": None}],
        "nodes": ["web"],
        "typed_edges": [{"source": "cart", "target": "cart-db", "kind": "calls"}],
        "edges": [["cart", "web"], ["mailer", "cart"]],
    }
    folder = trace(make_folder(None, graph=graph))
    incident, found = load_incident(folder), load_topology_map(folder)
    assert incident.topology.names[:2] == ("cart-db", "web")
    assert incident.topology.components[0].kind is ComponentKind.QUEUE
    assert Edge("cart", "cart-db") in incident.topology.edges
    assert len(incident.topology.edges) == len(set(incident.topology.edges)) == 7
    known = edges(found)
    assert known["web", "cart"].provenance == (Provenance.DECLARED, Provenance.SPANS)
    assert known["web", "cart"].calls == 3
    assert known["cart", "mailer"].provenance == (Provenance.DECLARED,)
    ways = {k.component.name: k.provenance for k in found.components}
    assert ways["web"] == (Provenance.DECLARED, Provenance.SPANS)
    assert ways["stripe"] == (Provenance.SPANS,)


def test_confidence_by_hand(make_folder: MakeFolder) -> None:
    graph = {"nodes": ["web"], "edges": [["cart", "web"], ["mailer", "cart"], ["unseen", "web"]]}
    (folder := make_folder(None, graph=graph | {"nodes": ["web", "unseen"]})).joinpath("x").touch()
    known = edges(load_topology_map(trace(folder)))
    # Undeclared, one trace: 0.1 against 0.9 x 0.05.
    assert known["web", "stripe"].confidence == pytest.approx(0.1 / (0.1 + 0.9 * 0.05))
    # Declared and seen in two traces.
    assert known["web", "cart"].confidence == pytest.approx(0.9 / (0.9 + 0.1 * 0.05**2))
    # Declared; the two traces through cart never showed it, though mailer is traced.
    assert known["cart", "mailer"].confidence == pytest.approx((0.9 / 3) / (0.9 / 3 + 0.1))
    # Declared, and nothing that could have shown it: its target sends no spans.
    assert known["web", "unseen"].confidence == pytest.approx(0.9)


@pytest.mark.parametrize(("traces", "rounded"), [(1, 0.69), (2, 0.98)])
def test_confidence_as_the_document_says(traces: int, rounded: float) -> None:
    """docs/topology.md: one trace gives an undeclared edge .69, two .98."""
    n = 2 * traces
    spans = Spans(
        components=("web", "cart"),
        operations=("op",),
        codes=(),
        trace_ids=tuple(f"t{i}" for i in range(traces)),
        component=np.tile(np.array([0, 1], dtype=np.int32), traces),
        operation=np.zeros(n, dtype=np.int32),
        code=np.full(n, -1, dtype=np.int32),
        trace=np.repeat(np.arange(traces), 2),
        parent=np.array([-1 if i % 2 == 0 else i - 1 for i in range(n)]),
        start_ns=np.zeros(n, dtype=np.int64),
        duration_ns=np.ones(n, dtype=np.int64),
        kind=np.full(n, 2, dtype=np.int8),
        status=np.zeros(n, dtype=np.int8),
        peer=np.full(n, -1, dtype=np.int32),
    )
    (known,) = build_topology_map(Sources(spans=[spans])).edges
    assert round(known.confidence, 2) == rounded


SERVICES = ("web", "cart", "host:web", "node")
PLACES = ("web", "node", "pod", "elsewhere")
LEVELS = (ComponentKind.HOST, ComponentKind.POD, ComponentKind.CONTAINER)


@given(
    declared=st.lists(
        st.tuples(
            st.sampled_from([*SERVICES, *PLACES]), st.sampled_from([*LEVELS, *ComponentKind])
        ),
        unique_by=lambda pair: pair[0],
    ),
    series=st.lists(st.sampled_from(SERVICES)),
    places=st.lists(
        st.builds(
            Place,
            st.sampled_from(PLACES),
            st.sampled_from(LEVELS),
            st.sampled_from([*SERVICES, *PLACES]),
            st.sampled_from([None, *LEVELS]),
            st.integers(1, 3),
        ),
        max_size=8,
    ),
    resources=st.booleans(),
    code=st.booleans(),
)
def test_what_is_not_wanted_need_not_be_built(
    declared: list[tuple[str, ComponentKind]],
    series: list[str],
    places: list[Place],
    resources: bool,
    code: bool,
) -> None:
    """The switches give what `select` leaves of the whole map."""
    sources = Sources(
        declared=[Component("one"), *(Component(name, kind) for name, kind in declared)],
        series=series,
        places=places,
    )
    try:
        whole = build_topology_map(sources)
    except InvalidIncidentError:  # places in a circle
        return
    part = build_topology_map(sources, resources=resources, code=code)
    assert part == whole.select(resources=resources, code=code)


def test_code_need_not_be_built(make_folder: MakeFolder) -> None:
    folder = trace(make_folder(None), **{"code.function.name": [f"f{i % 3}" for i in range(11)]})
    whole = load_topology_map(folder)
    assert whole.topology(code=True) != whole.topology()
    assert load_incident(folder).topology == whole.topology()


def test_resource_attributes_say_what_runs_where(make_folder: MakeFolder) -> None:
    n = len(ROWS)
    pods: list[Any] = [{"web": "web-0", "cart": "cart-0"}.get(r[3]) for r in ROWS]
    hosts: list[Any] = ["h1"] * 5 + ["h2"] * 6
    more = {"cloud.region": ["eu-1"] * n, "host.name": hosts, "k8s.pod.name": pods}
    folder = trace(make_folder(None), **more)
    found = load_topology_map(folder)
    places = {pair for pair, known in edges(found).items() if known.edge.kind is EdgeKind.HOSTS}
    assert places == {
        ("eu-1", "h1"),
        ("eu-1", "h2"),
        ("h1", "web-0"),
        ("h2", "web-0"),
        ("h1", "cart-0"),
        ("h2", "cart-0"),
        ("h2", "mailer"),
        ("web-0", "web"),
        ("cart-0", "cart"),
    }
    everything = found.topology(resources=True)
    parents = {c.name: c.parent for c in everything.components}
    assert parents["web"] == "web-0"
    assert parents["web-0"] is None  # it was seen on two hosts
    assert parents["h1"] == "eu-1"
    # An incident's own topology stays what calls and is called.
    incident = load_incident(folder)
    assert "web-0" not in incident.topology
    assert {c.parent for c in incident.topology.components} == {None}


def test_a_place_named_like_a_service_gets_its_kind_in_front(make_folder: MakeFolder) -> None:
    found = load_topology_map(trace(make_folder(None), **{"host.name": ["cart"] * len(ROWS)}))
    assert ("host:cart", "cart") in edges(found)
    kinds = {k.component.name: k.component.kind for k in found.components}
    assert (kinds["cart"], kinds["host:cart"]) == (ComponentKind.SERVICE, ComponentKind.HOST)


def test_code_regions_are_parts_of_their_service(make_folder: MakeFolder) -> None:
    code = ["pay", "SELECT 1", *[None] * (len(ROWS) - 2)]
    found = load_topology_map(trace(make_folder(None), code=code))
    assert [k.component for k in found.components if Provenance.CODE in k.provenance] == [
        Component("web::pay", ComponentKind.FUNCTION, "web"),
        Component("cart::SELECT 1", ComponentKind.QUERY, "cart"),
    ]
    assert "web::pay" in found.topology(code=True)
    assert "web::pay" not in found.topology()


def test_aliases_say_who_is_meant(make_folder: MakeFolder) -> None:
    graph = {"nodes": ["basket"], "aliases": {"cart": "basket", "cart-db": "basket-db"}}
    found = edges(load_topology_map(trace(make_folder(None, graph=graph))))
    assert ("web", "basket") in found
    assert ("basket", "basket-db") in found


def test_aliases_must_be_names(make_folder: MakeFolder) -> None:
    with pytest.raises(IncidentFormatError, match=r"graph.json: aliases.cart must be text"):
        load_incident(make_folder(graph={"aliases": {"cart": 3}}))


def test_what_was_saved_is_read_without_new_edges(make_folder: MakeFolder, tmp_path: Path) -> None:
    incident = load_incident(trace(make_folder()))
    copy = save_incident(incident, tmp_path / "copy" / "outage")
    assert load_incident(copy) == incident
    graph = json.loads((copy / "graph.json").read_text())
    (copy / "graph.json").write_text(json.dumps(graph | {"typed_edges": []}))
    assert load_incident(copy).topology.edges == ()
    # The map still tells what the spans show.
    assert edges(load_topology_map(copy))["web", "cart"].calls == 3


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"errors": 2, "calls": 1}, "neither can exceed the calls"),
        ({"traces": 2, "calls": 1}, "neither can exceed the calls"),
        ({"confidence": 1.5}, "it is a probability"),
        ({"confidence": math.nan}, "it is a probability"),
        ({"provenance": ()}, "at least one way"),
        ({"provenance": ("spans", "spans")}, "each once"),
        ({"provenance": ("rumour",)}, "a provenance must be one of declared"),
    ],
)
def test_edges_that_cannot_be(changes: dict[str, Any], problem: str) -> None:
    fields: dict[str, Any] = {"edge": Edge("a", "b"), "provenance": ("spans",)}
    with pytest.raises(InvalidIncidentError, match=problem):
        KnownEdge(**(fields | changes))


def test_the_share_of_errors_of_no_calls() -> None:
    edge = KnownEdge(Edge("a", "b"), (Provenance.SPANS,), latency=0.5)
    assert math.isnan(edge.error_share)


def test_what_was_observed_yields_to_the_graph_and_to_spans(make_folder: MakeFolder) -> None:
    incident = load_incident(trace(make_folder(None)))
    assert incident.spans is not None
    sources = Sources(
        declared=[Component("web"), Component("stripe")],
        edges=[Edge("web", "stripe", EdgeKind.CAUSES)],
        spans=[incident.spans],
        peer_kinds={"orders": ComponentKind.QUEUE},
        observed=[("cart", "orders"), ("web", "stripe"), ("web", "new"), ("web", "new")],
    )
    found = build_topology_map(sources)
    known = edges(found)
    assert known["cart", "orders"].edge.kind is EdgeKind.PUBLISHES
    assert known["cart", "orders"].provenance == (Provenance.SPANS,)
    assert known["web", "stripe"].edge.kind is EdgeKind.CAUSES
    new = known["web", "new"]
    assert (new.edge.kind, new.provenance) == (EdgeKind.CALLS, (Provenance.OBSERVED,))
    assert new.confidence == pytest.approx(0.1 / (0.1 + 0.9 * 0.05))
    ways = {k.component.name: k.provenance for k in found.components}
    assert ways["new"] == (Provenance.OBSERVED,)
    assert found.topology().edges.count(Edge("web", "new")) == 1


def test_a_map_is_a_topology_at_least() -> None:
    known = KnownComponent(Component("a"), (Provenance.DECLARED,))
    edge = KnownEdge(Edge("a", "b"), (Provenance.DECLARED,))
    with pytest.raises(InvalidIncidentError, match="'b', which is not a declared component"):
        TopologyMap((known,), (edge,))
    with pytest.raises(InvalidIncidentError, match="no component"):
        TopologyMap(())
