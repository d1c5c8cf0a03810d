"""bayesrca: which components caused this anomaly, and how sure are we?

    import bayesrca

    incident = bayesrca.load_incident("examples/search_delay")
    analysis = bayesrca.analyze(incident, seed=1)
    best = analysis.answer.posterior.causes[0]
    print(best.component, best.probability.value)

Names are loaded when first used: importing the package loads neither PyMC nor pandas nor the native
core.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from bayesrca.config import BeyondWidth, Method, Settings
from bayesrca.errors import BayesRcaError

if TYPE_CHECKING:
    from bayesrca._core import __version__
    from bayesrca.analysis import Analysis, Progress, analyze
    from bayesrca.client import Client
    from bayesrca.decision import Decision, Policy, Verdict, decide, load_policy
    from bayesrca.incident import (
        Component,
        ComponentKind,
        Edge,
        EdgeKind,
        Event,
        Family,
        Incident,
        Logs,
        Run,
        Signal,
        Spans,
        Statistic,
        Target,
        TimeWindow,
        Topology,
        TopologyMap,
    )
    from bayesrca.ingest import (
        FamilyRules,
        load_incident,
        load_normal_runs,
        load_topology_map,
        save_incident,
    )
    from bayesrca.posterior.result import Answer, Cause, Diagnostics, RootCausePosterior

_HOMES = {
    "bayesrca._core": ("__version__",),
    "bayesrca.analysis": ("Analysis", "Progress", "analyze"),
    "bayesrca.client": ("Client",),
    "bayesrca.decision": ("Decision", "Policy", "Verdict", "decide", "load_policy"),
    "bayesrca.incident": (
        "Component",
        "ComponentKind",
        "Edge",
        "EdgeKind",
        "Event",
        "Family",
        "Incident",
        "Logs",
        "Run",
        "Signal",
        "Spans",
        "Statistic",
        "Target",
        "TimeWindow",
        "Topology",
        "TopologyMap",
    ),
    "bayesrca.ingest": (
        "FamilyRules",
        "load_incident",
        "load_normal_runs",
        "load_topology_map",
        "save_incident",
    ),
    "bayesrca.posterior.result": ("Answer", "Cause", "Diagnostics", "RootCausePosterior"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Analysis",
    "Answer",
    "BayesRcaError",
    "BeyondWidth",
    "Cause",
    "Client",
    "Component",
    "ComponentKind",
    "Decision",
    "Diagnostics",
    "Edge",
    "EdgeKind",
    "Event",
    "Family",
    "FamilyRules",
    "Incident",
    "Logs",
    "Method",
    "Policy",
    "Progress",
    "RootCausePosterior",
    "Run",
    "Settings",
    "Signal",
    "Spans",
    "Statistic",
    "Target",
    "TimeWindow",
    "Topology",
    "TopologyMap",
    "Verdict",
    "__version__",
    "analyze",
    "decide",
    "load_incident",
    "load_normal_runs",
    "load_policy",
    "load_topology_map",
    "save_incident",
]


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted(__all__)
