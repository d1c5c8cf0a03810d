"""Whatever the folder format can hold comes back equal."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayesrca.errors import IncidentFormatError
from bayesrca.incident import (
    Component,
    ComponentKind,
    Edge,
    EdgeKind,
    Event,
    Family,
    Incident,
    Logs,
    Run,
    Signal,
    Spans,
    Statistic,
    Target,
    TimeWindow,
    Topology,
)
from bayesrca.ingest import load_incident, save_incident

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


def vectors(elements: st.SearchStrategy[int], n: int) -> st.SearchStrategy[Any]:
    return st.lists(elements, min_size=n, max_size=n)


def tables_of(texts: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(texts, min_size=1, max_size=4, unique=True).map(tuple)


@st.composite
def spans(draw: st.DrawFn, names: tuple[str, ...]) -> Spans:
    """Spans in any order, names that no row uses, names in an order that no row tells."""
    n = draw(st.integers(1, 8))
    components = tuple(draw(st.permutations(names)))
    operations, codes = draw(tables_of(TEXT)), draw(tables_of(METRICS))
    traces = draw(tables_of(METRICS))
    trace = draw(vectors(st.integers(0, len(traces) - 1), n))
    above = [[-1, *(j for j in range(i) if trace[j] == trace[i])] for i in range(n)]
    times = st.integers(-(2**62), 2**62 - 1)
    return Spans(
        components,
        operations,
        codes,
        traces,
        draw(vectors(st.integers(0, len(components) - 1), n)),
        draw(vectors(st.integers(0, len(operations) - 1), n)),
        draw(vectors(st.integers(-1, len(codes) - 1), n)),
        trace,
        np.array([draw(st.sampled_from(rows)) for rows in above]),
        draw(vectors(times, n)),
        draw(vectors(st.integers(0, 2**62), n)),
        draw(vectors(st.integers(0, 5), n)),
        draw(vectors(st.integers(0, 2), n)),
        draw(vectors(st.integers(-1, len(components) - 1), n)),
        tuple(draw(st.lists(METRICS, max_size=2, unique=True))),
    )


@st.composite
def logs(draw: st.DrawFn, names: tuple[str, ...], n_spans: int) -> Logs:
    """Log records; the same one twice is legal, and so is JSON in a body."""
    n = draw(st.integers(1, 6))
    texts = draw(tables_of(TEXT | st.just('{"log": "INFO a.B#1 x"}')))
    codes = draw(tables_of(METRICS))
    return Logs(
        names,
        texts,
        codes,
        draw(vectors(st.integers(0, len(names) - 1), n)),
        draw(vectors(st.integers(0, len(texts) - 1), n)),
        draw(vectors(st.integers(-5, 5), n)),
        draw(vectors(st.integers(0, 24), n)),
        draw(vectors(st.integers(-1, n_spans - 1), n)),
        draw(vectors(st.integers(-1, len(codes) - 1), n)),
        tuple(draw(st.lists(METRICS, max_size=2, unique=True))),
    )


@st.composite
def recordings(draw: st.DrawFn, names: tuple[str, ...]) -> tuple[Spans | None, Logs | None]:
    traced = draw(st.none() | spans(names))
    return traced, draw(st.none() | logs(names, 0 if traced is None else len(traced)))


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
