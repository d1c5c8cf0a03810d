"""What the server tells of itself: metrics, probes, spans, logs and its report."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import override

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import (
    trace_service_pb2,
    trace_service_pb2_grpc,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from bayesrca.client import Client
from bayesrca.service import Scope
from bayesrca.service.credentials import new_token
from tests.integration.kit import (
    ROOT,
    SCREEN,
    SERVICE,
    Server,
    eventually,
    fetch,
    make_incident,
    make_request,
    pages_of,
)

pytestmark = pytest.mark.grpc
ANALYZE = f"/{SERVICE}/Analyze"
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACED = (("traceparent", f"00-{TRACE}-{PARENT}-01"), ("tracestate", "vendor=x"))


def call(
    server: Server,
    name: str = "slow checkout",
    *,
    raw: bytes | None = None,
    method: str = ANALYZE,
    timeout: float = 30,
    metadata: tuple[tuple[str, str], ...] = (),
) -> str:
    """Code of a call."""
    request = make_request(name).SerializeToString() if raw is None else raw
    with server.channel() as channel:
        send: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(method)
        try:
            send(request, timeout=timeout, metadata=metadata)
        except grpc.RpcError as error:
            return str(error.code().name)
    return "OK"


def samples(address: str) -> dict[tuple[str, ...], float]:
    """Every sample by its name and its labels' values."""
    _, text = fetch(address, "/metrics")
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
        for sample in family.samples
    }


@pytest.fixture(scope="module")
def observed() -> Iterator[tuple[Server, str]]:
    with Server("--http-port", "0") as server:
        yield server.until_ready(), pages_of(server)


class TestMetrics:
    def test_calls_by_method_and_code(self, observed: tuple[Server, str]) -> None:
        server, address = observed
        before = samples(address)
        codes = [
            call(server),
            call(server, raw=b"\xff"),
            call(server, "boom:x"),
            call(server, "sleep:30", timeout=0.3),
            call(server, method="/made.Up/Method"),
        ]
        assert codes == ["OK", "INVALID_ARGUMENT", "INTERNAL", "DEADLINE_EXCEEDED", "UNIMPLEMENTED"]
        rows = [("bayesrca_rpc_seconds_count", code, ANALYZE) for code in codes[:4]]
        rows.append(("bayesrca_rpc_seconds_count", codes[4], "unknown"))

        def counted() -> list[float]:
            now = samples(address)
            return [now.get(row, 0.0) - before.get(row, 0.0) for row in rows]

        assert eventually(lambda: counted() == [1.0] * 5, 10), counted()
        after = samples(address)
        assert after["bayesrca_rpcs_open",] == 0.0
        assert after["bayesrca_ready",] == 1.0
        assert "made.Up" not in fetch(address, "/metrics")[1]

    def test_a_trace_is_the_exemplar_of_its_call(self, observed: tuple[Server, str]) -> None:
        server, address = observed
        assert call(server, metadata=TRACED) == "OK"
        assert f'# {{trace_id="{TRACE}"}}' in fetch(address, "/metrics")[1]

    def test_jobs_by_outcome_and_how_well_they_were_computed(
        self, observed: tuple[Server, str]
    ) -> None:
        server, address = observed
        before = samples(address)
        assert call(server) == "OK"
        assert call(server, "no-evidence:x") == "INVALID_ARGUMENT"
        assert call(server, "sleep:30", timeout=0.3) == "DEADLINE_EXCEEDED"
        assert call(server, "die:x") == "UNAVAILABLE"
        server.wait_for(lambda line: "worker ended with signal 9" in line)
        outcomes = ("OK", "NO_EVIDENCE", "CANCELLED", "WORKER_LOST")
        rows: list[tuple[str, ...]] = [
            *(("bayesrca_job_seconds_count", outcome, "Analyze") for outcome in outcomes),
            ("bayesrca_workers_lost_total",),
            ("bayesrca_answers_total", "yes", "screen"),
            ("bayesrca_pareto_k_count",),
            ("bayesrca_ess_min_count", "screen"),
        ]

        def counted() -> list[float]:
            now = samples(address)
            return [now.get(row, 0.0) - before.get(row, 0.0) for row in rows]

        assert eventually(lambda: counted() == [1.0] * len(rows), 10), counted()
        now = samples(address)
        assert now["bayesrca_queue_seconds_count",] - before["bayesrca_queue_seconds_count",] == 4.0
        assert now["bayesrca_r_hat_max_count",] == 0.0

    def test_what_waits_and_runs_shows(self, observed: tuple[Server, str]) -> None:
        server, address = observed
        assert call(server) == "OK"  # so that a worker is there

        def now() -> list[float]:
            found = samples(address)
            names = ("workers", "jobs_running", "queue_depth", "rpcs_open")
            return [found[f"bayesrca_{name}",] for name in names]

        assert eventually(lambda: now() == [1.0, 0.0, 0.0, 0.0], 10)
        with futures.ThreadPoolExecutor(3) as threads:
            calls = [threads.submit(call, server, "sleep:2") for _ in range(3)]
            assert eventually(lambda: now() == [1.0, 1.0, 2.0, 3.0], 10)
            assert [done.result() for done in calls] == ["OK"] * 3
        assert eventually(lambda: now() == [1.0, 0.0, 0.0, 0.0], 10)

    def test_no_other_page(self, observed: tuple[Server, str]) -> None:
        assert fetch(observed[1], "/")[0] == 404
        assert fetch(observed[1], "/metrics/x")[0] == 404


