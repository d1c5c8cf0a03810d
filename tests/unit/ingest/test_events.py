import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from bayesrca.errors import IncidentFormatError, InvalidIncidentError
from bayesrca.incident import Event
from bayesrca.ingest import load_incident

MakeFolder = Callable[..., Path]


def test_own_events(make_folder: MakeFolder) -> None:
    events = [
        {"time": 60, "kind": "deploy", "component": "front", "text": "v2", "id": "c0ffee"},
        {"time": 0.5, "kind": "alert"},
    ]
    incident = load_incident(make_folder(events=events))
    assert incident.events == (Event(60.0, "deploy", "front", "v2", "c0ffee"), Event(0.5, "alert"))


@pytest.mark.parametrize(
    ("events", "error", "problem"),
    [
        (["deploy"], IncidentFormatError, r"\[0\] must be a JSON object"),
        ([{"kind": "x"}], IncidentFormatError, r"\[0\].time must be in seconds"),
        ([{"time": 1}], IncidentFormatError, r"\[0\].kind must be text"),
        ([{"time": 1, "kind": "x", "who": "y"}], IncidentFormatError, "unknown key 'who'"),
        ([{"time": 1, "kind": "x", "component": 3}], IncidentFormatError, "component must be text"),
        ([{"time": 1, "kind": "x", "id": 7}], IncidentFormatError, r"\[0\].id must be text"),
        ([{"time": 1, "kind": "x", "id": ""}], InvalidIncidentError, "event's id is empty"),
        ([{"time": 1, "kind": ""}], InvalidIncidentError, "kind is empty"),
        ("3", IncidentFormatError, "must be a JSON object"),
    ],
)
def test_what_is_wrong_with_own_events_is_named(
    make_folder: MakeFolder, events: object, error: type[Exception], problem: str
) -> None:
    with pytest.raises(error, match=rf"events.json: .*{problem}"):
        load_incident(make_folder(events=events))


def test_own_events_must_name_declared_components(make_folder: MakeFolder) -> None:
    events = [{"time": 1, "kind": "deploy", "component": "ghost"}]
    with pytest.raises(InvalidIncidentError, match="'ghost', which is not a declared component"):
        load_incident(make_folder(events=events))


def test_change_logs_are_read_by_section(make_folder: MakeFolder) -> None:
    log = {
        "deploys": [
            {
                "timestamp": "1970-01-01T00:01:00Z",
                "service": "front",
                "version": "v2",
                "commit_sha": "c0ffee",
            }
        ],
        "flags": [
            {
                "timestamp": 90,
                "service": "elsewhere",
                "change": "off->on",
                "files": ["a", "b"],
                "x": {},
            }
        ],
        "commits": [{"time": "1970-01-01T01:00:00+01:00", "sha": "c0ffee"}],
        "naive": [{"time": "1970-01-01T00:00:05"}],
        "alert": {"fired_at": 7, "service": "back", "threshold": 0.5},
    }
    assert load_incident(make_folder(events=log)).events == (
        Event(60.0, "deploy", "front", "version: v2\ncommit_sha: c0ffee", "c0ffee"),
        Event(90.0, "flag", None, "service: elsewhere\nchange: off->on\nfiles: a, b"),
        Event(0.0, "commit", None, "sha: c0ffee", "c0ffee"),
        Event(5.0, "naive"),
        Event(7.0, "alert", "back", "threshold: 0.5"),
    )


def test_other_layouts_are_ignored_and_logged(
    make_folder: MakeFolder, caplog: pytest.LogCaptureFixture
) -> None:
    log = {
        "metrics": [["front", "cpu"]],
        "alert": {"seen": 5},
        "undated": [{"timestamp": "yesterday"}],
        "odd": [{"timestamp": True}, {"timestamp": None}],
        "": [{"timestamp": 1}],
        "s": [{"timestamp": 3}],
        "huge": [{"timestamp": 10**400}],
    }
    with caplog.at_level(logging.WARNING, logger="bayesrca.ingest"):
        assert load_incident(make_folder(events=log)).events == (Event(3.0, "s"),)
    ignored = [record.getMessage() for record in caplog.records]
    assert len(ignored) == 6
    assert any("'alert'" in message for message in ignored)
