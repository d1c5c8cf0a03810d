"""Documents of Elasticsearch as rows: Elastic's common schema, and OpenTelemetry's mapping."""

from __future__ import annotations

from collections.abc import Mapping as Fields
from typing import Any

from bayesrca.ingest.connectors.mapping import Mapping
from bayesrca.ingest.connectors.rows import KEPT, Cell
from bayesrca.ingest.connectors.shapes import Shapes
from bayesrca.ingest.table_file import plain_name

_PREFIXES = ("resource.attributes.", "attributes.", "labels.")
_RENAMED = {
    "kubernetes.pod.name": "k8spodname",
    "kubernetes.node.name": "k8snodename",
    "service.node.name": "k8spodname",
    "span.db.statement": "dbstatement",
    "span.db.type": "dbsystem",
    "span.destination.service.resource": "peerservice",
}
_FALLBACKS = ("kubernetes.deployment.name", "kubernetes.labels.app", "container.name")
_BODIES = ("message", "body.text", "body", "event.original", "log.original")
_LEVELS = ("severity_number", "log.level", "severity_text", "level")
_KEPT_FIELDS = 2_000
"""Fields of one document, which may nest as it likes."""
_LONGEST_NAME = 256
"""Characters of a dotted name; none that is read is so long, and each field holds its own."""


def flatten(document: Fields[str, Any]) -> dict[str, Any]:
    """Return the plain values of a document by their dotted names; of a list its first value."""
    found: dict[str, Any] = {}
    stack: list[tuple[str, Any]] = [("", document)]
    while stack and len(found) < _KEPT_FIELDS:
        name, value = stack.pop()
        if isinstance(value, list):
            value = value[0] if value else None
        if isinstance(value, dict):
            stack += [
                (f"{name}.{key}" if name else key, inner)
                for key, inner in value.items()
                if len(name) + len(key) < _LONGEST_NAME
            ]
        elif isinstance(value, str | int | float) and not isinstance(value, bool):
            found.setdefault(name, value)
    return found


def span_row(document: Fields[str, Any], _: Mapping, shapes: Shapes) -> dict[str, Cell] | None:
    """Return a span's row; None for a document that is no span, or has no service or time.

    Raises:
        SourceError: a time or duration that is none.
    """
    fields = flatten(document)
    if _text(fields, "span_id"):
        return _otel_span(fields, shapes)
    own = "transaction" if _text(fields, "processor.event") == "transaction" else "span"
    identity, duration = _text(fields, f"{own}.id"), fields.get(f"{own}.duration.us")
    start = _microseconds(fields, shapes)
    if not identity or duration is None or start is None or not _text(fields, "service.name"):
        return None
    lasts = _scaled(shapes.number(duration, f"{own}.duration.us"), 1e3, shapes)
    parent = _text(fields, "parent.id")
    if own == "span":
        parent = parent or _text(fields, "transaction.id")
    outcome = {"failure": "2", "success": "1"}.get(_text(fields, "event.outcome") or "", "0")
    return _shared(fields) | {
        "traceid": _text(fields, "trace.id"),
        "spanid": identity,
        "parentspanid": parent,
        "operation": _text(fields, f"{own}.name"),
        "starttimeunixnano": 1000 * start,
        "endtimeunixnano": _end(1000 * start, lasts, shapes),
        "kind": _kind(fields, own),
        "statuscode": outcome,
    }


def log_row(document: Fields[str, Any], mapping: Mapping, shapes: Shapes) -> dict[str, Cell] | None:
    """Return a log record's row; None for one without component, time or text.

    Raises:
        SourceError: a time that is none.
    """
    fields = flatten(document)
    shared = _shared(fields)
    pod = _text(fields, "kubernetes.pod.name")
    component = shared.pop("servicename", None) or _first(fields, _FALLBACKS)
    component = component or (mapping.component("pod", pod) if pod else None)
    body, time = _first(fields, _BODIES), _microseconds(fields, shapes)
    if not component or not body or time is None:
        return None
    return shared | {
        "servicename": component,
        "body": body,
        "timeunixnano": 1000 * time,
        "severity": _first(fields, _LEVELS),
        "traceid": _first(fields, ("trace.id", "trace_id")),
        "spanid": _first(fields, ("span.id", "span_id", "transaction.id")),
    }


def _otel_span(fields: dict[str, Any], shapes: Shapes) -> dict[str, Cell] | None:
    start, shared = _microseconds(fields, shapes), _shared(fields)
    if start is None or "servicename" not in shared:
        return None
    lasts = shapes.whole(fields.get("duration"), "duration") or 0
    return shared | {
        "traceid": _text(fields, "trace_id"),
        "spanid": _text(fields, "span_id"),
        "parentspanid": _text(fields, "parent_span_id"),
        "operation": _text(fields, "name"),
        "starttimeunixnano": 1000 * start,
        "endtimeunixnano": _end(1000 * start, lasts, shapes),
        "kind": _text(fields, "kind"),
        "statuscode": _text(fields, "status.code"),
    }


def _shared(fields: dict[str, Any]) -> dict[str, Cell]:
    """Return the attributes that are read, by plain name."""
    found: dict[str, Cell] = {}
    for name in fields:
        short = next((name.removeprefix(p) for p in _PREFIXES if name.startswith(p)), name)
        plain = _RENAMED.get(name) or plain_name(short)
        if plain in KEPT:
            found.setdefault(plain, _text(fields, name))
    return {name: value for name, value in found.items() if value}


def _kind(fields: dict[str, Any], own: str) -> str:
    """OpenTelemetry's number for what Elastic calls a transaction, or a span by its type."""
    if own == "transaction":
        return "5" if _text(fields, "transaction.type") == "messaging" else "2"
    if not _text(fields, "span.destination.service.resource"):
        return "1"
    return "4" if _text(fields, "span.type") == "messaging" else "3"


def _microseconds(fields: dict[str, Any], shapes: Shapes) -> int | None:
    """Return the document's time in microseconds since the epoch."""
    if fields.get("timestamp.us") is not None:
        exact = shapes.whole(fields["timestamp.us"], "timestamp.us")
        return _checked(exact, shapes)
    value = fields.get("@timestamp")
    if value is None:
        return None
    if isinstance(value, str) and not value.replace(".", "", 1).isdigit():
        return _checked(_scaled(shapes.instant(value, "@timestamp"), 1e6, shapes), shapes)
    try:
        number = float(value)  # milliseconds, as a number or as text
    except (ValueError, OverflowError):
        shapes.reject(f"@timestamp must be a time, got {value!r:.40}")
    return _checked(_scaled(shapes.number(number, "@timestamp"), 1e3, shapes), shapes)


def _scaled(number: float, factor: float, shapes: Shapes) -> int:
    if abs(number) > 1e16:
        shapes.reject(f"{number:g} is no time or duration")
    return round(number * factor)


def _checked(microseconds: int | None, shapes: Shapes) -> int | None:
    if microseconds is not None and not 0 <= microseconds < 1 << 53:
        shapes.reject(f"time {microseconds} us is beyond what can be told apart")
    return microseconds


def _end(start: int, lasts: int, shapes: Shapes) -> int:
    if not 0 <= lasts < 1 << 60:
        shapes.reject(f"a span lasts {lasts} ns, which cannot be")
    return start + lasts


def _first(fields: dict[str, Any], names: tuple[str, ...]) -> str | None:
    return next((text for text in (_text(fields, name) for name in names) if text), None)


def _text(fields: dict[str, Any], name: str) -> str | None:
    value = fields.get(name)
    return None if value is None or value == "" else str(value)
