"""What fired: alerts that somebody's rules raised on series, on calls and on what was logged."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bayesrca.errors import InvalidIncidentError
from bayesrca.incident._checks import (
    require_finite,
    require_member,
    require_text,
    require_unicode,
)


class AlertKind(StrEnum):
    """What an alert was raised on: a series, the calls from one component to another, or a log."""

    METRIC = "metric"
    CALL = "call"
    LOG = "log"


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert of an incident.

    Attributes:
        component: name of the component it is about; of calls, the one that was called.
        name: what fired: a metric, an operation, a log template.
        kind: what it was raised on.
        change: how that changed, e.g. ``up`` or ``500``; empty where there is one way only.
        caller: of calls, who made them: a component, itself maybe, or None for anybody outside.
        time: seconds, on the clock of the incident, or None when it is not known.

    Raises:
        InvalidIncidentError: an empty component, name or caller, an unknown kind, a time that is
            not finite, or a caller of something that is no call.
    """

    component: str
    name: str
    kind: AlertKind = AlertKind.METRIC
    change: str = ""
    caller: str | None = None
    time: float | None = None

    def __post_init__(self) -> None:
        require_text(self.component, "an alert's component", "component")
        require_text(self.name, "an alert's name", "name")
        require_unicode(self.change, "an alert's change", "change")
        kind = require_member(AlertKind, self.kind, "an alert's kind", "kind")
        object.__setattr__(self, "kind", kind)
        if self.caller is not None:
            require_text(self.caller, "an alert's caller", "caller")
            if kind is not AlertKind.CALL:
                msg = f"alert {self.name!r} is raised on a {kind} and names the caller of a call"
                raise InvalidIncidentError(f"{msg}; leave the caller out", field="caller")
        if self.time is not None:
            object.__setattr__(self, "time", require_finite(self.time, "an alert's time", "time"))
