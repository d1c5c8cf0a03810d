"""From sources to an incident: what fails costs its own part only, and is told."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bayesrca.analysis import analyze
from bayesrca.config import Method, Settings
from bayesrca.errors import (
    InvalidIncidentError,
    InvalidSettingsError,
    NoEvidenceError,
    SourceError,
)
from bayesrca.incident import (
    Component,
    Edge,
    Event,
    Family,
    Signal,
    Statistic,
    Target,
    TimeWindow,
)
from bayesrca.ingest import load_incident, save_incident
from bayesrca.ingest.connectors.collect import Wanted, collect
from bayesrca.ingest.connectors.interface import Ask, Asked, Haul, Ledger, What
from bayesrca.ingest.connectors.prometheus import Prometheus
from bayesrca.ingest.connectors.rows import Rows
from bayesrca.ingest.connectors.sources import Sources, make_connectors
from bayesrca.ingest.connectors.times import parse_duration, parse_periods, parse_time
from bayesrca.ingest.graph_file import Graph
from tests.unit.ingest.connectors.stub import Reply, Stub
from tests.unit.ingest.connectors.test_prometheus import START, FakePrometheus, Series

NOW = 1_700_000_000.0
LATENCY = "http_server_request_duration_seconds"
NO_BUCKETS = (
    "Collected 9 series from prometheus; missing: http_latency_p95 "
    "(every series: none answers the query)."
)


def slow_cart() -> FakePrometheus:
    """A shop whose cart, and with it its front, becomes slow after an hour."""
    rng = np.random.default_rng(5)
    noise = {name: rng.lognormal(0.0, 0.05, 200) for name in ("front", "cart", "pay")}
    slow = {"front": 1.5, "cart": 3.0, "pay": 1.0}

    def series(name: str) -> tuple[dict[str, str], object]:
        def value(t: float) -> float:
            i = round((t - START) / 60.0)
            return 0.1 * float(noise[name][i]) * (slow[name] if i > 60 else 1.0)

        return {"service_name": name}, value

    latency: Series = [series(name) for name in slow]  # type: ignore[misc]
    graph: Series = [
        ({"client": "front", "server": name}, lambda _: 1.0) for name in ("cart", "pay")
    ]
    return FakePrometheus(
        {
            f"rate({LATENCY}_sum": latency,
            f"{LATENCY}_count": [({"service_name": name}, lambda _: 5.0) for name in slow],
            "traces_service_graph_request_total": graph,
        }
    )


def wanted(**changes: object) -> Wanted:
    settings: dict[str, object] = {
        "name": "slow shop",
        "window": TimeWindow(START + 3660, START + 5400),
        "baseline": TimeWindow(START, START + 3600),
        "step": 60.0,
        "target": Target("front"),
    }
    return Wanted(**settings | changes)  # type: ignore[arg-type]


class Fixed:
    """A source that has what it was given."""

    name = "fixed"
    offers = frozenset({What.SERIES, What.EVENTS})

    def __init__(self, **what: object) -> None:
        self.haul = Haul(**what)  # type: ignore[arg-type]
        self.asked: list[Ask] = []

    def fetch(self, ask: Ask) -> Haul:
        self.asked.append(ask)
        return self.haul


def signal(component: str, start: float = START, name: str = "rt") -> Signal:
    times = start + 60.0 * np.arange(10, dtype=np.float64)
    return Signal(component, name, Family.LATENCY, Statistic.MEAN, times, np.ones(10), "s")


def test_an_incident_is_collected_saved_and_analysed(tmp_path: Path) -> None:
    with Stub(slow_cart()) as stub:
        collected = collect([Prometheus(stub.source())], wanted())
    incident = collected.incident
    assert {e.source + ">" + e.target for e in incident.topology.edges} == {
        "front>cart", "front>pay",
    }  # fmt: skip
    assert incident.notes == (NO_BUCKETS,)
    folder = save_incident(incident, tmp_path / "shop", asked=collected.asked)
    assert load_incident(folder) == incident
    report = json.loads((folder / "gaps.json").read_text())
    assert report["notes"] == [NO_BUCKETS]
    assert len(report["asked"]) == len(collected.asked)
    answer = analyze(incident, seed=1, settings=Settings(method=Method.SCREEN)).answer
    assert answer.posterior.causes[0].component == "cart"


def test_the_answer_says_what_it_did_without(tmp_path: Path) -> None:
    fake = slow_cart()
    events = tmp_path / "events.json"
    events.write_text("[{")
    with Stub(lambda a: Reply(b"{", 200) if "5.." in a.form.get("query", "") else fake(a)) as stub:
        sources = Sources(prometheus=stub.url, events=events)
        incident = collect(make_connectors(sources, {}), wanted()).incident
    prometheus, changes = incident.notes
    assert prometheus.startswith("Collected 6 series from prometheus; missing: http_error_ratio (")
    assert "is not JSON" in prometheus
    assert changes.startswith("Collected no events from events; missing: changes in events.json")
    folder = save_incident(incident, tmp_path / "shop")
    loaded = load_incident(folder)
    assert loaded.notes == incident.notes
    answer = analyze(loaded, seed=1, settings=Settings(method=Method.SCREEN)).answer
    assert set(incident.notes) <= set(answer.notes)


def test_nothing_came() -> None:
    with Stub(lambda _: Reply(b"", 403)) as stub:
        connectors = make_connectors(Sources(prometheus=stub.url), {})
        with pytest.raises(
            NoEvidenceError, match=r"no series and no span came from prometheus.*HTTP 403"
        ):
            collect(connectors, wanted())


def test_declared_components_stay_and_others_join() -> None:
    declared = Graph(
        (Component("front"), Component("cart"), Component("db")), (Edge("front", "cart"),), {}
    )
    source = Fixed(
        series=(signal("cart"), signal("front")), calls=(("front", "cart"), ("cart", "db2"))
    )
    topology = collect(
        [source], wanted(declared=declared, baseline=None, window=TimeWindow(START, START + 500))
    ).incident.topology
    assert topology.names == ("front", "cart", "db", "db2")
    assert topology.edges == (Edge("front", "cart"), Edge("cart", "db2"))


def test_log_records_that_cannot_be_used_cost_only_themselves() -> None:
    logs = Rows(1, {"body": ("lost",), "timens": (round(START * 1e9),)})
    source = Fixed(series=(signal("front"),), logs=logs)
    window = TimeWindow(START, START + 500)
    incident = collect([source], wanted(baseline=None, window=window)).incident
    assert incident.logs is None
    (note,) = incident.notes
    assert note.startswith("No log record was used: the log records that came")


def test_events_of_unknown_components_keep_their_names() -> None:
    source = Fixed(
        series=(signal("front"),),
        events=(Event(2.0, "deploy", "gone", "v2"), Event(1.0, "deploy", "front", "v3")),
    )
    window = TimeWindow(START, START + 500)
    events = collect([source], wanted(baseline=None, window=window)).incident.events
    assert events == (
        Event(1.0, "deploy", "front", "v3"),
        Event(2.0, "deploy", None, "gone: v2"),
    )


def test_a_target_that_no_source_knows() -> None:
    with pytest.raises(InvalidIncidentError, match="'frnt' is not a declared component"):
        collect(
            [Fixed(series=(signal("front"),))],
            wanted(target=Target("frnt"), baseline=None, window=TimeWindow(START, START + 500)),
        )


def test_what_an_alert_names_in_vain_is_left_out_and_told() -> None:
    source = Fixed(series=(signal("front"),))
    window, before = TimeWindow(START, START + 500), TimeWindow(START - 500, START - 100)
    asked = wanted(target=Target("frnt"), baseline=before, window=window, strict=False)
    incident = collect([source], asked).incident
    assert (incident.target, incident.baseline) == (None, None)
    assert [note.split()[0] for note in incident.notes] == ["It", "Nothing"]
    with pytest.raises(InvalidIncidentError, match="baseline"):
        collect([source], wanted(target=None, baseline=before, window=window))


def test_a_baseline_of_another_day_is_asked_for_apart() -> None:
    day = 86_400.0
    source = Fixed(series=(signal("front"),))
    baseline, window = TimeWindow(START, START + 500), TimeWindow(START + day, START + day + 500)
    parts = iter([signal("front"), signal("front", START + day)])
    fetch = source.fetch

    def one(ask: Ask) -> Haul:
        fetch(ask)
        return Haul(series=(next(parts),))

    source.fetch = one  # type: ignore[method-assign]
    incident = collect([source], wanted(baseline=baseline, window=window)).incident
    assert [ask.window for ask in source.asked] == [baseline, window]
    (joined,) = incident.signals
    assert len(joined) == 20
    assert (np.diff(joined.timestamps) > 0).all()


def test_the_first_of_two_sources_counts_where_both_have_a_series() -> None:
    other = Fixed(series=(signal("front", START + 30.0), signal("cart")))
    incident = collect(
        [Fixed(series=(signal("front"),)), other],
        wanted(baseline=None, window=TimeWindow(START, START + 500)),
    ).incident
    assert {s.component: s.timestamps[0] for s in incident.signals} == {
        "front": START, "cart": START,
    }  # fmt: skip


def test_a_source_that_breaks_the_rules_costs_only_itself() -> None:
    class Broken(Fixed):
        def fetch(self, ask: Ask) -> Haul:
            raise SourceError("on fire", source=self.name)

    incident = collect(
        [Broken(), Fixed(series=(signal("front"),))],
        wanted(baseline=None, window=TimeWindow(START, START + 500)),
    ).incident
    assert "Collected no series from fixed; missing: everything (on fire)." in incident.notes


def test_a_ledger_stops_at_what_every_question_would_meet() -> None:
    ledger = Ledger("x")
    done: list[str] = []

    def ask(name: str, lost: bool) -> None:
        with ledger.asking(What.SERIES, name) as line:
            line.came = 2
            done.append(name)
            raise SourceError("odd", source="x", lost=lost)

    with ledger.until_lost():
        for i in range(5):
            ask(f"question {i}", i == 1)
    assert done == ["question 0", "question 1"]
    assert ledger.asked() == tuple(
        Asked(source="x", what=What.SERIES, asked=name, came=2, missing="odd") for name in done
    )


class TestTimes:
    @pytest.mark.parametrize(
        ("text", "seconds"),
        [
            ("now", NOW), ("-30m", NOW - 1800), ("1.5", 1.5), ("2023-11-14T22:13:20Z", NOW),
            ("2023-11-14T22:13:20", NOW), ("2023-11-14 23:13:20+01:00", NOW), ("-1d", NOW - 86400),
        ],
    )  # fmt: skip
    def test_times(self, text: str, seconds: float) -> None:
        assert parse_time(text, "start", now=NOW) == seconds

    @pytest.mark.parametrize("text", ["", "soon", "nan", "inf", "-", "-0s", "9999999-01-01", "--1"])
    def test_no_times(self, text: str) -> None:
        with pytest.raises(InvalidSettingsError, match="start must be"):
            parse_time(text, "start", now=NOW)

    def test_durations(self) -> None:
        assert [parse_duration(t, "x") for t in ("90", "90s", "1.5h", "250ms", "2d")] == [
            90.0, 90.0, 5400.0, 0.25, 172800.0,
        ]  # fmt: skip

    def test_periods(self) -> None:
        window, baseline = parse_periods("-10m", "now", "1h", now=NOW)
        assert (window, baseline) == (
            TimeWindow(NOW - 600, NOW), TimeWindow(NOW - 4200, NOW - 600),
        )  # fmt: skip
        assert parse_periods("-10m", "now", "none", now=NOW)[1] is None
        apart = parse_periods("-10m", "now", "-2d/-1d", now=NOW)[1]
        assert apart == TimeWindow(NOW - 172800, NOW - 86400)

    def test_an_empty_period(self) -> None:
        with pytest.raises(InvalidSettingsError, match="is empty"):
            parse_periods("now", "-10m", "1h", now=NOW)


def test_queries_without_a_server(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettingsError, match="give --prometheus too"):
        make_connectors(Sources(prometheus_queries=tmp_path / "q.toml"), {})
