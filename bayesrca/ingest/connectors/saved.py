"""A saved window of received telemetry, as one source among others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bayesrca.columns.otlp import Kind
from bayesrca.errors import IncidentFormatError, SourceError
from bayesrca.incident import TimeWindow
from bayesrca.ingest.connectors.interface import Ask, Haul, Ledger, Line, What
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
    offers = frozenset({What.SERIES, What.SPANS, What.LOGS})

    def fetch(self, ask: Ask) -> Haul:
        """Return what was saved of the time asked for."""
        ledger, haul, window = Ledger(NAME), Haul(), ask.window
        with self._asking(ledger, What.SERIES, "points", window) as line:
            points = read_points(self.folder, window)
            if points is not None:
                line.came = len(points)
                haul = replace(haul, series=series_of(points, window, ask.step, self.names))
        with self._asking(ledger, What.SPANS, "spans", window) as line:
            spans = read_rows(self.folder, Kind.SPANS, window)
            line.came = 0 if spans is None else spans.rows
            haul = replace(haul, span_table=spans)
        with self._asking(ledger, What.LOGS, "logs", window) as line:
            logs = read_rows(self.folder, Kind.LOGS, window)
            line.came = 0 if logs is None else logs.rows
            haul = replace(haul, log_table=logs)
        return replace(haul, asked=ledger.asked())

    @contextmanager
    def _asking(self, ledger: Ledger, what: What, word: str, window: TimeWindow) -> Iterator[Line]:
        """Read one file: one that is damaged costs what it held, and is told."""
        with ledger.asking(what, f"{word} of the time") as line:
            try:
                manifest = read_manifest(self.folder)
                first, last = manifest["start"], manifest["end"]
                if window.start < first or window.end > last:
                    line.lack(f"saved was {format_time(first)} to {format_time(last)}")
                yield line
            except IncidentFormatError as error:
                raise SourceError(str(error), source=NAME) from error
