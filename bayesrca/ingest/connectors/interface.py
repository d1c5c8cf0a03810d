"""What every connector is asked and returns, and the report of what did not come."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from bayesrca.errors import SourceError
from bayesrca.incident import Event, Signal, TimeWindow

if TYPE_CHECKING:
    from bayesrca.ingest.connectors.rows import Rows
    from bayesrca.ingest.table_file import TableFile


class What(StrEnum):
    """A sort of telemetry."""

    SERIES = "series"
    CALLS = "calls"
    EVENTS = "events"
    SPANS = "spans"
    LOGS = "logs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What a connector is asked for.

    Attributes:
        window: the time, in seconds since the epoch, both ends included.
        step: seconds between the samples of a series, > 0.
        what: the sorts of telemetry; a connector returns those of them that it offers.
    """

    window: TimeWindow
    step: float
    what: frozenset[What] = frozenset(What)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One line of a gap report: a question to a source and what became of it.

    Attributes:
        source: the source's name.
        what: the sort of telemetry asked for.
        asked: the question, in the source's words.
        came: how many series, events and so on came.
        missing: what did not come and why; empty when nothing is known to be missing.
    """

    source: str
    what: What
    asked: str
    came: int
    missing: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Haul:
    """What a source returned.

    Attributes:
        series: at components that need not be declared anywhere yet.
        events: likewise.
        calls: (caller, callee) pairs of components that the source knows of.
        spans: rows as telemetry names their columns (`bayesrca.ingest.connectors.rows`), or None.
        logs: likewise.
        span_table: spans of a source that has them as columns already, or None.
        log_table: likewise.
        asked: every question, in its order.
    """

    series: tuple[Signal, ...] = ()
    events: tuple[Event, ...] = ()
    calls: tuple[tuple[str, str], ...] = ()
    spans: Rows | None = None
    logs: Rows | None = None
    span_table: TableFile | None = None
    log_table: TableFile | None = None
    asked: tuple[Asked, ...] = ()


class Connector(Protocol):
    """A source of telemetry."""

    @property
    def name(self) -> str:
        """Name in messages and reports, unique within one collection."""
        ...

    @property
    def offers(self) -> frozenset[What]:
        """The sorts of telemetry it can return."""
        ...

    def fetch(self, ask: Ask) -> Haul:
        """Return what the source has; what it lacks or refuses stands in ``Haul.asked``."""
        ...


@dataclass(slots=True)
class Line:
    """A question under way."""

    what: What
    asked: str
    came: int = 0
    lacks: list[str] = field(default_factory=list)

    def lack(self, why: str) -> None:
        """Remember something that is missing, once."""
        if why not in self.lacks:
            self.lacks.append(why)


class Ledger:
    """Keeps the questions of one connector, so that one failure costs one question.

    Args:
        source: the source's name.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self._lines: list[Line] = []

    @contextmanager
    def asking(self, what: What, asked: str) -> Iterator[Line]:
        """Ask one question: what fails in the block is noted, and the collection goes on.

        After a failure that another question would share (`SourceError.lost`) no further question
        is asked: the error reaches `until_lost`, which ends.
        """
        line = Line(what, asked)
        self._lines.append(line)
        try:
            yield line
        except SourceError as error:
            line.lack(str(error).removeprefix(f"{self.source}: "))
            if error.lost:
                raise

    @contextmanager
    def until_lost(self) -> Iterator[None]:
        """Ask questions until the source is lost; the question that showed it is noted."""
        try:
            yield
        except SourceError as error:
            if not error.lost:
                raise

    def asked(self) -> tuple[Asked, ...]:
        """Return the lines so far."""
        return tuple(
            Asked(
                source=self.source,
                what=line.what,
                asked=line.asked,
                came=line.came,
                missing="; ".join(line.lacks),
            )
            for line in self._lines
        )


def missing_notes(asked: Sequence[Asked]) -> tuple[str, ...]:
    """Return one sentence per source and sort of telemetry of which something is missing.

    They are what an answer says of the telemetry it had to do without.
    """
    notes = []
    for source, what in dict.fromkeys((line.source, line.what) for line in asked):
        lines = [a for a in asked if (a.source, a.what) == (source, what)]
        gaps = [line for line in lines if line.missing]
        if not gaps:
            continue
        first = gaps[0]
        came = sum(line.came for line in lines)
        others = f", and {len(gaps) - 1} more" if len(gaps) > 1 else ""
        notes.append(
            f"Collected {came or 'no'} {what} from {source}; missing: "
            f"{first.asked.partition(': ')[0]} "
            f"({first.missing}){others}."
        )
    return tuple(notes)
