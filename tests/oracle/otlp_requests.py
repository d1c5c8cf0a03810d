"""Export requests by hypothesis, valid ones for the most part, by the official messages."""

from __future__ import annotations

from google.protobuf.internal.containers import RepeatedCompositeFieldContainer
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1 import metrics_pb2

from bayesrca.columns.otlp import Kind

type Pairs = RepeatedCompositeFieldContainer[KeyValue]
type Attributes = list[tuple[str, object]]
ID = bytes(range(1, 9))
TRACE = bytes(range(1, 17))
texts = st.text(max_size=8)
times = st.one_of(st.integers(1, 1 << 40), st.integers(0, (1 << 64) - 1))
finite = st.floats(allow_nan=False, allow_infinity=False)


def ids(size: int) -> st.SearchStrategy[bytes]:
    usual = st.binary(min_size=size, max_size=size)
    return st.one_of(usual, usual, st.binary(max_size=size + 1))


scalars = st.one_of(
    st.none(),
    texts,
    st.booleans(),
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.floats(),
    st.binary(max_size=8),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
pairs = st.lists(st.tuples(st.sampled_from(["a", "b", "service.name", "é"]), values), max_size=4)


def fill(message: AnyValue, value: object) -> None:
    match value:
        case bool():
            message.bool_value = value
        case str():
            message.string_value = value
        case int():
            message.int_value = value
        case float():
            message.double_value = value
        case bytes():
            message.bytes_value = value
        case list():
            message.array_value.SetInParent()
            for item in value:
                fill(message.array_value.values.add(), item)
        case dict():
            message.kvlist_value.SetInParent()
            for key, item in value.items():
                fill(message.kvlist_value.values.add(key=key).value, item)


def attach(
    message: RepeatedCompositeFieldContainer[KeyValue], given: list[tuple[str, object]]
) -> None:
    for key, value in given:
        pair = message.add(key=key)
        pair.value.SetInParent()
        fill(pair.value, value)


@st.composite
def spans(draw: st.DrawFn) -> bytes:
    request = ExportTraceServiceRequest()
    for _ in range(draw(st.integers(0, 2))):
        group = request.resource_spans.add()
        attach(group.resource.attributes, draw(pairs))
        for _ in range(draw(st.integers(0, 2))):
            scope = group.scope_spans.add()
            scope.scope.name, scope.scope.version = draw(texts), draw(texts)
            attach(scope.scope.attributes, draw(pairs))
            for _ in range(draw(st.integers(0, 3))):
                span = scope.spans.add(
                    trace_id=draw(ids(16)),
                    span_id=draw(ids(8)),
                    parent_span_id=draw(ids(8)),
                    name=draw(texts),
                    kind=draw(st.integers(0, 7)),
                    start_time_unix_nano=draw(times),
                    end_time_unix_nano=draw(times),
                )
                span.status.message = draw(texts)
                span.status.code = draw(st.integers(0, 3))  # type: ignore[assignment]
                attach(span.attributes, draw(pairs))
                for _ in range(draw(st.integers(0, 2))):
                    event = span.events.add(time_unix_nano=draw(times), name=draw(texts))
                    attach(event.attributes, draw(pairs))
                span.links.add(trace_id=TRACE)
    return request.SerializeToString()


@st.composite
def logs(draw: st.DrawFn) -> bytes:
    request = ExportLogsServiceRequest()
    group = request.resource_logs.add()
    attach(group.resource.attributes, draw(pairs))
    scope = group.scope_logs.add()
    scope.scope.name = draw(texts)
    for _ in range(draw(st.integers(0, 4))):
        record = scope.log_records.add(
            time_unix_nano=draw(times),
            observed_time_unix_nano=draw(times),
            severity_number=draw(st.integers(0, 26)),
            severity_text=draw(texts),
            trace_id=draw(ids(16)),
            span_id=draw(ids(8)),
            event_name=draw(texts),
        )
        fill(record.body, draw(values))
        attach(record.attributes, draw(pairs))
    return request.SerializeToString()


def histogram(draw: st.DrawFn, data: metrics_pb2.Histogram) -> None:
    edges = sorted(draw(st.sets(finite, max_size=4)))
    counts = draw(
        st.lists(st.integers(0, 1 << 60), min_size=len(edges) + 1, max_size=len(edges) + 1)
    )
    bare = not edges and draw(st.booleans())
    point = data.data_points.add(
        time_unix_nano=draw(times),
        start_time_unix_nano=draw(times),
        count=sum(counts) & 0xFFFF,
        explicit_bounds=edges,
        bucket_counts=[] if bare else counts,
    )
    for name in draw(st.sets(st.sampled_from(["sum", "min", "max"]))):
        setattr(point, name, draw(finite))
    attach(point.attributes, draw(pairs))


def exponential(draw: st.DrawFn, data: metrics_pb2.ExponentialHistogram) -> None:
    point = data.data_points.add(
        time_unix_nano=draw(times),
        scale=draw(st.integers(-3, 8)),
        zero_count=draw(st.integers(0, 9)),
        count=3,
        zero_threshold=draw(st.sampled_from([0.0, 0.0, 1e-9])),
    )
    for buckets in (point.positive, point.negative):
        buckets.offset = draw(st.integers(-20, 20))
        buckets.bucket_counts.extend(draw(st.lists(st.integers(0, 1 << 40), max_size=4)))
    attach(point.attributes, draw(pairs))


@st.composite
def points(draw: st.DrawFn) -> bytes:
    request = ExportMetricsServiceRequest()
    group = request.resource_metrics.add()
    attach(group.resource.attributes, draw(pairs))
    scope = group.scope_metrics.add()
    for _ in range(draw(st.integers(0, 3))):
        metric = scope.metrics.add(name=draw(texts), unit=draw(texts), description="x")
        kind = draw(st.sampled_from(["gauge", "sum", "histogram", "exponential", "summary"]))
        for _ in range(draw(st.integers(0, 2))):
            match kind:
                case "gauge" | "sum":
                    data = getattr(metric, kind)
                    point = data.data_points.add(time_unix_nano=draw(times))
                    if draw(st.booleans()):
                        point.as_int = draw(st.integers(-(1 << 63), (1 << 63) - 1))
                    else:
                        point.as_double = draw(finite)
                    attach(point.attributes, draw(pairs))
                    if kind == "sum":
                        data.aggregation_temporality = draw(st.integers(0, 2))
                        data.is_monotonic = draw(st.booleans())
                case "histogram":
                    metric.histogram.aggregation_temporality = draw(st.integers(0, 2))  # type: ignore[assignment]
                    histogram(draw, metric.histogram)
                case "exponential":
                    exponential(draw, metric.exponential_histogram)
                case "summary":
                    point = metric.summary.data_points.add(time_unix_nano=draw(times), count=2)
                    if draw(st.booleans()):
                        point.sum = draw(finite)
                    for quantile in (0.5, 0.9):
                        point.quantile_values.add(quantile=quantile, value=draw(finite))
                    attach(point.attributes, draw(pairs))
    return request.SerializeToString()


REQUESTS: dict[Kind, st.SearchStrategy[bytes]] = {
    Kind.SPANS: spans(),
    Kind.POINTS: points(),
    Kind.LOGS: logs(),
}
