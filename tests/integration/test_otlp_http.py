"""OTLP over HTTP: the same telemetry, bounds and credentials as over gRPC."""

from __future__ import annotations

import gzip
import http.client
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.rpc import status_pb2  # type: ignore[import-untyped]
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from bayesrca.errors import InvalidSettingsError
from bayesrca.service import Scope
from bayesrca.service.credentials import new_token
from bayesrca.service.options import ServiceOptions
from tests.integration.kit import Server
from tests.integration.test_otlp_receiver import request_of, window

pytestmark = pytest.mark.grpc
PROTOBUF = "application/x-protobuf"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    arguments = ("--otlp-http-port", "0", "--max-message-bytes", "300000")
    with Server("--receive-telemetry", *arguments) as running:
        yield running


def post(
    server: Server, body: bytes, path: str = "/v1/traces", **headers: str
) -> tuple[int, bytes, dict[str, str]]:
    line = server.wait_for(lambda line: "OpenTelemetry is taken on " in line)
    address = line.split()[-2].removeprefix("http://")
    connection = http.client.HTTPConnection(address, timeout=30)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request("POST", path, body, {"Content-Type": PROTOBUF} | named)
        answer = connection.getresponse()
        return answer.status, answer.read(), dict(answer.getheaders())
    finally:
        connection.close()


def counts(server: Server, token: str = "") -> list[int]:
    return [records.held_count for records in window(server, token).records]


def test_all_three_sorts_arrive_plain_and_gzip(server: Server) -> None:
    metrics, logs = ExportMetricsServiceRequest(), ExportLogsServiceRequest()
    gauge = metrics.resource_metrics.add().scope_metrics.add().metrics.add(name="queue").gauge
    gauge.data_points.add(time_unix_nano=time.time_ns(), as_double=1.0)
    record = logs.resource_logs.add().scope_logs.add().log_records.add()
    record.time_unix_nano = time.time_ns()
    before = counts(server)
    for path, body in (
        ("/v1/traces", request_of(5)),
        ("/v1/metrics", metrics.SerializeToString()),
        ("/v1/logs", logs.SerializeToString()),
    ):
        for sent, headers in ((body, {}), (gzip.compress(body), {"Content_Encoding": "gzip"})):
            status, answer, shown = post(server, sent, path, **headers)
            assert (status, answer, shown["Content-Type"]) == (200, b"", PROTOBUF)
    assert [a - b for a, b in zip(counts(server), before, strict=True)] == [10, 2, 2]


def test_what_is_left_out_is_told(server: Server) -> None:
    broken = request_of(2).replace((1).to_bytes(16), bytes(16))
    status, answer, _ = post(server, broken)
    told = ExportTraceServiceResponse.FromString(answer).partial_success
    assert (status, told.rejected_spans) == (200, 1)


@pytest.mark.parametrize(
    ("body", "headers", "status", "text"),
    [
        (b"\xff", {}, 400, "byte "),
        (b"{}", {"Content_Type": "application/json"}, 415, PROTOBUF),
        (b"x", {"Content_Encoding": "br"}, 415, "gzip"),
        (b"no gzip", {"Content_Encoding": "gzip"}, 400, "not gzip"),
        (gzip.compress(b"\x0a\x00")[:-4], {"Content_Encoding": "gzip"}, 400, "whole"),
        (gzip.compress(b"") * 2, {"Content_Encoding": "gzip"}, 400, "whole"),
        (gzip.compress(bytes(50_000_000)), {"Content_Encoding": "gzip"}, 413, "300000"),
    ],
)
def test_a_body_that_will_not_do_is_refused(
    server: Server, body: bytes, headers: dict[str, str], status: int, text: str
) -> None:
    before = counts(server)
    found, answer, _ = post(server, body, **headers)
    assert found == status
    assert text in status_pb2.Status.FromString(answer).message
    assert counts(server) == before


def test_other_pages_and_long_bodies_are_refused(server: Server) -> None:
    assert post(server, b"", "/v1/profiles")[0] == 404
    assert post(server, bytes(300_001))[0] == 413


def test_senders_wait_where_there_is_no_room() -> None:
    bounds = ("--telemetry-bytes", str(1 << 20), "--telemetry-spared-seconds", "600")
    with Server("--receive-telemetry", "--otlp-http-port", "0", *bounds) as server:
        assert post(server, request_of(20_000))[0] == 413
        for i in range(100):
            status, answer, headers = post(server, request_of(1000, 1 + 1000 * i))
            if status != 200:
                break
        assert status == 429
        assert 1 <= int(headers["Retry-After"]) <= 30
        assert "TELEMETRY_FULL" in status_pb2.Status.FromString(answer).message


def test_a_token_tells_the_tenant_and_its_scope_is_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "credentials.toml"
    sender, first = new_token("sender", "shop", [Scope.INGEST, Scope.READ], None)
    reader, second = new_token("reader", "other", [Scope.READ], None)
    file.write_text(f"{first}\n{second}\n")
    more = ("--otlp-http-port", "0", "--credentials-file", str(file))
    with Server("--receive-telemetry", *more) as server:
        assert post(server, request_of(3))[0] == 401
        assert post(server, request_of(3), Authorization="Bearer nobody")[0] == 401
        assert post(server, request_of(3), Authorization=f"Bearer {reader}")[0] == 403
        assert post(server, request_of(3), Authorization=f"Bearer {sender}")[0] == 200
        assert counts(server, sender)[0] == 3
        assert counts(server, reader)[0] == 0


def test_a_port_that_would_be_of_no_use_or_open_to_all_is_refused() -> None:
    with pytest.raises(InvalidSettingsError, match="receive_telemetry"):
        ServiceOptions(otlp_http_port=4318)
    with pytest.raises(InvalidSettingsError, match="without TLS"):
        ServiceOptions(otlp_http_port=4318, receive_telemetry=True, otlp_http_host="0.0.0.0")
