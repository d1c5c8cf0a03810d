"""One incident: everything an analysis starts from."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np

from bayesrca.errors import InvalidIncidentError
from bayesrca.incident._checks import require_all, require_text
from bayesrca.incident._columns import require_notes
from bayesrca.incident.alerts import Alert
from bayesrca.incident.family import Family
from bayesrca.incident.logs import Logs
from bayesrca.incident.moment import Event, Target, TimeWindow
from bayesrca.incident.run import Run, require_tables
from bayesrca.incident.signal import Signal
from bayesrca.incident.spans import Spans
from bayesrca.incident.topology import Topology


@dataclass(frozen=True, slots=True)
class Incident:
    """What was running, what was measured, and when it went wrong.

    Baseline, window and target are optional; an answer states which of them was absent. Baseline
    and window may touch or overlap: a sample that lies in both belongs to the incident, never to
    the normal period. A component without series is legal (unobserved), a series on a component
    without edges too.

    Attributes:
        name: name of the incident, non-empty.
        topology: components and their dependencies.
        signals: series, unique names within each component or edge; at least one unless there are
            spans or alerts are told of.
        events: instants worth knowing, in any order.
        baseline: the normal period, or None.
        window: the time in question, or None.
        target: where the incident was noticed, or None.
        normal_runs: other recordings of the same system in which nothing was wrong, each on a clock
            of its own; unique names.
        spans: what was traced, on the clock of the series (epoch), or None.
        logs: what was logged, on the same clock, or None.
        notes: what is missing or was mended where the incident was put together, for the answer.
        alerts: what fired, in any order; None where nobody told of alerts, which differs from
            none having fired.

    Raises:
        InvalidIncidentError: neither signal nor span nor alerts; a signal, event, span, log
            record, alert or target on something that is not declared; a repeated signal or run; a
            log record in a span that is not there; or a period that holds no sample, span or log
            record.
    """

    name: str
    topology: Topology
    signals: tuple[Signal, ...]
    events: tuple[Event, ...] = ()
    baseline: TimeWindow | None = None
    window: TimeWindow | None = None
    target: Target | None = None
    normal_runs: tuple[Run, ...] = ()
    spans: Spans | None = None
    logs: Logs | None = None
    notes: tuple[str, ...] = ()
    alerts: tuple[Alert, ...] | None = None

    def __post_init__(self) -> None:
        require_text(self.name, "an incident's name", "name")
        object.__setattr__(self, "signals", tuple(self.signals))
        object.__setattr__(self, "events", tuple(self.events))
        object.__setattr__(self, "normal_runs", tuple(self.normal_runs))
        object.__setattr__(self, "notes", require_notes(self.notes))
        self._check_signals()
        self._check_tables()
        self._check_events()
        self._check_alerts()
        self._check_target()
        self._check_period("baseline", self.baseline)
        self._check_period("window", self.window)
        self._check_runs()

    def signals_of(self, component: str, family: Family | None = None) -> tuple[Signal, ...]:
        """Return the series of one component, in their order, optionally of one family only.

        Raises:
            UnknownComponentError: no component carries this name.
        """
        self.topology.index(component)
        return tuple(
            signal
            for signal in self.signals
            if signal.component == component and family in (None, signal.family)
        )

    def _check_signals(self) -> None:
        if not self.signals and self.spans is None and self.alerts is None:
            msg = (
                f"incident {self.name!r} has no signal and no span, and nobody told of alerts; "
                "give at least one series"
            )
            raise InvalidIncidentError(msg, field="signals")
        edges = set(self.topology.edges)
        seen: dict[Hashable, int] = {}
        require_all(Signal, self.signals, "signals")
        for i, signal in enumerate(self.signals):
            if signal.component is not None and signal.component not in self.topology:
                msg = (
                    f"signal {signal.label} belongs to {signal.component!r}, which is not a "
                    "declared component; declare it or remove the signal"
                )
                raise InvalidIncidentError(msg, field=f"signals[{i}].component")
            if signal.edge is not None and signal.edge not in edges:
                msg = (
                    f"signal {signal.label} belongs to a {signal.edge.kind} edge that the topology "
                    "does not declare; declare it or remove the signal"
                )
                raise InvalidIncidentError(msg, field=f"signals[{i}].edge")
            first = seen.setdefault((signal.component, signal.edge, signal.name), i)
            if first != i:
                msg = (
                    f"signal {signal.label} is given twice (positions {first} and {i}); "
                    "rename or remove one"
                )
                raise InvalidIncidentError(msg, field=f"signals[{i}].name")

    def _check_tables(self) -> None:
        require_tables(self.spans, self.logs)
        for field, table in (("spans", self.spans), ("logs", self.logs)):
            for i, name in enumerate(() if table is None else table.components):
                if name not in self.topology:
                    msg = (
                        f"the {field} name {name!r}, which is not a declared component; declare it"
                    )
                    raise InvalidIncidentError(msg, field=f"{field}.components[{i}]")

    def _check_events(self) -> None:
        require_all(Event, self.events, "events")
        for i, event in enumerate(self.events):
            if event.component is not None and event.component not in self.topology:
                msg = (
                    f"event {event.kind!r} at {event.time} names {event.component!r}, which is not "
                    "a declared component; declare it or drop the component"
                )
                raise InvalidIncidentError(msg, field=f"events[{i}].component")

    def _check_alerts(self) -> None:
        if self.alerts is None:
            return
        object.__setattr__(self, "alerts", tuple(self.alerts))
        require_all(Alert, self.alerts, "alerts")
        for i, alert in enumerate(self.alerts):
            for field, name in (("component", alert.component), ("caller", alert.caller)):
                if name is not None and name not in self.topology:
                    msg = (
                        f"alert {alert.name!r} names the {field} {name!r}, which is not a declared "
                        "component; declare it or drop the alert"
                    )
                    raise InvalidIncidentError(msg, field=f"alerts[{i}].{field}")

    def _check_target(self) -> None:
        if self.target is None:
            return
        component, name = self.target.component, self.target.signal
        if component not in self.topology:
            msg = f"the target {component!r} is not a declared component; declare it or drop it"
            raise InvalidIncidentError(msg, field="target.component")
        if name is not None and all(s.name != name for s in self.signals_of(component)):
            msg = (
                f"the target's signal {name!r} is not a series of component {component!r}; "
                "name one of its series or leave the signal out"
            )
            raise InvalidIncidentError(msg, field="target.signal")

    def _check_period(self, what: str, period: TimeWindow | None) -> None:
        if period is None:
            return
        for signal in self.signals:
            # The first sample at or after the start decides: time increases.
            at = int(np.searchsorted(signal.timestamps, period.start))
            if at < len(signal) and signal.timestamps[at] <= period.end:
                return
        if any(t is not None and t.within(period).any() for t in (self.spans, self.logs)):
            return
        ends = [signal.timestamps[[0, -1]] for signal in self.signals]
        if self.spans is not None:
            ends.append(self.spans.start_ns / 1e9)
        if self.logs is not None:
            ends.append(self.logs.time_ns / 1e9)
        if not ends:
            return  # alerts alone need no time
        msg = (
            f"{what} [{period.start}, {period.end}] holds no sample of any series, span or log "
            f"record; they run from {min(map(np.min, ends))} to {max(map(np.max, ends))}"
        )
        raise InvalidIncidentError(msg, field=what)

    def _check_runs(self) -> None:
        require_all(Run, self.normal_runs, "normal_runs")
        seen: dict[str, int] = {}
        for i, run in enumerate(self.normal_runs):
            first = seen.setdefault(run.name, i)
            if first != i:
                msg = f"two normal runs (positions {first} and {i}) are named {run.name!r}"
                raise InvalidIncidentError(f"{msg}; rename one", field=f"normal_runs[{i}].name")
