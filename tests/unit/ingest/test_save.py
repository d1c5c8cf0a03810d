import json
import os
from pathlib import Path

import numpy as np
import pytest

from bayesrca.errors import IncidentFormatError
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
from bayesrca.ingest import load_incident, save_incident


def series(component: str, time: list[float], values: list[float]) -> Signal:
    parts = (np.array(time), np.array(values))
    return Signal(component, "m", Family.GENERIC, Statistic.VALUE, *parts, unit="apples")


TOPOLOGY = Topology((Component("a"), Component("b")), (Edge("a", "b"),))
INCIDENT = Incident(
    "outage",
    TOPOLOGY,
    (series("a", [1.0, 2.0], [0.1, np.nan]), series("b", [1.0, 2.0], [np.nan, np.nan])),
    (Event(1.5, "deploy", "a", "v2"),),
    TimeWindow(0.0, 1.0),
    TimeWindow(1.5, 2.0),
    Target("a", "m"),
)


def test_reads_back_equal(tmp_path: Path) -> None:
    path = save_incident(INCIDENT, tmp_path / "deep" / "outage")
    assert path == tmp_path / "deep" / "outage"
    assert load_incident(path) == INCIDENT
    names = sorted(file.name for file in path.iterdir())
    assert names == ["events.json", "graph.json", "metrics.parquet", "signals.json", "truth.json"]


def test_a_name_unlike_the_folders_is_kept(tmp_path: Path) -> None:
    assert load_incident(save_incident(INCIDENT, tmp_path / "other")) == INCIDENT
    assert load_incident(save_incident(INCIDENT, str(tmp_path / "outage"))) == INCIDENT
    assert "name" not in json.loads((tmp_path / "outage" / "truth.json").read_text())


def test_call_graphs_are_stored_callee_first(tmp_path: Path) -> None:
    graph = json.loads((save_incident(INCIDENT, tmp_path / "x") / "graph.json").read_text())
    assert graph["edges"] == [["b", "a"]]
    assert graph["direction"].startswith("[callee, caller]")
    assert set(graph) == {"nodes", "edges", "direction"}


def test_mixed_edges_keep_kind_and_order(tmp_path: Path) -> None:
    edges = (Edge("a", "b", EdgeKind.HOSTS), Edge("b", "a"), Edge("a", "b", EdgeKind.CAUSES))
    incident = Incident("x", Topology(TOPOLOGY.components, edges), INCIDENT.signals)
    assert load_incident(save_incident(incident, tmp_path / "x")) == incident


def test_different_time_axes_meet_on_their_union(tmp_path: Path) -> None:
    signals = (series("a", [1.0, 3.0], [1.0, 3.0]), series("b", [2.0, 3.0], [2.0, 3.5]))
    loaded = load_incident(save_incident(Incident("x", TOPOLOGY, signals), tmp_path / "x"))
    assert loaded.signals == (
        series("a", [1.0, 2.0, 3.0], [1.0, np.nan, 3.0]),
        series("b", [1.0, 2.0, 3.0], [np.nan, 2.0, 3.5]),
    )


def test_a_bar_in_a_component_is_refused(tmp_path: Path) -> None:
    topology = Topology((Component("a|b"), Component("a")))
    incident = Incident("x", topology, (series("a", [1.0], [1.0]),))
    with pytest.raises(IncidentFormatError, match=r"component 'a\|b' contains '\|'") as caught:
        save_incident(incident, tmp_path / "x")
    assert caught.value.field == "topology.components[0].name"
    assert list(tmp_path.iterdir()) == []


def test_a_series_on_an_edge_is_refused(tmp_path: Path) -> None:
    on_edge = Signal(
        None, "m", Family.LOAD, Statistic.RATE, np.ones(1), np.ones(1), edge=Edge("a", "b")
    )
    with pytest.raises(IncidentFormatError, match="belongs to an edge"):
        save_incident(Incident("x", TOPOLOGY, (on_edge,)), tmp_path / "x")


def test_an_empty_folder_is_filled_and_a_full_one_refused(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.mkdir()
    save_incident(INCIDENT, path)
    before = {file: file.read_bytes() for file in path.iterdir()}
    with pytest.raises(IncidentFormatError, match="not an empty folder"):
        save_incident(INCIDENT, path)
    assert {file: file.read_bytes() for file in path.iterdir()} == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("mine")
    with pytest.raises(IncidentFormatError, match="not an empty folder"):
        save_incident(INCIDENT, tmp_path / "x")
    with pytest.raises(IncidentFormatError, match="cannot be written"):
        save_incident(INCIDENT, tmp_path / "x" / "below")
    with pytest.raises(IncidentFormatError, match="not a path"):
        save_incident(INCIDENT, "a\0b")
    assert (tmp_path / "x").read_text() == "mine"


def test_damaged_values_are_noticed(tmp_path: Path) -> None:
    time = np.arange(1000.0)
    noise = np.random.default_rng(1).normal(size=1000)
    signal = Signal("a", "m", Family.GENERIC, Statistic.VALUE, time, noise)
    path = save_incident(Incident("x", TOPOLOGY, (signal,)), tmp_path / "x")
    file = path / "metrics.parquet"
    content = bytearray(file.read_bytes())
    content[len(content) * 3 // 4] ^= 1
    file.write_bytes(content)
    with pytest.raises(IncidentFormatError, match=r"metrics.parquet.*write it anew"):
        load_incident(path)


def test_a_failure_half_way_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(*_: object, **__: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("bayesrca.ingest.save._write_json", no_space)
    with pytest.raises(IncidentFormatError, match="cannot be written"):
        save_incident(INCIDENT, tmp_path / "x")
    assert list(tmp_path.iterdir()) == []
