from pathlib import Path

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest

from bayesrca.errors import IncidentFormatError
from bayesrca.incident import Family
from bayesrca.ingest import FamilyRules, Rule, load_normal_runs


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    folder = tmp_path / "_normal"
    for name, values in (("b", [1.0, 0.0]), ("a", [1.0, 1.0])):
        (folder / name).mkdir(parents=True)
        table = pa.table({"time": [0.0, 1.0], "pump|ok": values, "pump|cpu_pct": [1.0, None]})
        pq.write_table(table, folder / name / "metrics.parquet")
    (folder / "codes.json").write_text("{}")
    (folder / ".hidden").mkdir()
    return folder


def test_one_run_per_folder_in_the_order_of_names(runs: Path) -> None:
    a, b = load_normal_runs(runs)
    assert (a.name, b.name) == ("a", "b")
    assert [(s.component, s.name, s.family) for s in a.signals] == [
        ("pump", "ok", Family.GENERIC),
        ("pump", "cpu_pct", Family.CPU),
    ]
    assert b.signals[0].values.tolist() == [1.0, 0.0]


def test_family_rules_hold_for_runs(runs: Path) -> None:
    rules = FamilyRules((Rule("_ok_", Family.STATE),))
    assert {r.signals[0].family for r in load_normal_runs(runs, families=rules)} == {Family.STATE}


def test_a_bad_folder_is_named_with_a_remedy(runs: Path, tmp_path: Path) -> None:
    with pytest.raises(IncidentFormatError, match=r"nowhere: does not exist; give the folder"):
        load_normal_runs(tmp_path / "nowhere")
    with pytest.raises(IncidentFormatError, match=r"codes.json: is not a folder; give"):
        load_normal_runs(runs / "codes.json")
    with pytest.raises(IncidentFormatError, match=r"a: holds no normal run; give one folder per"):
        load_normal_runs(runs / "a")
    (runs / "b" / "metrics.parquet").write_bytes(b"PAR1")
    with pytest.raises(IncidentFormatError, match=r"b/metrics.parquet: is not a readable parquet"):
        load_normal_runs(runs)
    (runs / "b" / "metrics.parquet").unlink()
    with pytest.raises(IncidentFormatError, match=r"b: has neither metrics.parquet, .*add one or"):
        load_normal_runs(runs)


def test_a_run_of_spans_and_logs_needs_no_series(runs: Path) -> None:
    spans = {
        "TraceID": ["t", "t"],
        "SpanID": ["a", "b"],
        "ParentID": ["", "a"],
        "service.name": ["front", "web-7"],
        "OperationName": ["GET /", "rpc"],
        "StartTimeUnixNano": [1_000, 2_000],
        "EndTimeUnixNano": [8_000, 7_000],
    }
    logs = {"TimeUnixNano": [2_500], "TraceID": ["t"], "SpanID": ["b"], "service.name": ["web-7"],
            "Log": ["done"]}  # fmt: skip
    (runs / "c").mkdir()
    pq.write_table(pa.table(spans), runs / "c" / "traces.parquet")
    pq.write_table(pa.table(logs), runs / "c" / "logs.parquet")
    pq.write_table(pa.table(logs), runs / "a" / "logs.parquet")
    a, _, c = load_normal_runs(runs)
    assert a.logs is not None
    assert (a.spans, len(a.signals), a.logs.components) == (None, 2, ("web-7",))
    assert c.spans is not None
    assert c.logs is not None
    assert (c.signals, c.spans.components, c.logs.span.tolist()) == ((), ("front", "web-7"), [1])
    (runs / "c" / "graph.json").write_text('{"nodes": ["web"], "aliases": {"web-7": "web"}}')
    c = load_normal_runs(runs)[2]
    assert c.spans is not None
    assert c.spans.components == ("front", "web")  # by the run's own aliases
