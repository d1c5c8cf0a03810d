"""Prometheus: what is asked, and how answers become series, calls and events."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from bayesrca.errors import InvalidSettingsError, SourceError
from bayesrca.incident import Family, Statistic, TimeWindow
from bayesrca.ingest.connectors import prometheus_series
from bayesrca.ingest.connectors.grid import make_grid
from bayesrca.ingest.connectors.interface import Ask, Haul, Line, What, missing_notes
from bayesrca.ingest.connectors.mapping import Mapping
from bayesrca.ingest.connectors.prometheus import Prometheus, PrometheusPlan
from bayesrca.ingest.connectors.prometheus_file import read_plan
from bayesrca.ingest.connectors.prometheus_parse import (
    Matrix,
    Row,
    parse_alerts,
    parse_exemplars,
    parse_matrix,
    parse_names,
)
from bayesrca.ingest.connectors.prometheus_queries import DEFAULT_QUERIES, Query
from bayesrca.ingest.connectors.prometheus_series import Gathered
from bayesrca.ingest.connectors.shapes import Shapes
from tests.unit.ingest.connectors.mutate import JSON, read_or_refused
from tests.unit.ingest.connectors.stub import Asked, Reply, Stub, of

START = 1_700_000_000.0
Labels = dict[str, str]
# What a query answers: labels and the value at a time, None for no sample.
Series = list[tuple[Labels, Callable[[float], float | str | None]]]


class FakePrometheus:
    """Answers queries by the first known text they contain, on the grid they ask for."""

    def __init__(self, metrics: dict[str, Series], alerts: list[Any] | None = None) -> None:
        self.metrics = metrics
        self.alerts = alerts or []
        self.exemplars: list[Any] = []
        self.names = [name for name in metrics if " " not in name]

    def __call__(self, asked: Asked) -> Reply:
        if asked.path == "/api/v1/label/__name__/values":
            return of({"status": "success", "data": self.names})
        if asked.path == "/api/v1/alerts":
            return of({"status": "success", "data": {"alerts": self.alerts}})
        if asked.path == "/api/v1/query_exemplars":
            return of({"status": "success", "data": self.exemplars})
        assert asked.path == "/api/v1/query_range", asked.path
        form = {key: asked.form[key] for key in ("start", "end", "step")}
        start, end, step = (float(form[key]) for key in ("start", "end", "step"))
        times = [start + i * step for i in range(int((end - start) / step + 1e-6) + 1)]
        if len(times) > 11_000:
            reason = "exceeded maximum resolution of 11,000 points per timeseries"
            return of({"status": "error", "errorType": "bad_data", "error": reason}, 400)
        query = asked.form["query"]
        found = next((s for name, s in self.metrics.items() if name in query), [])
        result = []
        for labels, value in found:
            pairs = [[t, value(t)] for t in times]
            values = [[t, str(v)] for t, v in pairs if v is not None]
            if values:
                result.append({"metric": labels, "values": values})
        return of({"status": "success", "data": {"resultType": "matrix", "result": result}})


def fetch(
    metrics: dict[str, Series],
    plan: PrometheusPlan | None = None,
    *,
    seconds: float = 600.0,
    step: float = 60.0,
    alerts: list[Any] | None = None,
) -> tuple[Haul, Stub]:
    with Stub(FakePrometheus(metrics, alerts)) as stub:
        ask = Ask(window=TimeWindow(START, START + seconds), step=step)
        return Prometheus(stub.source(), plan).fetch(ask), stub


def constant(value: float) -> Callable[[float], float]:
    return lambda _: value


HTTP = "http_server_request_duration_seconds_count"


def shop(**values: float) -> dict[str, Series]:
    series: Series = [({"service_name": name}, constant(v)) for name, v in values.items()]
    return {HTTP: series}


class TestQueries:
    def test_the_conventions_are_asked_for_what_the_server_knows(self) -> None:
        haul, stub = fetch(shop(cart=1.0, pay=2.0))
        found = {(s.component, s.name): s for s in haul.series}
        assert {name for _, name in found} == {
            "http_request_rate", "http_error_ratio", "http_latency_mean",
        }  # fmt: skip
        rate = found["pay", "http_request_rate"]
        assert (rate.family, rate.statistic) == (Family.LOAD, Statistic.RATE)
        assert rate.values.tolist() == [2.0] * 11
        assert rate.timestamps.tolist() == [START + 60.0 * i for i in range(11)]
        asked = [a.form["query"] for a in stub.asked if a.path.endswith("query_range")]
        assert not any("grpc" in query or "istio" in query for query in asked)
        assert any(q == f"sum by (service_name) (rate({HTTP}{{}}[150000ms]))" for q in asked), asked

    def test_every_default_is_asked_where_all_metrics_exist(self) -> None:
        names = {query.metric for query in DEFAULT_QUERIES}
        metrics: dict[str, Series] = {
            name: [({"service": "a", "pod": "a"}, constant(1.0))] for name in names
        }
        haul, _ = fetch(metrics)
        assert {line.asked.partition(":")[0] for line in haul.asked} >= {
            query.name for query in DEFAULT_QUERIES
        }
        keys = [(s.component, s.name) for s in haul.series]
        assert len(set(keys)) == len(keys)

    def test_a_service_is_counted_once(self) -> None:
        """A mesh's own count speaks where the service's does not."""
        mesh: Series = [
            ({"destination_canonical_service": name}, constant(7.0)) for name in ("cart", "db")
        ]
        haul, _ = fetch({**shop(cart=1.0), "istio_requests_total": mesh})
        rates = {
            (s.component, s.name): s.values[0] for s in haul.series if "request_rate" in s.name
        }
        assert rates == {("cart", "http_request_rate"): 1.0, ("db", "request_rate"): 7.0}

    def test_what_is_merely_scraped_is_no_component(self) -> None:
        up: Series = [({"service_name": n}, constant(1.0)) for n in ("cart", "node-exporter")]
        haul, _ = fetch({**shop(cart=1.0), "avg by (service_name) (up)": up, "(up)": up, "up": up})
        assert {s.component for s in haul.series} == {"cart"}
        assert "scrapes_up" in {s.name for s in haul.series}

    def test_pods_are_added_up_to_their_workload(self) -> None:
        pods = ("cart-5d4f6c7b9d-x2k4m", "cart-5d4f6c7b9d-zzq7p", "db-0")
        series: Series = [({"pod": pod}, constant(0.5)) for pod in pods]
        haul, _ = fetch({"container_cpu_usage_seconds_total": series})
        assert {s.component: s.values[0] for s in haul.series} == {"cart": 1.0, "db": 0.5}

    def test_no_metric_that_is_known(self) -> None:
        haul, _ = fetch({"my_own_metric": []})
        assert not haul.series
        assert any("name yours in a file of queries" in note for note in missing_notes(haul.asked))

    def test_long_times_are_asked_in_parts(self) -> None:
        haul, stub = fetch(shop(cart=1.0), seconds=25_000.0, step=1.0)
        rate = next(s for s in haul.series if s.name == "http_request_rate")
        assert len(rate) == 25_001
        assert not np.isnan(rate.values).any()
        starts = [
            float(a.form["start"]) - START
            for a in stub.asked
            if a.form.get("query") == f"sum by (service_name) (rate({HTTP}{{}}[150000ms]))"
        ]
        assert starts == [0.0, 11_000.0, 22_000.0]

    def test_too_many_steps_are_refused(self) -> None:
        with pytest.raises(InvalidSettingsError, match="longer ones"):
            fetch(shop(cart=1.0), seconds=1e6, step=1.0)

    def test_no_number_and_no_sample(self) -> None:
        def value(t: float) -> str | None:
            return {0: "NaN", 1: "+Inf", 2: None}.get(round((t - START) / 60.0), "5")

        haul, _ = fetch({HTTP: [({"service_name": "cart"}, value)]})
        rate = next(s for s in haul.series if s.name == "http_request_rate")
        assert np.isnan(rate.values[:3]).all()
        assert (rate.values[3:] == 5.0).all()
        assert any("1 samples that are infinite" in line.missing for line in haul.asked)


class TestCallsAndEvents:
    def test_calls(self) -> None:
        graph: Series = [
            ({"client": "shop", "server": "cart"}, constant(1.0)),
            ({"client": "shop", "server": "shop"}, constant(1.0)),
            ({"client": "user", "server": ""}, constant(1.0)),
        ]
        haul, _ = fetch({**shop(cart=1.0), "traces_service_graph_request_total": graph})
        assert haul.calls == (("shop", "cart"),)

    def test_an_alert_is_told_once_and_with_its_summary(self) -> None:
        labels = {"alertname": "Slow", "service": "cart", "severity": "page"}
        firing: Series = [
            (
                {"__name__": "ALERTS", "alertstate": "firing", **labels},
                lambda t: 1.0 if t >= START + 300 else None,
            )
        ]
        active = {
            "labels": labels,
            "annotations": {"summary": "cart is slow"},
            "state": "firing",
            "activeAt": "2023-11-14T22:17:40.5Z",
            "value": "1e+00",
        }
        pending = active | {"state": "pending"}
        old = active | {"activeAt": "2020-01-01T00:00:00Z"}
        haul, _ = fetch({"ALERTS": firing}, alerts=[active, pending, old])
        (event,) = haul.events
        assert (event.kind, event.component, event.time) == ("alert", "cart", START + 260.5)
        assert event.text == "alertname=Slow, service=cart, severity=page: cart is slow"

    def test_an_alert_that_is_over(self) -> None:
        over: Series = [
            (
                {"alertname": "Slow", "job": "ns/cart"},
                lambda t: 1.0 if START + 120 <= t < START + 240 else None,
            )
        ]
        haul, _ = fetch({"ALERTS": over})
        assert [(e.time, e.component) for e in haul.events] == [(START + 120, "cart")]

    def test_the_slowest_exemplars(self) -> None:
        fake = FakePrometheus(shop(cart=1.0))
        fake.exemplars = [
            {
                "seriesLabels": {"service_name": "cart", "le": "1"},
                "exemplars": [
                    {"labels": {"trace_id": f"t{i}"}, "value": str(i), "timestamp": START + i}
                    for i in range(30)
                ]
                + [{"labels": {}, "value": "99", "timestamp": START}],
            }
        ]
        with Stub(fake) as stub:
            ask = Ask(window=TimeWindow(START, START + 600), step=60.0)
            events = Prometheus(stub.source()).fetch(ask).events
        assert [event.time - START for event in events] == [*range(29, 9, -1)]
        assert events[0].kind == "exemplar"
        assert events[0].component == "cart"
        assert events[0].text == "http_server_request_duration_seconds 29, trace t29"


class TestOwnQueries:
    def plan(self, tmp_path: Path, text: str) -> PrometheusPlan:
        file = tmp_path / "queries.toml"
        file.write_text(text, encoding="utf-8")
        return read_plan(file)

    def test_a_query_of_ones_own(self, tmp_path: Path) -> None:
        plan = self.plan(
            tmp_path,
            """
            rate_window = "5m"
            [[rename]]
            pattern = '(.*)-svc'
            component = '\\1'
            [[query]]
            name = "ct"
            expr = 'avg by ($component) (rate(my_ct[$window]))'
            label = "app"
            family = "latency"
            statistic = "mean"
            unit = "ms"
            """,
        )
        haul, stub = fetch({"my_ct": [({"app": "cart-svc"}, constant(3.0))]}, plan)
        (signal,) = haul.series
        assert (signal.component, signal.name, signal.unit) == ("cart", "ct", "ms")
        assert (signal.family, signal.statistic) == (Family.LATENCY, Statistic.MEAN)
        assert any(
            a.form.get("query") == "avg by (app) (rate(my_ct[300000ms]))" for a in stub.asked
        )

    def test_series_of_one_component_keep_their_labels(self) -> None:
        query = Query(name="depth", expr="depth", family=Family.GENERIC, statistic=Statistic.VALUE)
        series: Series = [
            ({"__name__": "depth", "job": "mq", "queue": q, "env": "x"}, constant(1.0))
            for q in ("a", "b")
        ]
        haul, _ = fetch({"depth": series}, PrometheusPlan(queries=(query,), defaults=False))
        assert sorted(s.name for s in haul.series) == ["depth{queue=a}", "depth{queue=b}"]
        assert {s.component for s in haul.series} == {"mq"}

    def test_series_without_a_component_are_told(self) -> None:
        query = Query(name="d", expr="d", family=Family.GENERIC, statistic=Statistic.VALUE)
        plan = PrometheusPlan(queries=(query,), defaults=False)
        haul, _ = fetch({"d": [({"zone": "a"}, constant(1.0))]}, plan)
        assert not haul.series
        assert "1 series whose labels name no component" in missing_notes(haul.asked)[0]

    def test_a_fixed_component(self) -> None:
        query = Query(
            name="d", expr="d", family=Family.CPU, statistic=Statistic.VALUE, component="db"
        )
        plan = PrometheusPlan(queries=(query,), defaults=False)
        haul, _ = fetch({"d": [({}, constant(1.0))]}, plan)
        assert [s.component for s in haul.series] == ["db"]

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("[[query]]\nname='a'", "needs expr"),
            ("[[query]]\nname='a'\nexpr='x'\nfamily='colour'", "family must be one of"),
            ("[[query]]\nname='a'\nexpr='x'\nfamily='cpu'\nby='pod'", "by must be one of"),
            ("[[query]]\nname='a'\nexpr='$component'\nfamily='cpu'", "uses \\$component"),
            ("[[query]]\nname='a'\nexpr='x'\nfamily='cpu'\ncomponent='a|b'", "bar"),
            ("[[query]]\nname=1\nexpr='x'\nfamily='cpu'", "must be text"),
            ("queries = []", "unknown key 'queries'"),
            ("query = 1", "query must be an array"),
            ("query = [1]", "must be a table"),
            ("defaults = 1", "true or false"),
            ("rate_window = '5 parsecs'", "must be a duration"),
            ("[labels]\nservice = 'a'", "must be an array"),
            ("[[rename]]\npattern = '('\ncomponent = ''", "regular expression"),
            ("[[rename]]\npattern = 'a'\ncomponent = '\\1'", "regular expression"),
            ("[[rename]]\npattern = 'a'", "rename\\[0\\].component must be text"),
            ("= 1", "neither TOML nor JSON"),
        ],
    )
    def test_a_file_that_will_not_do(self, tmp_path: Path, text: str, words: str) -> None:
        with pytest.raises(InvalidSettingsError, match=words):
            self.plan(tmp_path, text)

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidSettingsError, match="cannot be read"):
            read_plan(tmp_path / "gone.toml")

    def test_json_says_the_same(self, tmp_path: Path) -> None:
        file = tmp_path / "q.json"
        query = {"name": "a", "expr": "x", "family": "cpu", "component": "db"}
        file.write_text(json.dumps({"defaults": False, "query": [query]}))
        plan = read_plan(file)
        assert not plan.defaults
        assert plan.queries[0].component == "db"


def test_series_that_wait_for_others_count_as_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that join are kept apart until it is known which components have others."""
    monkeypatch.setattr(prometheus_series, "MAX_TOTAL_POINTS", 22)  # two series of 11 samples
    grid = make_grid(Ask(window=TimeWindow(START, START + 600), step=60.0))
    gathered = Gathered(grid, Mapping(), Shapes("prometheus"))
    query = Query(
        name="up", expr="up", family=Family.AVAILABILITY, statistic=Statistic.VALUE,
        component="a", joins=True,
    )  # fmt: skip

    def row(name: str) -> Matrix:
        return Matrix((Row({"x": name}, grid.times, np.ones(11)),))

    for name in ("one", "two"):
        gathered.take(query, "", row(name))
        assert gathered.finish(replace(query, name=name), Line(What.SERIES, name)) == 1
    with pytest.raises(SourceError, match="more than 22 samples came"):
        gathered.take(query, "", row("three"))


class TestFailures:
    def test_one_query_that_fails_costs_one_query(self) -> None:
        fake = FakePrometheus(shop(cart=1.0))

        def answer(asked: Asked) -> Reply:
            if "5.." in asked.form.get("query", ""):
                error = {"status": "error", "errorType": "execution", "error": "too many samples"}
                return of(error, 422)
            return fake(asked)

        with Stub(answer) as stub:
            ask = Ask(window=TimeWindow(START, START + 600), step=60.0)
            haul = Prometheus(stub.source()).fetch(ask)
        assert {s.name for s in haul.series} == {"http_request_rate", "http_latency_mean"}
        (gap, empty) = [line for line in haul.asked if line.missing]
        assert empty.missing == "every series: none answers the query"
        assert gap.missing == "answers HTTP 422 (execution: too many samples)"
        assert missing_notes(haul.asked)[0].startswith("Collected 2 series from prometheus; ")

    def test_a_server_that_refuses_is_not_asked_on(self) -> None:
        with Stub(lambda _: Reply(b"no", 403)) as stub:
            ask = Ask(window=TimeWindow(START, START + 600), step=60.0)
            haul = Prometheus(stub.source()).fetch(ask)
            assert len(stub.asked) == 1
        assert not haul.series
        assert [line.missing for line in haul.asked] == ["answers HTTP 403; check its credentials"]

    def test_warnings_are_told(self) -> None:
        fake = FakePrometheus(shop(cart=1.0))

        def answer(asked: Asked) -> Reply:
            document = json.loads(fake(asked).content)
            return of(document | {"warnings": ["one store is away"]})

        with Stub(answer) as stub:
            ask = Ask(window=TimeWindow(START, START + 600), step=60.0)
            haul = Prometheus(stub.source()).fetch(ask)
        assert any("one store is away" in line.missing for line in haul.asked)

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (lambda r: r.pop("values"), "values must be an array"),
            (lambda r: r["values"].append([START]), "pairs"),
            (lambda r: r["values"].append([str(START), "1"]), "times"),
            (lambda r: r["values"].append([START, 1.0]), "written as text"),
            (lambda r: r["values"].append([START, "one"]), "no number"),
            (lambda r: r["values"].append([START + 1, "1"]), "none of the instants"),
            (lambda r: r["values"].append([START - 60, "1"]), "none of the instants"),
            (lambda r: r["values"].append([1e300, "1"]), "none of the instants"),
            (lambda r: r["values"].append([START, "1"]), "at the same time"),
            (lambda r: r.update(metric=[]), "metric must be an object"),
            (lambda r: r["metric"].update(a=1), "must be text"),
        ],
    )
    def test_malformed_series(self, change: Callable[[Any], None], words: str) -> None:
        fake = FakePrometheus(shop(cart=1.0))

        def answer(asked: Asked) -> Reply:
            document = json.loads(fake(asked).content)
            if "_sum" in asked.form.get("query", ""):
                change(document["data"]["result"][0])
            return of(document)

        with Stub(answer) as stub:
            ask = Ask(window=TimeWindow(START, START + 600), step=60.0)
            haul = Prometheus(stub.source()).fetch(ask)
        assert {s.name for s in haul.series} == {"http_request_rate", "http_error_ratio"}
        (gap, empty) = [line for line in haul.asked if line.missing]
        assert empty.missing == "every series: none answers the query"
        assert words in gap.missing


