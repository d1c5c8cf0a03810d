"""Loki's range queries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings

from bayesrca.errors import SourceError
from bayesrca.incident import TimeWindow
from bayesrca.ingest.connectors.interface import Ask, Haul
from bayesrca.ingest.connectors.loki import PARTS, Loki, parse_labels, parse_streams
from bayesrca.ingest.connectors.shapes import Shapes
from tests.unit.ingest.connectors import stub as stubs
from tests.unit.ingest.connectors.mutate import JSON, read_or_refused
from tests.unit.ingest.connectors.stub import Asked, Reply, Stub, of

START = 1_700_000_000
WINDOW = TimeWindow(START, START + 1200)
Line = tuple[int, dict[str, str], str]
STREAMS = {
    "status": "success",
    "data": {
        "resultType": "streams",
        "result": [
            {
                "stream": {"service_name": "cart", "level": "error"},
                "values": [
                    ["1700000000000000001", "no such key"],
                    ["1700000000000000002", "b", {"trace_id": "0a", "span_id": "0b"}],
                    ["1700000000000000003", "c", {"structuredMetadata": {"trace_id": "0c"}}],
                ],
            }
        ],
        "stats": {},
    },
}


class FakeLoki:
    """Answers from a list of lines, a page at a time and in order, as Loki does."""

    def __init__(self, lines: Sequence[Line], page: int = 5000, labels: Sequence[str] = ()) -> None:
        self.lines = sorted(lines, key=lambda line: line[0])
        self.page = page
        self.labels = [*(labels or ("env", "service_name"))]

    def __call__(self, asked: Asked) -> Reply:
        if asked.path == "/loki/api/v1/labels":
            return of({"status": "success", "data": self.labels})
        assert asked.path == "/loki/api/v1/query_range", asked.path
        assert asked.query["direction"] == "forward"
        low, high = int(asked.query["start"]), int(asked.query["end"])
        limit = min(int(asked.query["limit"]), self.page)
        found = [line for line in self.lines if low <= line[0] < high][:limit]
        result: list[dict[str, Any]] = []
        for time, labels, text in found:
            entry = next((r for r in result if r["stream"] == labels), None)
            if entry is None:
                entry = {"stream": labels, "values": []}
                result.append(entry)
            entry["values"].append([str(time), text])
        return of({"status": "success", "data": {"resultType": "streams", "result": result}})


def lines(count: int, step_ns: int, service: str = "cart") -> list[Line]:
    return [
        (START * 10**9 + i * step_ns, {"service_name": service}, f"line {i}") for i in range(count)
    ]


def fetch(fake: FakeLoki, query: str = "") -> tuple[Haul, Stub]:
    with Stub(fake) as stub:
        source = stub.source("loki", limits=stubs.ROOMY)
        return Loki(source, query).fetch(Ask(window=WINDOW, step=60.0)), stub


def test_the_label_that_names_services_selects() -> None:
    haul, stub = fetch(FakeLoki(lines(10, 10**10)))
    assert {a.query["query"] for a in stub.asked[1:]} == {'{service_name=~".+"}'}
    assert len(stub.asked) == 1 + PARTS
    assert haul.logs is not None
    assert haul.logs.count == 10
    assert set(haul.logs.columns["servicename"]) == {"cart"}
    assert not [line for line in haul.asked if line.missing]


def test_a_selector_of_ones_own() -> None:
    _, stub = fetch(FakeLoki([]), '{app="x"} |= "error"')
    assert {a.query["query"] for a in stub.asked} == {'{app="x"} |= "error"'}


@pytest.mark.parametrize("page", [3, 7, 50])
def test_pages_leave_nothing_out_and_repeat_nothing(
    page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where many lines share a nanosecond, and where some of them are equal in text."""
    monkeypatch.setattr("bayesrca.ingest.connectors.loki.PAGE", page)
    monkeypatch.setattr("bayesrca.ingest.connectors.loki.PAGES", 1000)
    made = [
        (START * 10**9 + (i // 2) * 7 * 10**9, {"service_name": "ab"[i % 2]}, f"line {i % 5}")
        for i in range(200)
    ]
    haul, _ = fetch(FakeLoki(made, page))
    assert haul.logs is not None
    columns = haul.logs.columns
    found = zip(columns["timeunixnano"], columns["servicename"], columns["body"], strict=True)
    assert sorted(found) == sorted((t, labels["service_name"], text) for t, labels, text in made)


def test_more_lines_than_are_asked_for_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bayesrca.ingest.connectors.loki.PAGE", 10)
    monkeypatch.setattr("bayesrca.ingest.connectors.loki.PAGES", 2)
    haul, _ = fetch(FakeLoki(lines(1000, 10**9), 10))
    assert haul.logs is not None
    assert haul.logs.count < 1000
    assert "beyond 20" in haul.asked[1].missing


def test_one_instant_with_more_lines_than_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bayesrca.ingest.connectors.loki.PAGE", 10)
    made = [*lines(30, 0), *lines(3, 10**9)[1:]]
    haul, _ = fetch(FakeLoki(made, 10))
    assert haul.logs is not None
    assert haul.logs.count == 10 + 2
    assert "beyond 10" in haul.asked[1].missing


def test_a_page_that_fails_costs_none_of_those_before_it() -> None:
    nobody = [(START * 10**9, {"env": "x"}, "lost")]
    fake = FakeLoki([*nobody, *lines(12, 100 * 10**9)])
    seen: list[Asked] = []

    def answer(asked: Asked) -> Reply:
        seen.append(asked)
        return of({"message": "too many"}, 400) if len(seen) == 4 else fake(asked)

    with Stub(answer) as stub:
        source = stub.source("loki", limits=stubs.ROOMY)
        haul = Loki(source, '{env="x"}').fetch(Ask(window=WINDOW, step=60.0))
    assert haul.logs is not None
    assert haul.logs.count == haul.asked[0].came == 3
    assert "1 lines whose labels" in haul.asked[0].missing
    assert "HTTP 400" in haul.asked[0].missing


def test_lines_that_name_nobody_are_told() -> None:
    nobody = [(START * 10**9, {"env": "x"}, "lost")]
    haul, _ = fetch(FakeLoki([*nobody, *lines(2, 1)]), '{env="x"}')
    assert haul.logs is not None
    assert haul.logs.count == 2
    assert haul.asked[0].missing == "1 lines whose labels name no component"


def test_no_label_names_a_service() -> None:
    haul, _ = fetch(FakeLoki([], labels=["env", "filename"]))
    assert haul.logs is None
    assert "none of its labels names a service: env, filename" in haul.asked[0].missing


def test_levels_ids_and_what_is_attached() -> None:
    records = parse_streams(STREAMS, Shapes("loki"))
    assert [r.time_ns for r in records] == [1700000000000000001 + i for i in range(3)]
    assert records[1].labels["span_id"] == "0b"
    assert records[2].labels["trace_id"] == "0c"
    assert records[0].text == "no such key"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([["1", "a", {}, {}]], "a time, a line"),
        ([[1, "a"]], "nanoseconds written as text"),
        ([["one", "a"]], "whole numbers"),
        ([["1", 2]], "must be text"),
        ([["1", "a", []]], "must be an object"),
        ([["1", "a", {"x": 1}]], "must be text"),
        ({}, "must be an array"),
    ],
)
def test_malformed_lines(values: object, words: str) -> None:
    stream = {"stream": {}, "values": values}
    document = {"status": "success", "data": {"resultType": "streams", "result": [stream]}}
    with pytest.raises(SourceError, match=words):
        parse_streams(document, Shapes("loki"))


@given(document=JSON)
@settings(max_examples=50, deadline=None)
def test_anything_is_refused(document: object) -> None:
    for parse in (parse_streams, parse_labels):
        with pytest.raises(SourceError, match=r"^loki: its answer cannot be read"):
            parse(document, Shapes("loki"))


def test_mutated_answers_are_read_or_refused() -> None:
    read_or_refused(lambda d: parse_streams(d, Shapes("loki")), STREAMS, "loki")
    labels = {"status": "success", "data": ["a", "b"]}
    read_or_refused(lambda d: parse_labels(d, Shapes("loki")), labels, "loki")
