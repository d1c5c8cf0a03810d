"""A recording of the same system in which nothing was wrong."""

from __future__ import annotations

from dataclasses import dataclass

from bayesrca.errors import InvalidIncidentError
from bayesrca.incident._checks import require_all, require_text
from bayesrca.incident.signal import Signal


@dataclass(frozen=True, slots=True)
class Run:
    """One fault-free recording, on a clock of its own.

    A series of it is the same quantity as the incident's series of that component and name. It may
    hold series of components that the incident does not have.

    Attributes:
        name: name of the run, unique within an incident.
        signals: at least one series of a component; unique names within each component.

    Raises:
        InvalidIncidentError: no signal, a signal on an edge, or a repeated signal.
    """

    name: str
    signals: tuple[Signal, ...]

    def __post_init__(self) -> None:
        require_text(self.name, "a normal run's name", "name")
        object.__setattr__(self, "signals", tuple(self.signals))
        if not self.signals:
            msg = f"normal run {self.name!r} has no signal; give at least one series or drop it"
            raise InvalidIncidentError(msg, field="signals")
        require_all(Signal, self.signals, "signals")
        seen: dict[tuple[str, str], int] = {}
        for i, signal in enumerate(self.signals):
            if signal.component is None:
                msg = (
                    f"signal {signal.label} of normal run {self.name!r} belongs to an edge; drop it"
                )
                raise InvalidIncidentError(msg, field=f"signals[{i}].edge")
            first = seen.setdefault((signal.component, signal.name), i)
            if first != i:
                msg = (
                    f"signal {signal.label} is given twice in normal run {self.name!r} (positions "
                    f"{first} and {i}); rename or remove one"
                )
                raise InvalidIncidentError(msg, field=f"signals[{i}].name")
