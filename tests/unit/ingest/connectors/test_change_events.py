"""Change events: our own form, Kubernetes' and Git's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings

from bayesrca.errors import SourceError
from bayesrca.incident import Event, TimeWindow
from bayesrca.ingest.connectors.change_events import ChangeEvents, parse_changes
from bayesrca.ingest.connectors.interface import Ask, Haul
from bayesrca.ingest.connectors.mapping import Mapping
from bayesrca.ingest.connectors.shapes import Shapes
from tests.unit.ingest.connectors.mutate import JSON, read_or_refused

TIME = 1_700_000_000.0
STAMP = "2023-11-14T22:13:20Z"
KUBERNETES = {
    "apiVersion": "v1",
    "kind": "List",
    "items": [
        {
            "kind": "Event",
            "metadata": {"name": "cart.1", "creationTimestamp": STAMP},
            "involvedObject": {"kind": "Pod", "name": "cart-5d4f6c7b9d-x2k4m"},
            "reason": "BackOff",
            "message": "Back-off restarting failed container\nmore",
            "firstTimestamp": STAMP,
            "lastTimestamp": "2023-11-15T22:13:20Z",
            "count": 3,
            "type": "Warning",
        },
        {
            "apiVersion": "events.k8s.io/v1",
            "regarding": {"kind": "Deployment", "name": "pay"},
            "reason": "ScalingReplicaSet",
            "note": "Scaled up",
            "eventTime": "2023-11-14T22:13:20.000000Z",
            "deprecatedFirstTimestamp": None,
        },
    ],
}
COMMITS = [
    {
        "sha": "abc123",
        "commit": {
            "author": {"name": "A", "date": "2023-11-14T22:00:00Z"},
            "committer": {"name": "A", "date": STAMP},
            "message": "Cache less\n\nbecause",
        },
        "repository": "cart",
    },
    {"id": "def456", "title": "Raise timeouts", "committed_date": STAMP, "service": "pay"},
    {
        "id": 7,
        "sha": "def456",
        "environment": "production",
        "ref": "main",
        "created_at": STAMP,
        "service": "pay",
    },
]
OWN = [{"time": TIME, "kind": "flag", "component": "cart", "text": "new on", "id": "f1"}]
LOG = {"deploys": [{"timestamp": STAMP, "service": "cart", "version": "v7"}]}
SEEDS = [KUBERNETES, COMMITS, OWN, LOG]


def read(document: object) -> list[Event]:
    return parse_changes(document, Shapes("events"), Mapping())


def test_kubernetes_events() -> None:
    assert read(KUBERNETES) == [
        Event(
            TIME, "BackOff", "cart",
            "Pod cart-5d4f6c7b9d-x2k4m: Back-off restarting failed container",
        ),
        Event(TIME, "ScalingReplicaSet", "pay", "Deployment pay: Scaled up"),
    ]  # fmt: skip


def test_commits_and_deployments() -> None:
    assert read(COMMITS) == [
        Event(TIME, "commit", "cart", "abc123: Cache less", "abc123"),
        Event(TIME, "commit", "pay", "def456: Raise timeouts", "def456"),
        Event(TIME, "deploy", "pay", "def456: main: production", "def456"),
    ]


def test_our_own_form_and_a_log_of_lists() -> None:
    assert read(OWN) == [Event(TIME, "flag", "cart", "new on", "f1")]
    assert read(LOG) == [Event(TIME, "deploy", "cart", "v7")]


def fetch(path: Path) -> Haul:
    ask = Ask(window=TimeWindow(TIME - 60, TIME + 60), step=60.0)
    return ChangeEvents(path).fetch(ask)


def test_a_day_before_the_time_in_question_counts(tmp_path: Path) -> None:
    file = tmp_path / "events.json"
    ages = (-100, 0, 80_000, 90_000)
    file.write_text(json.dumps([{"time": TIME - age, "kind": str(age)} for age in ages]))
    assert [event.kind for event in fetch(file).events] == ["0", "80000"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"[{", "is not JSON"),
        (b"\xff", "is not JSON"),
        (b"1", "it must be an array"),
        (b'[{"kind": "x"}]', r"\[0\] has no time"),
        (b'[{"time": "yesterday", "kind": "x"}]', "must be a time like"),
        (b'[{"time": 1e999, "kind": "x"}]', "finite number"),
        (b'{"deploys": 1}', "deploys must be an array"),
        (b'{"items": [{"reason": "x"}]}', "involvedObject must be an object"),
    ],
)
def test_a_file_that_will_not_do(tmp_path: Path, content: bytes, words: str) -> None:
    file = tmp_path / "events.json"
    file.write_bytes(content)
    haul = fetch(file)
    assert not haul.events
    import re

    assert re.search(words, haul.asked[0].missing), haul.asked


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert "cannot be read" in fetch(tmp_path / "gone").asked[0].missing


@given(document=JSON)
@settings(max_examples=100, deadline=None)
def test_anything_is_read_or_refused(document: object) -> None:
    try:
        read(document)
    except SourceError as error:
        assert str(error).startswith("events: ")


@pytest.mark.parametrize("seed", SEEDS)
def test_mutated_changes_are_read_or_refused(seed: object) -> None:
    read_or_refused(read, seed, "events")
