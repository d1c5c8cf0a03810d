"""A shop of four services with a slow one, told by OpenTelemetry's own SDK and exporters."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import grpc
from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import LogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExporter,
    MetricExportResult,
    MetricsData,
    ResourceMetrics,
    ScopeMetrics,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanKind, Tracer, set_span_in_context

from bayesrca.incident import IncidentSource, Origin, Target, TimeWindow

SLOW = "stock"
CALLS = {"front": ("cart", "search"), "cart": ("stock",), "search": (), "stock": ()}
EDGES = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0]
NORMAL_SECONDS, FAULT_SECONDS, STEP = 1200, 300, 10


@dataclass(frozen=True, slots=True)
class Exporters:
    """Where each sort of telemetry goes."""

    spans: SpanExporter
    metrics: MetricExporter
    logs: LogRecordExporter


def by_grpc(address: str, token: str = "") -> Exporters:
    headers = {"authorization": f"Bearer {token}"} if token else None
    url, gzip = f"http://{address}", grpc.Compression.Gzip
    return Exporters(
        OTLPSpanExporter(endpoint=url, insecure=True, headers=headers, compression=gzip),
        OTLPMetricExporter(endpoint=url, insecure=True, headers=headers, compression=gzip),
        OTLPLogExporter(endpoint=url, insecure=True, headers=headers, compression=gzip),
    )


class Shop:
    """A quarter of an hour and more of the shop, ending now; `SLOW` is slow in its last minutes."""

    def __init__(self, seed: int = 7) -> None:
        self._rng = random.Random(seed)
        self.end = float(int(time.time()) - 5)
        self.fault = self.end - FAULT_SECONDS
        self.begin = self.fault - NORMAL_SECONDS
        self.n_spans = 0

    def source(self, *origins: Origin, target: str = "front") -> IncidentSource:
        """What to ask a server for."""
        return IncidentSource(
            origins=origins or (Origin.RECEIVED,),
            window=TimeWindow(self.fault, self.end),
            baseline=TimeWindow(self.begin, self.fault),
            step=float(STEP),
            target=Target(target),
        )

    def send(self, exporters: Exporters) -> None:
        """Have the SDK tell all of it."""
        self._send_spans(exporters.spans)
        self._send_metrics(exporters.metrics)
        self._send_logs(exporters.logs)

    def _own_seconds(self, service: str, at: float) -> float:
        usual = 0.004 * self._rng.lognormvariate(0.0, 0.2)
        return usual * (12.0 if service == SLOW and at >= self.fault else 1.0)

    def _instants(self) -> Iterator[float]:
        yield from (self.begin + 2.0 * i for i in range((NORMAL_SECONDS + FAULT_SECONDS) // 2))

    def _send_spans(self, exporter: SpanExporter) -> None:
        tracers: dict[str, Tracer] = {}
        processor = BatchSpanProcessor(exporter, max_queue_size=1 << 16)
        for service in CALLS:
            provider = TracerProvider(resource=Resource({"service.name": service}))
            provider.add_span_processor(processor)
            tracers[service] = provider.get_tracer("shop")
        for at in self._instants():
            self._call(tracers, "front", at, None)
        provider.shutdown()  # they share the processor

    def _call(self, tracers: dict[str, Tracer], service: str, at: float, caller: object) -> float:
        """Record a call of a service with all that it calls; return when it ended."""
        context = None if caller is None else set_span_in_context(caller)  # type: ignore[arg-type]
        span = tracers[service].start_span(
            f"GET /{service}", context, SpanKind.SERVER, start_time=round(at * 1e9)
        )
        now = at + self._own_seconds(service, at)
        for callee in CALLS[service]:
            client = tracers[service].start_span(
                f"call {callee}",
                set_span_in_context(span),
                SpanKind.CLIENT,
                start_time=round(now * 1e9),
            )
            now = self._call(tracers, callee, now + 1e-4, client) + 1e-4
            client.end(round(now * 1e9))
            self.n_spans += 1
        span.end(round(now * 1e9))
        self.n_spans += 1
        return now

    def _send_metrics(self, exporter: MetricExporter) -> None:
        for service in CALLS:
            steps = range(int(self.begin), int(self.end), STEP)
            points = [self._point(service, float(at)) for at in steps]
            data = Histogram(points, AggregationTemporality.DELTA)
            metric = Metric("http.server.request.duration", "", "s", data)
            scope = ScopeMetrics(InstrumentationScope("shop"), [metric], "")
            resource = Resource({"service.name": service})
            sent = exporter.export(MetricsData([ResourceMetrics(resource, [scope], "")]))
            assert sent is MetricExportResult.SUCCESS
        exporter.shutdown()

    def _point(self, service: str, at: float) -> HistogramDataPoint:
        took = [self._own_seconds(service, at) for _ in range(20)]
        counts = [0] * (len(EDGES) + 1)
        for seconds in took:
            counts[sum(seconds > edge for edge in EDGES)] += 1
        return HistogramDataPoint(
            attributes={"http.route": f"/{service}"},
            start_time_unix_nano=round((at - STEP) * 1e9),
            time_unix_nano=round(at * 1e9),
            count=len(took),
            sum=sum(took),
            bucket_counts=counts,
            explicit_bounds=EDGES,
            min=min(took),
            max=max(took),
        )

    def _send_logs(self, exporter: LogRecordExporter) -> None:
        provider = LoggerProvider(resource=Resource({"service.name": SLOW}))
        provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
        logger = provider.get_logger("shop")
        for i in range(30):
            logger.emit(
                timestamp=round((self.fault + 10 * i) * 1e9),
                severity_number=SeverityNumber.WARN,
                body=f"disk queue is long: {i}",
            )
        provider.shutdown()


def ranked(causes: Sequence[object]) -> list[str]:
    return [cause.component for cause in causes]  # type: ignore[attr-defined]