class TestMapping:
    @pytest.mark.parametrize(
        ("label", "value", "component"),
        [
            ("service_name", "cart", "cart"),
            ("job", "shop/cart", "cart"),
            ("service", "shop/cart", "shop/cart"),
            ("pod", "cart-5d4f6c7b9d-x2k4m", "cart"),
            ("pod", "my-cart-v2-6b8d9f7c5-lq8zt", "my-cart-v2"),
            ("pod", "db-0", "db"),
            ("pod", "fluentd-7xk2p", "fluentd"),
            ("pod", "cart", "cart"),
            ("service", "a|b", "a/b"),
        ],
    )
    def test_components(self, label: str, value: str, component: str) -> None:
        assert Mapping().component(label, value) == component


MATRIX = {
    "status": "success",
    "data": {
        "resultType": "matrix",
        "result": [{"metric": {"job": "a"}, "values": [[1.5, "1"], [2.5, "NaN"]]}],
    },
}
ALERTS = {
    "status": "success",
    "data": {
        "alerts": [
            {
                "labels": {"alertname": "x"},
                "annotations": {"summary": "s"},
                "state": "firing",
                "activeAt": "2023-11-14T22:17:40.123456789Z",
                "value": "1",
            }
        ]
    },
}
NAMES = {"status": "success", "data": ["up", "x"]}
EXEMPLARS = {
    "status": "success",
    "data": [
        {
            "seriesLabels": {"job": "a"},
            "exemplars": [{"labels": {"trace_id": "t"}, "value": "0.1", "timestamp": 1.5}],
        }
    ],
}
PARSERS = [
    (parse_matrix, MATRIX), (parse_alerts, ALERTS), (parse_names, NAMES),
    (parse_exemplars, EXEMPLARS),
]  # fmt: skip


@pytest.mark.parametrize(("parse", "seed"), PARSERS)
def test_good_answers_are_read(parse: Callable[..., Any], seed: object) -> None:
    assert parse(seed, Shapes("prometheus"))


@pytest.mark.parametrize(("parse", "seed"), PARSERS)
@given(document=JSON)
@settings(max_examples=50, deadline=None)
def test_anything_is_read_or_refused(
    parse: Callable[..., Any], seed: object, document: object
) -> None:
    del seed
    with pytest.raises(SourceError, match=r"^prometheus: its answer cannot be read"):
        parse(document, Shapes("prometheus"))


@pytest.mark.parametrize(("parse", "seed"), PARSERS)
def test_mutated_answers_are_read_or_refused(parse: Callable[..., Any], seed: object) -> None:
    read_or_refused(lambda document: parse(document, Shapes("prometheus")), seed, "prometheus")
