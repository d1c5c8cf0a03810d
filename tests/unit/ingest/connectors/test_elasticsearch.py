"""Elasticsearch and OpenSearch: points in time, pages, and both ways of writing spans."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings

from bayesrca.errors import SourceError
from bayesrca.incident import EdgeKind, TimeWindow
from bayesrca.ingest.connectors import elasticsearch
from bayesrca.ingest.connectors.collect import Wanted, collect
from bayesrca.ingest.connectors.elasticsearch import (
    PARTS,
    Elasticsearch,
    parse_hits,
    parse_server,
)
from bayesrca.ingest.connectors.elasticsearch_rows import flatten, log_row, span_row
from bayesrca.ingest.connectors.interface import Ask, Haul
from bayesrca.ingest.connectors.mapping import Mapping
from bayesrca.ingest.connectors.shapes import Shapes
from tests.unit.ingest.connectors.mutate import JSON, read_or_refused
from tests.unit.ingest.connectors.stub import ROOMY, Answer, Asked, Reply, Stub, of

START = 1_700_000_000.0
WINDOW = TimeWindow(START, START + 1200)
SHAPES = Shapes("elasticsearch")


def stamp(offset: float) -> str:
    return datetime.fromtimestamp(START + offset, UTC).isoformat().replace("+00:00", "Z")


def log(offset: float, text: str = "no such key", **more: object) -> dict[str, Any]:
    return {
        "@timestamp": stamp(offset),
        "message": text,
        "service": {"name": "cart"},
        "log": {"level": "error"},
        **more,
    }


def transaction(service: str, number: int, offset: float, parent: str = "") -> dict[str, Any]:
    """A server's side of a call as Elastic's agents write it."""
    return {
        "@timestamp": stamp(offset),
        "timestamp": {"us": round((START + offset) * 1e6)},
        "processor": {"event": "transaction"},
        "trace": {"id": f"t{number}"},
        "transaction": {
            "id": f"{service}{number}", "name": "GET /", "type": "request",
            "duration": {"us": 50_000},
        },
        "service": {"name": service},
        "event": {"outcome": "failure"},
        **({"parent": {"id": parent}} if parent else {}),
    }  # fmt: skip


def query(number: int, offset: float) -> dict[str, Any]:
    """A call to a database, within front's transaction."""
    return {
        "@timestamp": stamp(offset),
        "processor": {"event": "span"},
        "trace": {"id": f"t{number}"},
        "transaction": {"id": f"front{number}"},
        "parent": {"id": f"front{number}"},
        "span": {
            "id": f"s{number}", "name": "SELECT", "type": "db", "duration": {"us": 9_000},
            "destination": {"service": {"resource": "orders-db"}},
            "db": {"statement": "SELECT 1 FROM t", "type": "sql"},
        },
        "service": {"name": "front"},
        "event": {"outcome": "success"},
    }  # fmt: skip


class FakeElastic:
    """Pages by `search_after` within the times asked for, and only in an open point in time."""

    def __init__(
        self, indices: dict[str, Sequence[dict[str, Any]]], *, is_open: bool = False
    ) -> None:
        self.indices = indices
        self.is_open = is_open
        self.points: dict[str, str] = {}
        self.closed: list[str] = []

    def __call__(self, asked: Asked) -> Reply:
        opening = "/_search/point_in_time" if self.is_open else "/_pit"
        if asked.method == "GET" and asked.path == "/":
            version = {"number": "2.11.0" if self.is_open else "8.13.0"}
            if self.is_open:
                version["distribution"] = "opensearch"
            return of({"name": "node", "version": version, "tagline": "x"})
        if asked.method == "DELETE" and asked.path == opening:
            point = asked.json["pit_id"][0] if self.is_open else asked.json["id"]
            self.closed.append(point)
            return of({"succeeded": True, "num_freed": 1})
        if asked.method == "POST" and asked.path.endswith(opening):
            index = asked.path.removesuffix(opening).strip("/")
            assert asked.query == {"keep_alive": "1m"}
            if index not in self.indices:
                error = {"type": "index_not_found_exception", "reason": f"no such index [{index}]"}
                return of({"error": error, "status": 404}, 404)
            point = f"point-{index}-0"
            self.points[point] = index
            return of({"pit_id" if self.is_open else "id": point})
        assert (asked.method, asked.path) == ("POST", "/_search"), asked
        return self.search(asked.json)

    def search(self, body: dict[str, Any]) -> Reply:
        assert [*body["sort"][1]] == ["_id" if self.is_open else "_shard_doc"]
        point = body["pit"]["id"]
        index = self.points.pop(point)  # of two answers the later one's identity counts
        renewed = point.rpartition("-")[0] + f"-{int(point.rpartition('-')[2]) + 1}"
        self.points[renewed] = index
        (filter_,) = body["query"]["bool"]["filter"]
        times = filter_["range"]["@timestamp"]
        hits: list[dict[str, Any]] = []
        for i, source in enumerate(self.indices[index]):
            at = round(1000 * datetime.fromisoformat(source["@timestamp"]).timestamp())
            if times["gte"] <= at < times["lt"]:
                hits.append({"_index": index, "_id": str(i), "_source": source, "sort": [at, i]})
        hits.sort(key=lambda hit: hit["sort"])
        if "search_after" in body:
            hits = [hit for hit in hits if hit["sort"] > body["search_after"]]
        return of(
            {
                "took": 1,
                "timed_out": False,
                "_shards": {"total": 1, "successful": 1, "skipped": 0, "failed": 0},
                "pit_id": renewed,
                "hits": {"max_score": None, "hits": hits[: body["size"]]},
            }
        )


