"""What a server received over OpenTelemetry's protocol, as one source among others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bayesrca.columns.otlp import Kind, Table, merge
from bayesrca.incident import TimeWindow
from bayesrca.ingest.connectors.interface import Ask, Haul, Ledger, Line, What
from bayesrca.ingest.connectors.times import format_time
from bayesrca.ingest.places import Naming
from bayesrca.ingest.received import Gap, find_gap, log_columns, span_columns
from bayesrca.ingest.received_series import series_of

NAME = "received"
WHAT = {Kind.POINTS: What.SERIES, Kind.SPANS: What.SPANS, Kind.LOGS: What.LOGS}


@dataclass(frozen=True, slots=True)
class Received:
    """Tables of what was received.

    Attributes:
        tables: of any kind, in the order of their arrival.
        evicted: records by kind that were received too and are no longer held.
        names: how names become names of components.
    """

    tables: Sequence[Table]
    evicted: Mapping[Kind, int]
    names: Naming

    name = NAME
    offers = frozenset(WHAT.values())

    def fetch(self, ask: Ask) -> Haul:
        """Return what was received of the time asked for."""
        ledger = Ledger(NAME)
        haul = Haul()
        for kind, what in WHAT.items():
            if what not in ask.what:
                continue
            with ledger.asking(what, f"{kind} of the time") as line:
                held = self._held(kind, ask.window)
                line.came = len(held)
                tell_gap(find_gap(kind, self.tables, self.evicted), ask.window, line)
                if len(held):
                    haul = self._with(haul, held, ask)
        return replace(haul, asked=ledger.asked())

    def _held(self, kind: Kind, window: TimeWindow) -> Table:
        tables = [table for table in self.tables if table.kind is kind]
        return merge(kind, tables, round(window.start * 1e9), round(window.end * 1e9) + 1)

    def _with(self, haul: Haul, held: Table, ask: Ask) -> Haul:
        if held.kind is Kind.POINTS:
            series = series_of(held, ask.window, ask.step, self.names)
            return replace(haul, series=series)
        if held.kind is Kind.SPANS:
            return replace(haul, span_table=span_columns(held))
        return replace(haul, log_table=log_columns(held))


def tell_gap(gap: Gap | None, window: TimeWindow, line: Line) -> None:
    """Say what of the time asked for a gap takes away."""
    if gap is None:
        return
    if gap.before is None:
        line.lack(gap.why)
    elif gap.before > window.start:
        line.lack(f"what lies before {format_time(gap.before)}; {gap.why}")
