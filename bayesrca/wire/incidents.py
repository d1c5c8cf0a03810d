"""`Incident` to its message and back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bayesrca.api.v1 import incident_pb2
from bayesrca.errors import InvalidIncidentError
from bayesrca.incident import (
    Alert,
    Component,
    Edge,
    Event,
    Incident,
    Run,
    Signal,
    Target,
    TimeWindow,
    Topology,
)
from bayesrca.wire.paths import join, located
from bayesrca.wire.tables import decode_tables, encode_tables
from bayesrca.wire.tensors import decode_vector, encode_tensor
from bayesrca.wire.vocabulary import ALERT_KINDS, COMPONENT_KINDS, EDGE_KINDS, FAMILIES, STATISTICS


def encode_incident(incident: Incident) -> incident_pb2.Incident:
    """Return an incident as a message; series with the same time stamps share one time axis."""
    message = incident_pb2.Incident(
        name=incident.name,
        topology=incident_pb2.Topology(
            components=[encode_component(c) for c in incident.topology.components],
            edges=[encode_edge(e) for e in incident.topology.edges],
        ),
        events=[encode_event(e) for e in incident.events],
        notes=incident.notes,
        **encode_tables(incident.spans, incident.logs),
    )
    axes: dict[bytes, int] = {}

    def encode(signals: Sequence[Signal]) -> list[incident_pb2.Signal]:
        for signal in signals:
            axis = axes.setdefault(signal.timestamps.tobytes(), len(axes))
            if axis == len(message.time_axes):
                message.time_axes.append(encode_tensor(signal.timestamps))
        return [_encode_signal(s, axes[s.timestamps.tobytes()]) for s in signals]

    message.signals.extend(encode(incident.signals))
    for run in incident.normal_runs:
        message.normal_runs.add(
            name=run.name, signals=encode(run.signals), **encode_tables(run.spans, run.logs)
        )
    for name in ("baseline", "window"):
        window: TimeWindow | None = getattr(incident, name)
        if window is not None:
            getattr(message, name).CopyFrom(encode_window(window))
    if incident.target is not None:
        message.target.CopyFrom(encode_target(incident.target))
    if incident.alerts is not None:
        alerts = incident_pb2.Alerts(alerts=[_encode_alert(a) for a in incident.alerts])
        message.alerts.CopyFrom(alerts)
    return message


def decode_incident(message: incident_pb2.Incident, field: str = "incident") -> Incident:
    """Return the incident a message describes.

    Args:
        message: the message, as it came.
        field: path of the message in its request, the start of every path in an error.

    Raises:
        InvalidIncidentError: whatever the message or the domain refuses; ``field`` says where.
    """
    if not message.HasField("topology"):
        msg = f"{field} has no topology; declare at least one component"
        raise InvalidIncidentError(msg, field=f"{field}.topology")
    components = tuple(
        decode_component(c, f"{field}.topology.components[{i}]")
        for i, c in enumerate(message.topology.components)
    )
    edges = tuple(
        decode_edge(e, f"{field}.topology.edges[{i}]") for i, e in enumerate(message.topology.edges)
    )
    axes = [decode_vector(a, f"{field}.time_axes[{i}]") for i, a in enumerate(message.time_axes)]
    signals = tuple(
        _decode_signal(s, axes, field, f"{field}.signals[{i}]")
        for i, s in enumerate(message.signals)
    )
    events = tuple(decode_event(e, f"{field}.events[{i}]") for i, e in enumerate(message.events))
    runs = tuple(
        _decode_run(r, axes, field, f"{field}.normal_runs[{i}]")
        for i, r in enumerate(message.normal_runs)
    )
    baseline = window = target = None
    if message.HasField("baseline"):
        baseline = decode_window(message.baseline, f"{field}.baseline")
    if message.HasField("window"):
        window = decode_window(message.window, f"{field}.window")
    if message.HasField("target"):
        target = decode_target(message.target, f"{field}.target")
    alerts = None
    if message.HasField("alerts"):
        alerts = tuple(
            _decode_alert(a, f"{field}.alerts.alerts[{i}]")
            for i, a in enumerate(message.alerts.alerts)
        )

    def rename(part: str) -> str:
        return join(field, part.replace("alerts[", "alerts.alerts[", 1))

    spans, logs = decode_tables(message, field)
    with located(field, rename):
        return Incident(
            name=message.name,
            topology=Topology(components, edges),
            signals=signals,
            events=events,
            baseline=baseline,
            window=window,
            target=target,
            normal_runs=runs,
            spans=spans,
            logs=logs,
            notes=tuple(message.notes),
            alerts=alerts,
        )


def encode_component(component: Component) -> incident_pb2.Component:
    """Return a component as a message."""
    return incident_pb2.Component(
        name=component.name,
        kind=COMPONENT_KINDS.number(component.kind),
        parent=component.parent,
    )


def decode_component(message: incident_pb2.Component, field: str) -> Component:
    """Return the component of a message at a path of the request."""
    kind = COMPONENT_KINDS.word(message.kind, f"{field}.kind")
    parent = message.parent if message.HasField("parent") else None
    with located(field):
        return Component(message.name, kind, parent)


def encode_edge(edge: Edge) -> incident_pb2.Edge:
    """Return an edge as a message."""
    return incident_pb2.Edge(
        source=edge.source,
        target=edge.target,
        kind=EDGE_KINDS.number(edge.kind),
    )


def decode_edge(message: incident_pb2.Edge, field: str) -> Edge:
    """Return the edge of a message at a path of the request."""
    kind = EDGE_KINDS.word(message.kind, f"{field}.kind")
    with located(field):
        return Edge(message.source, message.target, kind)


def _encode_signal(signal: Signal, axis: int) -> incident_pb2.Signal:
    message = incident_pb2.Signal(
        name=signal.name,
        family=FAMILIES.number(signal.family),
        statistic=STATISTICS.number(signal.statistic),
        time_axis=axis,
        values=encode_tensor(signal.values),
        unit=signal.unit,
    )
    if signal.edge is not None:
        message.edge.CopyFrom(encode_edge(signal.edge))
    elif signal.component is not None:
        message.component = signal.component
    return message


def _decode_signal(
    message: incident_pb2.Signal, axes: Sequence[NDArray[np.float64]], root: str, field: str
) -> Signal:
    subject = message.WhichOneof("subject")
    if subject is None:
        msg = f"{field} names neither a component nor an edge; say whom the series describes"
        raise InvalidIncidentError(msg, field=f"{field}.component")
    if message.time_axis >= len(axes):
        msg = (
            f"{field} refers to time axis {message.time_axis}, but there are {len(axes)} "
            "(counted from 0)"
        )
        raise InvalidIncidentError(msg, field=f"{field}.time_axis")

    def rename(part: str) -> str:
        # A signal holds its own time stamps; on the wire they are the shared axis.
        if part.startswith("timestamps"):
            return f"{root}.time_axes[{message.time_axis}]"
        return join(field, part)

    family = FAMILIES.word(message.family, f"{field}.family")
    statistic = STATISTICS.word(message.statistic, f"{field}.statistic")
    values = decode_vector(message.values, f"{field}.values")
    edge = decode_edge(message.edge, f"{field}.edge") if subject == "edge" else None
    with located(field, rename):
        return Signal(
            component=message.component if subject == "component" else None,
            name=message.name,
            family=family,
            statistic=statistic,
            timestamps=axes[message.time_axis],
            values=values,
            unit=message.unit,
            edge=edge,
        )


def _decode_run(
    message: incident_pb2.Run, axes: Sequence[NDArray[np.float64]], root: str, field: str
) -> Run:
    signals = tuple(
        _decode_signal(s, axes, root, f"{field}.signals[{i}]")
        for i, s in enumerate(message.signals)
    )
    spans, logs = decode_tables(message, field)
    with located(field):
        return Run(message.name, signals, spans, logs)


def _encode_alert(alert: Alert) -> incident_pb2.Alert:
    return incident_pb2.Alert(
        component=alert.component,
        name=alert.name,
        kind=ALERT_KINDS.number(alert.kind),
        change=alert.change,
        caller=alert.caller,
        time_seconds=alert.time,
    )


def _decode_alert(message: incident_pb2.Alert, field: str) -> Alert:
    kind = ALERT_KINDS.word(message.kind, f"{field}.kind")
    with located(field):
        return Alert(
            component=message.component,
            name=message.name,
            kind=kind,
            change=message.change,
            caller=message.caller if message.HasField("caller") else None,
            time=message.time_seconds if message.HasField("time_seconds") else None,
        )


def encode_event(event: Event) -> incident_pb2.Event:
    """Return an event as a message."""
    return incident_pb2.Event(
        time_seconds=event.time,
        kind=event.kind,
        component=event.component,
        text=event.text,
        id=event.id,
    )


def decode_event(message: incident_pb2.Event, field: str) -> Event:
    """Return the event of a message at a path of the request."""
    component = message.component if message.HasField("component") else None
    known_by = message.id if message.HasField("id") else None
    with located(field):
        return Event(message.time_seconds, message.kind, component, message.text, known_by)


def encode_window(window: TimeWindow) -> incident_pb2.TimeWindow:
    """Return a period as a message."""
    return incident_pb2.TimeWindow(start_seconds=window.start, end_seconds=window.end)


def decode_window(message: incident_pb2.TimeWindow, field: str) -> TimeWindow:
    """Return the period of a message at a path of the request."""
    with located(field):
        return TimeWindow(message.start_seconds, message.end_seconds)


def encode_target(target: Target) -> incident_pb2.Target:
    """Return a symptom as a message."""
    return incident_pb2.Target(component=target.component, signal=target.signal)


def decode_target(message: incident_pb2.Target, field: str) -> Target:
    """Return the symptom of a message at a path of the request."""
    signal = message.signal if message.HasField("signal") else None
    with located(field):
        return Target(message.component, signal)
