"""OTLP's trace data in its JSON form, with ids in hexadecimal, as rows of spans."""

from __future__ import annotations

from typing import Any

from bayesrca.ingest.connectors.rows import KEPT, MAX_ROWS, Cell, Collector
from bayesrca.ingest.connectors.shapes import Shapes
from bayesrca.ingest.table_file import plain_name

_SCALARS = ("stringValue", "intValue", "boolValue", "doubleValue")


class SpanReader:
    """Gathers the spans of many answers, each span once.

    Args:
        shapes: names the source in errors.
    """

    def __init__(self, shapes: Shapes) -> None:
        self.collector = Collector()
        self._shapes = shapes
        self._seen: set[tuple[str, str]] = set()

    def read(self, data: object, what: str) -> tuple[int, int]:
        """Take ``{"resourceSpans": [...]}``; return how many spans are new, and of how many traces.

        Raises:
            SourceError: it is none, or there are too many spans.
        """
        shapes = self._shapes
        before, traces = self.collector.count, set[str]()
        table = shapes.table(data, what)
        for i, entry in enumerate(shapes.items(table.get("resourceSpans") or [], what)):
            where = f"{what}.resourceSpans[{i}]"
            resource = shapes.table(entry, where)
            shared = self._attributes(resource.get("resource") or {}, f"{where}.resource")
            scopes = shapes.items(resource.get("scopeSpans") or [], f"{where}.scopeSpans")
            for j, scope in enumerate(scopes):
                inner = f"{where}.scopeSpans[{j}]"
                spans = shapes.table(scope, inner).get("spans") or []
                for k, span in enumerate(shapes.items(spans, f"{inner}.spans")):
                    traces.add(self._span(span, shared, f"{inner}.spans[{k}]"))
        return self.collector.count - before, len(traces)

    def _span(self, value: object, shared: dict[str, Cell], what: str) -> str:
        shapes = self._shapes
        span = shapes.table(value, what)
        trace, identity = (
            shapes.text(span.get(key), f"{what}.{key}") for key in ("traceId", "spanId")
        )
        if (trace, identity) in self._seen:
            return trace
        if self.collector.count >= MAX_ROWS:
            shapes.reject(f"more than {MAX_ROWS} spans came; ask for a shorter time")
        self._seen.add((trace, identity))
        status = shapes.table(span.get("status") or {}, f"{what}.status")
        self.collector.add(
            shared
            | self._attributes(span, what)
            | {
                "traceid": trace,
                "spanid": identity,
                "parentspanid": shapes.text(span.get("parentSpanId") or "", what) or None,
                "operation": shapes.text(span.get("name") or "", f"{what}.name"),
                "starttimeunixnano": shapes.whole(span.get("startTimeUnixNano"), what),
                "endtimeunixnano": shapes.whole(span.get("endTimeUnixNano"), what),
                "kind": shapes.word(span.get("kind"), f"{what}.kind"),
                "statuscode": shapes.word(status.get("code"), f"{what}.status.code"),
            }
        )
        return trace

    def _attributes(self, owner: object, what: str) -> dict[str, Cell]:
        """Return the attributes that are read, by plain name."""
        shapes = self._shapes
        found: dict[str, Cell] = {}
        entries = shapes.table(owner, what).get("attributes") or []
        for i, entry in enumerate(shapes.items(entries, f"{what}.attributes")):
            pair = shapes.table(entry, f"{what}.attributes[{i}]")
            name = plain_name(shapes.text(pair.get("key"), f"{what}.attributes[{i}].key"))
            if name in KEPT:
                found[name] = _scalar(shapes.table(pair.get("value") or {}, what))
        return found


def _scalar(value: dict[str, Any]) -> str | None:
    """Return a plain value as text; lists and maps say nothing of whom a span speaks of."""
    plain = next((value[key] for key in _SCALARS if key in value), None)
    return str(plain) if isinstance(plain, str | int | float) and plain != "" else None
