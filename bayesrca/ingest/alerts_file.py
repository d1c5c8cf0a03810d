"""alerts.json, and lists of alerts in events.json."""

from __future__ import annotations

from collections.abc import Container
from pathlib import Path
from typing import Any

from bayesrca.incident import Alert, AlertKind
from bayesrca.ingest._files import (
    expect_known_keys,
    expect_list,
    expect_object,
    expect_text,
    naming,
    read_json,
    reject,
    shorten,
)

FILE_NAME = "alerts.json"
_KEYS = ("component", "name", "kind", "change", "caller", "time")
_LISTS = {"metrics": 3, "traces": 4, "logs": 2}
"""Lists of alerts in an events file, and the words of an entry."""


def read_alerts(
    path: Path, events: Path, components: Container[str]
) -> tuple[tuple[Alert, ...] | None, tuple[str, ...]]:
    """Read what fired; None where neither file tells of alerts.

    Args:
        path: the alerts file, which may be absent.
        events: the events file, whose lists of alerts are read too.
        components: names of the incident's components.

    Returns:
        The alerts, and what had to be left out of lists, one sentence each.

    Raises:
        IncidentFormatError: a file is not JSON, or an entry of the alerts file is wrong.
        InvalidIncidentError: an alert with an impossible value.
    """
    own = read_json(path)
    log = read_json(events)
    found = {} if not isinstance(log, dict) else {k: v for k, v in log.items() if is_alerts(k, v)}
    if own is None and not found:
        return None, ()
    alerts: list[Alert] = []
    with naming(path):
        if own is not None:
            for i, entry in enumerate(expect_list(path, own, "an alerts file")):
                alerts.append(_own_alert(path, i, entry))
    listed = [_listed_alert(k, e, components) for k, entries in found.items() for e in entries]
    alerts += [alert for alert in listed if alert is not None]
    lost = listed.count(None)
    notes = (f"{lost} alerts were left out, as they name no component of the incident.",)
    return tuple(alerts), notes if lost else ()


def has_alerts(path: Path, events: Path) -> bool:
    """Whether a folder tells of alerts, though none may have fired.

    Raises:
        IncidentFormatError: a file is not JSON.
    """
    log = read_json(events)
    listed = isinstance(log, dict) and any(is_alerts(k, v) for k, v in log.items())
    return listed or read_json(path) is not None


def is_alerts(section: str, content: object) -> bool:
    """Whether a named list of an events file holds alerts (docs/incident-folder.md)."""
    words = _LISTS.get(section)
    return (
        isinstance(content, list)
        and all(
            isinstance(entry, list)
            and len(entry) == words
            and all(isinstance(w, str) for w in entry)
            for entry in content
        )
        and words is not None
    )


def alerts_to_json(alerts: tuple[Alert, ...]) -> list[dict[str, Any]]:
    """Return the content of the alerts file that reads back as these alerts."""
    return [{key: getattr(alert, key) for key in _KEYS} for alert in alerts]


def _own_alert(path: Path, i: int, value: object) -> Alert:
    what = f"[{i}]"
    entry = expect_object(path, value, what)
    expect_known_keys(path, entry, set(_KEYS), what)
    time = entry.get("time")
    if time is not None and (isinstance(time, bool) or not isinstance(time, int | float)):
        reject(path, f"{what}.time must be in seconds, got {shorten(time)}", field=f"{what}.time")
    caller = entry.get("caller")
    return Alert(
        component=expect_text(path, entry.get("component"), f"{what}.component"),
        name=expect_text(path, entry.get("name"), f"{what}.name"),
        kind=AlertKind(_kind(path, entry.get("kind", AlertKind.METRIC), what)),
        change=expect_text(path, entry.get("change", ""), f"{what}.change"),
        caller=None if caller is None else expect_text(path, caller, f"{what}.caller"),
        time=time,
    )


def _kind(path: Path, value: object, what: str) -> str:
    kind = expect_text(path, value, f"{what}.kind")
    if kind not in list(AlertKind):
        kinds = ", ".join(AlertKind)
        reject(path, f"{what}.kind must be one of {kinds}, got {kind!r}", field=f"{what}.kind")
    return kind


def _listed_alert(section: str, words: list[str], components: Container[str]) -> Alert | None:
    """One entry of a list; None where the component it is about is not known."""
    caller = None
    if section == "traces":
        who, component, name, change = words
        kind = AlertKind.CALL
        caller = who if who in components else None
    elif section == "metrics":
        component, name, change = words
        kind = AlertKind.METRIC
    else:
        component, name = words
        change, kind = "", AlertKind.LOG
    if component not in components or not name:
        return None
    return Alert(component, name, kind, change, caller)