def test_probes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = tmp_path / "warm"
    monkeypatch.setenv("BAYESRCA_TEST_WARM_FILE", str(told))
    with Server("--http-port", "0", warmer="warm_when_told") as server:
        address = pages_of(server)
        assert fetch(address, "/livez") == (200, "yes\n")
        assert fetch(address, "/readyz") == (503, "no\n")
        assert samples(address)["bayesrca_ready",] == 0.0
        told.touch()
        server.until_ready()
        assert fetch(address, "/readyz") == (200, "yes\n")


def test_a_taken_port_of_the_pages_stops_the_start(observed: tuple[Server, str]) -> None:
    port = observed[1].rpartition(":")[2]
    done = subprocess.run(
        [sys.executable, "-m", "bayesrca.service", "--port", "0", "--http-port", port],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert f"cannot listen on 127.0.0.1:{port} for metrics" in done.stderr
    assert "Traceback" not in done.stderr


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps the spans that are sent to it."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self._server = grpc.server(futures.ThreadPoolExecutor(2))
        add = trace_service_pb2_grpc.add_TraceServiceServicer_to_server
        add(self, self._server)  # type: ignore[no-untyped-call]
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    @override
    def Export(
        self, request: trace_service_pb2.ExportTraceServiceRequest, context: object
    ) -> trace_service_pb2.ExportTraceServiceResponse:
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                self.spans += scope.spans
        return trace_service_pb2.ExportTraceServiceResponse()

    def stop(self) -> None:
        self._server.stop(None).wait()

    def one(self, status: str) -> Span:
        (found,) = (span for span in self.spans if attributes(span).get(STATUS) == status)
        return found


STATUS = "rpc.response.status_code"


def attributes(span: Span) -> dict[str, str]:
    return {item.key: item.value.string_value for item in span.attributes}


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.stop()


class TestSpans:
    def test_a_clients_trace_goes_on_at_the_server(self, collector: Collector) -> None:
        tracer = TracerProvider(shutdown_on_exit=False).get_tracer("test")
        with Server("--otlp-endpoint", f"http://127.0.0.1:{collector.port}") as server:
            server.until_ready()
            with Client(server.address) as client, tracer.start_as_current_span("mine") as mine:
                client.analyze(make_incident(), seed=1, settings=SCREEN)
        span = collector.one("OK")
        context = mine.get_span_context()
        assert int.from_bytes(span.trace_id) == context.trace_id
        assert int.from_bytes(span.parent_span_id) == context.span_id

    def test_each_call_is_a_span_of_its_callers_trace(self, collector: Collector) -> None:
        with Server("--otlp-endpoint", f"http://127.0.0.1:{collector.port}") as server:
            server.until_ready()
            assert call(server, metadata=TRACED) == "OK"
            assert call(server, raw=b"\xff", metadata=TRACED) == "INVALID_ARGUMENT"
            assert call(server, "boom:x") == "INTERNAL"
        # What was not yet sent is sent before the server ends.
        fine, refused, broken = map(collector.one, ("OK", "INVALID_ARGUMENT", "INTERNAL"))
        ours = [span for span in collector.spans if span.name == "worker Analyze"]
        assert {span.parent_span_id for span in ours} == {fine.span_id, broken.span_id}
        assert {span.trace_id for span in ours} == {fine.trace_id, broken.trace_id}
        assert {attributes(span)["bayesrca.outcome"] for span in ours} == {"OK", "INTERNAL"}
        for span in ours:
            assert span.start_time_unix_nano < span.end_time_unix_nano
        for span in (fine, refused):
            assert span.trace_id.hex() == TRACE
            assert span.parent_span_id.hex() == PARENT
            assert span.trace_state == "vendor=x"
        assert broken.trace_id.hex() != TRACE
        assert fine.name == ANALYZE[1:]
        assert fine.kind == fine.SPAN_KIND_SERVER
        assert attributes(fine)["bayesrca.tenant"] == "default"
        errors = [span.status.code == span.status.STATUS_CODE_ERROR for span in (fine, refused)]
        assert errors == [False, False]
        assert broken.status.code == broken.status.STATUS_CODE_ERROR
        assert len(collector.spans) == 5

    def test_the_ratio_is_of_traces_begun_here(self, collector: Collector) -> None:
        endpoint = f"http://127.0.0.1:{collector.port}"
        with Server("--otlp-endpoint", endpoint, "--trace-ratio", "0") as server:
            server.until_ready()
            assert call(server) == "OK"
            assert call(server, metadata=TRACED) == "OK"
        assert {span.trace_id.hex() for span in collector.spans} == {TRACE}

    def test_a_collector_that_is_gone_costs_no_call(self, collector: Collector) -> None:
        collector.stop()
        with Server("--otlp-endpoint", f"http://127.0.0.1:{collector.port}") as server:
            server.until_ready()
            assert call(server) == "OK"
            begun = time.monotonic()
            server.signal(15)
            assert server.wait() == 0
        assert time.monotonic() - begun < 30


class TestLogs:
    def test_attempts_of_a_stored_analysis_are_told_apart(self, tmp_path: Path) -> None:
        died = tmp_path / "died"
        with Server("--log-format", "json", "--data-dir", str(tmp_path / "data")) as server:
            server.wait_for(lambda line: '"message": "ready"' in line)
            with Client(server.address) as client:
                incident = make_incident(f"die-once:{died}")
                name = client.create_analysis(incident, seed=1, settings=SCREEN).name
                client.wait_for_analysis(name)
        records = [json.loads(line) for line in server.lines if line.startswith("{")]
        identity = name.rpartition("/")[2]
        tried = [
            (record["attempt"], record["tenant"], record["message"].rpartition(": ")[2])
            for record in records
            if record.get("analysis") == identity and "attempt" in record
        ]
        assert tried == [(1, "default", "QUEUED"), (2, "default", "SUCCEEDED")]

    def test_json_has_who_and_which_call_and_trace(self, tmp_path: Path) -> None:
        path = tmp_path / "credentials.toml"
        token, line = new_token("robot", "payments", [Scope.ANALYZE], None)
        path.write_text(line, encoding="utf-8")
        shown = (("authorization", f"Bearer {token}"),)
        with Server("--log-format", "json", "--credentials-file", str(path)) as server:
            server.wait_for(lambda line: '"message": "ready"' in line)
            assert call(server, metadata=(*shown, *TRACED)) == "OK"
            assert call(server, "boom:line\nbreak", metadata=shown) == "INTERNAL"
            assert call(server) == "UNAUTHENTICATED"
        records = [json.loads(line) for line in server.lines if line.startswith("{")]
        assert all({"time", "level", "logger", "message"} <= {*record} for record in records)
        said = [record["message"] for record in records]
        assert said[-1] == "stopped"
        about = [record for record in records if record["logger"] == "bayesrca.service"]
        first, second = (record for record in about if record.get("rpc") == "Analyze")
        assert (first["outcome"], second["outcome"]) == ("OK", "INTERNAL")
        assert first["seconds"] > 0
        # The worker's own record is of the same call, its traceback in one line with the rest.
        (worker,) = (record for record in records if record["logger"] == "bayesrca.service.worker")
        assert worker["call_id"] == second["call_id"]
        assert worker["tenant"] == "payments"
        assert "RuntimeError: line\nbreak" in worker["exception"]
        assert (first["tenant"], first["subject"]) == ("payments", "robot")
        assert first["trace_id"] == TRACE
        assert "trace_id" not in second
        assert len(first["call_id"]) == 32
        assert first["call_id"] != second["call_id"]
        (refused,) = (record for record in records if "NO_CREDENTIALS" in record["message"])
        assert refused["message"].startswith(ANALYZE)
        assert "tenant" not in refused

    def test_the_report_is_one_block_before_anything_else(self) -> None:
        with Server("--queue", "5", "--http-port", "0") as server:
            server.until_ready()
            report = server.lines[: server.lines.index("ready")]
        assert report[0].endswith("gRPC, loopback only, no TLS, anyone may call")
        assert report[1].startswith("1 worker(s) of ")
        assert "queue 5" in report[1]
        assert report[2].startswith("no data directory")
        assert report[3].startswith("metrics and probes on http://127.0.0.1:")
        assert report[4].startswith("configuration: --analyzer, --http-port")
        assert report[5] == f"listening on {server.address}"
        assert report[6:] == ["no warm-up"]
