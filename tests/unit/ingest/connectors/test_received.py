"""What was received, beside what a back end says."""

from __future__ import annotations

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bayesrca.columns.otlp import Kind, Table, decode
from bayesrca.incident import TimeWindow
from bayesrca.ingest.connectors.collect import Wanted, collect
from bayesrca.ingest.connectors.interface import Ask, Asked, Connector, Haul, What
from bayesrca.ingest.connectors.received import Received
from bayesrca.ingest.connectors.rows import Collector
from bayesrca.ingest.places import Naming
from bayesrca.ingest.received_incident import build_received_incident

S = 10**9


def spans(service: str, *starts: int) -> Table:
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    group.resource.attributes.add(key="service.name").value.string_value = service
    scope = group.scope_spans.add()
    for start in starts:
        scope.spans.add(
            trace_id=start.to_bytes(16),
            span_id=start.to_bytes(8),
            name="op",
            start_time_unix_nano=start * S,
            end_time_unix_nano=start * S + 5_000_000,
            kind=2,
            status={"code": 2 if start % 2 else 0},
        )
    return decode(Kind.SPANS, request.SerializeToString())


def logs(service: str, *times: int) -> Table:
    request = ExportLogsServiceRequest()
    group = request.resource_logs.add()
    group.resource.attributes.add(key="service.name").value.string_value = service
    for time in times:
        record = group.scope_logs.add().log_records.add(time_unix_nano=time * S)
        record.body.string_value = "it failed"
    return decode(Kind.LOGS, request.SerializeToString())


def asked(tables: list[Table], evicted: dict[Kind, int], start: float) -> dict[What, Asked]:
    source = Received(tables, evicted, Naming())
    haul = source.fetch(Ask(window=TimeWindow(start, 1100.0), step=10.0))
    return {line.what: line for line in haul.asked}


def test_a_gap_is_what_was_lost_or_came_before_anything_did() -> None:
    tables = [spans("cart", 1000, 1001, 1050), logs("cart", 1060)]
    lines = asked(tables, {}, 1000.0)
    assert [lines[w].came for w in (What.SERIES, What.SPANS, What.LOGS)] == [0, 3, 1]
    # Who logs nothing at first has lost nothing.
    assert not any(line.missing for line in lines.values())
    early = asked(tables, {}, 900.0)
    assert all(
        "1970-01-01 00:16:40; nothing was received before" in x.missing for x in early.values()
    )
    lost = asked(tables, {Kind.LOGS: 5, Kind.POINTS: 7}, 1000.0)
    assert "5 were evicted" in lost[What.LOGS].missing
    assert "7 points were evicted and none is held" in lost[What.SERIES].missing
    assert not lost[What.SPANS].missing


class BackEnd:
    """A source of rows, as Jaeger's and Loki's are."""

    name = "rows"
    offers = frozenset({What.SPANS, What.LOGS})

    def fetch(self, ask: Ask) -> Haul:
        traced, logged = Collector(), Collector()
        start = int(ask.window.start) + 20
        traced.add(
            {
                "servicename": "front",
                "traceid": f"{start:032x}",
                "spanid": f"{start:016x}",
                "operation": "GET",
                "starttimeunixnano": start * S,
                "endtimeunixnano": start * S + 9_000_000,
                "kind": "SPAN_KIND_SERVER",
                "statuscode": "STATUS_CODE_ERROR",
            }
        )
        logged.add({"servicename": "front", "body": "no cart", "timeunixnano": start * S})
        return Haul(spans=traced.rows(), logs=logged.rows())


@pytest.mark.parametrize("received_first", [True, False])
def test_received_telemetry_and_rows_of_a_back_end_are_one_table(received_first: bool) -> None:
    received = Received([spans("cart", 1000, 1001), logs("cart", 1010)], {}, Naming())
    sources: list[Connector] = [received, BackEnd()]
    wanted = Wanted(name="x", window=TimeWindow(990.0, 1100.0), baseline=None, step=10.0)
    incident = collect(sources if received_first else sources[::-1], wanted).incident
    assert set(incident.topology.names) == {"cart", "front"}
    table, lines = incident.spans, incident.logs
    assert table is not None
    assert lines is not None
    found = {
        (table.components[c], int(start) // S, int(took), int(kind), int(status))
        for c, start, took, kind, status in zip(
            table.component,
            table.start_ns,
            table.duration_ns,
            table.kind,
            table.status,
            strict=True,
        )
    }
    assert found == {
        ("cart", 1000, 5_000_000, 2, 0),
        ("cart", 1001, 5_000_000, 2, 2),
        ("front", 1010, 9_000_000, 2, 2),
    }
    said = {
        (lines.components[c], lines.texts[t])
        for c, t in zip(lines.component, lines.text, strict=True)
    }
    assert said == {("cart", "it failed"), ("front", "no cart")}


def test_alone_it_makes_the_incident_that_received_tables_make() -> None:
    tables = [spans("cart", *range(1000, 1090, 7)), spans("front", 1003), logs("cart", 1010)]
    window = TimeWindow(1000.0, 1100.0)
    wanted = Wanted(name="x", window=window, baseline=None, step=10.0)
    collected = collect([Received(tables, {}, Naming())], wanted).incident
    assert collected == build_received_incident(tables, "x", window=window)
