"""The OpenTelemetry SDK sends to a real server; what cannot be taken is said on the wire."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2  # type: ignore[import-untyped]
from grpc_status import rpc_status  # type: ignore[import-untyped]
from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from bayesrca.api.v1 import telemetry_service_pb2 as pb
from bayesrca.api.v1 import telemetry_service_pb2_grpc as pb_grpc
from bayesrca.service import Scope
from bayesrca.service.auth import EXPORTS
from bayesrca.service.credentials import new_token
from tests.integration.kit import Server, fetch, pages_of

pytestmark = pytest.mark.grpc
RESOURCE = Resource({"service.name": "checkout"})


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server("--receive-telemetry", "--http-port", "0") as running:
        yield running


def counted(server: Server, what: str, kind: str) -> float:
    """One of the server's counts of telemetry."""
    wanted = f'bayesrca_telemetry_{what}_total{{kind="{kind}"}} '
    lines = fetch(pages_of(server), "/metrics")[1].splitlines()
    return sum(float(line.removeprefix(wanted)) for line in lines if line.startswith(wanted))


def request_of(n: int, first: int = 1) -> bytes:
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for i in range(first, first + n):
        span = scope.spans.add(trace_id=i.to_bytes(16), span_id=i.to_bytes(8), name=f"op {i}")
        span.start_time_unix_nano = span.end_time_unix_nano = time.time_ns()
        span.attributes.add(key="id").value.string_value = f"a rather long value for span {i}"
    return request.SerializeToString()


def send(
    server: Server, request: bytes, method: str = EXPORTS[0], token: str = ""
) -> ExportTraceServiceResponse:
    metadata = (("authorization", f"Bearer {token}"),) if token else ()
    with server.channel() as channel:
        export: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(method)
        return ExportTraceServiceResponse.FromString(export(request, timeout=60, metadata=metadata))


@pytest.mark.parametrize(
    "compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip], ids=["plain", "gzip"]
)
def test_every_span_point_and_record_of_the_sdk_arrives(
    server: Server, compression: grpc.Compression
) -> None:
    kinds = ("spans", "points", "logs")
    before = {kind: counted(server, "received", kind) for kind in kinds}
    address = f"http://{server.address}"
    tracing = TracerProvider(resource=RESOURCE)
    exporter = OTLPSpanExporter(endpoint=address, insecure=True, compression=compression)
    tracing.add_span_processor(BatchSpanProcessor(exporter))
    tracer = tracing.get_tracer("test")
    for i in range(1500):
        outer = tracer.start_as_current_span(f"outer {i % 7}", attributes={"i": i})
        with outer, tracer.start_as_current_span("inner"):
            pass
    tracing.shutdown()

    reader = PeriodicExportingMetricReader(
        OTLPMetricExporter(endpoint=address, insecure=True, compression=compression), 1e9
    )
    metering = MeterProvider([reader], resource=RESOURCE)
    meter = metering.get_meter("test")
    histogram = meter.create_histogram("http.server.request.duration", "s")
    counter = meter.create_counter("requests")
    for i in range(20):
        histogram.record(i / 10, {"route": f"/{i % 4}"})
        counter.add(1, {"route": f"/{i % 4}"})
    metering.shutdown()

    logging_ = LoggerProvider(resource=RESOURCE)
    logging_.add_log_record_processor(
        BatchLogRecordProcessor(
            OTLPLogExporter(endpoint=address, insecure=True, compression=compression)
        )
    )
    logger = logging_.get_logger("test")
    for i in range(700):
        logger.emit(
            timestamp=time.time_ns(),
            severity_number=SeverityNumber.ERROR,
            body=f"it failed for the {i}. time",
        )
    logging_.shutdown()

    after = {kind: counted(server, "received", kind) for kind in kinds}
    came = {kind: after[kind] - before[kind] for kind in kinds}
    assert came == {"spans": 3000, "points": 8, "logs": 700}
    assert all(counted(server, "refused", kind) == 0 for kind in kinds)


def test_what_is_left_out_is_told(server: Server) -> None:
    before = counted(server, "rejected", "spans")
    request = ExportTraceServiceRequest.FromString(request_of(3))
    request.resource_spans[0].scope_spans[0].spans[1].trace_id = b"short"
    told = send(server, request.SerializeToString()).partial_success
    assert told.rejected_spans == 1
    assert "trace_id" in told.error_message
    assert counted(server, "rejected", "spans") == before + 1
    assert not send(server, request_of(2)).HasField("partial_success")
    # One wrong byte costs nothing but the byte.
    wrong = request_of(1).replace(b"rather", b"r\xff\xfeher")
    told = send(server, wrong).partial_success
    assert (told.rejected_spans, "not UTF-8" in told.error_message) == (0, True)


