"""events.json: instants worth knowing, such as deployments and flags."""

from __future__ import annotations

import logging
import math
from collections.abc import Container
from pathlib import Path
from typing import Any

from bayesrca.incident import Event
from bayesrca.ingest._files import (
    expect_known_keys,
    expect_object,
    expect_text,
    naming,
    read_json,
    reject,
    shorten,
)
from bayesrca.ingest.alerts_file import is_alerts
from bayesrca.ingest.instants import parse_instant

_LOG = logging.getLogger(__name__)
_TIME_KEYS = ("time", "timestamp", "fired_at")
_OWNER_KEYS = ("component", "service")
_ID_KEYS = ("id", "commit_sha", "sha", "commit", "flag")


def read_events(path: Path, components: Container[str]) -> tuple[Event, ...]:
    """Read an events file; no file, no events.

    An array holds events of our own form, and every entry must be right. An object is a change log
    of named lists (``{"deploys": [{"timestamp": ..., "service": ...}]}``): a list whose entries all
    carry a time is read, and so is a single entry that does; anything else is ignored and logged.

    Args:
        path: the events file, which may be absent.
        components: names that may own an event; an owner in a change log that is none of them
            goes into the event's text instead.

    Raises:
        IncidentFormatError: the file is not JSON, or an entry of our own form is wrong.
        InvalidIncidentError: an event with an impossible time or an empty kind.
    """
    content = read_json(path)
    if content is None:
        return ()
    with naming(path):
        if isinstance(content, list):
            return tuple(_own_event(path, i, entry) for i, entry in enumerate(content))
        log = expect_object(path, content, "an events file that is not a JSON array")
        return _change_log(path, log, components)


def _own_event(path: Path, i: int, value: object) -> Event:
    what = f"[{i}]"
    entry = expect_object(path, value, what)
    expect_known_keys(path, entry, {"time", "kind", "component", "text", "id"}, what)
    time = entry.get("time")
    if isinstance(time, bool) or not isinstance(time, int | float):
        reject(path, f"{what}.time must be in seconds, got {shorten(time)}", field=f"{what}.time")
    component, known_by = entry.get("component"), entry.get("id")
    return Event(
        time,
        expect_text(path, entry.get("kind"), f"{what}.kind"),
        None if component is None else expect_text(path, component, f"{what}.component"),
        expect_text(path, entry.get("text", ""), f"{what}.text"),
        None if known_by is None else expect_text(path, known_by, f"{what}.id"),
    )


def _change_log(path: Path, log: dict[str, Any], components: Container[str]) -> tuple[Event, ...]:
    events: list[Event] = []
    for section, content in log.items():
        if is_alerts(section, content):
            continue  # see alerts_file
        entries = [content] if isinstance(content, dict) else content
        times = [_time_of(entry) for entry in entries] if isinstance(entries, list) else [None]
        if not section or None in times:
            _LOG.warning("%s: ignored %r, which is not a list of dated entries", path, section)
            continue
        kind = section.removesuffix("s") or section
        events += [
            _logged_event(time, kind, entry, components)
            for time, entry in zip(times, entries, strict=True)
            if time is not None
        ]
    return tuple(events)


def _time_of(entry: object) -> float | None:
    """Return the entry's time in seconds, None when it has none that can be read."""
    if not isinstance(entry, dict):
        return None
    value = next((entry[key] for key in _TIME_KEYS if key in entry), None)
    if isinstance(value, str):
        try:
            return parse_instant(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def _logged_event(
    time: float, kind: str, entry: dict[str, Any], components: Container[str]
) -> Event:
    owner = next((entry[key] for key in _OWNER_KEYS if isinstance(entry.get(key), str)), None)
    known = owner is not None and owner in components
    left_out = {*_TIME_KEYS, *(_OWNER_KEYS if known else ())}
    text = "\n".join(
        f"{key}: {shown}"
        for key, value in entry.items()
        if key not in left_out and (shown := _show(value)) is not None
    )
    known_by = next((entry[key] for key in _ID_KEYS if isinstance(entry.get(key), str)), "")
    return Event(time, kind, owner if known else None, text, known_by or None)


def _show(value: object) -> str | None:
    """Return a plain field, or a list of them, as text; None for anything else."""
    if isinstance(value, list) and value and all(isinstance(v, str | int | float) for v in value):
        return ", ".join(map(str, value))
    return str(value) if isinstance(value, str | int | float) else None


def events_to_json(events: tuple[Event, ...]) -> list[dict[str, Any]]:
    """Return the content of the events file that reads back as these events."""
    return [
        {"time": e.time, "kind": e.kind, "component": e.component, "text": e.text}
        | ({} if e.id is None else {"id": e.id})
        for e in events
    ]
