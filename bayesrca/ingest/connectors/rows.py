"""Spans and log records of a back end as columns, before they are anybody's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa  # type: ignore[import-untyped]

from bayesrca.ingest.table_file import TableFile, plain_name

Cell = str | int | None
MAX_ROWS = 2_000_000
"""Spans, or log records, of one source."""
# What is read of attributes; anything else stays where it was.
KEPT = frozenset(
    map(
        plain_name,
        (
            *("service.name", "service.namespace"),
            *("cloud.account.id", "cloud.region", "host.name", "k8s.node.name"),
            *("k8s.pod.name", "container.id"),
            *("db.namespace", "db.name", "db.system.name", "db.system"),
            *("db.query.text", "db.statement"),
            *("messaging.destination.name", "messaging.destination", "messaging.system"),
            *("server.address", "net.peer.name", "peer.service"),
            *("code.namespace", "code.function.name", "code.function"),
            *("code.file.path", "code.filepath", "code.line.number", "code.lineno"),
        ),
    )
)


@dataclass(frozen=True, slots=True)
class Rows:
    """n rows by columns.

    Attributes:
        count: n, >= 1.
        columns: [n] cells by plain name (lower case, letters and digits), None where there is none.
    """

    count: int
    columns: Mapping[str, tuple[Cell, ...]] = field(repr=False)

    def to_table(self, what: str) -> TableFile:
        """Return the rows as the table that the readers of files take; `what` names it."""
        columns = {}
        for name, cells in self.columns.items():
            kinds = {type(cell) for cell in cells if cell is not None}
            if kinds == {int}:
                array = pa.array(cells, pa.int64())
            else:
                texts = [None if c is None else str(c).encode(errors="replace") for c in cells]
                array = pa.array(texts, pa.large_binary())
            columns[name] = pa.chunked_array([array])
        return TableFile(Path(what), self.count, columns)


class Collector:
    """Gathers rows, each a mapping from plain names to cells."""

    def __init__(self) -> None:
        self.count = 0
        self._columns: dict[str, list[Cell]] = {}

    def add(self, row: Mapping[str, Cell]) -> None:
        """Take a row."""
        self.add_many(1, {name: (cell,) for name, cell in row.items()})

    def add_many(self, count: int, columns: Mapping[str, Sequence[Cell]]) -> None:
        """Take some rows by columns of that length."""
        for name, cells in columns.items():
            column = self._columns.setdefault(name, [])
            column.extend([None] * (self.count - len(column)))
            column.extend(cells)
        self.count += count

    def rows(self) -> Rows | None:
        """Return all rows; None when there is none."""
        if not self.count:
            return None
        columns = {
            name: (*cells, *[None] * (self.count - len(cells)))
            for name, cells in self._columns.items()
        }
        return Rows(self.count, columns)


def join_rows(parts: Iterable[Rows | None]) -> Rows | None:
    """Put the rows of several sources behind one another."""
    found = [part for part in parts if part is not None]
    names = dict.fromkeys(name for part in found for name in part.columns)
    if not found:
        return None
    return Rows(
        sum(part.count for part in found),
        {
            name: tuple(
                cell for part in found for cell in part.columns.get(name, (None,) * part.count)
            )
            for name in names
        },
    )