@pytest.mark.parametrize("method", EXPORTS)
def test_malformed_bytes_are_refused(server: Server, method: str) -> None:
    for request in (b"\xff", b"\x0a\x05abc", request_of(4)[:-3]):
        with pytest.raises(grpc.RpcError) as caught:
            send(server, request, method)
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert "byte " in str(caught.value.details())
    assert not send(server, request_of(1)).HasField("partial_success")


def resident(server: Server) -> int:
    """Bytes of memory that the front process uses."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


def test_a_flood_stays_within_its_bounds() -> None:
    bound = 4 << 20
    arguments = ("--telemetry-bytes", str(bound), "--telemetry-spared-seconds", "0")
    with Server("--receive-telemetry", "--http-port", "0", *arguments) as server:
        requests = [request_of(2000, 1 + 2000 * i) for i in range(10)]
        for request in requests:
            send(server, request)
        settled = resident(server)
        for _ in range(10):
            for request in requests:
                send(server, request)
        assert resident(server) < settled + 4 * bound
        page = fetch(pages_of(server), "/metrics")[1]
        held = next(x for x in page.splitlines() if x.startswith("bayesrca_telemetry_bytes "))
        assert 0 < float(held.split()[1]) <= bound
        assert counted(server, "received", "spans") == 220_000
        assert counted(server, "evicted", "spans") > 190_000


def test_senders_wait_where_all_that_is_held_is_recent() -> None:
    arguments = ("--telemetry-bytes", str(1 << 20), "--telemetry-spared-seconds", "600")
    with Server("--receive-telemetry", "--http-port", "0", *arguments) as server:
        with pytest.raises(grpc.RpcError) as caught:
            for i in range(100):
                send(server, request_of(1000, 1 + 1000 * i))
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        status = rpc_status.from_call(caught.value)
        details = {detail.TypeName(): detail for detail in status.details}
        advice = error_details_pb2.RetryInfo()
        details["google.rpc.RetryInfo"].Unpack(advice)
        assert 1 <= advice.retry_delay.seconds <= 30
        trailers = {d.key: d.value for d in caught.value.trailing_metadata() or ()}
        assert int(trailers["grpc-retry-pushback-ms"]) >= 1000
        assert counted(server, "refused", "spans") == 1


def window(server: Server, token: str = "") -> pb.TelemetryWindow:
    metadata = (("authorization", f"Bearer {token}"),) if token else ()
    with server.channel() as channel:
        stub = pb_grpc.TelemetryServiceStub(channel)
        request = pb.GetTelemetryWindowRequest()
        return stub.GetTelemetryWindow(request, timeout=30, metadata=metadata).window


def test_what_is_held_is_told_to_its_tenant_alone(tmp_path: Path) -> None:
    file = tmp_path / "credentials.toml"
    scopes = [Scope.INGEST, Scope.READ]
    (one, first), (other, second) = (new_token(name, name, scopes, None) for name in ("a", "b"))
    file.write_text(f"{first}\n{second}\n")
    with Server("--receive-telemetry", "--credentials-file", str(file)) as server:
        begun = time.time_ns()
        send(server, request_of(5) + request_of(3, 6), token=one)
        send(server, b"", token=one)
        held = window(server, one)
        spans, points, logs = held.records
        assert (spans.kind, spans.held_count, spans.received_count) == (1, 8, 8)
        assert begun <= spans.start_time.ToNanoseconds() <= spans.end_time.ToNanoseconds()
        assert spans.end_time.ToNanoseconds() <= time.time_ns()
        assert (points.held_count, logs.held_count, held.refused_count) == (0, 0, 0)
        assert not points.HasField("start_time")
        assert held.size_bytes > 0
        assert window(server, other).size_bytes == 0


def test_a_server_that_receives_none_says_so() -> None:
    with Server() as server, pytest.raises(grpc.RpcError) as caught:
        window(server)
    assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert "NO_TELEMETRY" in str(rpc_status.from_call(caught.value))


def test_it_is_off_unless_asked_for() -> None:
    with Server() as server, pytest.raises(grpc.RpcError) as caught:
        send(server, request_of(1))
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_only_those_with_the_scope_may_send(tmp_path: Path) -> None:
    file = tmp_path / "credentials.toml"
    tokens = {}
    for scope in Scope:
        tokens[scope], line = new_token(str(scope), f"tenant-{scope}", [scope], None)
        with file.open("a") as stream:
            stream.write(line + "\n")
    with Server("--receive-telemetry", "--credentials-file", str(file)) as server:
        for method in EXPORTS:
            for scope, token in tokens.items():
                if scope is Scope.INGEST:
                    send(server, b"", method, token)
                    continue
                with pytest.raises(grpc.RpcError) as caught:
                    send(server, b"", method, token)
                assert caught.value.code() == grpc.StatusCode.PERMISSION_DENIED
            with pytest.raises(grpc.RpcError) as caught:
                send(server, b"", method)
            assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED
