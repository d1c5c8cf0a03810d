"""Series counted from spans, against counting them one by one."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayesrca.analysis import analyze
from bayesrca.config import Method, Settings
from bayesrca.evidence.span_series import MOST_INTERVALS, STEPS, series_of_spans
from bayesrca.incident import (
    Component,
    Edge,
    Family,
    Incident,
    Spans,
    Target,
    TimeWindow,
    Topology,
)

COMPONENTS = ("shop", "cart", "db")
START = 1_700_000_000.0


def make_spans(rows: list[tuple[int, int, float, float, bool]]) -> Spans:
    """Spans of (component, parent row, start in seconds, duration in seconds, failed)."""
    component, parent, start, duration, failed = zip(*rows, strict=True)
    n = len(rows)
    return Spans(
        components=COMPONENTS,
        operations=("",),
        codes=(),
        trace_ids=("t",),
        component=np.array(component, np.int32),
        operation=np.zeros(n, np.int32),
        code=np.full(n, -1, np.int32),
        trace=np.zeros(n, np.int64),
        parent=np.array(parent, np.int64),
        start_ns=np.array([round((START + s) * 1000) * 1_000_000 for s in start], np.int64),
        duration_ns=np.array([round(d * 1000) * 1_000_000 for d in duration], np.int64),
        kind=np.zeros(n, np.int8),
        status=np.array([2 if bad else 0 for bad in failed], np.int8),
        peer=np.full(n, -1, np.int32),
    )


@st.composite
def recordings(draw: st.DrawFn) -> list[tuple[int, int, float, float, bool]]:
    rows = []
    for i in range(draw(st.integers(1, 30))):
        parent = draw(st.integers(-1, i - 1))
        start, spent = draw(st.integers(0, 400_000)), draw(st.integers(0, 5_000))
        rows.append(
            (draw(st.integers(0, 2)), parent, start / 1000, spent / 1000, draw(st.booleans()))
        )
    return rows


@given(rows=recordings(), length=st.sampled_from([1.0, 30.0, 120.0, 7200.0]))
def test_each_request_is_counted_once_where_it_ended(
    rows: list[tuple[int, int, float, float, bool]], length: float
) -> None:
    window = TimeWindow(START, START + length)
    series, step = series_of_spans(make_spans(rows), window)
    assert step in STEPS
    assert step == STEPS[0] or step * 12 <= length
    told: dict[tuple[str | None, Family], dict[int, list[float]]] = {}
    for component, parent, start, spent, failed in rows:
        if parent >= 0 and rows[parent][0] == component:
            continue
        slot = int(np.floor((round(start + spent, 3) + 1e-9) / step))
        for family, value in ((Family.LATENCY, spent), (Family.LOAD, 1.0), (Family.ERRORS, failed)):
            key = (COMPONENTS[component], family)
            told.setdefault(key, defaultdict(list))[slot].append(float(value))
    assert {(s.component, s.family) for s in series} == set(told)
    for signal in series:
        slots = np.round((signal.timestamps - START) / step - 0.5).astype(int)
        for slot, value in zip(slots, signal.values, strict=True):
            values = told[signal.component, signal.family].get(int(slot), [])
            if signal.family is Family.LATENCY:
                assert np.isnan(value) if not values else value == pytest.approx(np.mean(values))
            else:
                assert value == sum(values)


def outage(*, slow: str) -> Incident:
    """Ten minutes of requests, in the last two of which one component takes ten times as long."""
    rng = np.random.default_rng(3)
    rows: list[tuple[int, int, float, float, bool]] = []
    for begun in np.arange(0.0, 600.0, 0.5):
        bad = begun >= 480.0
        spent = {c: rng.gamma(20.0, 0.001) * (10.0 if bad and c == slow else 1.0) for c in "scd"}
        top = len(rows)
        rows.append((0, -1, begun, spent["s"] + spent["c"] + spent["d"], False))
        rows.append((1, top, begun + 0.001, spent["c"] + spent["d"], False))
        rows.append((2, top + 1, begun + 0.002, spent["d"], False))
    return Incident(
        "spans alone",
        Topology(
            tuple(Component(name) for name in COMPONENTS),
            (Edge("shop", "cart"), Edge("cart", "db")),
        ),
        (),
        baseline=TimeWindow(START, START + 470.0),
        window=TimeWindow(START + 480.0, START + 600.0),
        target=Target("shop"),
        spans=make_spans(rows),
    )


@pytest.mark.parametrize(("slow", "culprit"), [("s", "shop"), ("c", "cart"), ("d", "db")])
def test_an_incident_of_spans_alone_is_answered_and_says_so(slow: str, culprit: str) -> None:
    answer = analyze(outage(slow=slow), seed=1, settings=Settings(method=Method.SCREEN)).answer
    best = answer.posterior.causes[0]
    assert best.component == culprit
    assert best.probability.value > 0.5
    assert answer.alarm.anomalous
    assert any("counted from spans, every 10 s" in note for note in answer.notes)


def test_calm_spans_are_nothing_anomalous() -> None:
    calm = outage(slow="-")
    answer = analyze(calm, seed=1, settings=Settings(method=Method.SCREEN)).answer
    assert not answer.alarm.anomalous


def test_series_that_are_given_are_not_counted_again() -> None:
    incident = outage(slow="d")
    series, _ = series_of_spans(incident.spans, incident.window)  # type: ignore[arg-type]
    given_ = replace(incident, signals=tuple(s for s in series if s.family is Family.LATENCY))
    answer = analyze(given_, seed=1, settings=Settings(method=Method.SCREEN)).answer
    assert not any("counted from spans" in note for note in answer.notes)


def test_a_long_recording_is_counted_more_coarsely() -> None:
    rows = [(0, -1, float(begun), 0.5, False) for begun in range(0, 2_000_000, 50)]
    series, step = series_of_spans(make_spans(rows), TimeWindow(START, START + 12.0))
    assert max(len(signal) for signal in series) <= MOST_INTERVALS + 1
    assert step == pytest.approx(2_000_000 / MOST_INTERVALS, rel=0.01)
    assert sum(series[1].values) == len(rows)
