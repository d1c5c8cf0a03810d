"""Spans and log records of any origin, as a folder holds them."""

import json
import tracemalloc
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest

from bayesrca.errors import IncidentFormatError, InvalidIncidentError, NotSupportedError
from bayesrca.incident import Component, ComponentKind, Incident, Logs, Spans
from bayesrca.ingest import load_incident, save_incident

MakeFolder = Callable[..., Path]
Columns = Mapping[str, Any]

# Three spans of one trace and one of another, in the words of a common exporter.
SPANS: Columns = {
    "TraceID": ["t1", "t1", "t1", "t2"],
    "SpanID": ["a", "b", "c", "a"],
    "ParentID": ["root", "a", "b", ""],
    "service.name": ["front", "back", "back", "front"],
    "OperationName": ["GET /", "rpc", "SELECT", "GET /"],
    "StartTimeUnixNano": [1_000, 2_000, 3_000, 9_000],
    "EndTimeUnixNano": [8_000, 7_000, 4_500, 9_001],
    "Duration": [7, 5, 1, 0],
}
LOGS: Columns = {
    "TimeUnixNano": [2_500, 2_600],
    "TraceID": ["t1", None],
    "SpanID": ["b", None],
    "service.name": ["back", "queue"],
    "Log": ["12:00 INFO  t.s.Impl#532 TraceID: t1 done", "kept"],
}


def write(folder: Path, name: str, columns: Columns) -> Path:
    pq.write_table(pa.table(dict(columns)), folder / name)
    return folder


def load_spans(folder: Path, changes: Columns = {}, drop: str = "") -> Spans:  # noqa: B006 - read only
    columns = {k: v for k, v in ({**SPANS, **changes}).items() if k != drop}
    spans = load_incident(write(folder, "traces.parquet", columns)).spans
    assert spans is not None
    return spans


def load_logs(folder: Path, changes: Columns = {}, drop: str = "") -> Logs:  # noqa: B006 - read only
    write(folder, "traces.parquet", SPANS)
    columns = {k: v for k, v in ({**LOGS, **changes}).items() if k != drop}
    logs = load_incident(write(folder, "logs.parquet", columns)).logs
    assert logs is not None
    return logs


def test_spans_of_an_exporter(make_folder: MakeFolder) -> None:
    spans = load_spans(make_folder())
    assert spans == Spans(
        components=("front", "back"),
        operations=("GET /", "rpc", "SELECT"),
        codes=(),
        trace_ids=("t1", "t2"),
        component=np.array([0, 1, 1, 0]),
        operation=np.array([0, 1, 2, 0]),
        code=np.full(4, -1),
        trace=np.array([0, 0, 0, 1]),
        parent=np.array([-1, 0, 1, -1]),
        start_ns=np.array([1_000, 2_000, 3_000, 9_000]),
        duration_ns=np.array([7_000, 5_000, 1_500, 1]),
        kind=np.zeros(4, dtype=int),
        status=np.zeros(4, dtype=int),
        peer=np.full(4, -1),
    )


def test_nanoseconds_written_as_texts_stay_exact(make_folder: MakeFolder) -> None:
    begin = 1_700_000_000_000_000_001
    times = [str(begin + i) for i in range(4)]
    ends = [str(begin + i + 100) for i in range(4)]
    folder = make_folder()
    spans = load_spans(folder, {"StartTimeUnixNano": times, "EndTimeUnixNano": ends})
    assert spans.start_ns.tolist() == [begin + i for i in range(4)]
    assert spans.duration_ns.tolist() == [100] * 4
    durations = [f"{i}.5" for i in range(4)]  # no whole numbers
    spans = load_spans(folder, {"DurationMs": durations}, drop="EndTimeUnixNano")
    assert spans.duration_ns.tolist() == [500_000, 1_500_000, 2_500_000, 3_500_000]


def test_spans_alone_make_an_incident(make_folder: MakeFolder, tmp_path: Path) -> None:
    folder = write(write(make_folder(None), "traces.parquet", SPANS), "logs.parquet", LOGS)
    incident = load_incident(folder)
    assert incident.signals == ()
    assert incident.topology.names == ("front", "back", "queue")
    assert load_incident(save_incident(incident, tmp_path / "copy" / "outage")) == incident


