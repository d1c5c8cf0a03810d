"""An incident from several sources, each of which may fail without the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np

from bayesrca.errors import InvalidIncidentError, NoEvidenceError, SourceError
from bayesrca.incident import (
    Event,
    Incident,
    Signal,
    Target,
    TimeWindow,
    Topology,
)
from bayesrca.ingest.connectors.interface import (
    Ask,
    Asked,
    Connector,
    Haul,
    missing_notes,
)
from bayesrca.ingest.connectors.rows import Rows, join_rows
from bayesrca.ingest.graph_file import Graph
from bayesrca.ingest.places import Naming
from bayesrca.ingest.table_file import TableFile
from bayesrca.ingest.table_join import join_files
from bayesrca.ingest.tables import read_usable
from bayesrca.ingest.topology_map import Sources as TopologySources
from bayesrca.ingest.topology_map import build_topology_map

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Collected:
    """An incident and how it came about.

    Attributes:
        incident: its notes name what is missing.
        asked: every question to a source, for the gap report.
    """

    incident: Incident
    asked: tuple[Asked, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to bring together.

    Attributes:
        name: the incident's name.
        window: the time in question, in seconds since the epoch.
        baseline: the normal period, or None.
        step: seconds between samples.
        target: where the incident was noticed, or None.
        declared: components and edges that are known already, or None.
        strict: whether a target that no source knows, and a normal period of which nothing came,
            are errors; otherwise they are left out and told.
    """

    name: str
    window: TimeWindow
    baseline: TimeWindow | None
    step: float
    target: Target | None = None
    declared: Graph | None = None
    strict: bool = True

    @property
    def periods(self) -> list[TimeWindow]:
        """The times to ask for: one, unless the baseline lies further away than it is long."""
        window, baseline = self.window, self.baseline
        if baseline is None:
            return [window]
        gap = max(window.start - baseline.end, baseline.start - window.end)
        if gap > baseline.duration:
            return sorted((baseline, window), key=lambda one: one.start)
        whole = min(window.start, baseline.start), max(window.end, baseline.end)
        return [TimeWindow(*whole)]


def collect(
    connectors: Sequence[Connector], wanted: Wanted, *, tell: Tell = lambda _: None
) -> Collected:
    """Ask every source and bring together what came.

    Args:
        connectors: the sources, with different names; asked one after another.
        wanted: what for.
        tell: told what is going on, for people.

    Raises:
        NoEvidenceError: no source returned a series or a span; the message says why.
        InvalidIncidentError: what came contradicts what was declared, such as a target that no
            source knows.
        InvalidSettingsError: the times asked for hold too many steps.
    """
    hauls = []
    for connector in connectors:
        for window in wanted.periods:
            tell(f"asking {connector.name}")
            hauls.append(_fetch(connector, Ask(window=window, step=wanted.step)))
    asked = tuple(line for haul in hauls for line in haul.asked)
    notes = missing_notes(asked)
    signals = _join([signal for haul in hauls for signal in haul.series])
    tables = _Tables(hauls, signals, wanted)
    notes += tables.notes
    if not signals and tables.spans is None:
        sources = ", ".join(connector.name for connector in connectors)
        reasons = " ".join(notes) or "Nothing failed: there is nothing of the time asked for."
        msg = f"no series and no span came from {sources}: nothing can be analysed. {reasons}"
        raise NoEvidenceError(msg, field="signals")
    topology = tables.topology(hauls)
    target, baseline = wanted.target, wanted.baseline
    if target is not None and target.component not in topology and not wanted.strict:
        notes += (
            f"It was noticed at {target.component!r}, which is none of the components that the "
            "sources know: no target was used.",
        )
        target = None
    incident = Incident(
        wanted.name,
        topology,
        signals,
        _events(hauls, topology),
        window=wanted.window,
        target=target,
        spans=None if tables.spans is None else tables.spans.spans,
        logs=None if tables.logs is None else tables.logs.logs,
    )
    try:
        incident = replace(incident, baseline=baseline)
    except InvalidIncidentError:
        if wanted.strict:
            raise
        notes += ("Nothing came of the normal period: no baseline was used.",)
    return Collected(replace(incident, notes=notes), asked)


class _Tables:
    """Spans and log records of all sources, and what is known of the system's structure."""

    def __init__(self, hauls: Sequence[Haul], signals: Sequence[Signal], wanted: Wanted) -> None:
        self._declared = wanted.declared or Graph((), (), {})
        self._series = [str(signal.component) for signal in signals]
        known = {*self._series, *(component.name for component in self._declared.components)}
        names = Naming(self._declared.aliases, known)
        self.spans, self.logs, self.notes = read_usable(
            _joined("the spans that came", [(haul.spans, haul.span_table) for haul in hauls]),
            _joined("the log records that came", [(haul.logs, haul.log_table) for haul in hauls]),
            names,
        )

    def topology(self, hauls: Sequence[Haul]) -> Topology:
        """Declared components and edges, and whatever the sources know besides."""
        files = [file for file in (self.spans, self.logs) if file is not None]
        return build_topology_map(
            TopologySources(
                declared=self._declared.components,
                edges=tuple(dict.fromkeys(self._declared.edges)),
                series=self._series,
                spans=[] if self.spans is None else [self.spans.spans],
                logs=[] if self.logs is None else [self.logs.logs],
                places=[place for file in files for place in file.places],
                peer_kinds={} if self.spans is None else self.spans.peer_kinds,
                observed=[pair for haul in hauls for pair in haul.calls],
            ),
            resources=False,
            code=False,
        ).topology()


def _joined(what: str, parts: Sequence[tuple[Rows | None, TableFile | None]]) -> TableFile | None:
    rows = join_rows(rows for rows, _ in parts)
    tables = [table for _, table in parts]
    return join_files(what, [*tables, None if rows is None else rows.to_table(what)])


def _fetch(connector: Connector, ask: Ask) -> Haul:
    try:
        return connector.fetch(ask)
    except SourceError as error:
        # A connector notes its failures itself; what escapes it must not cost the other sources.
        reason = str(error).removeprefix(f"{connector.name}: ")
        lines = [
            Asked(source=connector.name, what=what, asked="everything", came=0, missing=reason)
            for what in sorted(connector.offers & ask.what)
        ]
        return Haul(asked=tuple(lines))


def _join(signals: Sequence[Signal]) -> tuple[Signal, ...]:
    """Put the parts of each series behind one another; of two sources the first one counts."""

    def key(signal: Signal) -> tuple[str, str]:
        return str(signal.component), signal.name

    joined = []
    for _, same in groupby(sorted(signals, key=key), key=key):
        first, *others = same
        for other in others:
            # Parts of one source were asked for in order, and one clock ends before the next.
            if other.timestamps[0] > first.timestamps[-1]:
                first = replace(
                    first,
                    timestamps=np.concatenate([first.timestamps, other.timestamps]),
                    values=np.concatenate([first.values, other.values]),
                )
        joined.append(first)
    return tuple(joined)


def _events(hauls: Sequence[Haul], topology: Topology) -> tuple[Event, ...]:
    """All events in order of time; one of an unknown component keeps its name in its text."""
    events: dict[Event, None] = {}
    for haul in hauls:
        for event in haul.events:
            known = event
            if event.component is not None and event.component not in topology:
                text = f"{event.component}: {event.text}" if event.text else event.component
                known = replace(event, component=None, text=text)
            events[known] = None
    return tuple(sorted(events, key=lambda event: event.time))
