"""Elasticsearch and OpenSearch: spans and log records, by points in time and `search_after`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from bayesrca.errors import SourceError
from bayesrca.incident import TimeWindow
from bayesrca.ingest.connectors.elasticsearch_rows import log_row, span_row
from bayesrca.ingest.connectors.http import HttpSource
from bayesrca.ingest.connectors.interface import Ask, Haul, Ledger, Line, What
from bayesrca.ingest.connectors.mapping import Mapping
from bayesrca.ingest.connectors.rows import Cell, Collector
from bayesrca.ingest.connectors.shapes import Shapes
from bayesrca.ingest.connectors.times import cut

PARTS = 12
PAGE = 1_000
PAGES = 10
"""Answers for one part of the time."""
KEEP_ALIVE = "1m"
LOGS_INDEX = "logs-*,filebeat-*"
SPANS_INDEX = "traces-*"

# What a document becomes: a row, or None where it names no component or lacks what is needed.
_Read = Callable[[dict[str, Any], Mapping, Shapes], dict[str, Cell] | None]


@dataclass(frozen=True, slots=True)
class Hits:
    """One page of an answer.

    Attributes:
        documents: the sources of its documents.
        after: sort values of the last one, to ask for the next page.
        point: identity of the point in time to use from now on; empty: as before.
        lacks: what the server says it left out.
    """

    documents: tuple[dict[str, Any], ...]
    after: list[Any] | None
    point: str
    lacks: tuple[str, ...]


class Elasticsearch:
    """An Elasticsearch or OpenSearch cluster.

    Args:
        http: the cluster.
        spans: indices of spans, as their API writes them; empty for none.
        logs: indices of log records, likewise.
        mapping: from pods to components, where a record names no service.
    """

    offers = frozenset({What.SPANS, What.LOGS})

    def __init__(
        self,
        http: HttpSource,
        *,
        spans: str = SPANS_INDEX,
        logs: str = LOGS_INDEX,
        mapping: Mapping | None = None,
    ) -> None:
        self.name = http.name
        self._http = http
        self._spans, self._logs = spans, logs
        self._mapping = mapping or Mapping()
        self._shapes = Shapes(http.name)

    def fetch(self, ask: Ask) -> Haul:
        """Return spans and log records, at most so many from each part of the time."""
        ledger = Ledger(self.name)
        found = {What.SPANS: Collector(), What.LOGS: Collector()}
        is_open: bool | None = None
        with self._http, ledger.until_lost():
            jobs: tuple[tuple[What, str, _Read], ...] = (
                (What.SPANS, self._spans, span_row),
                (What.LOGS, self._logs, log_row),
            )
            for what, index, read in jobs:
                if index and what in ask.what:
                    with ledger.asking(what, f"documents of {index}") as line:
                        # The two servers are asked in different words.
                        if is_open is None:
                            answer = self._http.ask("GET", "", told=own_reason)
                            is_open = parse_server(answer, self._shapes)
                        self._index(index, is_open, ask.window, line, (read, found[what]))
        return Haul(
            spans=found[What.SPANS].rows(), logs=found[What.LOGS].rows(), asked=ledger.asked()
        )

    def _index(
        self,
        index: str,
        is_open: bool,
        window: TimeWindow,
        line: Line,
        into: tuple[_Read, Collector],
    ) -> None:
        """Read all documents of an index as they are at one point in time."""
        path = f"{index}/_search/point_in_time" if is_open else f"{index}/_pit"
        answer = self._http.ask(
            "POST",
            path,
            params={"keep_alive": KEEP_ALIVE},
            told=own_reason,
            absent={HTTPStatus.NOT_FOUND},
        )
        if answer is None:
            line.lack("there is no such index")
            return
        key = "pit_id" if is_open else "id"
        point = self._shapes.text(self._shapes.table(answer, "it").get(key), key)
        try:
            for start, end in cut(window, PARTS):
                point = self._part(point, (start, end), is_open, line, into)
        finally:
            self._close(point, is_open)

    def _part(
        self,
        point: str,
        times: tuple[float, float],
        is_open: bool,
        line: Line,
        into: tuple[_Read, Collector],
    ) -> str:
        """Read the documents of a part of the time; return the point in time to go on with."""
        read, collector = into
        after: list[Any] | None = None
        left_out = 0
        for _ in range(PAGES):
            body = _question(point, times, after, is_open)
            hits = parse_hits(
                self._http.ask("POST", "_search", body=body, told=own_reason), self._shapes
            )
            for lack in hits.lacks:
                line.lack(lack)
            for document in hits.documents:
                try:
                    row = read(document, self._mapping, self._shapes)
                except SourceError:
                    row = None  # one that cannot be read costs no other
                if row is None:
                    left_out += 1
                else:
                    collector.add(row)
                    line.came += 1
            point, after = hits.point or point, hits.after
            if len(hits.documents) < PAGE or after is None:
                break
        else:
            line.lack(f"documents of a part of the time beyond {PAGES * PAGE}")
        if left_out:
            line.lack("documents that name no component, or have no time or text that can be read")
        return point

    def _close(self, point: str, is_open: bool) -> None:
        path = "_search/point_in_time" if is_open else "_pit"
        body = {"pit_id": [point]} if is_open else {"id": point}
        with suppress(SourceError):  # it ends by itself after a minute
            self._http.ask("DELETE", path, body=body, absent={HTTPStatus.NOT_FOUND})


def _question(
    point: str, times: tuple[float, float], after: list[Any] | None, is_open: bool
) -> dict[str, Any]:
    start, end = (round(1000 * t) for t in times)
    span = {"gte": start, "lt": end, "format": "epoch_millis"}
    body: dict[str, Any] = {
        "size": PAGE,
        "pit": {"id": point, "keep_alive": KEEP_ALIVE},
        "query": {"bool": {"filter": [{"range": {"@timestamp": span}}]}},
        # Documents of one instant need an order of their own, or pages would lose some of them.
        "sort": [{"@timestamp": "asc"}, {"_id" if is_open else "_shard_doc": "asc"}],
        "track_total_hits": False,
    }
    return body if after is None else body | {"search_after": after}


def own_reason(answer: object) -> str:
    """Return the reason in an answer that reports an error; empty when it holds none."""
    error = answer.get("error") if isinstance(answer, dict) else None
    if isinstance(error, dict):
        return f"{error.get('type', '')}: {error.get('reason', '')}"
    return error if isinstance(error, str) else ""


def parse_server(answer: object, shapes: Shapes) -> bool:
    """Return whether the server that answers its root is an OpenSearch.

    Raises:
        SourceError: it is neither that nor an Elasticsearch.
    """
    version = shapes.table(shapes.table(answer, "it").get("version"), "version")
    shapes.text(version.get("number"), "version.number")
    return bool(version.get("distribution") == "opensearch")


def parse_hits(answer: object, shapes: Shapes) -> Hits:
    """Read one page of a search.

    Raises:
        SourceError: it is none.
    """
    content = shapes.table(answer, "it")
    entries = shapes.items(shapes.table(content.get("hits"), "hits").get("hits"), "hits.hits")
    documents, after = [], None
    for i, entry in enumerate(entries):
        hit = shapes.table(entry, f"hits.hits[{i}]")
        documents.append(shapes.table(hit.get("_source"), f"hits.hits[{i}]._source"))
        after = shapes.items(hit.get("sort"), f"hits.hits[{i}].sort")
    lacks = []
    shards = shapes.table(content.get("_shards") or {}, "_shards")
    failed = shapes.whole(shards.get("failed"), "_shards.failed")
    if failed:
        lacks.append(f"what {failed} shards hold, which failed")
    if content.get("timed_out") is True:
        lacks.append("what the server did not find in its own time")
    point = shapes.text(content.get("pit_id") or "", "pit_id")
    return Hits(tuple(documents), after, point, tuple(lacks))
