"""Whatever the folder format can hold comes back equal."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayesrca.errors import IncidentFormatError
from bayesrca.incident import (
    Alert,
    AlertKind,
    Component,
    ComponentKind,
    Edge,
    EdgeKind,
    Event,
    Family,
    Incident,
    Run,
    Signal,
    Statistic,
    Target,
    TimeWindow,
    Topology,
)
from bayesrca.ingest import load_incident, save_incident
from tests.oracle.tables import recordings

TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
NASTY = st.sampled_from(
    ["a/b", "AWS::X", "GET /x;y", " ", ".", "..", "\x00", "é\u2028漢", "time", "0"]
)
METRICS = (TEXT | NASTY | st.just("a|b|c")).filter(bool)
NAMES = METRICS.map(lambda name: name.replace("|", "¦"))
FINITE = st.floats(allow_nan=False, allow_infinity=False)
SECONDS = st.floats(-1e12, 1e12)


@st.composite
def topologies(draw: st.DrawFn) -> Topology:
    names = draw(st.lists(NAMES, min_size=1, max_size=6, unique=True))
    components = [
        Component(
            name,
            draw(st.sampled_from(ComponentKind)),
            draw(st.sampled_from([None, *names[:i]])),  # parents come first: no cycle
        )
        for i, name in enumerate(names)
    ]
    pairs = [(a, b) for a in names for b in names if a != b]
    kinds = draw(st.sampled_from([[EdgeKind.CALLS], [EdgeKind.CAUSES], list(EdgeKind)]))
    edges: list[tuple[tuple[str, str], EdgeKind]] = []
    if pairs:
        choice = st.tuples(st.sampled_from(pairs), st.sampled_from(kinds))
        edges = draw(st.lists(choice, max_size=8))
    return Topology(tuple(components), tuple(Edge(*pair, kind) for pair, kind in edges))


def alerts(names: st.SearchStrategy[str]) -> st.SearchStrategy[Alert]:
    times = st.none() | FINITE
    others = st.sampled_from([AlertKind.METRIC, AlertKind.LOG])
    calls = st.just(AlertKind.CALL)
    return st.builds(Alert, names, METRICS, others, TEXT, st.none(), times) | st.builds(
        Alert, names, METRICS, calls, TEXT, st.none() | names, times
    )


@st.composite
def incidents(draw: st.DrawFn) -> Incident:
    topology = draw(topologies())
    names = st.sampled_from(topology.names)
    time = sorted(draw(st.lists(SECONDS, min_size=1, max_size=5, unique=True)))
    values = st.lists(FINITE | st.just(float("nan")), min_size=len(time), max_size=len(time))
    keys = draw(st.lists(st.tuples(names, METRICS), min_size=1, max_size=6, unique=True))
    signals = tuple(
        Signal(
            component,
            metric,
            draw(st.sampled_from(Family)),
            draw(st.sampled_from(Statistic)),
            np.array(time),
            np.array(draw(values)),
            draw(TEXT),
        )
        for component, metric in keys
    )
    events = st.builds(Event, FINITE, METRICS, st.none() | names, TEXT, st.none() | METRICS)
    around = st.sampled_from(time)
    windows = st.none() | st.builds(
        lambda at, before, after: TimeWindow(at - before, at + after),
        around,
        st.floats(0.01, 1e6),
        st.floats(0.0, 1e6),
    )
    traced, logged = draw(recordings(topology.names))
    quiet = draw(recordings(topology.names))
    runs = () if quiet == (None, None) else (Run("normal", (), *quiet),)
    targets = st.none() | names.map(Target) | st.sampled_from([Target(*key) for key in keys])
    return Incident(
        draw(METRICS),
        topology,
        signals,
        tuple(draw(st.lists(events, max_size=3))),
        draw(windows),
        draw(windows),
        draw(targets),
        runs,
        traced,
        logged,
        draw(st.lists(METRICS, max_size=2, unique=True).map(tuple)),
        draw(st.none() | st.lists(alerts(names), max_size=3).map(tuple)),
    )


@settings(deadline=None, max_examples=100)
@given(incidents())
def test_saved_incidents_come_back_equal(incident: Incident) -> None:
    with tempfile.TemporaryDirectory() as parent:
        folder = save_incident(incident, Path(parent) / "case")
        assert load_incident(folder) == incident
        assert [file.name for file in Path(parent).iterdir()] == ["case"]


@settings(deadline=None, max_examples=20)
@given(TEXT, TEXT)
def test_a_bar_in_a_component_name_is_refused(before: str, after: str) -> None:
    name = f"{before}|{after}"
    signal = Signal(name, "m", Family.LOAD, Statistic.COUNT, np.ones(1), np.ones(1))
    incident = Incident("case", Topology((Component(name),)), (signal,))
    with (
        tempfile.TemporaryDirectory() as parent,
        pytest.raises(IncidentFormatError, match=r"contains '\|'"),
    ):
        save_incident(incident, Path(parent) / "case")
