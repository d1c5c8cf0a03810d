"""Loki: log records, page by page of each part of the time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bayesrca.incident import TimeWindow
from bayesrca.ingest.connectors.http import HttpSource
from bayesrca.ingest.connectors.interface import Ask, Haul, Ledger, Line, What
from bayesrca.ingest.connectors.mapping import Mapping
from bayesrca.ingest.connectors.rows import Cell, Collector
from bayesrca.ingest.connectors.shapes import Shapes
from bayesrca.ingest.connectors.times import cut

PARTS = 12
PAGE = 5_000
"""Lines of one answer, the most that Loki returns unless it is told otherwise."""
PAGES = 10
"""Answers for one part of the time."""
_LEVELS = ("severity_number", "level", "detected_level", "severity", "severity_text")


@dataclass(frozen=True, slots=True)
class Record:
    """One log line.

    Attributes:
        time_ns: when, in nanoseconds since the epoch.
        text: what it says.
        labels: of its stream, and whatever was attached to the line.
    """

    time_ns: int
    text: str
    labels: dict[str, str]


class Loki:
    """A Loki server.

    Args:
        http: the server.
        query: LogQL selector of the lines; empty for all lines with a label that names a service.
        mapping: from labels to components.
    """

    offers = frozenset({What.LOGS})

    def __init__(self, http: HttpSource, query: str = "", mapping: Mapping | None = None) -> None:
        self.name = http.name
        self._http = http
        self._query = query
        self._mapping = mapping or Mapping()
        self._shapes = Shapes(http.name)

    def fetch(self, ask: Ask) -> Haul:
        """Return log lines, at most so many from each part of the time."""
        ledger = Ledger(self.name)
        collector = Collector()
        with self._http, ledger.until_lost():
            query = self._query or self._selector(ask.window, ledger)
            if query:
                with ledger.asking(What.LOGS, f"lines: {query}") as line:
                    self._collect(query, ask.window, line, collector)
        return Haul(logs=collector.rows(), asked=ledger.asked())

    def _selector(self, window: TimeWindow, ledger: Ledger) -> str:
        """Select by the first label that names services."""
        with ledger.asking(What.LOGS, "names of labels") as line:
            answer = self._http.ask("GET", "loki/api/v1/labels", params=_times(window))
            known = parse_labels(answer, self._shapes)
            wanted = (*self._mapping.service_labels, *self._mapping.workload_labels)
            label = next((name for name in wanted if name in known), "")
            if label:
                return f'{{{label}=~".+"}}'
            line.lack(f"none of its labels names a service: {', '.join(sorted(known)[:20])}")
        return ""

    def _collect(self, query: str, window: TimeWindow, line: Line, collector: Collector) -> None:
        """Keep each line as it comes, so that a page that fails costs none of those before it."""
        nameless = 0
        try:
            for start, end in cut(window, PARTS):
                for record in self._part(query, _nanoseconds(start), _nanoseconds(end), line):
                    row = self._row(record)
                    if row is None:
                        nameless += 1
                    else:
                        collector.add(row)
                        line.came += 1
        finally:
            if nameless:
                line.lack(f"{nameless} lines whose labels name no component")

    def _part(self, query: str, start: int, end: int, line: Line) -> Iterator[Record]:
        """Give the lines of [start, end), page after page."""
        at_start: set[tuple[str, str]] = set()
        for _ in range(PAGES):
            answer = self._http.ask(
                "GET",
                "loki/api/v1/query_range",
                params={
                    "query": query,
                    "start": start,
                    "end": end,
                    "limit": PAGE,
                    "direction": "forward",
                },
            )
            page = parse_streams(answer, self._shapes)
            new = [r for r in page if r.time_ns > start or _identity(r) not in at_start]
            yield from new
            if len(page) < PAGE:
                return
            last = max(record.time_ns for record in page)
            if last == start and not new:  # more lines of one instant than a page holds
                line.lack(f"lines of the nanosecond {start} beyond {PAGE}")
                last += 1
            at_start = {_identity(record) for record in page if record.time_ns == last}
            start = last
        line.lack(f"lines of a part of the time beyond {PAGES * PAGE}")

    def _row(self, record: Record) -> dict[str, Cell] | None:
        labels = record.labels
        component = self._mapping.component_of(labels)
        if component is None:
            return None
        ids = {"traceid": ("trace_id", "traceID", "traceid"), "spanid": ("span_id", "spanid")}
        return {
            "servicename": component,
            "body": record.text,
            "timeunixnano": record.time_ns,
            "severity": next((labels[key] for key in _LEVELS if labels.get(key)), None),
            **{
                column: next((labels[key] for key in keys if labels.get(key)), None)
                for column, keys in ids.items()
            },
        }


def parse_labels(answer: object, shapes: Shapes) -> set[str]:
    """Read the answer to a question for the names of labels.

    Raises:
        SourceError: it is none.
    """
    content = shapes.table(answer, "it")
    if content.get("status") != "success":
        shapes.reject("status must be 'success'")
    names = shapes.items(content.get("data") or [], "data")
    return {shapes.text(name, f"data[{i}]") for i, name in enumerate(names)}


def parse_streams(answer: object, shapes: Shapes) -> list[Record]:
    """Read the answer to a range query for lines.

    Raises:
        SourceError: it is none.
    """
    content = shapes.table(answer, "it")
    data = shapes.table(content.get("data"), "data")
    if content.get("status") != "success" or data.get("resultType") != "streams":
        shapes.reject("status must be 'success' and data.resultType 'streams'")
    records = []
    for i, entry in enumerate(shapes.items(data.get("result"), "data.result")):
        what = f"data.result[{i}]"
        stream = shapes.table(entry, what)
        labels = shapes.labels(stream.get("stream"), f"{what}.stream")
        for j, value in enumerate(shapes.items(stream.get("values"), f"{what}.values")):
            records.append(_record(value, labels, f"{what}.values[{j}]", shapes))
    return records


def _record(value: object, labels: dict[str, str], what: str, shapes: Shapes) -> Record:
    parts = shapes.items(value, what)
    if not 2 <= len(parts) <= 3:
        shapes.reject(f"{what} must hold a time, a line and perhaps what is attached to it")
    time = shapes.whole(parts[0], what)
    if time is None or not isinstance(parts[0], str):
        shapes.reject(f"{what}[0] must be nanoseconds written as text")
    attached: dict[str, str] = {}
    if len(parts) == 3:
        for key, entry in shapes.table(parts[2], f"{what}[2]").items():
            # Plain, or by category where the client asks for that.
            attached |= (
                shapes.labels(entry, f"{what}[2].{key}")
                if isinstance(entry, dict)
                else shapes.labels({key: entry}, f"{what}[2]")
            )
    return Record(time, shapes.text(parts[1], f"{what}[1]"), labels | attached)


def _identity(record: Record) -> tuple[str, str]:
    return repr(sorted(record.labels.items())), record.text


def _nanoseconds(seconds: float) -> int:
    whole = int(seconds)
    return whole * 10**9 + round((seconds - whole) * 10**9)


def _times(window: TimeWindow) -> dict[str, str | int]:
    return {"start": _nanoseconds(window.start), "end": _nanoseconds(window.end)}
