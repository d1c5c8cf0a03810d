"""Components and typed edges, and the one place that says which way a fault travels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from bayesrca.errors import InvalidIncidentError, UnknownComponentError
from bayesrca.incident._checks import require_all, require_member, require_text
from bayesrca.incident.component import Component
from bayesrca.incident.family import Family


class EdgeKind(StrEnum):
    """How the source depends on the target, written as tracing tells it.

    ``CALLS`` caller -> callee, ``HOSTS`` host -> hosted, ``READS`` reader -> datastore or queue,
    ``PUBLISHES`` producer -> queue, ``CAUSES`` cause -> effect.
    """

    CALLS = "calls"
    HOSTS = "hosts"
    READS = "reads"
    PUBLISHES = "publishes"
    CAUSES = "causes"


@dataclass(frozen=True, slots=True)
class Edge:
    """One typed dependency between two components.

    Attributes:
        source: name of the caller, host, reader, producer or cause.
        target: name of the callee, hosted part, datastore, queue or effect.
        kind: how the two depend on each other.

    Raises:
        InvalidIncidentError: empty name or unknown kind. Whether both ends exist and differ is
            checked by the `Topology`.
    """

    source: str
    target: str
    kind: EdgeKind = EdgeKind.CALLS

    def __post_init__(self) -> None:
        require_text(self.source, "an edge's source", "source")
        require_text(self.target, "an edge's target", "target")
        what = f"the kind of edge {self.source!r} -> {self.target!r}"
        object.__setattr__(self, "kind", require_member(EdgeKind, self.kind, what, "kind"))


# How a fault travels along an edge: +1 from source to target, -1 from target to source. A pair that
# is not listed carries nothing. Slowness and failures go against the calls (the caller waits, the
# producer waits for its queue), demand goes with them, a starved host starves what it hosts, and a
# causal edge means cause to effect whatever is measured.
_ALWAYS = {EdgeKind.CAUSES: 1}
_SYMPTOM = {
    EdgeKind.CALLS: -1,
    EdgeKind.READS: -1,
    EdgeKind.PUBLISHES: -1,
    EdgeKind.HOSTS: 1,
    **_ALWAYS,
}
_DEMAND = {EdgeKind.CALLS: 1, EdgeKind.READS: 1, EdgeKind.PUBLISHES: 1, **_ALWAYS}
_SATURATION = {EdgeKind.HOSTS: 1, **_ALWAYS}
_DIRECTION: Mapping[Family, Mapping[EdgeKind, int]] = MappingProxyType(
    {
        Family.LATENCY: _SYMPTOM,
        Family.ERRORS: _SYMPTOM,
        Family.LOAD: _DEMAND,
        Family.CPU: _SATURATION,
        Family.MEMORY: _SATURATION,
        Family.DISK: _SATURATION,
        Family.NETWORK: _SATURATION,
        Family.HOST: _SATURATION,
        Family.EGRESS: _SYMPTOM,
        Family.AVAILABILITY: _ALWAYS,
        Family.STATE: _ALWAYS,
        Family.GENERIC: _ALWAYS,
    }
)


@dataclass(frozen=True, slots=True)
class Topology:
    """The components of a system and how they depend on each other.

    Cycles are legal, and so are repeated edges and components without any edge.

    Attributes:
        components: at least one, with unique names; their order is the order of every index.
        edges: both ends declared and different.

    Raises:
        InvalidIncidentError: no component, duplicate names, an undeclared parent or edge end, a
            self-loop, or parents that form a cycle.
    """

    components: tuple[Component, ...]
    edges: tuple[Edge, ...] = ()
    _index: Mapping[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "components", tuple(self.components))
        object.__setattr__(self, "edges", tuple(self.edges))
        object.__setattr__(self, "_index", _index_names(self.components))
        _check_parents(self.components, self._index)
        _check_edges(self.edges, self._index)

    @property
    def names(self) -> tuple[str, ...]:
        """Component names, in index order."""
        return tuple(self._index)

    def index(self, name: str) -> int:
        """Return the position of a component, 0 to ``len(topology) - 1``.

        Raises:
            UnknownComponentError: no component carries this name.
        """
        try:
            return self._index[name]
        except KeyError:
            msg = f"no component is named {name!r}; declare it in the topology"
            raise UnknownComponentError(msg) from None

    def __len__(self) -> int:
        return len(self.components)

    def __contains__(self, name: object) -> bool:
        return name in self._index

    def propagation_edges(self, family: Family) -> NDArray[np.int64]:
        """Return the edges along which a fault visible in `family` can spread.

        Returns:
            [E, 2] pairs (from, to) of component indices, without repeats, in ascending order: a
            fault at ``from`` can show at ``to``. Shape [0, 2] when there is none.
        """
        direction = _DIRECTION[Family(family)]
        pairs = set()
        for edge in self.edges:
            sign = direction.get(edge.kind, 0)
            pair = (self._index[edge.source], self._index[edge.target])
            if sign:
                pairs.add(pair if sign > 0 else pair[::-1])
        return np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2)

    def __reduce__(self) -> tuple[type[Topology], tuple[object, ...]]:
        return type(self), (self.components, self.edges)


def _index_names(components: tuple[Component, ...]) -> Mapping[str, int]:
    if not components:
        msg = "the topology has no component; declare at least one"
        raise InvalidIncidentError(msg, field="topology.components")
    index: dict[str, int] = {}
    require_all(Component, components, "topology.components")
    for i, component in enumerate(components):
        first = index.setdefault(component.name, i)
        if first != i:
            msg = (
                f"component {component.name!r} is declared twice (positions {first} and {i}); "
                "rename or remove one"
            )
            raise InvalidIncidentError(msg, field=f"topology.components[{i}].name")
    return MappingProxyType(index)


def _check_parents(components: tuple[Component, ...], index: Mapping[str, int]) -> None:
    cleared: set[str] = set()  # names known to lead to a root, so that each is walked once
    for i, component in enumerate(components):
        walked: dict[str, None] = {}
        here: Component | None = component
        while here is not None and here.name not in cleared:
            if here.name in walked:
                names = list(walked)
                loop = [*names[names.index(here.name) :], here.name]
                msg = f"parents form a cycle: {' -> '.join(map(repr, loop))}; remove one parent"
                raise InvalidIncidentError(msg, field=f"topology.components[{i}].parent")
            walked[here.name] = None
            if here.parent is None:
                break
            if here.parent not in index:
                msg = (
                    f"component {here.name!r} names parent {here.parent!r}, which is not declared; "
                    "declare it or drop the parent"
                )
                at = index[here.name]
                raise InvalidIncidentError(msg, field=f"topology.components[{at}].parent")
            here = components[index[here.parent]]
        cleared.update(walked)


def _check_edges(edges: tuple[Edge, ...], index: Mapping[str, int]) -> None:
    require_all(Edge, edges, "topology.edges")
    for i, edge in enumerate(edges):
        for end, name in (("source", edge.source), ("target", edge.target)):
            if name not in index:
                msg = (
                    f"edge {edge.source!r} -> {edge.target!r} names {name!r}, which is not a "
                    "declared component; declare it or remove the edge"
                )
                raise InvalidIncidentError(msg, field=f"topology.edges[{i}].{end}")
        if edge.source == edge.target:
            msg = f"edge {i} joins {edge.source!r} to itself; remove this self-loop"
            raise InvalidIncidentError(msg, field=f"topology.edges[{i}].target")