def test_logs_alone_make_none(make_folder: MakeFolder) -> None:
    with pytest.raises(NotSupportedError, match=r"neither metrics.parquet nor spans.*logs.parquet"):
        load_incident(write(make_folder(None), "logs.parquet", LOGS))


def test_components_of_series_come_first_and_others_behind(make_folder: MakeFolder) -> None:
    columns = {**SPANS, "service.name": ["web", "back", "back", "web"]}
    incident = load_incident(write(make_folder(), "traces.parquet", columns))
    assert incident.topology.names == ("front", "back", "web")


def test_logs_know_their_spans_and_code(make_folder: MakeFolder) -> None:
    assert load_logs(make_folder()) == Logs(
        components=("back", "queue"),
        texts=("12:00 INFO  t.s.Impl#532 TraceID: t1 done", "kept"),
        codes=("t.s.Impl#532",),
        component=np.array([0, 1]),
        text=np.array([0, 1]),
        time_ns=np.array([2_500, 2_600]),
        severity=np.array([9, 0]),
        span=np.array([1, -1]),
        code=np.array([0, -1]),
    )


def test_spans_without_ids_hold_no_log_record(make_folder: MakeFolder) -> None:
    columns = {k: v for k, v in SPANS.items() if k not in ("SpanID", "ParentID")}
    incident = load_incident(
        write(write(make_folder(), "traces.parquet", columns), "logs.parquet", LOGS)
    )
    assert incident.logs is not None
    assert incident.logs.span.tolist() == [-1, -1]
    assert "1 log records name a span that was not received." in incident.logs.notes


def test_normal_tables_become_a_run_of_no_series(make_folder: MakeFolder) -> None:
    folder = write(make_folder(), "traces_normal.parquet", SPANS)
    incident = load_incident(write(folder, "logs_normal.parquet", LOGS))
    (run,) = incident.normal_runs
    assert (run.name, run.signals) == ("normal", ())
    assert run.spans is not None
    assert run.logs is not None
    assert run.logs.span.tolist() == [1, -1]
    assert incident.spans is None


def test_what_cannot_be_kept_is_counted(make_folder: MakeFolder) -> None:
    spans = load_spans(
        make_folder(),
        {
            "SpanID": ["a", "a", "c", "a"],  # the second repeats the first, with other content
            "ParentID": ["root", "a", "b", "b"],  # b is not there
            "EndTimeUnixNano": [8_000, 7_000, 1_000, 9_001],  # the third ends before it begins
        },
    )
    assert spans.parent.tolist() == [-1, -1, -1]
    assert spans.operations == ("GET /", "SELECT")
    assert spans.duration_ns.tolist() == [7_000, 0, 1]
    assert spans.notes == (
        "1 spans repeated the ids of an earlier span and were left out.",
        "2 spans name a parent that was not received and count as first spans.",
        "1 spans ended before they began and count as lasting no time.",
    )


def test_parents_in_a_circle_are_cut(make_folder: MakeFolder) -> None:
    spans = load_spans(make_folder(), {"ParentID": ["b", "a", "b", "a"]})
    # a and b are each other's parent; c hangs below them, and the last one is its own parent.
    assert spans.parent.tolist() == [-1, -1, 1, -1]
    assert spans.notes == ("3 spans were their own ancestors and count as first spans.",)


def test_rows_that_say_too_little_are_left_out(make_folder: MakeFolder) -> None:
    changes = {"TraceID": ["t1", None, "t1", ""], "service.name": ["front", "back", None, "x"]}
    spans = load_spans(make_folder(), changes)
    assert len(spans) == 1
    assert spans.components == ("front",)
    assert "3 spans without a trace, component, operation" in spans.notes[0]


def test_invalid_utf8_is_replaced_and_counted(make_folder: MakeFolder) -> None:
    raw = pa.array([b"GET \xff", b"rpc", b"GET \xfe", b"rpc"], pa.binary())
    spans = load_spans(make_folder(), {"OperationName": raw})
    assert spans.operations == ("GET \ufffd", "rpc")
    assert spans.operation.tolist() == [0, 1, 0, 1]
    assert spans.notes == ("2 texts of spans were not UTF-8; the wrong bytes were replaced.",)


def test_a_file_without_a_row_is_no_file(
    make_folder: MakeFolder, caplog: pytest.LogCaptureFixture
) -> None:
    empty = {name: pa.array([], pa.string()) for name in SPANS}
    assert load_incident(write(make_folder(), "traces.parquet", empty)).spans is None
    assert "traces.parquet: has no row" in caplog.text


