"""Jaeger's HTTP API, version 3."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from bayesrca.errors import SourceError
from bayesrca.incident import ComponentKind, EdgeKind, TimeWindow
from bayesrca.ingest import load_incident, save_incident
from bayesrca.ingest.connectors.collect import Wanted, collect
from bayesrca.ingest.connectors.interface import Ask, Haul
from bayesrca.ingest.connectors.jaeger import (
    DEPTH,
    PARTS,
    Jaeger,
    JaegerJson,
    parse_services,
    read_traces,
)
from bayesrca.ingest.connectors.otlp_json import SpanReader
from bayesrca.ingest.connectors.shapes import Shapes
from tests.unit.ingest.connectors.mutate import JSON, read_or_refused
from tests.unit.ingest.connectors.stub import Asked, Reply, Stub, in_turn, of

START = 1_700_000_000.0
WINDOW = TimeWindow(START, START + 1200)


def attribute(key: str, value: object) -> dict[str, Any]:
    kind = "intValue" if isinstance(value, int) else "stringValue"
    return {"key": key, "value": {kind: str(value)}}


def span(name: str, trace: int, own: int, parent: int = 0, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    begun = int((more.pop("at", 10.0) + START) * 1e9)
    made: dict[str, Any] = {
        "traceId": f"{trace:032x}",
        "spanId": f"{own:016x}",
        "name": name,
        "kind": more.pop("kind", 2),
        "startTimeUnixNano": str(begun),
        "endTimeUnixNano": str(begun + int(more.pop("lasts", 0.1) * 1e9)),
        "attributes": [attribute(k, v) for k, v in more.pop("attributes", {}).items()],
        "status": {"code": more.pop("status", 0)},
    }
    assert not more
    return made | ({"parentSpanId": f"{parent:016x}"} if parent else {})


def resource(service: str, *spans: dict[str, Any], **attributes: str) -> dict[str, Any]:
    told = {"service.name": service, **attributes}
    return {
        "resource": {"attributes": [attribute(k, v) for k, v in told.items()]},
        "scopeSpans": [{"scope": {"name": "lib"}, "spans": list(spans)}],
    }


def one_trace(number: int = 1, at: float = 10.0) -> dict[str, Any]:
    ids = [10 * number + i for i in range(4)]
    statement = {"db.system.name": "redis", "db.query.text": "GET x", "server.address": "cache"}
    return {
        "result": {
            "resourceSpans": [
                resource(
                    "front",
                    span("GET /", number, ids[0], at=at),
                    span("call cart", number, ids[1], ids[0], kind=3, at=at),
                ),
                resource(
                    "cart",
                    span("GetCart", number, ids[2], ids[1], status=2, at=at),
                    span("GET", number, ids[3], ids[2], kind=3, at=at, attributes=statement),
                ),
            ]
        }
    }


def fetch(stub: Stub, window: TimeWindow = WINDOW) -> Haul:
    return Jaeger(JaegerJson(stub.source("jaeger"))).fetch(Ask(window=window, step=60.0))


def seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()


class FakeJaeger:
    """Has one trace every `every` seconds; answers 404 where there is none, as Jaeger does."""

    def __init__(self, every: float) -> None:
        self.every = every

    def __call__(self, asked: Asked) -> Reply:
        if asked.path == "/api/v3/services":
            return of({"services": ["front", "cart"]})
        assert asked.path == "/api/v3/traces"
        low, high = (
            seconds(asked.query[f"query.start_time_{end}"]) - START for end in ("min", "max")
        )
        numbers = [n for n in range(int(1200 / self.every)) if low <= n * self.every < high]
        if not numbers:
            error = {"httpCode": 404, "grpcCode": 5, "message": "No traces found"}
            return of({"error": error}, 404)
        entries = [
            entry
            for n in numbers[: int(asked.query["query.search_depth"])]
            for entry in one_trace(n + 1, n * self.every)["result"]["resourceSpans"]
        ]
        return of({"result": {"resourceSpans": entries}})


def test_every_span_comes_once() -> None:
    with Stub(FakeJaeger(100.0)) as stub:
        haul = fetch(stub)
        assert len(stub.asked) == 1 + 2 * PARTS
    assert haul.spans is not None
    assert haul.spans.count == 4 * 12
    assert [line.came for line in haul.asked] == [0, 48, 0]  # both services are in every trace
    assert not [line for line in haul.asked if line.missing]


def test_empty_parts_are_no_gap() -> None:
    with Stub(FakeJaeger(700.0)) as stub:
        haul = fetch(stub)
    assert haul.spans is not None
    assert haul.spans.count == 4
    assert not [line for line in haul.asked if line.missing]


def test_busy_times_are_sampled_evenly_and_told() -> None:
    with Stub(FakeJaeger(1.0)) as stub:
        haul = fetch(stub)
    assert haul.spans is not None
    assert haul.spans.count == 4 * DEPTH * PARTS
    assert f"{PARTS} of {PARTS} parts of the time may hold more" in haul.asked[1].missing


def test_an_incident_of_spans_alone(tmp_path: Path) -> None:
    wanted = Wanted(name="x", window=WINDOW, baseline=None, step=60.0)
    with Stub(FakeJaeger(100.0)) as stub:
        collected = collect([Jaeger(JaegerJson(stub.source("jaeger")))], wanted)
    incident = collected.incident
    kinds = {c.name: c.kind for c in incident.topology.components}
    assert kinds == {
        "front": ComponentKind.SERVICE, "cart": ComponentKind.SERVICE,
        "cache": ComponentKind.DATASTORE,
    }  # fmt: skip
    assert {(e.source, e.target, e.kind) for e in incident.topology.edges} == {
        ("front", "cart", EdgeKind.CALLS), ("cart", "cache", EdgeKind.READS),
    }  # fmt: skip
    assert incident.spans is not None
    assert "GET x" in incident.spans.codes
    assert sorted(set(incident.spans.status.tolist())) == [0, 2]
    assert load_incident(save_incident(incident, tmp_path / "x")) == incident


def test_a_part_that_fails_keeps_what_came_before() -> None:
    fake = FakeJaeger(100.0)
    cut = Reply(b'{"result": {"resourceSpans": [', 200)

    def answer(asked: Asked) -> Reply:
        late = len(stub.asked) > 4
        return cut if late else fake(asked)

    with Stub(answer) as stub:
        haul = fetch(stub)
    assert haul.spans is not None
    assert haul.spans.count == 12
    assert "is not JSON" in haul.asked[1].missing


def test_its_own_words_are_told() -> None:
    with Stub(in_turn(of({"error": {"message": "storage is away", "httpCode": 400}}, 400))) as stub:
        haul = fetch(stub)
    assert haul.asked[0].missing == "answers HTTP 400 (storage is away)"


def read(document: object) -> int:
    return read_traces(document, SpanReader(Shapes("jaeger")), Shapes("jaeger"))[0]


def test_a_recorded_answer_without_times_and_names() -> None:
    """The shape of the server's own snapshot: what a span lacks is simply not there."""
    bare = {"kind": 2, "name": "foobar", "spanId": "02", "traceId": "01", "status": {"code": 2}}
    scopes = [{"scope": {}, "spans": [bare]}]
    assert read({"result": {"resourceSpans": [{"resource": {}, "scopeSpans": scopes}]}}) == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"traceId": 1}, "traceId must be text"),
        ({"startTimeUnixNano": "soon"}, "whole numbers"),
        ({"startTimeUnixNano": -1}, "whole numbers"),
        ({"endTimeUnixNano": str(1 << 63)}, "whole numbers"),
        ({"attributes": {}}, ""),
        ({"attributes": [{"key": 1}]}, "key must be text"),
        ({"status": []}, ""),
        ({"status": [1]}, "status must be an object"),
        ({"kind": 1.5}, "kind must be text"),
    ],
)
def test_malformed_spans(change: dict[str, Any], words: str) -> None:
    trace = one_trace()
    trace["result"]["resourceSpans"][0]["scopeSpans"][0]["spans"][0] |= change
    if words:
        with pytest.raises(SourceError, match=words):
            read(trace)
    else:
        assert read(trace) == 4


