"""Datadog's time series, by both versions of its API."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from bayesrca.errors import InvalidSettingsError, SourceError
from bayesrca.incident import Family, Statistic, TimeWindow
from bayesrca.ingest.connectors.datadog import DEFAULT_QUERIES, Datadog, parse_v1, parse_v2
from bayesrca.ingest.connectors.interface import Ask, Haul
from bayesrca.ingest.connectors.prometheus_queries import Merge, Query
from bayesrca.ingest.connectors.shapes import Shapes
from bayesrca.ingest.connectors.sources import Sources, make_connectors
from tests.unit.ingest.connectors.mutate import JSON, read_or_refused
from tests.unit.ingest.connectors.stub import ROOMY, Asked, Reply, Stub, in_turn, of

START = 1_700_000_000.0
SHAPES = Shapes("datadog")
CPU = Query(
    name="cpu", expr="sum:cpu{*} by {service}", family=Family.CPU, statistic=Statistic.VALUE
)
V1 = {
    "status": "ok",
    "res_type": "time_series",
    "series": [
        {
            "metric": "cpu",
            "tag_set": ["service:cart"],
            "scope": "service:cart",
            "interval": 60,
            "pointlist": [[1_700_000_000_000.0, 1.5], [1_700_000_060_000.0, None]],
            "unit": None,
        }
    ],
}
V2 = {
    "data": {
        "id": "0",
        "type": "timeseries_response",
        "attributes": {
            "series": [{"group_tags": ["service:cart"], "query_index": 0, "unit": None}],
            "times": [1_700_000_000_000, 1_700_000_060_000],
            "values": [[1.5, None]],
        },
    }
}


class FakeDatadog:
    """Two services with a value per step; `version` says which API it has."""

    def __init__(self, version: int = 2) -> None:
        self.version = version

    def __call__(self, asked: Asked) -> Reply:
        services = ("cart", "pay")
        if asked.path == "/api/v2/query/timeseries" and self.version == 2:
            attributes = asked.json["data"]["attributes"]
            step = attributes["interval"]
            times = [*range(attributes["from"], attributes["to"], step)]
            assert len(times) <= 301
            series = [{"group_tags": [f"service:{s}"], "query_index": 0} for s in services]
            values = [[float(len(s)) for _ in times] for s in services]
            content = {"series": series, "times": times, "values": values}
            return of({"data": {"type": "timeseries_response", "attributes": content}})
        if asked.path == "/api/v1/query":
            low, high = int(asked.query["from"]), int(asked.query["to"])
            step = 60 if high - low <= 300 * 60 else 300
            points = [[1000.0 * t, 4.0] for t in range(low, high + 1, step)]
            series = [
                {"metric": "m", "tag_set": [f"service:{s}"], "pointlist": points} for s in services
            ]
            return of({"status": "ok", "series": series})
        return of({"errors": ["Not found"]}, 404)


def fetch(
    answer: Callable[[Asked], Reply], seconds: float = 600.0, step: float = 60.0
) -> tuple[Haul, Stub]:
    with Stub(answer) as stub:
        source = stub.source("datadog", limits=ROOMY)
        ask = Ask(window=TimeWindow(START, START + seconds), step=step)
        return Datadog(source, queries=(CPU,), defaults=False).fetch(ask), stub


def test_version_2() -> None:
    haul, stub = fetch(FakeDatadog())
    assert {(s.component, s.name, s.values[0]) for s in haul.series} == {
        ("cart", "cpu", 4.0), ("pay", "cpu", 3.0),
    }  # fmt: skip
    signal = haul.series[0]
    assert signal.timestamps.tolist() == [START + 60.0 * i for i in range(11)]
    attributes = stub.asked[0].json["data"]["attributes"]
    assert attributes["queries"][0]["query"] == CPU.expr
    assert not [line for line in haul.asked if line.missing]


def test_version_1_where_there_is_no_other() -> None:
    haul, stub = fetch(FakeDatadog(version=1))
    assert {s.component for s in haul.series} == {"cart", "pay"}
    assert [a.path for a in stub.asked] == ["/api/v2/query/timeseries", "/api/v1/query"]


def test_long_times_keep_their_step() -> None:
    haul, stub = fetch(FakeDatadog(), seconds=60.0 * 1000)
    assert len(stub.asked) == 4
    for signal in haul.series:
        assert len(signal) == 1001
        assert np.diff(signal.timestamps).tolist() == [60.0] * 1000


def test_longer_steps_than_asked_for_are_told() -> None:
    haul, _ = fetch(FakeDatadog(version=1), seconds=600.0, step=10.0)
    assert "samples every 10 s" in haul.asked[0].missing


def test_keys_are_sent_and_not_told() -> None:
    keys = {"DD_API_KEY": "api-s3cret", "DD_APP_KEY": "app-s3cret"}
    with Stub(in_turn(of({"errors": ["Forbidden for api-s3cret"]}, 403))) as stub:
        (connector,) = make_connectors(Sources(datadog=stub.url), keys)
        haul = connector.fetch(Ask(window=TimeWindow(START, START + 600), step=60.0))
        headers = stub.asked[0].headers
        assert len(stub.asked) == 1
    assert (headers["dd-api-key"], headers["dd-application-key"]) == ("api-s3cret", "app-s3cret")
    assert (
        haul.asked[0].missing == "answers HTTP 403 (Forbidden for [hidden]); check its credentials"
    )


def test_its_own_way_to_ask_for_patience() -> None:
    waits: list[float] = []
    limited = Reply(b"", 429, {"X-RateLimit-Reset": "2"})
    fake = FakeDatadog()
    replies = [limited]
    with Stub(lambda asked: replies.pop() if replies else fake(asked)) as stub:
        source = stub.source("datadog", pause=waits.append)
        ask = Ask(window=TimeWindow(START, START + 600), step=60.0)
        haul = Datadog(source, queries=(CPU,), defaults=False).fetch(ask)
    assert waits == [2.0]
    assert len(haul.series) == 2


def test_a_site_and_queries_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "q.toml"
    file.write_text(
        "defaults = false\n[[query]]\nname='a'\nexpr='avg:x{*} by {team}'\nfamily='cpu'\n"
        "label='team'\n"
    )
    (connector,) = make_connectors(Sources(datadog="datadoghq.eu", datadog_queries=file), {})
    assert connector.name == "datadog"
    assert len({query.name for query in DEFAULT_QUERIES}) == len(DEFAULT_QUERIES)


def test_nulls_are_missing_samples() -> None:
    for found in (parse_v1(V1, SHAPES), parse_v2(V2, SHAPES)):
        (points,) = found
        assert points.tags == ("service:cart",)
        assert points.times.tolist() == [1.7e9, 1.7e9 + 60]
        assert points.values[0] == 1.5
        assert np.isnan(points.values[1])


def pods(merge: Merge) -> Haul:
    """Two pods of one service, the second of which has a sample less."""
    stamps = [1000 * START, 1000 * START + 60_000]
    both = [
        {"tag_set": ["service:cart", "pod:a"], "pointlist": [[t, 1.0] for t in stamps]},
        {"tag_set": ["pod:b", "service:cart"], "pointlist": [[stamps[1], 5.0]]},
    ]
    answer = {"status": "ok", "series": both}
    with Stub(lambda a: of(answer) if "v1" in a.path else of({}, 404)) as stub:
        source = stub.source("datadog", limits=ROOMY)
        query = replace(CPU, merge=merge)
        ask = Ask(window=TimeWindow(START, START + 600), step=60.0)
        return Datadog(source, queries=(query,), defaults=False).fetch(ask)


def test_series_of_one_component_keep_their_tags() -> None:
    found = {s.name: s.values.tolist() for s in pods(Merge.SPLIT).series}
    assert set(found) == {"cpu{pod=a}", "cpu{pod=b}"}
    assert found["cpu{pod=a}"] == [1.0, 1.0]
    assert np.array_equal(found["cpu{pod=b}"], [np.nan, 5.0], equal_nan=True)


@pytest.mark.parametrize(("merge", "last"), [(Merge.SUM, 6.0), (Merge.MEAN, 3.0), (Merge.MAX, 5.0)])
def test_series_of_one_component_are_merged(merge: Merge, last: float) -> None:
    (signal,) = pods(merge).series
    assert (signal.name, signal.values.tolist()) == ("cpu", [1.0, last])


@pytest.mark.parametrize(
    "line",
    ["by='service'", "metric='x'", "expr='x{$component}'", "\n[labels]\nservice=['a']"],
)
def test_keys_without_a_meaning_here_are_refused(tmp_path: Path, line: str) -> None:
    file = tmp_path / "q.toml"
    expr = "" if "expr" in line else "expr='x'\n"
    file.write_text(f"[[query]]\nname='a'\nfamily='cpu'\n{expr}{line}\n")
    with pytest.raises(InvalidSettingsError, match=r"unknown key|nothing stands for"):
        make_connectors(Sources(datadog="datadoghq.eu", datadog_queries=file), {})


def test_series_without_a_component_are_told() -> None:
    bare = {"status": "ok", "series": [V1["series"][0] | {"tag_set": []}]}  # type: ignore[operator]
    haul, _ = fetch(lambda a: of(bare) if "v1" in a.path else of({}, 404))
    assert haul.asked[0].missing == "series whose tags name no component"


@pytest.mark.parametrize(
    ("parse", "document", "words"),
    [
        (parse_v1, {"status": "error", "error": "bad query"}, "bad query"),
        (parse_v1, V1 | {"series": [{"pointlist": [[1]]}]}, "pairs"),
        (parse_v1, V1 | {"series": [{"pointlist": [["1", 1]]}]}, "finite number"),
        (parse_v2, {"errors": ["no such metric"]}, "no such metric"),
        (
            parse_v2,
            {"data": {"attributes": {"series": [], "times": [], "values": [[]]}}},
            "0 series",
        ),
        (
            parse_v2,
            {"data": {"attributes": {"series": [{}], "times": [1], "values": [[1, 2]]}}},
            "2 values for 1 times",
        ),
    ],
)
def test_malformed_answers(parse: Callable[..., Any], document: object, words: str) -> None:
    with pytest.raises(SourceError, match=words):
        parse(document, SHAPES)


@pytest.mark.parametrize(("parse", "seed"), [(parse_v1, V1), (parse_v2, V2)])
def test_mutated_answers_are_read_or_refused(parse: Callable[..., Any], seed: object) -> None:
    read_or_refused(lambda document: parse(document, SHAPES), seed, "datadog")


@given(document=JSON)
@settings(max_examples=50, deadline=None)
def test_anything_is_refused(document: object) -> None:
    for parse in (parse_v1, parse_v2):
        with pytest.raises(SourceError, match=r"^datadog: its answer cannot be read"):
            parse(document, SHAPES)
