import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bayesrca.errors import InvalidIncidentError
from bayesrca.incident import (
    Component,
    Family,
    Incident,
    Logs,
    Run,
    Signal,
    Spans,
    Statistic,
    TimeWindow,
    Topology,
    select_tables,
)

TOPOLOGY = Topology((Component("front"), Component("back"), Component("db")))


def spans(**changes: Any) -> Spans:  # noqa: ANN401
    """Two traces: front calls back, which calls the database; and front alone."""
    columns: dict[str, Any] = {
        "components": ("front", "back", "db"),
        "operations": ("GET /", "SELECT", ""),
        "codes": ("Back#7",),
        "trace_ids": ("aa", "bb"),
        "component": [0, 1, 1, 0],
        "operation": [0, 2, 1, 0],
        "code": [-1, 0, -1, -1],
        "trace": [0, 0, 0, 1],
        "parent": [-1, 0, 1, -1],
        "start_ns": [10**9, 2 * 10**9, 3 * 10**9, 9 * 10**9],
        "duration_ns": [5, 3, 1, 0],
        "kind": [2, 2, 3, 2],
        "status": [2, 0, 1, 0],
        "peer": [-1, -1, 2, -1],
    }
    return Spans(**{**columns, **changes})


def logs(**changes: Any) -> Logs:  # noqa: ANN401
    columns: dict[str, Any] = {
        "components": ("back",),
        "texts": ("failed", ""),
        "codes": ("Back#8",),
        "component": [0, 0],
        "text": [0, 1],
        "time_ns": [2 * 10**9, 11 * 10**9],
        "severity": [17, 0],
        "span": [1, -1],
        "code": [0, -1],
    }
    return Logs(**{**columns, **changes})


def test_tables_are_frozen_typed_and_compared_by_content() -> None:
    mine = np.array([5, 3, 1, 0])
    kept = spans(duration_ns=mine)
    mine[0] = 99
    assert kept == spans()
    assert len(kept) == 4
    assert kept != spans(duration_ns=[5, 3, 1, 1])
    assert kept != spans(operations=("GET /", "SELECT", "x"))
    assert kept != logs()
    assert logs() != logs(notes=("one line was left out",))
    assert [c.dtype.name for c in (kept.component, kept.parent, kept.kind)] == [
        "int32",
        "int64",
        "int8",
    ]
    with pytest.raises(ValueError, match="read-only"):
        kept.kind[0] = 1
    with pytest.raises(TypeError, match="unhashable"):
        hash(kept)


def test_pickles_come_back_equal_and_read_only() -> None:
    for table in (spans(notes=("told",)), logs()):
        back = pickle.loads(pickle.dumps(table))
        assert back == table
        assert not back.component.flags.writeable


def test_arrays_that_nobody_can_write_to_are_shared() -> None:
    kept = spans()
    assert replace(kept, notes=("more",)).start_ns is kept.start_ns


@pytest.mark.parametrize(
    ("changes", "message", "field"),
    [
        ({"components": ("front", "front", "db")}, "'front' is listed twice", "components[1]"),
        ({"components": ("front", "", "db")}, "component 1 is empty", "components[1]"),
        ({"components": "front"}, "must be a sequence of texts", "components"),
        ({"trace_ids": ("aa", "\ud800")}, "not valid Unicode", "trace_ids[1]"),
        ({"trace_ids": ("aa", 7)}, "must be text, got 7", "trace_ids[1]"),
        ({"component": [0, 1, 3, 0]}, r"\(give 0 to 2\) is 3 in row 2", "component[2]"),
        ({"component": [0, -1, 1, 0]}, "is -1 in row 1", "component[1]"),
        ({"operation": [0, 0, 0, 9]}, "is 9 in row 3", "operation[3]"),
        ({"codes": ()}, "nothing to refer to.* is 0 in row 1", "code[1]"),
        ({"peer": [-2, -1, 2, -1]}, "is -2 in row 0", "peer[0]"),
        ({"kind": [2, 2, 6, 2]}, "the kind of a span.* is 6 in row 2", "kind[2]"),
        ({"status": [2, 0, 3, 0]}, "the status of a span.* is 3", "status[2]"),
        ({"parent": [-1, 0, 4, -1]}, "is 4 in row 2", "parent[2]"),
        ({"parent": [-1, 0, 1, 2]}, "belongs to another trace.*is 2 in row 3", "parent[3]"),
        ({"parent": [0, 0, 1, -1]}, "form a cycle at row 0", "parent[0]"),
        ({"parent": [2, 0, 1, -1]}, "form a cycle at row 0", "parent[0]"),
        ({"duration_ns": [5, 3, -1, 0]}, "drop it: duration_ns is -1 in row 2", "duration_ns[2]"),
        ({"duration_ns": [5, 2**63 - 1, 1, 0]}, "64 bits", "duration_ns[1]"),
        ({"start_ns": np.full(4, 2**63, dtype=np.uint64)}, "cannot hold", "start_ns[0]"),
        ({"start_ns": [1.0, 2.0, 3.0, 4.0]}, "whole numbers, got float64", "start_ns"),
        ({"start_ns": [[1, 2], [3, 4]]}, r"of shape \(2, 2\)", "start_ns"),
        ({"start_ns": [[1, 2], [3]]}, "whole numbers, got object", "start_ns"),
        ({"status": [2, 0, 1]}, "4 rows in component and 3 in status", "status"),
        ({"notes": ("",)}, "note 0 is empty", "notes[0]"),
    ],
)
def test_what_is_wrong_with_spans_is_named(
    changes: dict[str, Any], message: str, field: str
) -> None:
    with pytest.raises(InvalidIncidentError, match=message) as caught:
        spans(**changes)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("changes", "message", "field"),
    [
        ({"texts": ("failed", "x" * 2049)}, "2049 characters; cut it at 2048", "texts[1]"),
        ({"severity": [25, 0]}, "is 25 in row 0", "severity[0]"),
        ({"severity": [17, 200]}, "cannot hold 200 in row 1", "severity[1]"),
        ({"text": [0, 2]}, "is 2 in row 1", "text[1]"),
        ({"span": [1, -2]}, "it is -2 in row 1", "span[1]"),
        ({"code": [1, -1]}, "is 1 in row 0", "code[0]"),
    ],
)
def test_what_is_wrong_with_logs_is_named(
    changes: dict[str, Any], message: str, field: str
) -> None:
    with pytest.raises(InvalidIncidentError, match=message) as caught:
        logs(**changes)
    assert caught.value.field == field


