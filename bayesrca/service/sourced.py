"""Requests that name a source become requests that hold the incident. Not for the event loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bayesrca.api.v1 import root_cause_service_pb2 as pb
from bayesrca.columns.otlp import Kind, Table
from bayesrca.errors import InvalidRequestError
from bayesrca.incident import Incident, IncidentSource, Origin
from bayesrca.ingest.connectors.collect import Wanted, collect
from bayesrca.ingest.connectors.interface import Connector
from bayesrca.ingest.connectors.received import Received
from bayesrca.ingest.connectors.saved import Saved
from bayesrca.ingest.connectors.told import Told
from bayesrca.ingest.graph_file import Graph
from bayesrca.ingest.places import Naming
from bayesrca.service.configured import Configured
from bayesrca.wire import encode_incident
from bayesrca.wire.paths import join, located

# Where the parts of a collection stand in a request.
_FIELDS = {"signals": "window", "step": "step_seconds"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stock:
    """What a server has to make incidents of, for one caller.

    Attributes:
        tables: what was received for its tenant, in the order of its arrival.
        evicted: records by kind that were received too and are no longer held.
        saved: folder of the saved telemetry that the source names, or None.
        configured: the back ends; None where the server has none.
    """

    tables: Sequence[Table] = field(default=(), repr=False)
    evicted: Mapping[Kind, int] = field(default_factory=dict)
    saved: Path | None = None
    configured: Configured | None = None


def fill(request: bytes, source: IncidentSource, stock: Stock, max_bytes: int) -> bytes:
    """Return an `AnalyzeRequest` with the incident that its source makes; it keeps the source.

    Args:
        request: the request.
        source: its source, read.
        stock: what to make the incident of.
        max_bytes: what the request may take.

    Raises:
        NoEvidenceError: neither a series nor a span came.
        InvalidIncidentError: what came does not hold the target, or nothing of a period.
        InvalidSettingsError: a back end would have to be asked for too many steps.
        InvalidRequestError: the incident takes more than `max_bytes`.
    """
    with located("source", lambda part: join("source", _FIELDS.get(part, part))):
        incident = build_incident(source, stock)
    message = pb.AnalyzeRequest.FromString(request)
    message.incident.CopyFrom(encode_incident(incident))
    content: bytes = message.SerializeToString(deterministic=True)
    if len(content) > max_bytes:
        msg = (
            f"the telemetry of that time takes {len(content)} bytes, more than the {max_bytes} of "
            "max_message_bytes; ask for a shorter time or longer steps"
        )
        raise InvalidRequestError(msg, field="source.window")
    return content


def build_incident(source: IncidentSource, stock: Stock) -> Incident:
    """Make the incident; what its origins could not give stands in its notes.

    Raises:
        BayesRcaError: as `bayesrca.ingest.connectors.collect.collect`.
    """
    asks_back_ends = Origin.CONFIGURED in source.origins and stock.configured is not None
    configured = stock.configured if asks_back_ends else None
    declared = _declared(source, None if configured is None else configured.declared)
    names = Naming(declared.aliases, frozenset(c.name for c in declared.components))
    connectors: list[Connector] = []
    if Origin.RECEIVED in source.origins:
        connectors.append(Received(stock.tables, stock.evicted, names))
    if stock.saved is not None:
        connectors.append(Saved(stock.saved, names))
    if configured is not None:
        connectors += configured.connectors()
    if source.events:
        connectors.append(Told(name="request", asked="its events", events=source.events))
    wanted = Wanted(
        name=source.title,
        window=source.window,
        baseline=source.normal,
        step=source.step,
        target=source.target,
        declared=declared,
    )
    return collect(connectors, wanted).incident


def _declared(source: IncidentSource, known: Graph | None) -> Graph:
    """What the request says of the system, and then what the server's graph adds."""
    if known is None:
        return Graph(source.components, source.edges, source.aliases)
    own = {component.name for component in source.components}
    return Graph(
        (*source.components, *(c for c in known.components if c.name not in own)),
        tuple(dict.fromkeys((*source.edges, *known.edges))),
        {**known.aliases, **source.aliases},
    )
