import errno
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pytest

from bayesrca.errors import IncidentFormatError, InvalidIncidentError, NotSupportedError
from bayesrca.incident import (
    Component,
    ComponentKind,
    Edge,
    EdgeKind,
    Family,
    Statistic,
    Target,
    TimeWindow,
)
from bayesrca.ingest import FamilyRules, Rule, load_incident

MakeFolder = Callable[..., Path]
TIME = [0.0, 60.0, 120.0, 180.0]
CALLS = {"nodes": ["back", "front", "unseen"], "edges": [["back", "front"]]}


def test_metrics_alone_are_an_incident(make_folder: MakeFolder) -> None:
    incident = load_incident(make_folder())
    assert incident.name == "outage"
    assert incident.topology.names == ("front", "back")
    assert incident.topology.edges == ()
    assert (incident.baseline, incident.window, incident.target) == (None, None, None)
    latency, success, _ = incident.signals
    assert (latency.component, latency.name) == ("front", "latency_avg")
    assert (latency.family, latency.statistic) == (Family.LATENCY, Statistic.MEAN)
    assert latency.timestamps.tolist() == TIME
    assert np.isnan(latency.values).tolist() == [False, False, True, False]
    assert (success.family, success.unit) == (Family.ERRORS, "1")


def test_series_share_their_time_axis(make_folder: MakeFolder) -> None:
    incident = load_incident(make_folder())
    assert len({id(signal.timestamps) for signal in incident.signals}) == 1


def test_only_the_first_bar_separates(make_folder: MakeFolder) -> None:
    columns = {"time": [1, 2], "a/b::C;d e|x|y": [1, 2]}
    (signal,) = load_incident(make_folder(columns)).signals
    assert (signal.component, signal.name) == ("a/b::C;d e", "x|y")


@pytest.mark.parametrize(
    "values",
    [
        pa.nulls(4),
        pa.array([None] * 4, pa.float64()),
        pa.array([float("nan")] * 4),
        pa.array([None] * 4, pa.int32()),
    ],
)
def test_a_column_without_any_sample_is_legal(make_folder: MakeFolder, values: pa.Array) -> None:
    incident = load_incident(make_folder({"time": TIME, "a|m": values}))
    assert np.isnan(incident.signals[0].values).all()


@pytest.mark.parametrize(
    "values",
    [
        pa.array([0, 1, None, 1], pa.int8()),
        pa.array([0, 1, None, 1], pa.uint64()),
        pa.array([False, True, None, True]),
        pa.array([0.0, 1.0, None, 1.0], pa.float32()),
        pa.array([0.0, 1.0, float("nan"), 1.0]),
    ],
)
def test_any_plain_number_will_do(make_folder: MakeFolder, values: pa.Array) -> None:
    incident = load_incident(make_folder({"time": TIME, "a|m": values}))
    expected = [0.0, 1.0, np.nan, 1.0]
    assert np.array_equal(incident.signals[0].values, expected, equal_nan=True)


