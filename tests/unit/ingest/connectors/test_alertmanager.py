"""Alertmanager's webhook body: known by group and fingerprint, whatever else it says."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from bayesrca.errors import SourceError
from bayesrca.ingest.connectors.alertmanager import parse_notification
from bayesrca.ingest.connectors.mapping import Mapping
from tests.unit.ingest.connectors.mutate import JSON, read_or_refused


def alert(fingerprint: str, since: str = "2023-11-14T22:13:20.123Z", **more: Any) -> dict[str, Any]:  # noqa: ANN401
    return {
        "status": "firing",
        "labels": {"alertname": "Slow", "service": "cart"},
        "annotations": {"summary": "slow"},
        "startsAt": since,
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "",
        "fingerprint": fingerprint,
    } | more


def body(*alerts: dict[str, Any], group: str = "{}:{alertname=Slow}") -> dict[str, Any]:
    return {
        "version": "4", "groupKey": group, "truncatedAlerts": 2, "status": "firing",
        "receiver": "x", "groupLabels": {}, "commonLabels": {}, "commonAnnotations": {},
        "externalURL": "", "alerts": [*alerts],
    }  # fmt: skip


def identity(*alerts: dict[str, Any], group: str = "g") -> str:
    return parse_notification(body(*alerts, group=group)).request_id


def test_what_is_read() -> None:
    found = parse_notification(body(alert("b"), alert("a"), alert("a")))
    assert [one.fingerprint for one in found.alerts] == ["a", "b"]
    assert found.truncated == 2
    assert found.first is not None
    event = found.first.event(Mapping())
    assert (event.kind, event.component) == ("alert", "cart")
    assert event.time == pytest.approx(1_700_000_000.123)
    assert event.text == "alertname=Slow, service=cart: slow"


def test_the_same_first_alert_has_the_same_identity() -> None:
    first, later = alert("a"), alert("b", "2023-11-14T22:20:00Z")
    assert identity(first) == identity(later, first) == identity(first, first)
    assert identity(first) == identity(alert("a", annotations={"summary": "now slower"}))


def test_another_alert_group_or_time_has_another() -> None:
    first = alert("a")
    others = [
        identity(alert("b")),
        identity(first, group="h"),
        identity(alert("a", "2023-11-15T22:13:20Z")),
        identity(alert("a", status="resolved"), alert("b")),
    ]
    assert others[3] == others[0]  # what is over is no longer the first
    assert len({identity(first), *others}) == 4


def test_nothing_fires_any_more() -> None:
    assert parse_notification(body(alert("a", status="resolved"))).first is None
    assert parse_notification(body()).first is None


@given(document=JSON)
@settings(max_examples=100, deadline=None)
def test_anything_is_refused(document: object) -> None:
    with pytest.raises(SourceError, match=r"^alertmanager: its answer cannot be read"):
        parse_notification(document)


def test_mutated_notifications_are_read_or_refused() -> None:
    read_or_refused(parse_notification, body(alert("a"), alert("b")), "alertmanager")
