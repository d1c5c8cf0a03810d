"""Jaeger's query service, version 3 of its HTTP API: spans."""

from __future__ import annotations

from datetime import UTC, datetime
from http import HTTPStatus

from bayesrca.incident import TimeWindow
from bayesrca.ingest.connectors.http import HttpSource
from bayesrca.ingest.connectors.interface import Ask, Haul, Ledger, Line, What
from bayesrca.ingest.connectors.otlp_json import SpanReader
from bayesrca.ingest.connectors.shapes import Shapes
from bayesrca.ingest.connectors.times import cut

PARTS = 12
"""Parts of a time that are asked for one by one, so that busy times do not crowd out calm ones."""
DEPTH = 50
"""Traces asked of each service in each part."""
MAX_SERVICES = 500


class Jaeger:
    """A Jaeger server, or another that speaks its API.

    Args:
        http: the server.
    """

    offers = frozenset({What.SPANS})

    def __init__(self, http: HttpSource) -> None:
        self.name = http.name
        self._http = http
        self._shapes = Shapes(http.name)

    def fetch(self, ask: Ask) -> Haul:
        """Return traces of every service, the same number from each part of the time."""
        ledger = Ledger(self.name)
        reader = SpanReader(self._shapes)
        with self._http, ledger.until_lost():
            for service in self._services(ledger):
                with ledger.asking(What.SPANS, f"traces of {service}") as line:
                    self._traces(service, ask.window, reader, line)
        return Haul(spans=reader.collector.rows(), asked=ledger.asked())

    def _services(self, ledger: Ledger) -> list[str]:
        names: list[str] = []
        with ledger.asking(What.SPANS, "names of services") as line:
            answer = self._http.ask("GET", "api/v3/services", told=own_reason)
            names = parse_services(answer, self._shapes)
            if len(names) > MAX_SERVICES:
                line.lack(f"{len(names) - MAX_SERVICES} services beyond the first {MAX_SERVICES}")
            line.asked += f": {len(names)} found"
        return names[:MAX_SERVICES]

    def _traces(self, service: str, window: TimeWindow, reader: SpanReader, line: Line) -> None:
        full = 0
        try:
            for start, end in cut(window, PARTS):
                answer = self._http.ask(
                    "GET",
                    "api/v3/traces",
                    params={
                        "query.service_name": service,
                        "query.start_time_min": _stamp(start),
                        "query.start_time_max": _stamp(end),
                        "query.search_depth": DEPTH,
                        "query.num_traces": DEPTH,  # its name in older versions
                    },
                    told=own_reason,
                    absent={HTTPStatus.NOT_FOUND},  # of a time without a trace
                )
                if answer is not None:
                    new, traces = read_traces(answer, reader, self._shapes)
                    line.came += new
                    full += traces >= DEPTH
        finally:
            if full:
                line.lack(
                    f"{full} of {PARTS} parts of the time may hold more than the {DEPTH} traces "
                    "asked of each"
                )


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
