"""What a server received over OpenTelemetry's protocol, as one source among others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bayesrca.columns.otlp import Kind, Table, merge
from bayesrca.incident import TimeWindow
from bayesrca.ingest.connectors.interface import Ask, Haul, Ledger, Line, What
from bayesrca.ingest.connectors.times import format_time
from bayesrca.ingest.families import FamilyRules
from bayesrca.ingest.places import Naming
from bayesrca.ingest.received import log_columns, span_columns
from bayesrca.ingest.received_series import series_of

NAME = "received"
_WHAT = {Kind.POINTS: What.SERIES, Kind.SPANS: What.SPANS, Kind.LOGS: What.LOGS}


@dataclass(frozen=True, slots=True)
class Received:
    """Tables of what was received.

    Attributes:
        tables: of any kind, in the order of their arrival.
        evicted: records by kind that were received too and are no longer held.
        names: how names become names of components.
        families: the caller's own rules for what a metric measures.
    """

    tables: Sequence[Table]
    evicted: Mapping[Kind, int]
    names: Naming
    families: FamilyRules | None = None

    name = NAME
    offers = frozenset(_WHAT.values())

    def fetch(self, ask: Ask) -> Haul:
        """Return what was received of the time asked for."""
        ledger = Ledger(NAME)
        haul = Haul()
        for kind, what in _WHAT.items():
            if what not in ask.what:
                continue
            with ledger.asking(what, f"{kind} of the time") as line:
                held = self._held(kind, ask.window)
                line.came = len(held)
                self._tell_gaps(kind, ask.window, line)
                if len(held):
                    haul = self._with(haul, held, ask)
        return replace(haul, asked=ledger.asked())

    def _held(self, kind: Kind, window: TimeWindow) -> Table:
        tables = [table for table in self.tables if table.kind is kind]
        return merge(kind, tables, round(window.start * 1e9), round(window.end * 1e9) + 1)

    def _with(self, haul: Haul, held: Table, ask: Ask) -> Haul:
        if held.kind is Kind.POINTS:
            series = series_of(held, ask.window, ask.step, self.names, self.families)
            return replace(haul, series=series)
        if held.kind is Kind.SPANS:
            return replace(haul, span_table=span_columns(held))
        return replace(haul, log_table=log_columns(held))

    def _tell_gaps(self, kind: Kind, window: TimeWindow, line: Line) -> None:
        """Say what of the time asked for was never received, or is no longer held."""
        evicted = self.evicted.get(kind, 0)
        # Whoever logs nothing for a while has lost nothing: what counts is when anything came.
        kinds = frozenset({kind} if evicted else Kind)
        periods = [t.period for t in self.tables if t.kind in kinds and t.period is not None]
        if not periods:
            if evicted:
                line.lack(f"{evicted} {kind} were evicted and none is held")
            return
        first = min(begin for begin, _ in periods) / 1e9
        if first > window.start:
            why = f"{evicted} were evicted" if evicted else "nothing was received before"
            line.lack(f"what lies before {format_time(first)}; {why}")
