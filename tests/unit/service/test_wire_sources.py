"""Sources of incidents on the wire."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayesrca.api.v1 import incident_source_pb2
from bayesrca.errors import InvalidIncidentError
from bayesrca.incident import (
    Component,
    ComponentKind,
    Edge,
    EdgeKind,
    Event,
    IncidentSource,
    Origin,
    Target,
    TimeWindow,
)
from bayesrca.wire import decode_source, encode_source

NAMES = st.text(min_size=1, max_size=8)
TIMES = st.floats(0, 4e9)


@st.composite
def periods(draw: st.DrawFn) -> TimeWindow:
    start = draw(st.floats(1e4, 4e9))
    return TimeWindow(start, start + draw(st.floats(1.0, 5000.0)))


SOURCES = st.builds(
    IncidentSource,
    origins=st.lists(st.sampled_from(Origin), min_size=1).map(tuple),
    window=periods(),
    baseline=st.none() | periods() | st.floats(1.0, 5000.0),
    step=st.floats(1.0, 1e6),
    target=st.none() | st.builds(Target, NAMES, st.none() | NAMES),
    name=st.text(max_size=5),
    components=st.lists(st.builds(Component, NAMES, st.sampled_from(ComponentKind))).map(tuple),
    edges=st.lists(st.builds(Edge, NAMES, NAMES, st.sampled_from(EdgeKind))).map(tuple),
    aliases=st.dictionaries(NAMES, NAMES),
    events=st.lists(
        st.builds(Event, TIMES, NAMES, st.none() | NAMES, st.text(max_size=5), st.none() | NAMES)
    ).map(tuple),
)


@given(SOURCES)
def test_a_source_arrives_as_it_was_sent(source: IncidentSource) -> None:
    content = encode_source(source).SerializeToString()
    assert decode_source(incident_source_pb2.IncidentSource.FromString(content)) == source


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"origins": ()}, "origins"),
        ({"origins": ("sent",)}, "origins[0]"),
        ({"window": TimeWindow(0.0, 1e12)}, "window"),
        ({"window": TimeWindow(0.0, 1e6), "step": 1.0}, "step"),
        ({"baseline": -1.0}, "baseline"),
        ({"baseline": "1h"}, "baseline"),
        ({"baseline": 2000.0}, "baseline"),  # before 1970
        ({"step": float("inf")}, "step"),
        ({"step": 1e-9}, "step"),
        ({"events": ("deploy",)}, "events[0]"),
        ({"aliases": {"a": ""}}, "aliases['a']"),
        ({"name": "\ud800"}, "name"),
    ],
)
def test_a_source_that_cannot_be_is_refused(change: dict[str, Any], field: str) -> None:
    good: dict[str, Any] = {"origins": ("received",), "window": TimeWindow(1000.0, 1600.0)}
    assert IncidentSource(**good).origins == (Origin.RECEIVED,)
    with pytest.raises(InvalidIncidentError) as caught:
        IncidentSource(**(good | change))
    assert caught.value.field == field


def test_the_normal_period_and_the_name_follow_from_the_rest() -> None:
    source = IncidentSource(
        origins=("received", "received"),  # type: ignore[arg-type]  # its words will do
        window=TimeWindow(86_400.0, 86_500.0),
        baseline=60.0,
        target=Target("cart"),
    )
    assert source.normal == TimeWindow(86_340.0, 86_400.0)
    assert source.title == "cart 1970-01-02 00:00:00"
    assert source.origins == (Origin.RECEIVED,)
