"""A recording of the same system in which nothing was wrong."""

from __future__ import annotations

from dataclasses import dataclass

from bayesrca.errors import InvalidIncidentError
from bayesrca.incident._checks import require_all, require_text
from bayesrca.incident._columns import require_index
from bayesrca.incident.logs import Logs
from bayesrca.incident.signal import Signal
from bayesrca.incident.spans import Spans


@dataclass(frozen=True, slots=True)
class Run:
    """One fault-free recording, on a clock of its own.

    A series of it is the same quantity as the incident's series of that component and name. It may
    hold components that the incident does not have. Without series it tells nothing about series:
    it is then a recording of spans and logs only.

    Attributes:
        name: name of the run, unique within an incident.
        signals: series of components, maybe none; unique names within each component.
        spans: its spans, or None.
        logs: its log records, or None.

    Raises:
        InvalidIncidentError: neither signals nor spans nor logs, a signal on an edge, a repeated
            signal, or a log record in a span that is not there.
    """

    name: str
    signals: tuple[Signal, ...] = ()
    spans: Spans | None = None
    logs: Logs | None = None

    def __post_init__(self) -> None:
        require_text(self.name, "a normal run's name", "name")
        object.__setattr__(self, "signals", tuple(self.signals))
        require_tables(self.spans, self.logs)
        if not self.signals and self.spans is None and self.logs is None:
            msg = f"normal run {self.name!r} has no signal, span or log record; drop the run"
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


def require_tables(spans: object, logs: object) -> None:
    """Require tables or None, and that log records lie in spans that are there.

    Raises:
        InvalidIncidentError: something else than a table, or a span that does not exist.
    """
    for table, kind, field in ((spans, Spans, "spans"), (logs, Logs, "logs")):
        if table is not None and not isinstance(table, kind):
            msg = f"{field} must be of type {kind.__name__} or None, got {table!r}"
            raise InvalidIncidentError(msg, field=field)
    if isinstance(logs, Logs):
        count = len(spans) if isinstance(spans, Spans) else 0
        require_index(logs.span, count, "the span of a log record", "logs.span", optional=True)
