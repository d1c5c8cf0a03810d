"""Every back end that answers nonsense: its error names it, and the answer says what it lacked."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest

from bayesrca.analysis import analyze
from bayesrca.config import Method, Settings
from bayesrca.incident import Family, Signal, Statistic, TimeWindow
from bayesrca.ingest.connectors.collect import Wanted, collect
from bayesrca.ingest.connectors.datadog import Datadog
from bayesrca.ingest.connectors.elasticsearch import Elasticsearch
from bayesrca.ingest.connectors.http import HttpSource
from bayesrca.ingest.connectors.interface import Ask, Asked, Connector, Haul, What
from bayesrca.ingest.connectors.jaeger import Jaeger, JaegerJson
from bayesrca.ingest.connectors.loki import Loki
from bayesrca.ingest.connectors.prometheus import Prometheus
from tests.fuzz.back_ends import Scripted

BACK_ENDS: dict[str, Callable[[HttpSource], Connector]] = {
    "datadog": Datadog,
    "elasticsearch": Elasticsearch,
    "jaeger": lambda http: Jaeger(JaegerJson(http)),
    "loki": Loki,
    "prometheus": Prometheus,
}
ANSWERS = {
    "another page": (b"<html><body>Sign in</body></html>", "not JSON"),
    "cut short": (b'{"status": "success", "data": [', "not JSON"),
    "empty": (b"", "not JSON"),
    "no number": (b'{"status": "success", "data": [NaN]}', "not JSON"),
    "infinite": (b'{"data": -Infinity}', "not JSON"),
    "too many digits": (b'{"data": ' + b"9" * 5000 + b"}", "not JSON"),
    "not UTF-8": (b'{"data": "\xff"}', "not JSON"),
    "deep": (b"[" * 50_000, "nested too deeply"),
    "an array": (b"[1, 2]", "must be an object"),
    "a number": (b"1e400", "must be an object"),
    "twice": (b'{"services": [], "services": 7, "status": 1, "status": [2]}', "must be"),
    "surrogates": (
        b'{"services": ["\\ud800"], "status": "success", "data": ["\\ud800"], '
        b'"version": {"number": "\\ud800"}}',
        "Unicode|must be an object",
    ),
}
WANTED = Wanted(
    name="outage",
    window=TimeWindow(7200.0, 9000.0),
    baseline=TimeWindow(0.0, 7200.0),
    step=60.0,
)


class Slow:
    """A source with a cart that becomes slow."""

    name = "other"
    offers = frozenset({What.SERIES})

    def fetch(self, ask: Ask) -> Haul:
        times = np.arange(ask.window.start, ask.window.end, ask.step)
        values = np.random.default_rng(3).lognormal(0.0, 0.05, len(times))
        values[times >= 7200.0] *= 3.0
        series = Signal("cart", "latency", Family.LATENCY, Statistic.MEAN, times, values, "s")
        asked = Asked(source=self.name, what=What.SERIES, asked="latency", came=1)
        return Haul(series=(series,), asked=(asked,))


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("name", BACK_ENDS)
def test_nonsense_costs_one_source_and_is_told(name: str, answer: str) -> None:
    content, words = ANSWERS[answer]
    found = collect([BACK_ENDS[name](Scripted(name, content)), Slow()], WANTED)
    missing = [line.missing for line in found.asked if line.source == name]
    assert any(missing), found.asked
    assert all(len(text) < 1000 for text in missing)
    assert any(re.search(words, text) for text in missing), missing
    assert [s.component for s in found.incident.signals] == ["cart"]
    assert any(f"from {name}; missing: " in note for note in found.incident.notes)


@pytest.mark.parametrize("name", BACK_ENDS)
def test_the_answer_says_what_it_did_without(name: str) -> None:
    found = collect([BACK_ENDS[name](Scripted(name, b"<html>")), Slow()], WANTED)
    settings = Settings(method=Method.SCREEN, screen_scrambles=4, screen_points=8)
    answer = analyze(found.incident, seed=1, settings=settings).answer
    assert any(f"from {name}; missing: " in note for note in answer.notes), answer.notes