def test_no_row_is_no_table() -> None:
    columns = ("component", "text", "time_ns", "severity", "span", "code")
    with pytest.raises(InvalidIncidentError, match="no row; leave the table out"):
        logs(**{name: [] for name in columns})


def test_a_long_chain_is_no_cycle_and_a_long_cycle_is() -> None:
    n = 5000
    zeros = np.zeros(n, dtype=np.int64)
    names = ("component", "operation", "trace", "start_ns", "duration_ns", "kind", "status")
    columns = dict.fromkeys(names, zeros) | {"code": zeros - 1, "peer": zeros - 1}
    spans(**columns, parent=np.arange(-1, n - 1))
    ring = np.arange(-1, n - 1)
    ring[0] = n - 1
    with pytest.raises(InvalidIncidentError, match="form a cycle"):
        spans(**columns, parent=ring)


def test_an_incident_of_spans_and_logs_alone_is_legal() -> None:
    incident = Incident("outage", TOPOLOGY, (), spans=spans(), logs=logs())
    assert pickle.loads(pickle.dumps(incident)) == incident
    assert incident != replace(incident, logs=None)
    replace(incident, window=TimeWindow(9.0, 9.5))  # a span starts there
    replace(incident, window=TimeWindow(11.0, 12.0))  # a log record only
    with pytest.raises(InvalidIncidentError, match=r"no sample .* from 1.0 to 11.0"):
        replace(incident, window=TimeWindow(20.0, 30.0))
    with pytest.raises(InvalidIncidentError, match="has no signal and no span"):
        Incident("outage", TOPOLOGY, (), logs=logs(span=[-1, -1]))


def test_windows_count_starts_and_both_ends() -> None:
    assert spans().within(TimeWindow(2.0, 3.0)).tolist() == [False, True, True, False]
    assert logs().within(TimeWindow(2.0, 3.0)).tolist() == [True, False]


@pytest.mark.parametrize(
    ("changes", "message", "field"),
    [
        ({"spans": spans(components=("front", "back", "x"))}, "spans name 'x'", "spans.comp"),
        ({"logs": logs(components=("ghost",))}, "logs name 'ghost'", "logs.components[0]"),
        ({"logs": logs(span=[1, 4])}, r"\(give -1 to 3\) is 4 in row 1", "logs.span[1]"),
        ({"logs": logs(), "spans": None}, "nothing to refer to.* is 1 in row 0", "logs.span[0]"),
        ({"spans": [1]}, "spans must be of type Spans", "spans"),
        ({"logs": "x"}, "logs must be of type Logs", "logs"),
    ],
)
def test_tables_that_do_not_fit_the_incident(
    changes: dict[str, Any], message: str, field: str
) -> None:
    time = np.arange(3.0)
    series = Signal("front", "x", Family.LATENCY, Statistic.MEAN, time, time)
    fields: dict[str, Any] = {"spans": spans(), "logs": None, **changes}
    with pytest.raises(InvalidIncidentError, match=message) as caught:
        Incident("outage", TOPOLOGY, (series,), **fields)
    assert caught.value.field.startswith(field)


def test_a_run_may_hold_spans_and_logs_only() -> None:
    run = Run("normal", spans=spans(), logs=logs())
    assert run.signals == ()
    assert pickle.loads(pickle.dumps(run)) == run
    Run("quiet", logs=logs(span=[-1, -1]))
    with pytest.raises(InvalidIncidentError, match=r"is 1 in row 0") as caught:
        Run("quiet", logs=logs())
    assert caught.value.field == "logs.span[0]"


def test_a_part_of_the_tables_keeps_its_links() -> None:
    window = TimeWindow(1.5, 8.0)
    kept, said = select_tables(spans(), logs(), window.contains)
    # The first span began earlier: its child becomes a first span.
    assert kept == spans(
        component=[1, 1],
        operation=[2, 1],
        code=[0, -1],
        trace=[0, 0],
        parent=[-1, 0],
        start_ns=[2 * 10**9, 3 * 10**9],
        duration_ns=[3, 1],
        kind=[2, 3],
        status=[0, 1],
        peer=[-1, 2],
    )
    columns = {"component": [0], "text": [0], "time_ns": [2 * 10**9], "severity": [17]}
    assert said == logs(**columns, span=[0], code=[0])


def test_spans_that_go_on_are_not_known_yet() -> None:
    durations = [5, 3 * 10**9, 1, 0]
    kept, said = select_tables(spans(duration_ns=durations), logs(), TimeWindow(0.0, 4.0).contains)
    assert kept is not None
    assert kept.start_ns.tolist() == [10**9, 3 * 10**9]
    assert kept.parent.tolist() == [-1, -1]
    assert said is not None
    assert said.span.tolist() == [-1]
    assert select_tables(spans(), logs(), TimeWindow(50.0, 60.0).contains) == (None, None)
    assert select_tables(None, logs(span=[-1, -1]), TimeWindow(0, 99).contains)[1] == logs(
        span=[-1, -1]
    )
