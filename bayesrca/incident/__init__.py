"""What happened: components, what they were seen to do, and the time in question.

Frozen values that are checked when they are built, so every later step may rely on them. No I/O.
"""

from bayesrca.incident.alerts import Alert, AlertKind
from bayesrca.incident.component import Component, ComponentKind
from bayesrca.incident.family import Family, Statistic
from bayesrca.incident.incident import Incident
from bayesrca.incident.logs import Logs
from bayesrca.incident.moment import Event, Target, TimeWindow
from bayesrca.incident.run import Run
from bayesrca.incident.selection import select_tables
from bayesrca.incident.signal import Signal
from bayesrca.incident.source import IncidentSource, Origin
from bayesrca.incident.spans import Spans
from bayesrca.incident.topology import Edge, EdgeKind, Topology
from bayesrca.incident.topology_map import KnownComponent, KnownEdge, Provenance, TopologyMap

__all__ = [
    "Alert",
    "AlertKind",
    "Component",
    "ComponentKind",
    "Edge",
    "EdgeKind",
    "Event",
    "Family",
    "Incident",
    "IncidentSource",
    "KnownComponent",
    "KnownEdge",
    "Logs",
    "Origin",
    "Provenance",
    "Run",
    "Signal",
    "Spans",
    "Statistic",
    "Target",
    "TimeWindow",
    "Topology",
    "TopologyMap",
    "select_tables",
]
