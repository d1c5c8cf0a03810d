import pickle
from typing import Any

import numpy as np
import pytest

from bayesrca.errors import InvalidIncidentError, UnknownComponentError
from bayesrca.incident import (
    Component,
    Edge,
    EdgeKind,
    Event,
    Family,
    Incident,
    Signal,
    Statistic,
    Target,
    TimeWindow,
    Topology,
)

TOPOLOGY = Topology(
    (Component("front"), Component("back"), Component("unseen")), (Edge("front", "back"),)
)


def series(component: str | None, name: str = "latency", **changes: object) -> Signal:
    time = np.arange(10.0, 20.0)
    parts = (component, name, Family.LATENCY, Statistic.MEAN, time, time)
    more: dict[str, Any] = {**changes}
    return Signal(*parts, **more)


def incident(**changes: object) -> Incident:
    fields: dict[str, Any] = {
        "name": "outage",
        "topology": TOPOLOGY,
        "signals": (series("front"), series("back")),
    }
    return Incident(**{**fields, **changes})


def test_everything_but_series_is_optional() -> None:
    kept = incident()
    assert (kept.events, kept.baseline, kept.window, kept.target) == ((), None, None, None)


def test_signals_of_a_component() -> None:
    errors = Signal("front", "errors", Family.ERRORS, Statistic.COUNT, [1.0], [0.0])  # type: ignore[arg-type]
    kept = incident(signals=(series("front"), errors, series("back")))
    assert [signal.name for signal in kept.signals_of("front")] == ["latency", "errors"]
    assert kept.signals_of("front", Family.ERRORS) == (errors,)
    assert kept.signals_of("unseen") == ()
    with pytest.raises(UnknownComponentError, match="'nobody'"):
        kept.signals_of("nobody")


def test_equality_and_pickling() -> None:
    kept = incident(window=TimeWindow(12.0, 14.0), target=Target("front", "latency"))
    assert kept == incident(window=TimeWindow(12.0, 14.0), target=Target("front", "latency"))
    assert kept != incident()
    assert pickle.loads(pickle.dumps(kept)) == kept
    with pytest.raises(TypeError, match="unhashable"):
        hash(kept)


def test_series_on_declared_edges_are_legal() -> None:
    incident(signals=(series(None, edge=Edge("front", "back")),))


def test_a_large_graph_with_a_cycle_and_missing_values_is_legal() -> None:
    names = [f"c{i}" for i in range(10)]
    edges = tuple(Edge(names[i], names[(i + 1) % 10]) for i in range(10))
    gaps = Signal("c0", "m", Family.GENERIC, Statistic.VALUE, [1.0, 2.0], [np.nan] * 2)  # type: ignore[arg-type]
    Incident("ring", Topology(tuple(map(Component, names)), edges), (gaps,))


@pytest.mark.parametrize(
    ("changes", "message", "field"),
    [
        ({"name": ""}, "name is empty", "name"),
        ({"signals": ()}, "'outage' has no signal and no span", "signals"),
        ({"signals": ("latency",)}, "must be of type Signal", "signals[0]"),
        (
            {"signals": (series("front"), series("ghost"))},
            r"'ghost\|latency' belongs to 'ghost', which is not a declared",
            "signals[1].component",
        ),
        (
            {"signals": (series("front"), series("front"))},
            r"'front\|latency' is given twice \(positions 0 and 1\)",
            "signals[1].name",
        ),
        (
            {"signals": (series(None, edge=Edge("front", "back", EdgeKind.READS)),)},
            r"'front -> back\|latency' belongs to a reads edge",
            "signals[0].edge",
        ),
        ({"events": (Event(1.0, "deploy", "ghost"),)}, "names 'ghost'", "events[0].component"),
        ({"events": ("deploy",)}, "must be of type Event", "events[0]"),
        ({"target": Target("ghost")}, "target 'ghost'", "target.component"),
        ({"target": Target("front", "speed")}, "signal 'speed' is not", "target.signal"),
        ({"target": Target("unseen", "latency")}, "'latency' is not a series", "target.signal"),
        (
            {"window": TimeWindow(20.0, 30.0)},
            r"window \[20.0, 30.0\] holds no sample of any .* from 10.0 to 19.0",
            "window",
        ),
        ({"baseline": TimeWindow(0.0, 9.9)}, r"baseline \[0.0, 9.9\] holds no", "baseline"),
        ({"window": TimeWindow(12.1, 12.9)}, "holds no sample", "window"),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, Any], message: str, field: str) -> None:
    with pytest.raises(InvalidIncidentError, match=message) as caught:
        incident(**changes)
    assert caught.value.field == field


def test_windows_are_closed_and_may_overlap() -> None:
    window = TimeWindow(19.0, 30.0)
    incident(window=window, baseline=TimeWindow(0.0, 19.0))
    assert window.contains(np.array([18.9, 19.0, 30.0, 30.1])).tolist() == [
        False,
        True,
        True,
        False,
    ]
    assert window.duration == 11.0


@pytest.mark.parametrize(
    ("start", "end", "field"),
    [
        (1.0, 1.0, "end"),
        (2.0, 1.0, "end"),
        (float("nan"), 1.0, "start"),
        (0.0, float("inf"), "end"),
        ("0", 1.0, "start"),
        (None, 1.0, "start"),
        (0.0, 10**400, "end"),
    ],
)
def test_empty_and_impossible_windows_are_rejected(start: object, end: object, field: str) -> None:
    with pytest.raises(InvalidIncidentError) as caught:
        TimeWindow(start, end)  # type: ignore[arg-type]
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ((float("nan"), "deploy"), "time"),
        ((1.0, ""), "kind"),
        ((1.0, "deploy", ""), "component"),
        ((1.0, "deploy", None, None), "text"),
    ],
)
def test_event_arguments_are_checked(arguments: tuple[Any, ...], field: str) -> None:
    with pytest.raises(InvalidIncidentError) as caught:
        Event(*arguments)
    assert caught.value.field == field


def test_target_arguments_are_checked() -> None:
    with pytest.raises(InvalidIncidentError, match="component is empty"):
        Target("")
    with pytest.raises(InvalidIncidentError, match="signal is empty"):
        Target("front", "")
