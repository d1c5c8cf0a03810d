"""OTLP's trace data as serialised messages, decoded natively, as rows of spans."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from bayesrca.columns.otlp import DEFAULT_LIMITS, Kind, Table, decode, merge
from bayesrca.errors import InvalidTelemetryError
from bayesrca.ingest.connectors.interface import Line
from bayesrca.ingest.connectors.rows import MAX_ROWS, Cell, Collector
from bayesrca.ingest.connectors.shapes import Shapes
from bayesrca.ingest.received import span_columns
from bayesrca.ingest.table_file import Text

_LATEST = (1 << 63) - 1


class SpanDecoder:
    """Gathers the spans of many answers, each span once.

    Args:
        shapes: names the source in errors.
    """

    def __init__(self, shapes: Shapes) -> None:
        self.collector = Collector()
        self._shapes = shapes
        self._seen: set[tuple[int, int, int]] = set()

    def read(self, messages: Iterable[bytes], line: Line) -> int:
        """Take serialised ``TracesData``; return of how many traces.

        The line counts the spans that are new, and is told what was left out.

        Raises:
            SourceError: a message is none, or there are too many spans.
        """
        try:
            # It has the one field of an export request, under the same number.
            tables = [decode(Kind.SPANS, message, DEFAULT_LIMITS) for message in messages]
        except InvalidTelemetryError as error:
            self._shapes.reject(str(error))
        table = merge(Kind.SPANS, tables, 0, _LATEST)
        for why, count in table.rejected.items():
            if count:
                line.lack(f"{count} spans of an answer were left out: {why}")
        new = self._keep_new(table)
        if self.collector.count + len(new) > MAX_ROWS:
            self._shapes.reject(f"more than {MAX_ROWS} spans came; ask for a shorter time")
        if len(new):
            self._add(table, new)
        line.came += len(new)
        high, low = table.columns["trace_high"], table.columns["trace_low"]
        return len(set(zip(high.tolist(), low.tolist(), strict=True)))

    def _keep_new(self, table: Table) -> NDArray[np.intp]:
        """Return the rows of the spans that did not come before."""
        ids = (table.columns[name].tolist() for name in ("trace_high", "trace_low", "id"))
        new = []
        for row, key in enumerate(zip(*ids, strict=True)):
            if key not in self._seen:
                self._seen.add(key)
                new.append(row)
        return np.array(new, dtype=np.intp)

    def _add(self, table: Table, rows: NDArray[np.intp]) -> None:
        columns: dict[str, list[Cell]] = {}
        for name, column in span_columns(table).columns.items():
            if isinstance(column, Text):
                cells = np.array([*column.values, None], dtype=object)[column.codes]
            else:
                cells = column.to_numpy()
            columns[name] = cells[rows].tolist()
        self.collector.add_many(len(rows), columns)
