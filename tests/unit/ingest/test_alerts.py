"""alerts.json, and the lists of alerts in events.json."""

import json
from pathlib import Path

import pytest

from bayesrca.errors import IncidentFormatError, NotSupportedError
from bayesrca.incident import Alert, AlertKind
from bayesrca.ingest import load_incident


def folder(tmp_path: Path, **files: object) -> Path:
    graph = {"nodes": ["a", "b"], "edges": [["a", "b"], ["b", "a"]]}
    for name, content in {"graph": graph, **files}.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    return tmp_path


def test_lists_of_an_events_file_are_alerts(tmp_path: Path) -> None:
    events = {
        "metrics": [["a", "cpu", "up"], ["gone", "cpu", "up"]],
        "traces": [["a", "b", "GET", "500"], ["-1", "a", "GET", "slow"]],
        "logs": [["b", "template 7"]],
    }
    incident = load_incident(folder(tmp_path, events=events))
    assert incident.alerts == (
        Alert("a", "cpu", AlertKind.METRIC, "up"),
        Alert("b", "GET", AlertKind.CALL, "500", "a"),
        Alert("a", "GET", AlertKind.CALL, "slow"),
        Alert("b", "template 7", AlertKind.LOG),
    )
    assert incident.notes == ("1 alerts were left out, as they name no component of the incident.",)
    assert incident.events == ()


def test_the_own_form_is_read_beside_events(tmp_path: Path) -> None:
    alerts = [{"component": "a", "name": "cpu", "time": 3}]
    events = [{"time": 1, "kind": "deploy", "component": "b"}]
    incident = load_incident(folder(tmp_path, alerts=alerts, events=events))
    assert incident.alerts == (Alert("a", "cpu", time=3.0),)
    assert [e.kind for e in incident.events] == ["deploy"]


def test_none_fired_differs_from_nobody_told(tmp_path: Path) -> None:
    with pytest.raises(NotSupportedError, match="nor alerts"):
        load_incident(folder(tmp_path))
    assert load_incident(folder(tmp_path, alerts=[])).alerts == ()


@pytest.mark.parametrize(
    ("entry", "what"),
    [
        ({"component": "a"}, r"\[0\].name"),
        ({"component": "a", "name": "x", "kind": "smoke"}, r"\[0\].kind must be one of metric"),
        ({"component": "a", "name": "x", "time": "now"}, r"\[0\].time must be in seconds"),
        ({"component": "a", "name": "x", "colour": 1}, "colour"),
        ("a", r"\[0\]"),
    ],
)
def test_a_wrong_entry_is_named(tmp_path: Path, entry: object, what: str) -> None:
    with pytest.raises(IncidentFormatError, match=what):
        load_incident(folder(tmp_path, alerts=[entry]))
