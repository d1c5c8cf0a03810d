"""One map of a system: a declared graph, spans and resource attributes, merged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from bayesrca.incident import (
    Component,
    ComponentKind,
    Edge,
    EdgeKind,
    KnownComponent,
    KnownEdge,
    Logs,
    Provenance,
    Spans,
    Topology,
    TopologyMap,
)
from bayesrca.ingest.call_edges import Calls, distinct, find_calls
from bayesrca.ingest.places import Place

# How sure an edge is (docs/topology.md): before anything was seen, by how much a trace that shows
# it speaks for it, and by how much it suffers when its caller is traced and it never shows.
PRIOR_DECLARED = 0.9
PRIOR_SEEN = 0.1
FALSE_WITNESS = 0.05
"""Probability that a trace shows a call that never was (mixed-up context, an id used twice)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What a map is made of.

    Attributes:
        declared: components of a graph, in order.
        edges: its edges; their ends may be named by what follows.
        series: names of components with series.
        spans: tables of spans, those of the incident and of normal runs.
        logs: tables of log records.
        places: what runs on what.
        peer_kinds: what those components are that send no spans of their own.
        observed: callers and callees that a source names without the spans behind them.
    """

    declared: Sequence[Component] = ()
    edges: Sequence[Edge] = ()
    series: Iterable[str] = ()
    spans: Sequence[Spans] = ()
    logs: Sequence[Logs] = ()
    places: Sequence[Place] = ()
    peer_kinds: Mapping[str, ComponentKind] = field(default_factory=dict)
    observed: Sequence[tuple[str, str]] = ()


def build_topology_map(
    sources: Sources, *, resources: bool = True, code: bool = True
) -> TopologyMap:
    """Merge what is known of a system's structure.

    Components come in this order: declared, with series, sending or named by spans, logging,
    observed to call or be called, then what they run on, then code regions. A declared kind or
    parent is never changed.

    Args:
        sources: what it is made of.
        resources: with the places that only resource attributes tell of, as in `select`.
        code: with the code regions that only spans and log records tell of, likewise.

    Raises:
        InvalidIncidentError: no component, or edges that a topology refuses.
    """
    parts = _Parts(sources)
    calls = find_calls(sources.spans, parts.kinds())
    edges = [*_merge_edges(sources, calls), *parts.add_places(sources.places, keep=resources)]
    if code:
        parts.add_code(sources)
    return TopologyMap(parts.known(), tuple(edges))


class _Parts:
    """Components by name, and how each is known."""

    def __init__(self, sources: Sources) -> None:
        self.components: dict[str, Component] = {}
        self.ways: dict[str, list[Provenance]] = {}
        if len({component.name for component in sources.declared}) < len(sources.declared):
            Topology(tuple(sources.declared))  # says which name is there twice
        for component in sources.declared:
            self.add(component, Provenance.DECLARED)
        for name in sources.series:
            self.add(Component(name), Provenance.SERIES)
        for table in sources.spans:
            senders = set(np.unique(table.component).tolist())
            for i, name in enumerate(table.components):
                kind = sources.peer_kinds.get(name, ComponentKind.EXTERNAL)
                component = Component(name) if i in senders else Component(name, kind)
                self.add(component, Provenance.SPANS)
        for records in sources.logs:
            for name in records.components:
                self.add(Component(name), Provenance.LOGS)
        # After the spans, which know what is a queue or a database.
        for name in (name for pair in sources.observed for name in pair):
            self.add(Component(name), Provenance.OBSERVED)

    def add(self, component: Component, way: Provenance) -> None:
        self.components.setdefault(component.name, component)
        ways = self.ways.setdefault(component.name, [])
        if way not in ways:
            ways.append(way)

    def kinds(self) -> dict[str, ComponentKind]:
        return {name: component.kind for name, component in self.components.items()}

    def known(self) -> tuple[KnownComponent, ...]:
        return tuple(KnownComponent(c, tuple(self.ways[n])) for n, c in self.components.items())

    def add_places(self, places: Sequence[Place], *, keep: bool) -> list[KnownEdge]:
        """Declare what others run on; one that only one thing carries is a part of it.

        Unless `keep`, those that nothing else tells of are left out again: they had to be there to
        know that what runs in two places is a part of neither.
        """
        rows: dict[tuple[str, str], int] = {}
        for place in places:
            outer = self._name_place(place.outer, place.outer_kind)
            inner = place.inner
            if place.inner_kind is not None:
                inner = self._name_place(inner, place.inner_kind)
            if inner in self.components and inner != outer:
                rows[outer, inner] = rows.get((outer, inner), 0) + place.rows
        hidden = {n for n, ways in self.ways.items() if not keep and ways == [Provenance.RESOURCE]}
        carriers: dict[str, list[str]] = {}
        for outer, inner in rows:
            carriers.setdefault(inner, []).append(outer)
        for inner, found in carriers.items():
            component = self.components[inner]
            declared = Provenance.DECLARED in self.ways[inner]
            single = len(found) == 1 and found[0] not in hidden
            if single and component.parent is None and not declared:
                self.components[inner] = Component(inner, component.kind, found[0])
        for name in hidden:
            del self.components[name], self.ways[name]
        return [
            KnownEdge(
                Edge(outer, inner, EdgeKind.HOSTS),
                (Provenance.RESOURCE,),
                calls=n,
                confidence=_confidence(PRIOR_SEEN, n),
            )
            for (outer, inner), n in rows.items()
            if outer not in hidden and inner not in hidden
        ]

    def _name_place(self, name: str, kind: ComponentKind) -> str:
        """Declare a place; one that is called like something else gets its kind in front."""
        known = self.components.get(name)
        if known is not None and known.kind is not kind:
            name = f"{kind}:{name}"
        self.add(Component(name, kind), Provenance.RESOURCE)
        return name

    def add_code(self, sources: Sources) -> None:
        """Declare each code region as a part of the component that named it."""
        tables: tuple[Spans | Logs, ...] = (*sources.spans, *sources.logs)
        for table in tables:
            rows = np.flatnonzero(table.code >= 0)
            width = len(table.codes)
            pairs = table.component[rows].astype(np.int64) * width + table.code[rows]
            for pair in np.unique(pairs).tolist():
                owner, region = table.components[pair // width], table.codes[pair % width]
                # A statement has words; no function or file with a line number has.
                kind = ComponentKind.QUERY if " " in region else ComponentKind.FUNCTION
                self.add(Component(f"{owner}::{region}", kind, owner), Provenance.CODE)


def _merge_edges(sources: Sources, calls: Sequence[Calls]) -> list[KnownEdge]:
    seen: dict[tuple[str, str], list[Calls]] = {}
    for call in calls:
        seen.setdefault((call.edge.source, call.edge.target), []).append(call)
    missed: list[Mapping[str, int]] | None = None
    edges = []
    for edge in sources.edges:
        found = seen.get((edge.source, edge.target))
        if found is not None:
            edges.append(_declared_edge(edge, found))
            continue
        if missed is None:
            missed = [_count_traces(spans) for spans in sources.spans]
        edges.append(_unseen_edge(edge, missed))
    declared = {(edge.source, edge.target) for edge in sources.edges}
    edges += [_seen_edge(c) for pair, found in seen.items() if pair not in declared for c in found]
    known = declared | seen.keys()
    observed = dict.fromkeys(pair for pair in sources.observed if pair not in known)
    edges += [_observed_edge(caller, callee) for caller, callee in observed]
    return edges


def _observed_edge(caller: str, callee: str) -> KnownEdge:
    """It counts as one trace: how many stand behind it is not told."""
    return KnownEdge(
        Edge(caller, callee, EdgeKind.CALLS),
        (Provenance.OBSERVED,),
        confidence=_confidence(PRIOR_SEEN, 1),
    )


def _seen_edge(call: Calls) -> KnownEdge:
    return KnownEdge(
        call.edge,
        (Provenance.SPANS,),
        call.calls,
        call.errors,
        call.traces,
        call.latency,
        _confidence(PRIOR_SEEN, call.traces),
    )


def _declared_edge(edge: Edge, found: Sequence[Calls]) -> KnownEdge:
    """A declared kind stands, whatever the spans look like: they cannot tell it as well."""
    most = max(found, key=lambda call: call.calls)
    traces = sum(call.traces for call in found)
    return KnownEdge(
        edge,
        (Provenance.DECLARED, Provenance.SPANS),
        sum(call.calls for call in found),
        sum(call.errors for call in found),
        traces,
        most.latency,
        _confidence(PRIOR_DECLARED, traces),
    )


def _unseen_edge(edge: Edge, traces: Sequence[Mapping[str, int]]) -> KnownEdge:
    """What no span shows is less sure the more traces of its source could have shown it.

    Args:
        edge: a declared edge.
        traces: of each table, how many traces pass through each component that sends spans.
    """
    # A target without spans of its own is hidden from them.
    missed = sum(
        count.get(edge.source, 0)
        for count in traces
        if edge.kind is EdgeKind.CALLS and edge.target in count
    )
    return KnownEdge(
        edge, (Provenance.DECLARED,), confidence=_confidence(PRIOR_DECLARED, 0, missed)
    )


def _count_traces(spans: Spans) -> dict[str, int]:
    """Return how many traces pass through each component that sends spans."""
    width = len(spans.trace_ids)
    pairs = distinct(spans.component.astype(np.int64) * width + spans.trace)
    counts = np.bincount(pairs // width, minlength=len(spans.components))
    return {name: n for name, n in zip(spans.components, counts.tolist(), strict=True) if n}


def _confidence(prior: float, witnesses: int, missed: int = 0) -> float:
    """Return the probability that an edge is real.

    Each witness would be false with probability `FALSE_WITNESS` were it not; a real edge is taken
    by an unknown share of requests, uniform on [0, 1], so that it stays unseen in m of them with
    probability 1 / (m + 1).
    """
    real = prior / (missed + 1.0)
    return real / (real + (1.0 - prior) * FALSE_WITNESS**witnesses)
