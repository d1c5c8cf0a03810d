"""OpenTelemetry requests as plain Python rows, by the official messages and upb."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import (
    AnyValue,
    InstrumentationScope,
    KeyValue,
)

Attributes = list[tuple[str, object]]
LATEST = (1 << 63) - 2


def value_of(value: AnyValue) -> object:
    """Return a value as Python has it; lists and maps nested."""
    which = value.WhichOneof("value")
    match which:
        case None | "string_value_strindex":
            return None
        case "array_value":
            return [nested(item) for item in value.array_value.values]
        case "kvlist_value":
            return [(p.key, nested(p.value)) for p in value.kvlist_value.values]
        case "bytes_value":
            return value.bytes_value.hex()
    return getattr(value, which)


def nested(value: AnyValue) -> object:
    """Return a value within a list or map; JSON has no NaN and no infinity."""
    plain = value_of(value)
    if isinstance(plain, float) and not math.isfinite(plain):
        return {"inf": "Infinity", "-inf": "-Infinity", "nan": "NaN"}[str(plain)]
    return plain


def attributes(pairs: Iterable[KeyValue]) -> Attributes:
    return [(pair.key, value_of(pair.value)) for pair in pairs]


def scope_of(scope: InstrumentationScope) -> Attributes:
    told = (("otel.scope.name", scope.name), ("otel.scope.version", scope.version))
    return [(key, text) for key, text in told if text] + attributes(scope.attributes)


def spans(request: bytes) -> Iterator[dict[str, Any]]:
    """Yield the valid spans of a request."""
    for resource in ExportTraceServiceRequest.FromString(request).resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                start, end = span.start_time_unix_nano, span.end_time_unix_nano
                good = len(span.trace_id) == 16 and any(span.trace_id)
                good &= len(span.span_id) == 8 and any(span.span_id)
                if not good or not 0 < start <= end <= LATEST:
                    continue
                yield {
                    "time": start,
                    "duration": end - start,
                    "trace": span.trace_id,
                    "id": span.span_id,
                    "parent": span.parent_span_id if len(span.parent_span_id) == 8 else bytes(8),
                    "name": span.name,
                    "kind": span.kind if 0 <= span.kind <= 5 else 0,
                    "status": span.status.code if 0 <= span.status.code <= 2 else 0,
                    "message": span.status.message,
                    "attributes": attributes(span.attributes),
                    "resource": attributes(resource.resource.attributes),
                    "scope": scope_of(scope.scope),
                    "events": [
                        (min(e.time_unix_nano, LATEST + 1), e.name, attributes(e.attributes))
                        for e in span.events
                    ],
                }


def logs(request: bytes) -> Iterator[dict[str, Any]]:
    """Yield the valid records of a request."""
    for resource in ExportLogsServiceRequest.FromString(request).resource_logs:
        for scope in resource.scope_logs:
            for record in scope.log_records:
                times = (record.time_unix_nano, record.observed_time_unix_nano)
                known = [time for time in times if 0 < time <= LATEST]
                if not known:
                    continue
                yield {
                    "time": known[0],
                    "severity": record.severity_number if 0 <= record.severity_number <= 24 else 0,
                    "severity_text": record.severity_text,
                    "body": value_of(record.body),
                    "event": record.event_name,
                    "trace": record.trace_id if len(record.trace_id) == 16 else bytes(16),
                    "span": record.span_id if len(record.span_id) == 8 else bytes(8),
                    "attributes": attributes(record.attributes),
                    "resource": attributes(resource.resource.attributes),
                    "scope": scope_of(scope.scope),
                }


def points(request: bytes) -> Iterator[dict[str, Any]]:
    """Yield the points of a request that have a time; their numbers must be finite."""
    for resource in ExportMetricsServiceRequest.FromString(request).resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                kind = metric.WhichOneof("data")
                if kind is None:
                    continue
                data = getattr(metric, kind)
                for point in data.data_points:
                    if not 0 < point.time_unix_nano <= LATEST:
                        continue
                    start = point.start_time_unix_nano
                    yield {
                        "name": metric.name,
                        "unit": metric.unit,
                        "kind": kind,
                        "temporality": getattr(data, "aggregation_temporality", 0),
                        "monotonic": getattr(data, "is_monotonic", False),
                        "time": point.time_unix_nano,
                        "start": start if start <= LATEST else 0,
                        "attributes": attributes(point.attributes),
                        "resource": attributes(resource.resource.attributes),
                        "scope": scope_of(scope.scope),
                        "point": point,
                    }
