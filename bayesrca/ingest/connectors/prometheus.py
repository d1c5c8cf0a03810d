"""Prometheus, and what speaks its HTTP API: series, alerts, calls."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from http import HTTPStatus

import numpy as np

from bayesrca.incident import Event, Family
from bayesrca.ingest.connectors.grid import Grid, make_grid
from bayesrca.ingest.connectors.http import HttpSource
from bayesrca.ingest.connectors.interface import Ask, Haul, Ledger, Line, What
from bayesrca.ingest.connectors.mapping import Mapping
from bayesrca.ingest.connectors.prometheus_parse import (
    Matrix,
    own_reason,
    parse_alerts,
    parse_exemplars,
    parse_matrix,
    parse_names,
)
from bayesrca.ingest.connectors.prometheus_queries import (
    CALLS_QUERIES,
    DEFAULT_QUERIES,
    By,
    CallsQuery,
    Query,
)
from bayesrca.ingest.connectors.prometheus_series import Gathered
from bayesrca.ingest.connectors.shapes import Shapes

MOST_POINTS = 11_000
"""What the server returns of one series at a time."""
MOST_EXEMPLARS = 20
"""Slowest requests of a histogram that are kept."""
_LOOKS = 10
"""Instants at which the labels of a metric are looked at."""
_COMPONENT, _WINDOW = "$component", "$window"


LEAST_WINDOW = 150.0
"""Seconds of a rate at least: two samples lie in it where a server scrapes once a minute, as it
does unless told otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrometheusPlan:
    """What to ask and how to read the labels.

    Attributes:
        queries: the user's own; they are asked first and win over the defaults.
        defaults: whether `DEFAULT_QUERIES` and `CALLS_QUERIES` are asked too.
        rate_window: seconds that ``$window`` stands for; None for the step, and at least
            `LEAST_WINDOW`.
        mapping: from labels to components.
    """

    queries: tuple[Query, ...] = ()
    defaults: bool = True
    rate_window: float | None = None
    mapping: Mapping = field(default_factory=Mapping)

    def window_text(self, step: float) -> str:
        """Return the range of rates as PromQL writes it."""
        return f"{round(1000 * (self.rate_window or max(step, LEAST_WINDOW)))}ms"


