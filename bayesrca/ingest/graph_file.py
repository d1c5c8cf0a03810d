"""graph.json: components and the edges between them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bayesrca.incident import Component, ComponentKind, Edge, EdgeKind, Topology
from bayesrca.ingest._files import (
    expect_known_keys,
    expect_list,
    expect_object,
    expect_text,
    naming,
    read_json,
    reject,
    shorten,
)

CALL_DIRECTION = "[callee, caller]: faults propagate first -> second"
CAUSE_DIRECTION = "[cause, effect]: faults propagate first -> second"

_CALL_WORDS = re.compile(r"\b(caller|callee)s?\b", re.IGNORECASE)
_CAUSE_WORDS = re.compile(r"\b(cause|effect)s?\b", re.IGNORECASE)
_WRONG_WAY = re.compile(r"\W*(caller|effect)s?\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Graph:
    """What a graph file declares.

    Attributes:
        components: in order.
        edges: their ends need not be among the components: series and spans may name more.
        aliases: components for the names that spans and log records use for them.
    """

    components: tuple[Component, ...]
    edges: tuple[Edge, ...]
    aliases: Mapping[str, str]


def read_graph(path: Path) -> Graph:
    """Read a graph file; without one nothing is declared.

    Raises:
        IncidentFormatError: the file is not JSON or has the wrong shape.
        InvalidIncidentError: a component or an edge that cannot be.
    """
    content = read_json(path)
    graph = {} if content is None else expect_object(path, content)
    with naming(path):
        components = tuple(_read_components(path, graph))
        edges = (*_read_edges(path, graph), *_read_typed_edges(path, graph))
    aliases = expect_object(path, graph.get("aliases", {}), "aliases")
    for name, component in aliases.items():
        expect_text(path, component, f"aliases.{name}")
    return Graph(components, edges, MappingProxyType(aliases))


def read_declared(path: Path) -> Graph:
    """Read a graph file that must be there.

    Raises:
        IncidentFormatError: it is not there, or as `read_graph`.
        InvalidIncidentError: as `read_graph`.
    """
    if not path.exists():
        reject(path, "does not exist; give a graph file")
    return read_graph(path)


def _read_components(path: Path, graph: dict[str, Any]) -> list[Component]:
    components = []
    for i, entry in enumerate(expect_list(path, graph.get("components", []), "components")):
        what = f"components[{i}]"
        entry = expect_object(path, entry, what)  # noqa: PLW2901 - same thing, checked
        expect_known_keys(path, entry, {"name", "kind", "parent"}, what)
        name = expect_text(path, entry.get("name"), f"{what}.name")
        components.append(Component(name, entry.get("kind", "service"), entry.get("parent")))
    declared = {component.name for component in components}
    kinds = _read_node_info(path, graph)
    for i, node in enumerate(expect_list(path, graph.get("nodes", []), "nodes")):
        name = expect_text(path, node, f"nodes[{i}]")
        if name not in declared:
            components.append(Component(name, kinds.get(name, ComponentKind.SERVICE)))
            declared.add(name)
    return components


def _read_node_info(path: Path, graph: dict[str, Any]) -> dict[str, ComponentKind]:
    """Kinds of nodes; words that are no kind are the source's own and say nothing."""
    kinds = {}
    for i, entry in enumerate(expect_list(path, graph.get("node_info", []), "node_info")):
        match entry:
            case [str(name), str(word), *_]:
                if word.lower() in set(ComponentKind):
                    kinds[name] = ComponentKind(word.lower())
            case _:
                reject(
                    path,
                    "a node's name and its kind must come first in node_info"
                    f"[{i}], got {shorten(entry)}",
                    field=f"node_info[{i}]",
                )
    return kinds


def _read_edges(path: Path, graph: dict[str, Any]) -> list[Edge]:
    pairs = expect_list(path, graph.get("edges", []), "edges")
    kind = _edge_kind(path, graph.get("direction"))
    edges = []
    for i, pair in enumerate(pairs):
        if not (
            isinstance(pair, list) and len(pair) == 2 and all(isinstance(e, str) for e in pair)
        ):
            reject(
                path,
                f"edges[{i}] must be an array of two component names, got {shorten(pair)}",
                field=f"edges[{i}]",
            )
        first, second = pair
        # Stored so that a fault travels first -> second: for calls that is callee -> caller.
        edges.append(Edge(second, first) if kind is EdgeKind.CALLS else Edge(first, second, kind))
    return edges


def _edge_kind(path: Path, direction: object) -> EdgeKind:
    """Say what the pairs of `edges` are, by the words of the `direction` text."""
    if direction is None:
        return EdgeKind.CALLS
    text = expect_text(path, direction, "direction")
    if _WRONG_WAY.match(text):
        reject(
            path,
            f"direction is {shorten(text)}, but edges are stored [callee, caller] or [cause, "
            "effect]; swap each pair and the text",
            field="direction",
        )
    causal = _CAUSE_WORDS.search(text) and not _CALL_WORDS.search(text)
    return EdgeKind.CAUSES if causal else EdgeKind.CALLS


def _read_typed_edges(path: Path, graph: dict[str, Any]) -> list[Edge]:
    edges = []
    for i, entry in enumerate(expect_list(path, graph.get("typed_edges", []), "typed_edges")):
        what = f"typed_edges[{i}]"
        entry = expect_object(path, entry, what)  # noqa: PLW2901 - same thing, checked
        expect_known_keys(path, entry, {"source", "target", "kind"}, what)
        source = expect_text(path, entry.get("source"), f"{what}.source")
        target = expect_text(path, entry.get("target"), f"{what}.target")
        kind = expect_text(path, entry.get("kind"), f"{what}.kind")
        edges.append(Edge(source, target, kind))  # type: ignore[arg-type]  # checked by Edge
    return edges


def topology_to_json(topology: Topology) -> dict[str, Any]:
    """Return the content of the graph file that reads back as this topology."""
    content: dict[str, Any] = {"nodes": list(topology.names)}
    kinds = {edge.kind for edge in topology.edges}
    if kinds <= {EdgeKind.CALLS}:
        content["edges"] = [[edge.target, edge.source] for edge in topology.edges]
        content["direction"] = CALL_DIRECTION
    elif kinds == {EdgeKind.CAUSES}:
        content["edges"] = [[edge.source, edge.target] for edge in topology.edges]
        content["direction"] = CAUSE_DIRECTION
    else:
        content["edges"] = []
        content["typed_edges"] = [
            {"source": edge.source, "target": edge.target, "kind": edge.kind.value}
            for edge in topology.edges
        ]
    if any(component != Component(component.name) for component in topology.components):
        content["components"] = [
            {"name": component.name, "kind": component.kind.value, "parent": component.parent}
            for component in topology.components
        ]
    return content