@given(document=JSON)
@settings(max_examples=100, deadline=None)
def test_anything_is_read_or_refused(document: object) -> None:
    for parse in (read, lambda d: parse_services(d, Shapes("jaeger"))):
        try:
            parse(document)
        except SourceError as error:
            assert str(error).startswith("jaeger: its answer cannot be read")


def test_mutated_answers_are_read_or_refused() -> None:
    read_or_refused(read, one_trace(), "jaeger")
    services = {"services": ["a", "b"]}
    read_or_refused(lambda d: parse_services(d, Shapes("jaeger")), services, "jaeger")


def test_mutated_answers_never_break_an_incident() -> None:
    """What was read becomes an incident, or an error that says why not."""
    import random

    from bayesrca.errors import BayesRcaError
    from tests.unit.ingest.connectors.mutate import mutated

    rng = random.Random(8)
    wanted = Wanted(name="x", window=WINDOW, baseline=None, step=60.0)

    class Fixed:
        name = "jaeger"
        offers = Jaeger.offers

        def fetch(self, ask: Ask) -> Haul:
            reader = SpanReader(Shapes("jaeger"))
            read_traces(mutated(one_trace(), rng), reader, Shapes("jaeger"))
            return Haul(spans=reader.collector.rows())

    made = 0
    for _ in range(300):
        try:
            made += collect([Fixed()], replace(wanted)).incident.spans is not None
        except BayesRcaError:
            continue
    assert made > 50
