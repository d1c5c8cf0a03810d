"""What the topology alone says about who may be a root cause."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bayesrca.evidence.trace_evidence import TraceEvidence
from bayesrca.incident import ComponentKind, Incident, Topology

Floats = NDArray[np.float64]

KIND_WEIGHT = {ComponentKind.ALARM: 0.05, ComponentKind.EXTERNAL: 0.35}
"""Weight of a component of a stated kind as a root, of one of any other kind 1: an alarm only
reports on others, and what others run is seldom changed by whom it serves."""

UNCONNECTED = 0.05
"""Weight of a root that the graph joins with others, but not with the target."""

UNTRACED = 0.05
"""Weight of a root that would have spans and has none, in the window or before, where others do."""
_HAVE_SPANS = (ComponentKind.SERVICE, ComponentKind.ENDPOINT)


def compute_root_log_prior(topology: Topology) -> Floats:
    """[n] log prior weight of each component as a root, relative to others; 0 by default."""
    return np.log([KIND_WEIGHT.get(c.kind, 1.0) for c in topology.components])


def find_unconnected(incident: Incident) -> NDArray[np.bool_]:
    """[n] whether no chain of edges, in whatever direction, joins a component with the target.

    False throughout without a target, or where the target itself has no edge: the graph then says
    nothing about what surrounds it.
    """
    topology = incident.topology
    near: dict[str, set[str]] = {}
    for edge in topology.edges:
        near.setdefault(edge.source, set()).add(edge.target)
        near.setdefault(edge.target, set()).add(edge.source)
    if incident.target is None or incident.target.component not in near:
        return np.zeros(len(topology), dtype=bool)
    found = {incident.target.component}
    left = list(found)
    while left:
        new = near[left.pop()] - found
        found |= new
        left.extend(new)
    return np.array([name not in found for name in topology.names])


def find_untraced(topology: Topology, traces: TraceEvidence | None) -> NDArray[np.bool_] | None:
    """[n] whether a service took no part in any traced work; None where nothing is traced.

    Kinds of components that do not make spans themselves, such as hosts, are never untraced.
    """
    if traces is None or not traces.has_spans.any():
        return None
    seen = traces.has_spans | traces.measured
    seen[traces.edge_source] = True
    seen[traces.edge_target] = True
    expected = np.array([c.kind in _HAVE_SPANS for c in topology.components])
    return np.asarray(expected & ~seen)
