"""A saved window of received telemetry, as one source among others."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from bayesrca.columns.otlp import Kind
from bayesrca.errors import IncidentFormatError, SourceError
from bayesrca.ingest.connectors.interface import Ask, Haul, Ledger, Line
from bayesrca.ingest.connectors.received import WHAT, tell_gap
from bayesrca.ingest.connectors.times import format_time
from bayesrca.ingest.places import Naming
from bayesrca.ingest.received_series import series_of
from bayesrca.ingest.saved_telemetry import read_manifest, read_points, read_rows

NAME = "saved"


@dataclass(frozen=True, slots=True)
class Saved:
    """A folder that `bayesrca.ingest.saved_telemetry.write_window` has written.

    Attributes:
        folder: the folder.
        names: how names become names of components.
    """

    folder: Path
    names: Naming

    name = NAME
    offers = frozenset(WHAT.values())

    def fetch(self, ask: Ask) -> Haul:
        """Return what was saved of the time asked for; a damaged file costs what it held."""
        ledger = Ledger(NAME)
        haul = Haul()
        for kind, what in WHAT.items():
            if what not in ask.what:
                continue
            with ledger.asking(what, f"{kind} of the time") as line:
                try:
                    haul = self._with(haul, kind, ask, line)
                except IncidentFormatError as error:
                    raise SourceError(str(error), source=NAME) from error
        return replace(haul, asked=ledger.asked())

    def _with(self, haul: Haul, kind: Kind, ask: Ask, line: Line) -> Haul:
        window, manifest = ask.window, read_manifest(self.folder)
        if window.start < manifest.window.start or window.end > manifest.window.end:
            first, last = format_time(manifest.window.start), format_time(manifest.window.end)
            line.lack(f"saved was {first} to {last}")
        tell_gap(manifest.gaps.get(kind), window, line)
        if kind is Kind.POINTS:
            points = read_points(self.folder, window, manifest)
            if points is None:
                return haul
            line.came = len(points)
            return replace(haul, series=series_of(points, window, ask.step, self.names))
        rows = read_rows(self.folder, kind, window, manifest)
        line.came = 0 if rows is None else rows.rows
        if kind is Kind.SPANS:
            return replace(haul, span_table=rows)
        return replace(haul, log_table=rows)
