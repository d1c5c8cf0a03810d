"""Which normal recordings of the incident folders beside one it is compared with."""

import json
from pathlib import Path

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest

from bayesrca.errors import IncidentFormatError
from bayesrca.incident import Incident, TimeWindow
from bayesrca.ingest import load_incident, share_normal

HOUR = 3600.0


def spans(second: float, operation: str) -> pa.Table:
    start = int(second * 1e9)
    return pa.table(
        {
            "TraceID": ["t"],
            "SpanID": ["a"],
            "ParentID": [""],
            "service.name": ["front"],
            "OperationName": [operation],
            "StartTimeUnixNano": [start],
            "EndTimeUnixNano": [start + 1_000_000],
        }
    )


def make(folder: Path, hour: float, *, normal: float | None = None, says: str = "") -> Path:
    """Write an incident that began at an hour, with a normal recording of another."""
    folder.mkdir()
    start = hour * HOUR
    pq.write_table(spans(start + 10.0, "GET /"), folder / "traces.parquet")
    window = {"abnormal_window": [start, start + 60.0]}
    (folder / "truth.json").write_text(json.dumps(window), encoding="utf-8")
    if normal is not None:
        table = spans(normal * HOUR, says or f"normal {folder.name}")
        pq.write_table(table, folder / "traces_normal.parquet")
    return folder


def names(folder: Path) -> list[str]:
    return [run.name for run in shared(folder).normal_runs]


def shared(folder: Path) -> Incident:
    return share_normal(load_incident(folder), folder)


def test_the_nearest_that_differ_are_taken(tmp_path: Path) -> None:
    mine = make(tmp_path / "m", 10.0)
    for name, hour in (("a", 30.0), ("b", 9.0), ("c", 12.0), ("d", 2.0), ("e", 11.0), ("f", 50.0)):
        make(tmp_path / name, hour, normal=hour - 0.5)
    make(tmp_path / "g", 10.2, normal=8.5, says="normal b")  # the same bytes as b's, and nearer
    incident = shared(mine)
    assert [run.name for run in incident.normal_runs] == [
        f"{name}/normal" for name in ("g", "e", "c", "d")
    ]
    assert "folders were used: g/normal, e/normal, c/normal, d/normal." in incident.notes[-1]
    assert all(run.spans is not None and not run.signals for run in incident.normal_runs)


def test_its_own_counts_once(tmp_path: Path) -> None:
    mine = make(tmp_path / "m", 10.0, normal=9.0, says="all is well")
    make(tmp_path / "a", 12.0, normal=9.0, says="all is well")
    make(tmp_path / "b", 13.0, normal=9.0, says="all is well too")
    assert names(mine) == ["normal", "b/normal"]


def test_a_recording_of_the_incident_s_own_time_is_left_out(tmp_path: Path) -> None:
    mine = make(tmp_path / "m", 10.0)
    make(tmp_path / "a", 12.0, normal=10.01)
    assert names(mine) == []
    assert shared(mine).notes == ()


def test_no_incident_telemetry_of_another_folder_is_used(tmp_path: Path) -> None:
    mine = make(tmp_path / "m", 10.0)
    make(tmp_path / "a", 12.0)
    make(tmp_path / "_hidden", 10.0, normal=9.0)
    make(tmp_path / ".hidden", 10.0, normal=9.0)
    (tmp_path / "note.txt").write_text("no folder")
    assert shared(mine) == load_incident(mine)


def test_the_folder_of_normal_runs_comes_too(tmp_path: Path) -> None:
    mine = make(tmp_path / "m", 10.0)
    make(tmp_path / "a", 12.0, normal=9.0)
    (tmp_path / "_normal" / "monday").mkdir(parents=True)
    pq.write_table(spans(1.0, "GET /"), tmp_path / "_normal" / "monday" / "traces.parquet")
    assert names(mine) == ["monday", "a/normal"]


def test_without_a_window_they_come_by_name(tmp_path: Path) -> None:
    mine = make(tmp_path / "m", 10.0)
    (mine / "truth.json").unlink()
    for name, hour in (("c", 10.0), ("a", 90.0), ("b", 11.0)):
        make(tmp_path / name, hour, normal=hour - 0.5)
    (tmp_path / "b" / "truth.json").unlink()
    assert load_incident(mine).window is None
    assert names(mine) == ["a/normal", "b/normal", "c/normal"]


def test_one_that_cannot_be_read_is_named_and_left_out(tmp_path: Path) -> None:
    mine = make(tmp_path / "m", 10.0)
    broken = make(tmp_path / "a", 10.5, normal=9.0) / "traces_normal.parquet"
    broken.write_bytes(b"PAR1")
    (make(tmp_path / "b", 11.0, normal=9.0) / "truth.json").write_text("{")
    make(tmp_path / "c", 12.0, normal=9.0)
    incident = shared(mine)
    assert [run.name for run in incident.normal_runs] == ["c/normal"]
    first, second, _ = incident.notes
    assert "left out" in first
    assert str(broken) in first
    assert "truth.json" in second


def test_bad_normal_runs_are_an_error(tmp_path: Path) -> None:
    mine = make(tmp_path / "m", 10.0)
    (tmp_path / "_normal" / "monday").mkdir(parents=True)
    with pytest.raises(IncidentFormatError, match="monday: has neither"):
        shared(mine)


def test_a_relative_path_is_no_other_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "m", 10.0, normal=9.0)
    monkeypatch.chdir(tmp_path / "m")
    assert names(Path()) == ["normal"]
    assert load_incident(Path()).window == TimeWindow(36_000.0, 36_060.0)


def test_what_changes_on_disk_is_read_anew(tmp_path: Path) -> None:
    mine = make(tmp_path / "m", 10.0)
    make(tmp_path / "a", 12.0, normal=9.0)
    assert names(mine) == ["a/normal"]
    (tmp_path / "a" / "traces_normal.parquet").unlink()
    make(tmp_path / "b", 12.0, normal=9.0)
    assert names(mine) == ["b/normal"]


def test_an_empty_file_is_no_recording_and_a_folder_that_cannot_be_read_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = make(tmp_path / "m", 10.0)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "logs_normal.parquet").touch()
    assert names(mine) == []
    incident = load_incident(mine)

    def denied(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied", "elsewhere")

    (tmp_path / "a" / "logs_normal.parquet").write_bytes(b"x")
    monkeypatch.setattr(Path, "read_bytes", denied)
    with pytest.raises(IncidentFormatError, match=r"elsewhere: cannot be read .Permission denied"):
        share_normal(incident, mine)
