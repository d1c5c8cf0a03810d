"""When it happened, and where it was noticed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayesrca.errors import InvalidIncidentError
from bayesrca.incident._checks import require_finite, require_text, require_unicode


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """A closed interval of time, both ends included.

    Attributes:
        start: first second, finite.
        end: last second, finite and later than ``start``.

    Raises:
        InvalidIncidentError: an end that is not a finite number, or an empty window.
    """

    start: float
    end: float

    def __post_init__(self) -> None:
        start = require_finite(self.start, "the start of a window", "start")
        end = require_finite(self.end, "the end of a window", "end")
        object.__setattr__(self, "start", start)
        object.__setattr__(self, "end", end)
        if end <= start:
            msg = f"window [{start}, {end}] is empty; its end must be later than its start"
            raise InvalidIncidentError(msg, field="end")

    @property
    def duration(self) -> float:
        """Length in seconds, > 0."""
        return self.end - self.start

    def contains(self, t: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return which of the times [n], in seconds, lie in the window; both ends count."""
        return np.asarray((t >= self.start) & (t <= self.end))


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened at one instant: a deployment, an alert, a flag flipped.

    Attributes:
        time: seconds, on the clock of the series.
        kind: short word for its sort, e.g. ``deploy``.
        component: name of the component it happened to, or None when it has none.
        text: anything worth reading about it.
        id: what its own system knows it by (a commit, a flag, a change number), or None. Events
            may share one: a commit, and the deployment that brought it.

    Raises:
        InvalidIncidentError: a time that is not finite, an empty kind, component or id.
    """

    time: float
    kind: str
    component: str | None = None
    text: str = ""
    id: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "time", require_finite(self.time, "an event's time", "time"))
        require_text(self.kind, "an event's kind", "kind")
        if self.component is not None:
            require_text(self.component, "an event's component", "component")
        require_unicode(self.text, "an event's text", "text")
        if self.id is not None:
            require_text(self.id, "an event's id", "id")


@dataclass(frozen=True, slots=True)
class Target:
    """The symptom: where the incident was noticed.

    Attributes:
        component: name of the component that showed it.
        signal: name of the series that raised the alarm, or None when unknown.

    Raises:
        InvalidIncidentError: an empty component or signal.
    """

    component: str
    signal: str | None = None

    def __post_init__(self) -> None:
        require_text(self.component, "the target's component", "component")
        if self.signal is not None:
            require_text(self.signal, "the target's signal", "signal")
