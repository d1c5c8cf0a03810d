"""A topology, and where each part of it is known from."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from bayesrca.errors import InvalidIncidentError
from bayesrca.incident._checks import require_all, require_member
from bayesrca.incident.component import Component
from bayesrca.incident.topology import Edge, Topology


class Provenance(StrEnum):
    """How something came to be known.

    ``DECLARED`` in a graph, ``SERIES`` by the name of a series, ``SPANS`` and ``LOGS`` by who sent
    them or, of a database, a queue or an external, by whom a span called; ``OBSERVED`` by a source
    that says who calls whom without its spans; ``RESOURCE`` by what telemetry says its sender runs
    on, ``CODE`` by the code regions that it names.
    """

    DECLARED = "declared"
    SERIES = "series"
    SPANS = "spans"
    LOGS = "logs"
    OBSERVED = "observed"
    RESOURCE = "resource"
    CODE = "code"


# What is only known in these ways is part of the map, and of a topology when asked for.
_EXTRA = {Provenance.RESOURCE, Provenance.CODE}


@dataclass(frozen=True, slots=True)
class KnownComponent:
    """A component and how it is known.

    Attributes:
        component: the component.
        provenance: at least one way, without repeats.

    Raises:
        InvalidIncidentError: no way, or one that is not known.
    """

    component: Component
    provenance: tuple[Provenance, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "provenance", _check_ways(self.provenance))


@dataclass(frozen=True, slots=True)
class KnownEdge:
    """An edge, how it is known, and what was seen of it.

    Attributes:
        edge: the edge.
        provenance: at least one way, without repeats.
        calls: spans that went along it (of resource attributes: rows that state it).
        errors: how many of these spans failed, 0 to `calls`.
        traces: traces that they belong to.
        latency: median duration in seconds as the callee measured it (as the caller did, where the
            callee sends no spans); NaN where nothing was seen.
        confidence: probability that the edge is real, in [0, 1] (docs/topology.md).

    Raises:
        InvalidIncidentError: no provenance, or a number outside its range.
    """

    edge: Edge
    provenance: tuple[Provenance, ...]
    calls: int = 0
    errors: int = 0
    traces: int = 0
    latency: float = math.nan
    confidence: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "provenance", _check_ways(self.provenance))
        if not (0 <= self.errors <= self.calls and 0 <= self.traces <= self.calls):
            msg = (
                f"edge {self._label} has {self.errors} errors and {self.traces} traces of "
                f"{self.calls} calls; neither can exceed the calls"
            )
            raise InvalidIncidentError(msg, field="calls")
        if not 0.0 <= self.confidence <= 1.0:
            msg = f"the confidence of edge {self._label} is {self.confidence}; it is a probability"
            raise InvalidIncidentError(msg, field="confidence")

    @property
    def error_share(self) -> float:
        """Failed calls among all; NaN without calls, and where rows say only what runs where."""
        known = self.calls and not math.isnan(self.latency)
        return self.errors / self.calls if known else math.nan

    @property
    def _label(self) -> str:
        return f"{self.edge.source!r} -> {self.edge.target!r}"


@dataclass(frozen=True, slots=True)
class TopologyMap:
    """Everything that is known of a system's structure.

    Attributes:
        components: at least one, unique names; their order is that of the topology.
        edges: between them.

    Raises:
        InvalidIncidentError: whatever a `Topology` of all of them refuses.
    """

    components: tuple[KnownComponent, ...]
    edges: tuple[KnownEdge, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "components", tuple(self.components))
        object.__setattr__(self, "edges", tuple(self.edges))
        require_all(KnownComponent, self.components, "components")
        require_all(KnownEdge, self.edges, "edges")
        self._whole()

    def topology(self, *, resources: bool = False, code: bool = False) -> Topology:
        """Return the topology that an incident takes; the arguments are those of `select`."""
        return self.select(resources=resources, code=code)._whole()

    def select(self, *, resources: bool = False, code: bool = False) -> TopologyMap:
        """Return the part of the map that is about what sends telemetry, or is declared or called.

        Args:
            resources: with the hosts, pods, containers, regions and accounts that only resource
                attributes tell of.
            code: with the code regions that only spans and log records tell of.
        """
        wanted = {
            *([Provenance.RESOURCE] if resources else []),
            *([Provenance.CODE] if code else []),
        }
        hidden = {
            known.component.name
            for known in self.components
            if set(known.provenance) <= _EXTRA - wanted
        }
        if not hidden:
            return self
        kept = [known for known in self.components if known.component.name not in hidden]
        return TopologyMap(
            tuple(
                replace(known, component=replace(known.component, parent=None))
                if known.component.parent in hidden
                else known
                for known in kept
            ),
            tuple(k for k in self.edges if not {k.edge.source, k.edge.target} & hidden),
        )

    def _whole(self) -> Topology:
        return Topology(
            tuple(known.component for known in self.components),
            tuple(known.edge for known in self.edges),
        )


def _check_ways(ways: Iterable[object]) -> tuple[Provenance, ...]:
    checked = tuple(require_member(Provenance, w, "a provenance", "provenance") for w in ways)
    if not checked or len(set(checked)) < len(checked):
        msg = f"provenance must name at least one way, each once, got {list(checked)}"
        raise InvalidIncidentError(msg, field="provenance")
    return checked
