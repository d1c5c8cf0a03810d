"""Alertmanager's webhook, version 4: notifications as alerts, each known by group and print."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from bayesrca.incident import Event
from bayesrca.ingest.connectors.mapping import Mapping
from bayesrca.ingest.connectors.shapes import Shapes

NAME = "alertmanager"
MAX_ALERTS = 10_000
_SPACE = uuid.UUID("6c1e1d2e-5d0c-4c39-9d5c-0a7d7f0d5a55")


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One alert of a notification.

    Attributes:
        fingerprint: of its labels; the same in every notification about it.
        labels: its labels.
        firing: whether it still fires.
        since: when it began to fire, in seconds since the epoch.
        summary: what its annotations say; may be empty.
    """

    fingerprint: str
    labels: dict[str, str]
    firing: bool
    since: float
    summary: str

    @property
    def title(self) -> str:
        """What to call it."""
        return self.labels.get("alertname") or "alert"

    def event(self, mapping: Mapping) -> Event:
        """Return it as an event of the component that its labels name."""
        shown = ", ".join(f"{k}={v}" for k, v in sorted(self.labels.items())) or "alert"
        text = f"{shown}: {self.summary}" if self.summary else shown
        return Event(self.since, "alert", mapping.component_of(self.labels), text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """What Alertmanager says of one group of alerts.

    Attributes:
        group: the group's key; the same in every notification about it.
        alerts: its alerts, each fingerprint once, in order of time.
        truncated: alerts that Alertmanager left out.
    """

    group: str
    alerts: tuple[Alert, ...]
    truncated: int = 0

    @property
    def first(self) -> Alert | None:
        """The alert that has fired for longest; None when none fires any more."""
        return next((alert for alert in self.alerts if alert.firing), None)

    @property
    def request_id(self) -> str:
        """A UUID that every notification about the same first alert of the group has.

        So repeated notifications, and those that only add alerts to the group, open one analysis.
        """
        first = self.first
        assert first is not None
        key = f"{self.group}\0{first.fingerprint}\0{first.since:.3f}"
        return str(uuid.uuid5(_SPACE, key))


def parse_notification(content: object) -> Notification:
    """Read the body of a webhook call.

    Raises:
        SourceError: it is none of version 4, or an alert of it cannot be read.
    """
    shapes = Shapes(NAME)
    body = shapes.table(content, "it")
    if body.get("version") != "4":
        shapes.reject(f"version must be '4', got {body.get('version')!r:.40}")
    group = shapes.text(body.get("groupKey"), "groupKey")
    entries = shapes.items(body.get("alerts"), "alerts")
    if len(entries) > MAX_ALERTS:
        shapes.reject(f"it holds {len(entries)} alerts, more than {MAX_ALERTS}")
    alerts: dict[str, Alert] = {}
    for i, entry in enumerate(entries):
        alert = _alert(entry, f"alerts[{i}]", shapes)
        alerts.setdefault(alert.fingerprint, alert)
    truncated = body.get("truncatedAlerts", 0)
    return Notification(
        group=group,
        alerts=tuple(sorted(alerts.values(), key=lambda one: (one.since, one.fingerprint))),
        truncated=int(shapes.number(truncated, "truncatedAlerts")),
    )


def _alert(entry: object, what: str, shapes: Shapes) -> Alert:
    alert = shapes.table(entry, what)
    status = shapes.text(alert.get("status"), f"{what}.status")
    if status not in ("firing", "resolved"):
        shapes.reject(f"{what}.status must be firing or resolved, got {status!r:.40}")
    annotations = shapes.labels(alert.get("annotations") or {}, f"{what}.annotations")
    fingerprint = shapes.text(alert.get("fingerprint"), f"{what}.fingerprint")
    if not fingerprint:
        shapes.reject(f"{what}.fingerprint is empty")
    return Alert(
        fingerprint=fingerprint,
        labels=shapes.labels(alert.get("labels"), f"{what}.labels"),
        firing=status == "firing",
        since=shapes.instant(alert.get("startsAt"), f"{what}.startsAt"),
        summary=annotations.get("summary") or annotations.get("description", ""),
    )
