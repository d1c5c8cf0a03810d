"""Where a server is to take an incident from, instead of being sent one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from types import MappingProxyType

from bayesrca.errors import InvalidIncidentError
from bayesrca.incident._checks import (
    require_all,
    require_finite,
    require_member,
    require_text,
    require_unicode,
)
from bayesrca.incident.component import Component
from bayesrca.incident.moment import Event, Target, TimeWindow
from bayesrca.incident.topology import Edge

DEFAULT_STEP = 60.0
MAX_STEPS = 10_000
"""Samples of one series in one period, at most."""
_LATEST = float(1 << 32)
"""Seconds since the epoch; the year 2106. Milliseconds given by mistake lie beyond."""


class Origin(StrEnum):
    """Whose telemetry: what the server received by OTLP, or what the back ends that it knows hold.

    ``RECEIVED`` is what was sent in the name of the caller's tenant; ``CONFIGURED`` are the back
    ends of the server's own configuration. No address is ever the caller's to give.
    """

    RECEIVED = "received"
    CONFIGURED = "configured"


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentSource:
    """What a server is to make an incident of.

    Attributes:
        origins: whose telemetry; at least one, unless `saved` names some.
        window: the time in question, in seconds since the epoch.
        baseline: the normal period, or the seconds before the window that are one, or None.
        step: seconds between the samples of a series, > 0.
        target: where it was noticed, or None.
        name: the incident's name; empty for one made of the target and the start.
        components: those that are known already.
        edges: those that are known already; telemetry may name their ends.
        aliases: components for the names that spans and log records use for them.
        events: what is known to have happened.
        saved: name of saved telemetry, ``savedTelemetry/{id}``, which stands for what was received;
            empty for none.

    Raises:
        InvalidIncidentError: no origin, a time that is none, a step that is none or so short that a
            period holds more than 10 000, or parts of the wrong type.
    """

    origins: tuple[Origin, ...]
    window: TimeWindow
    baseline: TimeWindow | float | None = None
    step: float = DEFAULT_STEP
    target: Target | None = None
    name: str = ""
    components: tuple[Component, ...] = ()
    edges: tuple[Edge, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    events: tuple[Event, ...] = ()
    saved: str = ""

    def __post_init__(self) -> None:
        origins = [
            require_member(Origin, one, "an origin", f"origins[{i}]")
            for i, one in enumerate(self.origins)
        ]
        object.__setattr__(self, "origins", tuple(dict.fromkeys(origins)))
        self._check_origins()
        require_unicode(self.name, "the name of a source", "name")
        for name, kind in (("components", Component), ("edges", Edge), ("events", Event)):
            object.__setattr__(self, name, tuple(getattr(self, name)))
            require_all(kind, getattr(self, name), name)
        for alias, component in self.aliases.items():
            require_text(alias, "an alias", "aliases")
            require_text(component, f"the component of alias {alias!r}", f"aliases[{alias!r}]")
        if not isinstance(self.baseline, TimeWindow | None):
            seconds = require_finite(self.baseline, "the length of the normal period", "baseline")
            object.__setattr__(self, "baseline", seconds)
            if seconds <= 0:
                msg = f"the normal period must last longer than 0 s, got {seconds}; or leave it out"
                raise InvalidIncidentError(msg, field="baseline")
        self._check_times()

    @property
    def title(self) -> str:
        """What the incident is called."""
        where = self.target.component if self.target is not None else "incident"
        begins = datetime.fromtimestamp(self.window.start, UTC)
        return self.name or f"{where} {begins:%Y-%m-%d %H:%M:%S}"

    @property
    def normal(self) -> TimeWindow | None:
        """The normal period."""
        if isinstance(self.baseline, float):
            return TimeWindow(self.window.start - self.baseline, self.window.start)
        return self.baseline

    def _check_origins(self) -> None:
        require_unicode(self.saved, "the name of saved telemetry", "saved")
        if not self.origins and not self.saved:
            msg = f"the source names no origin; name one of {', '.join(Origin)}, or several"
            raise InvalidIncidentError(msg, field="origins")
        if self.saved and Origin.RECEIVED in self.origins:
            msg = (
                "saved telemetry was received, and would count twice where it is still held: name "
                "it without the origin received"
            )
            raise InvalidIncidentError(msg, field="saved")

    def _check_times(self) -> None:
        step = require_finite(self.step, "the step", "step")
        object.__setattr__(self, "step", step)
        if step < 1e-3:
            msg = f"the step must be at least 0.001 s, got {step}"
            raise InvalidIncidentError(msg, field="step")
        for name, period in (("window", self.window), ("baseline", self.normal)):
            if period is None:
                continue
            require_epoch(period, name)
            if period.duration / step > MAX_STEPS:
                msg = (
                    f"the {name} of {period.duration} s holds more than {MAX_STEPS} steps of "
                    f"{step} s; take longer steps or a shorter time"
                )
                raise InvalidIncidentError(msg, field="step")


def require_epoch(period: TimeWindow, name: str) -> None:
    """Require a period of wall-clock time.

    Args:
        period: seconds since the epoch.
        name: what it is called, and its field.

    Raises:
        InvalidIncidentError: it begins before the epoch or ends after 2^32 s.
    """
    if period.start < 0 or period.end > _LATEST:
        msg = (
            f"the {name} [{period.start}, {period.end}] is no time in seconds since the "
            "epoch; give seconds, not milliseconds"
        )
        raise InvalidIncidentError(msg, field=name)