class Prometheus:
    """A Prometheus server.

    Args:
        http: the server.
        plan: what to ask.
    """

    offers = frozenset({What.SERIES, What.CALLS, What.EVENTS})

    def __init__(self, http: HttpSource, plan: PrometheusPlan | None = None) -> None:
        self.name = http.name
        self._http = http
        self._plan = plan or PrometheusPlan()
        self._shapes = Shapes(http.name)

    def fetch(self, ask: Ask) -> Haul:
        """Ask every query whose metric the server knows, for alerts and for calls.

        Raises:
            InvalidSettingsError: as `make_grid`.
        """
        grid = make_grid(ask)
        ledger = Ledger(self.name)
        gathered = Gathered(grid, self._plan.mapping, self._shapes)
        calls: dict[tuple[str, str], None] = {}
        events: list[Event] = []
        with self._http, ledger.until_lost():
            known = self._names(grid, ledger)
            if What.SERIES in ask.what:
                self._series(known, gathered, ledger)
            if What.CALLS in ask.what and self._plan.defaults:
                for query in CALLS_QUERIES:
                    if query.metric in (known or ()):
                        calls |= dict.fromkeys(self._calls(query, grid, ledger))
            if What.EVENTS in ask.what:
                events = self._alerts(grid, ledger)
                if self._plan.defaults:
                    events += self._exemplars(known or frozenset(), grid, ledger)
        return Haul(
            series=gathered.signals(),
            events=tuple(events),
            calls=tuple(calls),
            asked=ledger.asked(),
        )

    def _names(self, grid: Grid, ledger: Ledger) -> frozenset[str] | None:
        """Names of the metrics that have samples in the time asked for; None if unknown."""
        found: list[frozenset[str]] = []
        with ledger.asking(What.SERIES, "names of metrics") as line:
            answer = self._http.ask(
                "GET",
                "api/v1/label/__name__/values",
                params={"start": f"{grid.start:.3f}", "end": f"{grid.times[-1]:.3f}"},
                told=own_reason,
            )
            found.append(frozenset(parse_names(answer, self._shapes)))
            line.asked += f": {len(found[0])} found"
        return found[0] if found else None

    def _series(self, known: frozenset[str] | None, gathered: Gathered, ledger: Ledger) -> None:
        defaults = [q for q in DEFAULT_QUERIES if known and q.metric in known]
        queries = [*self._plan.queries, *(defaults if self._plan.defaults else ())]
        labels: dict[tuple[str, By], str] = {}
        for query in queries:
            with ledger.asking(What.SERIES, query.name) as line:
                gathered.begin()
                label = query.label
                if _COMPONENT in query.expr and not label:
                    key = (query.metric, query.by)
                    if key not in labels:
                        labels[key] = self._label_of(query, gathered.grid)
                    label = labels[key]
                    if not label:
                        line.lack(f"no series of {query.metric} names a component by its labels")
                        continue
                expr = query.expr.replace(_COMPONENT, label)
                line.asked = f"{query.name}: {self._expand(expr, gathered.grid)}"
                for matrix in self._range(expr, gathered.grid, line):
                    gathered.take(query, label, matrix)
                line.came = gathered.finish(query, line)
        if self._plan.defaults and known is not None and not any(q.traffic for q in defaults):
            with ledger.asking(What.SERIES, "metrics of requests") as line:
                line.lack(
                    "the server has none that the conventions know; name yours in a file of "
                    "queries (docs/connectors.md)"
                )

    def _label_of(self, query: Query, grid: Grid) -> str:
        """Return which label names the components of a metric."""
        mapping = self._plan.mapping
        wanted = mapping.service_labels if query.by is By.SERVICE else mapping.workload_labels
        few = max(grid.step, round((grid.times[-1] - grid.start) / _LOOKS, 3))
        expr = f"group by ({', '.join(wanted)}) ({query.metric})"
        answer = self._ask_range(expr, grid.start, float(grid.times[-1]), few)
        rows = parse_matrix(answer, self._shapes).rows
        return mapping.choose(wanted, [row.labels for row in rows])

    def _range(self, expr: str, grid: Grid, line: Line) -> list[Matrix]:
        """Ask a range query in parts that the server accepts."""
        matrices = []
        for start, end in grid.parts(MOST_POINTS):
            matrix = parse_matrix(
                self._ask_range(self._expand(expr, grid), start, end, grid.step), self._shapes
            )
            for warning in matrix.warnings:
                line.lack(f"the server warns: {warning[:200]}")
            if matrix.native:
                line.lack(f"{matrix.native} series hold native histograms, which are not read")
            matrices.append(matrix)
        return matrices

    def _expand(self, expr: str, grid: Grid) -> str:
        return expr.replace(_WINDOW, self._plan.window_text(grid.step))

    def _ask_range(self, expr: str, start: float, end: float, step: float) -> object:
        return self._http.ask(
            "POST",  # an address would hold less
            "api/v1/query_range",
            form={
                "query": expr,
                "start": f"{start:.3f}",
                "end": f"{end:.3f}",
                "step": f"{step:.3f}",
            },
            told=own_reason,
        )

    def _calls(self, query: CallsQuery, grid: Grid, ledger: Ledger) -> list[tuple[str, str]]:
        """Return who called whom in the time asked for."""
        expr = (
            f"sum by ({query.caller}, {query.callee}) "
            f"(rate({query.metric}{{{query.selector}}}[{_WINDOW}])) > 0"
        )
        mapping = self._plan.mapping
        found: dict[tuple[str, str], None] = {}
        with ledger.asking(What.CALLS, f"calls in {query.metric}") as line:
            for matrix in self._range(expr, grid, line):
                for row in matrix.rows:
                    ends = (query.caller, query.callee)
                    one, two = (mapping.component(e, row.labels.get(e, "")) for e in ends)
                    if one and two and one != two and len(row.times):
                        found[one, two] = None
            line.came = len(found)
        return list(found)

    def _alerts(self, grid: Grid, ledger: Ledger) -> list[Event]:
        """Alerts that began to fire in the time asked for, then or by now."""
        events: dict[tuple[str, ...], Event] = {}
        with ledger.asking(What.EVENTS, 'ALERTS{alertstate="firing"}') as line:
            expr = 'ALERTS{alertstate="firing"}'
            for matrix in self._range(expr, grid, line):
                for row in matrix.rows:
                    self._add_starts(row.labels, grid, grid.place(row.times, self._shapes), events)
            line.came = len(events)
        with ledger.asking(What.EVENTS, "active alerts") as line:
            answer = self._http.ask("GET", "api/v1/alerts", told=own_reason)
            for alert in parse_alerts(answer, self._shapes):
                inside = grid.start <= alert.since <= grid.times[-1]
                if alert.firing and inside:
                    line.came += 1
                    event = self._event(alert.labels, alert.since)
                    key = (event.component or "", event.text)
                    if alert.summary:
                        event = replace(event, text=f"{event.text}: {alert.summary}")
                    # The series tells when it began to fire, the alert when its condition began.
                    events[key] = event
        return sorted(events.values(), key=lambda event: event.time)

    def _exemplars(self, known: frozenset[str], grid: Grid, ledger: Ledger) -> list[Event]:
        """The slowest requests that the histograms of requests remember, with their traces."""
        histograms = dict.fromkeys(
            query.metric.removesuffix("_count")
            for query in DEFAULT_QUERIES
            if query.metric in known and query.family is Family.LATENCY
        )
        events: list[Event] = []
        for histogram in histograms:
            with ledger.asking(What.EVENTS, f"exemplars of {histogram}") as line:
                answer = self._http.ask(
                    "POST",
                    "api/v1/query_exemplars",
                    form={
                        "query": f"{histogram}_bucket",
                        "start": f"{grid.start:.3f}",
                        "end": f"{grid.times[-1]:.3f}",
                    },
                    told=own_reason,
                    absent={HTTPStatus.NOT_FOUND},  # of a server that keeps none
                )
                found = [] if answer is None else parse_exemplars(answer, self._shapes)
                found.sort(key=lambda exemplar: (-exemplar.value, exemplar.time))
                for exemplar in found[:MOST_EXEMPLARS]:
                    where = self._plan.mapping.component_of(exemplar.labels)
                    text = f"{histogram} {exemplar.value:g}, trace {exemplar.trace}"
                    events.append(Event(exemplar.time, "exemplar", where, text))
                line.came = len(found[:MOST_EXEMPLARS])
        return events

    def _add_starts(
        self,
        labels: dict[str, str],
        grid: Grid,
        at: np.ndarray[tuple[int], np.dtype[np.int64]],
        events: dict[tuple[str, ...], Event],
    ) -> None:
        if at.size:
            event = self._event(labels, float(grid.times[at.min()]))
            known = events.setdefault((event.component or "", event.text), event)
            if event.time < known.time:
                events[event.component or "", event.text] = event

    def _event(self, labels: dict[str, str], time: float) -> Event:
        hidden = {"__name__", "alertstate"}
        shown = [f"{k}={v}" for k, v in sorted(labels.items()) if k not in hidden]
        return Event(
            time, "alert", self._plan.mapping.component_of(labels), ", ".join(shown) or "alert"
        )