def fetch(fake: Answer, **settings: Any) -> tuple[Haul, Stub]:  # noqa: ANN401
    with Stub(fake) as stub:
        connector = Elasticsearch(
            stub.source("elasticsearch", limits=ROOMY), spans="spans-test", logs="logs-test",
            **settings,
        )  # fmt: skip
        return connector.fetch(Ask(window=WINDOW, step=60.0)), stub


@pytest.mark.parametrize("is_open", [False, True])
def test_pages_leave_nothing_out(is_open: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where many documents share a time."""
    monkeypatch.setattr(elasticsearch, "PAGE", 7)
    monkeypatch.setattr(elasticsearch, "PAGES", 100)
    documents = [log(10.0 * (i // 20), f"line {i}") for i in range(200)]
    fake = FakeElastic({"logs-test": documents, "spans-test": []}, is_open=is_open)
    haul, _ = fetch(fake)
    assert haul.logs is not None
    assert sorted(map(str, haul.logs.columns["body"])) == sorted(f"line {i}" for i in range(200))
    assert haul.logs.columns["severity"][0] == "error"
    assert len(fake.closed) == 2
    assert not [line for line in haul.asked if line.missing]


def test_more_documents_than_are_asked_for_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elasticsearch, "PAGE", 5)
    monkeypatch.setattr(elasticsearch, "PAGES", 2)
    documents = [log(i) for i in range(1000)]
    haul, _ = fetch(FakeElastic({"logs-test": documents, "spans-test": []}))
    assert haul.logs is not None
    assert haul.logs.count == 10 * (PARTS - 2)  # the documents end before the time does
    assert haul.asked[-1].missing == "documents of a part of the time beyond 10"


def test_an_index_that_is_not_there() -> None:
    haul, _ = fetch(FakeElastic({"logs-test": [log(1)]}))
    assert [line.missing for line in haul.asked] == ["there is no such index", ""]
    assert haul.logs is not None


def test_a_server_that_does_not_say_what_it_is() -> None:
    """The two are asked in different words: neither is guessed, and the gap is told of both."""
    fake = FakeElastic({"logs-test": [log(1)], "spans-test": []})

    def answer(asked: Asked) -> Reply:
        return Reply(b"{}", 404) if (asked.method, asked.path) == ("GET", "/") else fake(asked)

    haul, stub = fetch(answer)
    assert {asked.method for asked in stub.asked} == {"GET"}
    assert [line.missing for line in haul.asked] == ["answers HTTP 404"] * 2


def test_a_server_that_says_it_later() -> None:
    fake = FakeElastic({"logs-test": [log(1)], "spans-test": []}, is_open=True)
    turns = [Reply(b"{", 200)]

    def answer(asked: Asked) -> Reply:
        return turns.pop() if asked.path == "/" and turns else fake(asked)

    haul, _ = fetch(answer)
    assert "is not JSON" in haul.asked[0].missing
    assert haul.asked[1].missing == ""
    assert haul.logs is not None


def test_elastic_spans_become_calls_and_peers() -> None:
    documents = [
        document
        for i in range(5)
        for document in (
            transaction("front", i, 100.0 * i),
            transaction("cart", i, 100.0 * i + 0.001, f"front{i}"),
            query(i, 100.0 * i + 0.002),
        )
    ]
    fake = FakeElastic(
        {"spans-test": documents, "logs-test": [log(5, trace={"id": "t0"}, span={"id": "cart0"})]}
    )
    with Stub(fake) as stub:
        connector = Elasticsearch(
            stub.source("elasticsearch"), spans="spans-test", logs="logs-test"
        )
        wanted = Wanted(name="x", window=WINDOW, baseline=None, step=60.0)
        incident = collect([connector], wanted).incident
    assert incident.spans is not None
    assert len(incident.spans) == 15
    assert {(e.source, e.target, e.kind) for e in incident.topology.edges} == {
        ("front", "cart", EdgeKind.CALLS), ("front", "orders-db", EdgeKind.READS),
    }  # fmt: skip
    assert set(incident.spans.duration_ns.tolist()) == {50_000_000, 9_000_000}
    assert incident.logs is not None
    row = int(incident.logs.span[0])
    assert incident.spans.components[incident.spans.component[row]] == "cart"
    assert incident.notes == ()


def test_opentelemetry_spans() -> None:
    document = {
        "@timestamp": "2023-11-14T22:13:20.123456789Z",
        "trace_id": "t", "span_id": "s", "parent_span_id": "p", "name": "GET /", "kind": "Server",
        "duration": 5_000_000, "status": {"code": "Error"},
        "resource": {"attributes": {"service.name": "cart", "host.name": "h1"}},
        "attributes": {"db.system": "redis"},
    }  # fmt: skip
    row = span_row(document, Mapping(), SHAPES)
    assert row is not None
    assert row["starttimeunixnano"] == 1_700_000_000_123_456_000
    assert row["endtimeunixnano"] == 1_700_000_000_128_456_000
    assert (row["servicename"], row["hostname"], row["dbsystem"]) == ("cart", "h1", "redis")
    assert (row["kind"], row["statuscode"]) == ("Server", "Error")


def test_records_of_pods_without_a_service() -> None:
    document = {"@timestamp": 1_700_000_000_000, "message": "x"}
    pod = {"kubernetes": {"pod": {"name": "cart-5d4f6c7b9d-x2k4m"}}}
    row = log_row(document | pod, Mapping(), SHAPES)
    assert row is not None
    assert row["servicename"] == "cart"
    assert row["timeunixnano"] == 1_700_000_000_000_000_000
    assert log_row(document, Mapping(), SHAPES) is None


def test_a_document_that_cannot_be_read_costs_no_other() -> None:
    fake = FakeElastic({"logs-test": [log(1), log(2), log(3)], "spans-test": []})
    search = fake.search

    def odd(body: dict[str, Any]) -> Reply:
        content = search(body).content
        return Reply(content.replace(stamp(2).encode(), b"yesterday"))

    fake.search = odd  # type: ignore[method-assign]
    haul, _ = fetch(fake)
    assert haul.logs is not None
    assert haul.logs.count == 2
    assert "time or text that can be read" in haul.asked[-1].missing


def test_shards_that_failed_are_told() -> None:
    fake = FakeElastic({"logs-test": [log(1)], "spans-test": []})
    search = fake.search

    def partial(body: dict[str, Any]) -> Reply:
        import json

        document = json.loads(search(body).content)
        return of(document | {"timed_out": True, "_shards": {"total": 2, "failed": 1}})

    fake.search = partial  # type: ignore[method-assign]
    haul, _ = fetch(fake)
    assert haul.logs is not None
    assert "1 shards" in haul.asked[-1].missing
    assert "own time" in haul.asked[-1].missing


def test_deep_and_wide_documents_are_bounded() -> None:
    deep: dict[str, Any] = {}
    inner = deep
    for _ in range(5000):
        inner["a"] = {}
        inner = inner["a"]
    assert flatten(deep) == {}
    assert len(flatten({str(i): 1 for i in range(10_000)})) == 2000
    # Each field holds its own name, so one long name above many fields would be as long as all.
    assert flatten({"k" * 300: {str(i): 1 for i in range(9)}, "ok": 2}) == {"ok": 2}


HITS = {
    "took": 1,
    "timed_out": False,
    "_shards": {"total": 1, "failed": 0},
    "pit_id": "p",
    "hits": {"hits": [{"_id": "0", "_source": log(1), "sort": [1, 2]}]},
}


def test_mutated_answers_are_read_or_refused() -> None:
    read_or_refused(lambda d: parse_hits(d, SHAPES), HITS, "elasticsearch")
    server = {"version": {"number": "8.13.0"}}
    read_or_refused(lambda d: parse_server(d, SHAPES) in (True, False), server, "elasticsearch")


@pytest.mark.parametrize("seed", [log(1), transaction("front", 1, 1.0, "p"), query(1, 1.0)])
def test_mutated_documents_are_read_or_refused(seed: dict[str, Any]) -> None:
    import random

    from tests.unit.ingest.connectors.mutate import mutated

    rng = random.Random(9)
    for _ in range(1000):
        document = mutated(seed, rng)
        if not isinstance(document, dict):
            continue
        for read in (span_row, log_row):
            try:
                read(document, Mapping(), SHAPES)
            except SourceError as error:
                assert str(error).startswith("elasticsearch: its answer cannot be read")


@given(document=JSON)
@settings(max_examples=50, deadline=None)
def test_anything_is_refused(document: object) -> None:
    for parse in (parse_hits, parse_server):
        with pytest.raises(SourceError, match=r"^elasticsearch: its answer cannot be read"):
            parse(document, SHAPES)