@pytest.mark.parametrize(
    ("changes", "drop", "problem"),
    [
        ({}, "service.name", "no column for the component of each row; .*'servicename'"),
        ({}, "StartTimeUnixNano", "no column for the start of a span"),
        ({}, "EndTimeUnixNano", "no column for the duration of a span; .*'durationns'"),
        ({"trace_id": ["t"] * 4}, "", "two columns that read 'traceid'"),
        ({"TraceID": [None] * 4}, "", "none of its 4 rows is a span"),
        ({"OperationName": [["x"]] * 4}, "", "column 'operationname' holds list"),
        ({"EndTimeUnixNano": ["soon"] * 4}, "", "'endtimeunixnano' cannot be read as numbers"),
    ],
)
def test_files_that_cannot_be_read(
    make_folder: MakeFolder, changes: Columns, drop: str, problem: str
) -> None:
    with pytest.raises(IncidentFormatError, match=rf"traces.parquet: .*{problem}"):
        load_spans(make_folder(), changes, drop)


def test_damaged_files_and_two_files_of_spans(make_folder: MakeFolder) -> None:
    folder = make_folder()
    (folder / "traces.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(IncidentFormatError, match=r"traces.parquet: is not a readable parquet"):
        load_incident(folder)
    (folder / "traces.json").write_text("[]")
    with pytest.raises(IncidentFormatError, match=r"both traces.parquet and traces.json"):
        load_incident(folder)


@pytest.mark.parametrize(
    ("column", "values", "start_ns"),
    [
        ("start_us", [1, 2, 3, 9], 1_000),
        ("start", ["2026-06-18T14:00:00Z"] * 4, 1_781_791_200 * 10**9),
        ("start", ["2026-06-18T16:00:00.000000001+02:00"] * 4, 1_781_791_200 * 10**9 + 1),
        ("startTime", ["2026-06-18T14:00:00.25"] * 4, 1_781_791_200 * 10**9 + 25 * 10**7),
        ("start", [1.5, 2.0, 3.0, 4.0], 1_500_000_000),
        ("timestamp", pa.array([7, 8, 9, 10], pa.timestamp("us")), 7_000),
    ],
)
def test_clocks(make_folder: MakeFolder, column: str, values: object, start_ns: int) -> None:
    columns = {k: v for k, v in SPANS.items() if not k.endswith("UnixNano")}
    columns |= {column: values, "duration_ms": [0.5, 1.0, 2.0, 3.0]}
    spans = load_incident(write(make_folder(), "traces.parquet", columns)).spans
    assert spans is not None
    assert spans.start_ns[0] == start_ns
    assert spans.duration_ns.tolist() == [500_000, 1_000_000, 2_000_000, 3_000_000]


@pytest.mark.parametrize("far", ["1e18", 10**18, -(10**18), 1e300, float("nan")])
def test_times_beyond_reason_are_none(make_folder: MakeFolder, far: object) -> None:
    row = {"trace_id": "t", "service": "front", "name": "x", "start": 1, "duration_ms": 1}
    spans = load_incident(make_folder(traces=json.dumps([row, row | {"start": far}]))).spans
    assert spans is not None
    assert spans.start_ns.tolist() == [10**9]
    assert "1 spans without a trace" in spans.notes[0]


def test_an_end_far_from_the_start_does_not_wrap_round(make_folder: MakeFolder) -> None:
    edges = {"StartTimeUnixNano": [-(2**63), 2_000, 3_000, 9_000]}
    spans = load_spans(make_folder(), edges | {"EndTimeUnixNano": [2**63 - 1, 7_000, 4_500, 9_001]})
    assert spans.duration_ns.tolist() == [5_000, 1_500, 1]


def test_times_that_cannot_be_are_refused(make_folder: MakeFolder) -> None:
    columns = {k: v for k, v in SPANS.items() if k != "StartTimeUnixNano"}
    columns["start"] = ["today"] * 4
    with pytest.raises(IncidentFormatError, match="'start' holds 'today', which is no time"):
        load_incident(write(make_folder(), "traces.parquet", columns))


def test_kinds_statuses_code_and_peers(make_folder: MakeFolder) -> None:
    spans = load_spans(
        make_folder(),
        {
            "span.kind": ["SPAN_KIND_SERVER", "client", "3", "odd"],
            "status_code": ["STATUS_CODE_ERROR", "Ok", "2", None],
            "code.function.name": ["pay", None, None, None],
            "code.namespace": ["a.B", None, None, None],
            "code.line.number": [12, None, None, 7],
            "code.file.path": [None, "src/b.go", None, None],
            "db.query.text": [None, None, "SELECT 1", None],
            "server.address": ["front", "stripe", "10.0.0.7", None],
            "db.system.name": [None, None, "mysql", None],
            "service.name": ["front", "back", "back", "front"],
        },
    )
    assert spans.kind.tolist() == [2, 3, 3, 0]
    assert spans.status.tolist() == [2, 1, 2, 0]
    assert [None if c < 0 else spans.codes[c] for c in spans.code] == [
        "a.B.pay#12",
        "src/b.go",
        "SELECT 1",
        None,
    ]
    assert [None if p < 0 else spans.components[p] for p in spans.peer] == [
        None,
        "stripe",
        "10.0.0.7",
        None,
    ]


def test_a_peer_that_answered_is_no_peer(make_folder: MakeFolder) -> None:
    folder = make_folder()
    columns = {**SPANS, "kind": [3, 2, 3, 3], "peer.service": ["lb", "x", "db", "front"]}
    columns["db.system"] = [None, None, "redis", None]
    incident = load_incident(write(folder, "traces.parquet", columns))
    assert incident.spans is not None
    # The first was answered by back, the second serves, the last names itself.
    assert incident.spans.peer.tolist() == [-1, -1, 3, -1]
    assert incident.topology.components[-1] == Component("db", ComponentKind.DATASTORE)


def test_traces_as_json(make_folder: MakeFolder) -> None:
    rows: list[dict[str, object]] = [
        {"trace_id": "t1", "span_id": "a", "parent_id": None, "status": "ERROR", "error": "x"},
        {"trace_id": "same", "span_id": "b", "parent_id": "a", "http.status_code": 500},
        {"trace_id": "t2", "span_id": "a", "attributes": {"peer.service": "aws", "n": [1]}},
    ]
    common: dict[str, object] = {
        "service": "front",
        "name": "op",
        "start": "2026-06-18T14:00:00Z",
        "duration_ms": 2.5,
    }
    incident = load_incident(make_folder(traces=[common | row for row in rows]))
    assert incident.spans is not None
    assert incident.spans.trace_ids == ("t1", "t2")
    assert incident.spans.parent.tolist() == [-1, 0, -1]
    assert incident.spans.status.tolist() == [2, 0, 0]
    assert incident.spans.duration_ns.tolist() == [2_500_000] * 3
    assert incident.topology.components[-1] == Component("aws", ComponentKind.EXTERNAL)


@pytest.mark.parametrize(
    ("content", "problem"),
    [("{}", "must be a JSON array"), ("[1]", r"\[0\] must be a JSON object"), ("[", "not JSON")],
)
def test_other_json_is_refused(make_folder: MakeFolder, content: str, problem: str) -> None:
    with pytest.raises(IncidentFormatError, match=rf"traces.json: .*{problem}"):
        load_incident(make_folder(traces=content))


def test_lone_surrogates_in_json_are_replaced(make_folder: MakeFolder) -> None:
    row = {"trace_id": "t", "service": "front", "name": "a\ud800", "start": 1, "duration_ms": 1}
    spans = load_incident(make_folder(traces=json.dumps([row]))).spans
    assert spans is not None
    assert spans.operations == ("a?",)


def test_lines_collected_twice_count_once(make_folder: MakeFolder) -> None:
    second = 10**9
    logs = load_logs(
        make_folder(),
        {
            "TimeUnixNano": [2_500, 2_500, 2_500, second, second, second + 1, second + 1],
            "TraceID": ["t1", "t1", "t1", None, None, None, None],
            "SpanID": ["b", "b", "c", None, None, None, None],
            "service.name": ["back"] * 7,
            "Log": ["x"] * 7,
        },
    )
    # In span b once; in span c too; a clock of whole seconds tells nothing; a finer one does.
    assert logs.time_ns.tolist() == [2_500, 2_500, second, second, second + 1]
    assert logs.notes == ("2 log records were collected twice and were left out.",)


def test_bodies_are_unwrapped(make_folder: MakeFolder) -> None:
    inner = json.dumps({"message": "it failed", "severity": "error"})
    bodies = [
        json.dumps({"log": inner + "\n", "stream": "stdout"}),
        json.dumps({"log": "plain\n"}),
        '{"log": broken',
        json.dumps({"other": 1}),
        json.dumps({"log": "lone \ud800"}),
        "x" * 3000,
        "[WARN ] (PaymentService.java:88) no INFO Other#3",
        "ERROR pkg/pool.go:41: exhausted",
        "INFO listening on 0.0.0.0:8080",
        "INFO order Order#17 done",
    ]
    n = len(bodies)
    logs = load_logs(
        make_folder(),
        {
            "TimeUnixNano": list(range(n)),
            "TraceID": ["t1"] * n,
            "SpanID": ["b"] * (n - 1) + ["lost"],
            "service.name": ["back"] * n,
            "Log": bodies,
        },
    )
    assert logs.texts[:2] == ("it failed", "plain")
    assert logs.texts[2:5] == ('{"log": broken', '{"other": 1}', "lone ?")
    assert len(logs.texts[5]) == 2048
    assert logs.severity.tolist() == [17, 0, 0, 0, 0, 0, 13, 17, 9, 9]
    assert logs.codes == ("PaymentService.java#88", "pkg/pool.go#41")
    assert logs.code.tolist() == [-1] * 6 + [0, 1, -1, -1]
    assert logs.notes == (
        "1 log records name a span that was not received.",
        "1 log records were cut at 2048 characters.",
    )


@pytest.mark.parametrize(
    ("word", "number"),
    [("WARN", 13), ("warning", 13), ("Error2", 18), ("21", 21), ("99", 0), ("loud", 0), ("", 0)],
)
def test_severities(make_folder: MakeFolder, word: str, number: int) -> None:
    logs = load_logs(make_folder(), {"severity_text": [word, None], "Log": ["a", "b"]})
    assert logs.severity.tolist() == [number, 0]


@pytest.mark.parametrize("drop", ["service.name", "Log", "TimeUnixNano"])
def test_logs_need_component_body_and_time(make_folder: MakeFolder, drop: str) -> None:
    with pytest.raises(IncidentFormatError, match=r"logs.parquet: has no column for"):
        load_logs(make_folder(), drop=drop)


def test_namespaces_go_before_unknown_names(make_folder: MakeFolder) -> None:
    columns = {
        "service.namespace": ["shop", "shop", "shop", None],
        "service.name": ["front", "cart", "cart", "front"],
    }
    spans = load_spans(make_folder(), columns)
    assert spans.components == ("front", "shop/cart")  # front has series


def test_saved_tables_keep_what_no_row_tells(make_folder: MakeFolder, tmp_path: Path) -> None:
    incident = load_incident(write(make_folder(), "traces.parquet", SPANS))
    assert incident.spans is not None
    odd = replace(
        incident.spans,
        components=("back", "front"),
        operations=("unused", "GET /", "x"),
        notes=("told",),
    )
    changed: Incident = replace(incident, spans=odd)
    assert load_incident(save_incident(changed, tmp_path / "copy" / "outage")) == changed


def test_metadata_that_lost_names_is_refused(make_folder: MakeFolder) -> None:
    folder = make_folder()
    table = pa.table(dict(SPANS)).replace_schema_metadata(
        {"bayesrca": json.dumps({"names": {"components": ["front"]}})}
    )
    pq.write_table(table, folder / "traces.parquet")
    with pytest.raises(IncidentFormatError, match="does not list all of its components"):
        load_incident(folder)


def test_windows_must_hold_something(make_folder: MakeFolder) -> None:
    truth = {"abnormal_window": [100, 200]}
    folder = write(make_folder(None, truth=truth), "traces.parquet", SPANS)
    with pytest.raises(InvalidIncidentError, match="holds no sample of any series, span or log"):
        load_incident(folder)


def test_rows_with_columns_of_their_own_take_no_room(tmp_path: Path) -> None:
    """As many columns as rows would be a table of their product."""
    row = {"trace_id": "t", "service": "a", "name": "x", "start": "1", "duration_ms": 1}
    rows = [row | {"span_id": str(i), f"own{i}": 1} for i in range(3000)]
    (tmp_path / "traces.json").write_text(json.dumps(rows))
    tracemalloc.start()
    try:
        spans = load_incident(tmp_path).spans
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert spans is not None
    assert len(spans) == 3000
    assert peak < 30 << 20
