"""What was received over OpenTelemetry's protocol, as an incident holds it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from bayesrca.columns.otlp import Kind, Table, decode, merge
from bayesrca.errors import InvalidTelemetryError, NoEvidenceError
from bayesrca.incident import (
    ComponentKind,
    TimeWindow,
)
from bayesrca.ingest import load_incident
from bayesrca.ingest.places import Naming
from bayesrca.ingest.received import read_received
from bayesrca.ingest.received_incident import build_received_incident

TRACE = "0102030405060708090a0b0c0d0e0f10"
S = 10**9
# (service, id, parent, name, kind, start, duration, status, attributes)
SPANS: list[tuple[Any, ...]] = [
    ("web", 1, 0, "GET /", 2, 1 * S, 90, 2, {"code.function.name": "serve"}),
    ("cart", 2, 1, "add", 2, 2 * S, 40, 0, {"code.line.number": 7, "code.file.path": "c.go"}),
    ("cart", 3, 2, "SELECT", 3, 3 * S, 5, 1, {"db.system.name": "mysql", "server.address": "db"}),
    ("web", 4, 9, "late", 2, 4 * S, 5, 0, {}),
]
LOGS: list[tuple[Any, ...]] = [
    ("cart", 2, "failed", 2 * S + 1, 17, ""),
    ("cart", 0, "INFO  a.B#3 said", 3 * S + 1, 0, ""),
    ("web", 7, "lost", 4 * S + 1, 0, "warn"),
]


def pair(key: str, value: object) -> KeyValue:
    if isinstance(value, int):
        return KeyValue(key=key, value=AnyValue(int_value=value))
    return KeyValue(key=key, value=AnyValue(string_value=str(value)))


def span_table(rows: list[tuple[Any, ...]]) -> Table:
    request = ExportTraceServiceRequest()
    for service, own, parent, name, kind, start, duration, status, attributes in rows:
        resource = request.resource_spans.add()
        resource.resource.attributes.extend(
            [pair("service.name", service), pair("host.name", f"host-of-{service}")]
        )
        span = resource.scope_spans.add().spans.add(
            trace_id=bytes.fromhex(TRACE),
            span_id=own.to_bytes(8, "big"),
            parent_span_id=parent.to_bytes(8, "big") if parent else b"",
            name=name,
            kind=kind,
            start_time_unix_nano=start,
            end_time_unix_nano=start + duration,
            attributes=[pair(k, v) for k, v in attributes.items()],
        )
        span.status.code = status
    return decode(Kind.SPANS, request.SerializeToString())


def log_table(rows: list[tuple[Any, ...]]) -> Table:
    request = ExportLogsServiceRequest()
    for service, span, body, time, severity, word in rows:
        resource = request.resource_logs.add()
        resource.resource.attributes.append(pair("service.name", service))
        resource.scope_logs.add().log_records.add(
            trace_id=bytes.fromhex(TRACE) if span else b"",
            span_id=span.to_bytes(8, "big") if span else b"",
            time_unix_nano=time,
            severity_number=severity,
            severity_text=word,
            body=AnyValue(string_value=body),
        )
    return decode(Kind.LOGS, request.SerializeToString())


def test_received_is_what_a_file_of_the_same_would_be(tmp_path: Path) -> None:
    """The same records by the way of a folder, which shares the meaning but not the door."""
    columns: dict[str, Any] = {
        "trace_id": [TRACE] * 4,
        "span_id": [f"{r[1]:016x}" for r in SPANS],
        "parent_span_id": [f"{r[2]:016x}" for r in SPANS],
        "service.name": [r[0] for r in SPANS],
        "name": [r[3] for r in SPANS],
        "kind": [r[4] for r in SPANS],
        "start_ns": [r[5] for r in SPANS],
        "duration_ns": [r[6] for r in SPANS],
        "status": [r[7] for r in SPANS],
        "host.name": [f"host-of-{r[0]}" for r in SPANS],
    }
    for key in sorted({key for r in SPANS for key in r[8]}):
        columns[key] = [r[8].get(key) for r in SPANS]
    pq.write_table(pa.table(columns), tmp_path / "traces.parquet")
    said = {
        "trace_id": [TRACE if r[1] else None for r in LOGS],
        "span_id": [f"{r[1]:016x}" if r[1] else None for r in LOGS],
        "service.name": [r[0] for r in LOGS],
        "body": [r[2] for r in LOGS],
        "time_ns": [r[3] for r in LOGS],
        "severity": ["17", None, "warn"],
    }
    pq.write_table(pa.table(said), tmp_path / "logs.parquet")
    expected = load_incident(tmp_path)
    found = read_received(span_table(SPANS), log_table(LOGS))
    assert found.spans == expected.spans
    assert found.logs == expected.logs
    assert found.peer_kinds == {"db": ComponentKind.DATASTORE}
    assert {(p.outer, p.inner) for p in found.places} == {
        ("host-of-web", "web"),
        ("host-of-cart", "cart"),
    }
    whole = TimeWindow(0.0, 100.0)
    made = build_received_incident(
        [log_table(LOGS), span_table(SPANS)], expected.name, window=whole
    )
    assert made == replace(expected, window=whole)


def test_what_was_sent_twice_counts_once_and_is_told() -> None:
    table = merge(Kind.SPANS, [span_table(SPANS), span_table(SPANS)], 0, 2**62)
    found = read_received(table, None)
    assert found.spans is not None
    assert len(found.spans) == len(SPANS)
    assert found.spans.parent.tolist() == [-1, 0, 1, -1]
    assert found.spans.notes == (
        "4 spans repeated the ids of an earlier span and were left out.",
        "1 spans name a parent that was not received and count as first spans.",
    )


def test_names_are_mapped() -> None:
    found = read_received(span_table(SPANS), None, Naming({"cart": "basket", "db": "basket-db"}))
    assert found.spans is not None
    assert found.spans.components == ("web", "basket", "basket-db")


def test_nothing_received_is_nothing() -> None:
    found = read_received(None, None)
    assert (found.spans, found.logs, found.runs) == (None, None, ())
    empty = decode(Kind.LOGS, b"")
    assert read_received(None, empty).logs is None


def test_an_event_without_a_body_says_its_name() -> None:
    request = ExportLogsServiceRequest()
    group = request.resource_logs.add()
    group.resource.attributes.append(pair("service.name", "cart"))
    for i, body in enumerate(("", "said")):
        group.scope_logs.add().log_records.add(
            time_unix_nano=S + i, event_name="cart.emptied", body=AnyValue(string_value=body)
        )
    found = read_received(None, decode(Kind.LOGS, request.SerializeToString()))
    assert found.logs is not None
    assert [found.logs.texts[i] for i in found.logs.text] == ["cart.emptied", "said"]


def test_what_cannot_be_used_is_left_out_and_told() -> None:
    nameless = ExportTraceServiceRequest()
    nameless.resource_spans.add().scope_spans.add().spans.add(
        trace_id=bytes(range(16)),
        span_id=bytes(range(8)),
        name="x",
        start_time_unix_nano=1,
        end_time_unix_nano=2,
    )
    table = decode(Kind.SPANS, nameless.SerializeToString())
    found = read_received(table, log_table(LOGS))
    assert found.spans is None
    assert found.logs is not None
    (note,) = found.notes
    assert note.startswith("No span was used: received spans: none of its 1 rows is a span")
    bare = log_table([("", 0, "lost", S, 0, "")])
    whole = TimeWindow(0.0, 100.0)
    made = build_received_incident([span_table(SPANS), bare], "x", window=whole)
    assert made.logs is None
    (note,) = made.notes
    assert note.startswith("No log record was used: received logs: none of its 1 rows has")
    with pytest.raises(NoEvidenceError, match=r"was received.* No log record was used"):
        build_received_incident([bare], "x", window=whole)
    with pytest.raises(InvalidTelemetryError, match="a table of logs is needed, got one of spans"):
        read_received(None, table)
