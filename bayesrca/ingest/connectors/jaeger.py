"""Jaeger's query service, version 3 of its API: spans."""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Protocol

from bayesrca.incident import TimeWindow
from bayesrca.ingest.connectors.http import HttpSource
from bayesrca.ingest.connectors.interface import Ask, Haul, Ledger, Line, What
from bayesrca.ingest.connectors.otlp_json import SpanReader
from bayesrca.ingest.connectors.rows import Rows
from bayesrca.ingest.connectors.shapes import Shapes
from bayesrca.ingest.connectors.times import cut

PARTS = 12
"""Parts of a time that are asked for one by one, so that busy times do not crowd out calm ones."""
DEPTH = 50
"""Traces asked of each service in each part."""
MAX_SERVICES = 500


class JaegerApi(Protocol):
    """Questions to a Jaeger server, however it is reached.

    They are asked while `server` is open.
    """

    name: str

    @property
    def server(self) -> AbstractContextManager[object]:
        """What to open before asking."""
        ...

    def begin(self) -> None:
        """Forget the spans so far."""
        ...

    def services(self) -> list[str]:
        """Return the names of all services."""
        ...

    def traces(self, service: str, start: float, end: float, depth: int, line: Line) -> int:
        """Take traces of a service that began in [start, end); return how many came.

        The line counts the spans that are new.
        """
        ...

    def rows(self) -> Rows | None:
        """Return the spans so far."""
        ...


class Jaeger:
    """A Jaeger server, or another that speaks its API.

    Args:
        api: `JaegerJson` or `bayesrca.ingest.connectors.jaeger_grpc.JaegerGrpc`.
    """

    offers = frozenset({What.SPANS})

    def __init__(self, api: JaegerApi) -> None:
        self.name = api.name
        self._api = api

    def fetch(self, ask: Ask) -> Haul:
        """Return traces of every service, the same number from each part of the time."""
        ledger = Ledger(self.name)
        self._api.begin()
        with self._api.server, ledger.until_lost():
            for service in self._services(ledger):
                with ledger.asking(What.SPANS, f"traces of {service}") as line:
                    self._traces(service, ask.window, line)
        return Haul(spans=self._api.rows(), asked=ledger.asked())

    def _services(self, ledger: Ledger) -> list[str]:
        names: list[str] = []
        with ledger.asking(What.SPANS, "names of services") as line:
            names = self._api.services()
            if len(names) > MAX_SERVICES:
                line.lack(f"{len(names) - MAX_SERVICES} services beyond the first {MAX_SERVICES}")
            line.asked += f": {len(names)} found"
        return names[:MAX_SERVICES]

    def _traces(self, service: str, window: TimeWindow, line: Line) -> None:
        full = 0
        try:
            for start, end in cut(window, PARTS):
                full += self._api.traces(service, start, end, DEPTH, line) >= DEPTH
        finally:
            if full:
                line.lack(
                    f"{full} of {PARTS} parts of the time may hold more than the {DEPTH} traces "
                    "asked of each"
                )


class JaegerJson:
    """The questions of `Jaeger` over HTTP.

    Args:
        http: the server.
    """

    def __init__(self, http: HttpSource) -> None:
        self.name = http.name
        self.server = http
        self._shapes = Shapes(http.name)
        self.begin()

    def begin(self) -> None:
        """Forget the spans so far."""
        self._reader = SpanReader(self._shapes)

    def services(self) -> list[str]:
        """Return the names of all services."""
        answer = self.server.ask("GET", "api/v3/services", told=own_reason)
        return parse_services(answer, self._shapes)

    def traces(self, service: str, start: float, end: float, depth: int, line: Line) -> int:
        """Take traces of a service; return how many came."""
        answer = self.server.ask(
            "GET",
            "api/v3/traces",
            params={
                "query.service_name": service,
                "query.start_time_min": _stamp(start),
                "query.start_time_max": _stamp(end),
                "query.search_depth": depth,
                "query.num_traces": depth,  # its name in older versions
            },
            told=own_reason,
            absent={HTTPStatus.NOT_FOUND},  # of a time without a trace
        )
        if answer is None:
            return 0
        new, traces = read_traces(answer, self._reader, self._shapes)
        line.came += new
        return traces

    def rows(self) -> Rows | None:
        """Return the spans so far."""
        return self._reader.collector.rows()


def read_traces(answer: object, reader: SpanReader, shapes: Shapes) -> tuple[int, int]:
    """Take an answer with traces; return how many spans are new, and of how many traces.

    Raises:
        SourceError: it is none.
    """
    content = shapes.table(answer, "it")
    if "result" not in content:
        shapes.reject("it holds no result")
    return reader.read(content["result"], "result")


def parse_services(answer: object, shapes: Shapes) -> list[str]:
    """Read the answer to a question for the names of services.

    Raises:
        SourceError: it is none.
    """
    names = shapes.items(shapes.table(answer, "it").get("services") or [], "services")
    return sorted({shapes.text(name, f"services[{i}]") for i, name in enumerate(names)})


def own_reason(answer: object) -> str:
    """Return the reason in an answer that reports an error; empty when it holds none."""
    error = answer.get("error") if isinstance(answer, dict) else None
    return str(error.get("message", "")) if isinstance(error, dict) else ""


def _stamp(seconds: float) -> str:
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
