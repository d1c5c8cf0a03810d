"""Change events from a JSON file: our own form, Kubernetes' Events, commits and deployments."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bayesrca.errors import SourceError
from bayesrca.incident import Event
from bayesrca.ingest.connectors.interface import Ask, Haul, Ledger, What
from bayesrca.ingest.connectors.mapping import Mapping as Labels
from bayesrca.ingest.connectors.shapes import Shapes

MAX_BYTES = 64 << 20
_TIMES = ("time", "timestamp", "created_at", "committed_date", "date", "created")
_OWNERS = ("component", "service", "application", "app", "repository", "project")
_TEXTS = ("text", "message", "title", "description", "version", "ref", "environment", "author")
_IDS = ("sha", "commit", "id")
"""What a change is known by; a commit and its deployment share it."""
_IDENTITIES = (*_IDS, "version")
_LOOK_BACK_SECONDS = 86_400.0
"""Changes of so long before the time asked for are kept: what they broke may show later."""


class ChangeEvents:
    """A file of changes.

    Args:
        path: the file: an array of entries, an object of such arrays by kind, or a Kubernetes list.
        mapping: from pods and jobs to components.
    """

    offers = frozenset({What.EVENTS})
    name = "events"

    def __init__(self, path: Path, mapping: Labels | None = None) -> None:
        self._path = path
        self._mapping = mapping or Labels()
        self._shapes = Shapes(self.name)

    def fetch(self, ask: Ask) -> Haul:
        """Return the changes of the time asked for and of the day before it."""
        ledger = Ledger(self.name)
        events: list[Event] = []
        with ledger.asking(What.EVENTS, f"changes in {self._path.name}") as line:
            found = parse_changes(self._read(), self._shapes, self._mapping)
            first = ask.window.start - _LOOK_BACK_SECONDS
            events = [event for event in found if first <= event.time <= ask.window.end]
            line.came = len(events)
        return Haul(events=tuple(events), asked=ledger.asked())

    def _read(self) -> object:
        try:
            with self._path.open("rb") as file:
                content = file.read(MAX_BYTES + 1)
            if len(content) > MAX_BYTES:
                msg = (
                    f"{self._path} holds more than {MAX_BYTES} bytes; cut it to the time asked for"
                )
                raise SourceError(msg, source=self.name)
            parsed: object = json.loads(content)
        except OSError as error:
            msg = f"{self._path} cannot be read ({error.strerror})"
            raise SourceError(msg, source=self.name) from error
        except (ValueError, RecursionError) as error:
            msg = f"{self._path} is not JSON ({error})"
            raise SourceError(msg, source=self.name) from error
        return parsed


def parse_changes(content: object, shapes: Shapes, mapping: Labels) -> list[Event]:
    """Read a file of changes.

    Raises:
        SourceError: it is none; the message names the entry.
    """
    if isinstance(content, dict) and "items" in content:  # a list as Kubernetes' API gives it
        items = shapes.items(content["items"], "items")
        return [_kubernetes(item, f"items[{i}]", shapes, mapping) for i, item in enumerate(items)]
    if isinstance(content, dict):
        return [
            _change(entry, f"{section}[{i}]", section.removesuffix("s") or section, shapes, mapping)
            for section, entries in content.items()
            for i, entry in enumerate(shapes.items(entries, section))
        ]
    entries = shapes.items(content, "it")
    return [_change(entry, f"[{i}]", "", shapes, mapping) for i, entry in enumerate(entries)]


def _change(entry: object, what: str, kind: str, shapes: Shapes, mapping: Labels) -> Event:
    """Read an entry of our own form, a commit or a deployment."""
    change = shapes.table(entry, what)
    if "involvedObject" in change or "regarding" in change:
        return _kubernetes(change, what, shapes, mapping)
    commit = change.get("commit")
    if isinstance(commit, dict):  # details stand one level down, the identity beside them
        change = {**commit, **{k: v for k, v in change.items() if k != "commit"}}
    time = _first_time(change, _TIMES, what, shapes)
    stated = change.get("kind") or kind
    if not stated:
        stated = "deploy" if {"environment", "version"} & change.keys() else "commit"
    owner = next((change[key] for key in _OWNERS if _is_text(change.get(key))), None)
    texts = [_one_line(change[key]) for key in _TEXTS if _is_text(change.get(key))]
    identity = next((str(change[key]) for key in _IDENTITIES if _is_plain(change.get(key))), "")
    known = next((str(change[key]) for key in _IDS if _is_plain(change.get(key))), "")
    # Our own form says in its text what it means to say.
    if identity and identity not in texts and "text" not in change:
        texts.insert(0, identity)
    return Event(
        time,
        shapes.text(stated, f"{what}.kind"),
        None if owner is None else mapping.component("", shapes.text(owner, what)) or None,
        shapes.text(": ".join(texts), what),
        shapes.text(known, what) or None,
    )


def _kubernetes(entry: object, what: str, shapes: Shapes, mapping: Labels) -> Event:
    """Read an Event of Kubernetes' API, of either version."""
    event = shapes.table(entry, what)
    about = event.get("involvedObject", event.get("regarding"))
    owner = shapes.table(about, f"{what}.involvedObject")
    name = shapes.text(owner.get("name"), f"{what}.involvedObject.name")
    sort = shapes.text(owner.get("kind") or "object", f"{what}.involvedObject.kind")
    metadata = event.get("metadata")
    times = {**(metadata if isinstance(metadata, dict) else {}), **event}
    # The first of a repeated event: a change has effects from its beginning.
    keys = ("firstTimestamp", "deprecatedFirstTimestamp", "eventTime", "creationTimestamp")
    reason = shapes.text(event.get("reason") or "event", f"{what}.reason")
    message = shapes.text(event.get("message", event.get("note")) or "", f"{what}.message")
    return Event(
        _first_time(times, keys, what, shapes),
        reason,
        mapping.component("pod" if sort == "Pod" else "", name) or None,
        f"{sort} {name}: {_one_line(message)}" if message else f"{sort} {name}",
    )


def _first_time(
    entry: Mapping[str, Any], keys: tuple[str, ...], what: str, shapes: Shapes
) -> float:
    """Return the first time given: a number of seconds, or text; commits hide it in a person."""
    for key in keys:
        value = entry.get(key)
        if value is None:
            continue
        if isinstance(value, str):
            return shapes.instant(value, f"{what}.{key}")
        return shapes.number(value, f"{what}.{key}")
    for person in ("committer", "author"):
        if isinstance(entry.get(person), dict) and entry[person].get("date") is not None:
            return shapes.instant(entry[person]["date"], f"{what}.{person}.date")
    shapes.reject(f"{what} has no time; give one of {', '.join(keys)}")


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _is_plain(value: object) -> bool:
    return (isinstance(value, str) and bool(value)) or type(value) is int


def _one_line(text: str) -> str:
    """The first line; a commit's further ones are for its readers."""
    return text.strip().partition("\n")[0][:500]
