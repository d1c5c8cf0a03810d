"""`IncidentSource` to its message and back."""

from __future__ import annotations

from typing import Any

from bayesrca.api.v1 import incident_source_pb2
from bayesrca.errors import InvalidIncidentError
from bayesrca.incident import IncidentSource, Origin, TimeWindow
from bayesrca.wire.incidents import (
    decode_component,
    decode_edge,
    decode_event,
    decode_target,
    decode_window,
    encode_component,
    encode_edge,
    encode_event,
    encode_target,
    encode_window,
)
from bayesrca.wire.paths import join, located
from bayesrca.wire.vocabulary import Vocabulary

ORIGINS = Vocabulary(Origin, incident_source_pb2.TelemetryOrigin, "TELEMETRY_ORIGIN")
_RENAMED = {"step": "step_seconds", "baseline": "baseline_seconds", "saved": "saved_telemetry"}


def encode_source(source: IncidentSource) -> incident_source_pb2.IncidentSource:
    """Return a source as a message."""
    message = incident_source_pb2.IncidentSource(
        name=source.name,
        origins=[ORIGINS.number(origin) for origin in source.origins],
        window=encode_window(source.window),
        step_seconds=source.step,
        components=[encode_component(component) for component in source.components],
        edges=[encode_edge(edge) for edge in source.edges],
        aliases=source.aliases,
        events=[encode_event(event) for event in source.events],
        saved_telemetry=source.saved,
    )
    if isinstance(source.baseline, TimeWindow):
        message.baseline.CopyFrom(encode_window(source.baseline))
    elif source.baseline is not None:
        message.baseline_seconds = source.baseline
    if source.target is not None:
        message.target.CopyFrom(encode_target(source.target))
    return message


def decode_source(
    message: incident_source_pb2.IncidentSource, field: str = "source"
) -> IncidentSource:
    """Return the source a message describes.

    Args:
        message: the message, as it came.
        field: path of the message in its request, the start of every path in an error.

    Raises:
        InvalidIncidentError: whatever the message or the domain refuses; ``field`` says where.
    """
    if not message.HasField("window"):
        msg = f"{field} has no window; say of what time the incident is"
        raise InvalidIncidentError(msg, field=f"{field}.window")
    origins = [ORIGINS.word(n, f"{field}.origins[{i}]") for i, n in enumerate(message.origins)]
    parts: dict[str, Any] = {"window": decode_window(message.window, f"{field}.window")}
    period = message.WhichOneof("normal_period")
    if period == "baseline":
        parts["baseline"] = decode_window(message.baseline, f"{field}.baseline")
    elif period is not None:
        parts["baseline"] = message.baseline_seconds
    if message.HasField("step_seconds"):
        parts["step"] = message.step_seconds
    if message.HasField("target"):
        parts["target"] = decode_target(message.target, f"{field}.target")
    for name, decode in (
        ("components", decode_component),
        ("edges", decode_edge),
        ("events", decode_event),
    ):
        entries = enumerate(getattr(message, name))
        parts[name] = tuple(decode(entry, f"{field}.{name}[{i}]") for i, entry in entries)

    def rename(part: str) -> str:
        same = part == "baseline" and period == "baseline"
        return join(field, part if same else _RENAMED.get(part, part))

    with located(field, rename):
        return IncidentSource(
            origins=tuple(origins),
            name=message.name,
            aliases=dict(message.aliases),
            saved=message.saved_telemetry,
            **parts,
        )