@pytest.mark.parametrize(
    ("problem", "columns"),
    [
        ("has no 'time' column", {"a|m": [1.0]}),
        ("has no series", {"time": [1.0]}),
        ("column 'latency' is not named", {"time": [1.0], "latency": [1.0]}),
        (r"column '\|m' is not named", {"time": [1.0], "|m": [1.0]}),
        (r"column 'a\|' is not named", {"time": [1.0], "a|": [1.0]}),
        ("has no row", {"time": pa.array([], pa.float64()), "a|m": pa.array([], pa.float64())}),
        (r"column 'a\|m' holds string values", {"time": [1.0], "a|m": ["fast"]}),
        (r"column 'a\|m' holds list", {"time": [1.0], "a|m": [[1.0]]}),
        ("column 'time' holds timestamp.* write seconds", {
            "time": pa.array([0], pa.timestamp("ns")), "a|m": [1.0]}),
        ("row 1 has no finite time", {"time": [1.0, None], "a|m": [1.0, 1.0]}),
        ("row 0 has no finite time", {"time": [float("inf"), 1.0], "a|m": [1.0, 1.0]}),
        (r"time of row 2 \(1.0\) is earlier", {"time": [1.0, 2.0, 1.0], "a|m": [1.0] * 3}),
        (r"time of row 1 \(1.0\) repeats", {"time": [1.0, 1.0], "a|m": [1.0] * 2}),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_table_is_named(
    make_folder: MakeFolder, problem: str, columns: dict[str, object]
) -> None:
    with pytest.raises(IncidentFormatError, match=rf"metrics.parquet.*{problem}"):
        load_incident(make_folder(columns))


@pytest.mark.parametrize("name", ["a|m", "time"])
def test_repeated_columns_are_named(make_folder: MakeFolder, name: str) -> None:
    columns = [pa.array([1.0])] * 3
    table = pa.Table.from_arrays(columns, names=["time", "a|m", name])
    with pytest.raises(IncidentFormatError, match="twice"):
        load_incident(make_folder(table))


def test_an_infinite_value_names_series_and_file(make_folder: MakeFolder) -> None:
    columns = {"time": [1.0, 2.0], "a|m": [1.0, float("-inf")]}
    with pytest.raises(
        InvalidIncidentError, match=r"metrics.parquet.*'a\|m' is infinite at index 1"
    ):
        load_incident(make_folder(columns))


def test_a_parquet_cut_anywhere_is_a_clear_error(make_folder: MakeFolder) -> None:
    file = make_folder() / "metrics.parquet"
    whole = file.read_bytes()
    for length in range(0, len(whole), 7):
        file.write_bytes(whole[:length])
        with pytest.raises(IncidentFormatError, match=r"metrics.parquet.*write it anew"):
            load_incident(file.parent)


def test_a_parquet_with_a_broken_byte_never_shows_a_foreign_error(make_folder: MakeFolder) -> None:
    file = make_folder() / "metrics.parquet"
    whole = file.read_bytes()
    for position in range(0, len(whole), 11):
        broken = bytearray(whole)
        broken[position] ^= 0xFF
        file.write_bytes(broken)
        try:
            load_incident(file.parent)
        except (IncidentFormatError, InvalidIncidentError) as error:
            assert "metrics.parquet" in str(error)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(IncidentFormatError, match=r"nowhere: does not exist; give the folder"):
        load_incident(tmp_path / "nowhere")
    with pytest.raises(IncidentFormatError, match="not a path"):
        load_incident("a\0b")


def test_a_file_is_not_a_folder(make_folder: MakeFolder) -> None:
    with pytest.raises(IncidentFormatError, match="is not a folder"):
        load_incident(make_folder() / "metrics.parquet")


def test_metrics_that_are_a_folder_are_refused(make_folder: MakeFolder) -> None:
    folder = make_folder(None)
    (folder / "metrics.parquet").mkdir()
    with pytest.raises(IncidentFormatError, match=r"metrics.parquet"):
        load_incident(folder)


def test_folders_without_metrics_say_what_they_hold(make_folder: MakeFolder) -> None:
    folder = make_folder(None, truth={}, trajectory=[])
    with pytest.raises(NotSupportedError, match=r"not supported yet.*trajectory.json, truth.json"):
        load_incident(folder)


def test_an_empty_folder_holds_nothing(tmp_path: Path) -> None:
    with pytest.raises(NotSupportedError, match="holds nothing"):
        load_incident(tmp_path)


def test_call_graphs_are_reversed_into_calls(make_folder: MakeFolder) -> None:
    topology = load_incident(make_folder(graph=CALLS)).topology
    assert topology.names == ("back", "front", "unseen")
    assert topology.edges == (Edge("front", "back"),)
    back, front = topology.index("back"), topology.index("front")
    assert topology.propagation_edges(Family.LATENCY).tolist() == [[back, front]]


@pytest.mark.parametrize(
    ("direction", "kind"),
    [
        (None, EdgeKind.CALLS),
        ("[callee, caller], mined from spans", EdgeKind.CALLS),
        ("[callee or cause, caller or effect]", EdgeKind.CALLS),
        ("written because an expert said so", EdgeKind.CALLS),
        ("[cause, effect], expert-derived", EdgeKind.CAUSES),
        ("Causes come first", EdgeKind.CAUSES),
    ],
)
def test_the_direction_text_says_what_edges_are(
    make_folder: MakeFolder, direction: str | None, kind: EdgeKind
) -> None:
    topology = load_incident(make_folder(graph={**CALLS, "direction": direction})).topology
    assert topology.edges[0].kind is kind
    if kind is EdgeKind.CAUSES:
        assert (topology.edges[0].source, topology.edges[0].target) == ("back", "front")


@pytest.mark.parametrize("direction", ["[caller, callee]", "caller -> callee", "(effect, cause)"])
def test_edges_declared_the_other_way_round_are_refused(
    make_folder: MakeFolder, direction: str
) -> None:
    with pytest.raises(IncidentFormatError, match=r"graph.json.*swap each pair"):
        load_incident(make_folder(graph={**CALLS, "direction": direction}))


def test_node_info_states_kinds_in_any_case(make_folder: MakeFolder) -> None:
    graph = {
        "nodes": ["back", "front", "bell"],
        "components": [{"name": "front", "kind": "host"}],
        "node_info": [
            ["bell", "Alarm", "bool", {"more": 1}],
            ["front", "alarm"],
            ["back", "Variable", "bool"],
            ["unheard-of", "host"],
        ],
    }
    components = load_incident(make_folder(graph=graph)).topology.components
    assert [(c.name, c.kind) for c in components] == [
        ("front", ComponentKind.HOST),
        ("back", ComponentKind.SERVICE),
        ("bell", ComponentKind.ALARM),
    ]


def test_components_outside_the_graph_are_declared_behind_it(make_folder: MakeFolder) -> None:
    incident = load_incident(make_folder(graph={"nodes": ["back"], "edges": [["back", "front"]]}))
    assert incident.topology.names == ("back", "front")


def test_kinds_parents_and_typed_edges(make_folder: MakeFolder) -> None:
    graph = {
        "components": [
            {"name": "box", "kind": "host"},
            {"name": "front", "kind": "endpoint", "parent": "box"},
        ],
        "nodes": ["front", "back"],
        "edges": [["back", "front"], ["back", "front"]],
        "typed_edges": [{"source": "box", "target": "front", "kind": "hosts"}],
    }
    topology = load_incident(make_folder(graph=graph)).topology
    assert topology.components == (
        Component("box", ComponentKind.HOST),
        Component("front", ComponentKind.ENDPOINT, "box"),
        Component("back"),
    )
    calls = Edge("front", "back")
    assert topology.edges == (calls, calls, Edge("box", "front", EdgeKind.HOSTS))


@pytest.mark.parametrize(
    ("graph", "problem"),
    [
        ([], "must be a JSON object"),
        ({"nodes": "front"}, "nodes must be a JSON array"),
        ({"nodes": [1]}, r"nodes\[0\] must be text"),
        ({"edges": {}}, "edges must be a JSON array"),
        ({"edges": [["back"]]}, r"edges\[0\] must be an array of two"),
        ({"edges": [["back", 3]]}, r"edges\[0\] must be an array of two"),
        ({"direction": 3}, "direction must be text"),
        ({"components": ["front"]}, r"components\[0\] must be a JSON object"),
        ({"node_info": [["front"]]}, r"its kind must come first in node_info\[0\]"),
        ({"node_info": ["front alarm"]}, r"first in node_info\[0\], got 'front alarm'"),
        ({"components": [{"kind": "host"}]}, r"components\[0\].name must be text"),
        ({"components": [{"name": "x", "size": 3}]}, r"components\[0\] has unknown key 'size'"),
        ({"typed_edges": [["a", "b"]]}, r"typed_edges\[0\] must be a JSON object"),
        ({"typed_edges": [{"source": "front", "target": "back"}]}, "kind must be text"),
        ({"typed_edges": [{"source": "front"}]}, "target must be text"),
        ("{", "is not JSON"),
        ("[" * 100_000, "is nested too deeply|is not JSON"),
    ],
)
def test_what_is_wrong_with_a_graph_is_named(
    make_folder: MakeFolder, graph: object, problem: str
) -> None:
    with pytest.raises(IncidentFormatError, match=rf"graph.json.*({problem})"):
        load_incident(make_folder(graph=graph))


@pytest.mark.parametrize(
    ("graph", "problem", "field"),
    [
        ({"edges": [["ghost", "front"]]}, "names 'ghost'", "topology.edges[0].target"),
        ({"edges": [["front", "front"]]}, "joins 'front' to itself", "topology.edges[0].target"),
        ({"components": [{"name": "x"}, {"name": "x"}]}, "'x' is declared twice", None),
        ({"components": [{"name": "x", "parent": "y"}]}, "names parent 'y'", None),
        ({"components": [{"name": "x", "kind": "elf"}]}, "must be one of region", None),
        ({"nodes": [""]}, "is empty", None),
    ],
)
def test_contradictions_in_a_graph_are_named(
    make_folder: MakeFolder, graph: object, problem: str, field: str | None
) -> None:
    with pytest.raises(InvalidIncidentError, match=rf"graph.json.*{problem}") as caught:
        load_incident(make_folder(graph=graph))
    assert field in (None, caught.value.field)


def test_a_file_that_is_not_utf8_is_named(make_folder: MakeFolder) -> None:
    folder = make_folder()
    (folder / "graph.json").write_bytes(b'{"nodes": ["\xff"]}')
    with pytest.raises(IncidentFormatError, match=r"graph.json: is not JSON"):
        load_incident(folder)


def test_an_unreadable_file_is_named(
    make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    folder = make_folder(graph=CALLS)
    # Replaced rather than made unreadable: the superuser may read everything.
    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(IncidentFormatError, match=r"truth.json: cannot be read"):
        load_incident(folder)


SETTING = {
    "normal_window": [0, 60],
    "abnormal_window": [120.0, 180.0],
    "target": {"component": "front", "metric": "latency_avg"},
}


def test_periods_and_target_come_from_the_truth_file(make_folder: MakeFolder) -> None:
    incident = load_incident(make_folder(truth=SETTING))
    assert incident.baseline == TimeWindow(0.0, 60.0)
    assert incident.window == TimeWindow(120.0, 180.0)
    assert incident.target == Target("front", "latency_avg")


def test_arguments_override_the_truth_file(make_folder: MakeFolder) -> None:
    baseline, window, target = TimeWindow(0, 50), TimeWindow(60, 180), Target("back")
    incident = load_incident(
        make_folder(truth=SETTING), baseline=baseline, window=window, target=target
    )
    assert (incident.baseline, incident.window, incident.target) == (baseline, window, target)


@pytest.mark.parametrize(
    ("changes", "error", "problem"),
    [
        ({"normal_window": [0]}, IncidentFormatError, r"normal_window must be \[start, end\]"),
        ({"normal_window": "now"}, IncidentFormatError, r"normal_window must be \[start, end\]"),
        ({"normal_window": [False, True]}, IncidentFormatError, "normal_window must be"),
        ({"abnormal_window": [5, 5]}, InvalidIncidentError, r"window \[5.0, 5.0\] is empty"),
        ({"target": "front"}, IncidentFormatError, "target must be a JSON object"),
        ({"target": {"metric": "x"}}, IncidentFormatError, "target.component must be text"),
        ({"target": {"component": "front", "metric": 1}}, IncidentFormatError, "target.metric"),
        ({"name": 7}, IncidentFormatError, "name must be text"),
    ],
)
def test_what_is_wrong_with_a_setting_is_named(
    make_folder: MakeFolder, changes: dict[str, object], error: type[Exception], problem: str
) -> None:
    with pytest.raises(error, match=rf"truth.json: .*{problem}"):
        load_incident(make_folder(truth={**SETTING, **changes}))


def test_a_period_without_samples_names_the_folder(make_folder: MakeFolder) -> None:
    with pytest.raises(InvalidIncidentError, match=r"outage: window \[500.0, 600.0\] holds no"):
        load_incident(make_folder(truth={**SETTING, "abnormal_window": [500, 600]}))


def test_a_target_outside_the_incident_is_named(make_folder: MakeFolder) -> None:
    with pytest.raises(InvalidIncidentError, match="the target 'ghost' is not a declared"):
        load_incident(make_folder(truth={"target": {"component": "ghost"}}))


def test_signals_file_states_what_names_do_not(make_folder: MakeFolder) -> None:
    stated = {"front|latency_avg": {"family": "load", "statistic": "rate", "unit": "kW"}}
    front, _, back = load_incident(make_folder(signals=stated)).signals
    assert (front.family, front.statistic, front.unit) == (Family.LOAD, Statistic.RATE, "kW")
    assert back.family is Family.LATENCY


def test_the_callers_rules_go_before_the_signals_file(make_folder: MakeFolder) -> None:
    stated = {"front|latency_avg": {"family": "load"}}
    rules = FamilyRules((Rule("^latency", Family.CPU),))
    front, success, back = load_incident(make_folder(signals=stated), families=rules).signals
    assert (front.family, back.family, success.family) == (Family.CPU, Family.CPU, Family.ERRORS)


@pytest.mark.parametrize(
    ("stated", "problem"),
    [
        ({"ghost|m": {}}, r"'ghost\|m' is not a column"),
        ({"back|latency_avg": "latency"}, "must be a JSON object"),
        ({"back|latency_avg": {"units": "s"}}, "unknown key 'units'"),
        ({"back|latency_avg": {"unit": 1}}, "unit of .* must be text"),
        ({"back|latency_avg": {"family": "speed"}}, "family of .* must be one of latency"),
    ],
)
def test_what_is_wrong_with_a_signals_file_is_named(
    make_folder: MakeFolder, stated: object, problem: str
) -> None:
    with pytest.raises(IncidentFormatError, match=rf"signals.json: .*{problem}"):
        load_incident(make_folder(signals=stated))


def test_the_scale_of_a_ratio_is_that_of_all_its_series(make_folder: MakeFolder) -> None:
    columns = {"time": [1, 2], "a|availability": [0.0, 0.0], "b|availability": [100.0, None]}
    incident = load_incident(make_folder(columns))
    assert [signal.unit for signal in incident.signals] == ["%", "%"]
