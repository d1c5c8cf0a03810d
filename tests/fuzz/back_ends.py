"""Laws of the connectors: whatever a back end answers, the collection goes on without it.

The bytes are a script, ``{"/path": answer}`` or ``{"/path": {"!turns": [answer, ...]}}``, where an
answer may be ``{"!status": 503, "!headers": {...}, "!body": ...}``. Bytes that are no script are
themselves every answer. They go through the real HTTP client and all that follows it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Self

import httpx
import numpy as np

from bayesrca.errors import SourceError
from bayesrca.incident import Family, Signal, Statistic, TimeWindow
from bayesrca.ingest.connectors.alertmanager import NAME, parse_notification
from bayesrca.ingest.connectors.change_events import ChangeEvents
from bayesrca.ingest.connectors.collect import Wanted, collect
from bayesrca.ingest.connectors.datadog import Datadog
from bayesrca.ingest.connectors.elasticsearch import Elasticsearch
from bayesrca.ingest.connectors.grpc_source import GrpcSource
from bayesrca.ingest.connectors.http import HttpSource
from bayesrca.ingest.connectors.interface import Ask, Asked, Connector, Haul, What
from bayesrca.ingest.connectors.jaeger import Jaeger, JaegerJson
from bayesrca.ingest.connectors.jaeger_grpc import JaegerGrpc
from bayesrca.ingest.connectors.loki import Loki
from bayesrca.ingest.connectors.mapping import Mapping
from bayesrca.ingest.connectors.otlp_json import SpanReader
from bayesrca.ingest.connectors.patience import Limits
from bayesrca.ingest.connectors.prometheus import Prometheus
from bayesrca.ingest.connectors.shapes import Shapes
from bayesrca.ingest.places import Naming
from bayesrca.ingest.tables import read_usable
from tests.fuzz.law import Law, folder, refused

START = 1_750_000_000.0
WANTED = Wanted(
    name="outage",
    window=TimeWindow(START, START + 60.0),
    baseline=TimeWindow(START - 60.0, START),
    step=30.0,
    strict=False,
)
LIMITS = Limits(attempts=2, first_pause=0.0, max_bytes=1 << 16, max_total_bytes=1 << 18)


class Scripted(HttpSource):
    """A server that answers as the script says."""

    def __init__(self, name: str, data: bytes) -> None:
        super().__init__(name, "http://back.end", limits=LIMITS, pause=lambda _: None)
        self._raw = data
        self._routes: dict[str, Iterator[object]] | None = None
        script = _json(data)
        if isinstance(script, dict) and script and all(key[:1] == "/" for key in script):
            self._routes = {key: _turns(answers) for key, answers in script.items()}

    def __enter__(self) -> Self:
        # Not by the parent's way, which reads the authorities' certificates each time.
        transport = httpx.MockTransport(self.reply)
        self._client = httpx.Client(transport=transport, trust_env=False)
        self._patience.begin()
        return self

    def reply(self, request: httpx.Request) -> httpx.Response:
        if self._routes is None:
            return httpx.Response(200, stream=httpx.ByteStream(self._raw))
        if request.url.path not in self._routes:
            return httpx.Response(404, stream=httpx.ByteStream(b""))
        return _response(next(self._routes[request.url.path]))


def _json(data: bytes) -> object:
    try:
        parsed: object = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return parsed


def _turns(answers: object) -> Iterator[object]:
    turns = answers.get("!turns") if isinstance(answers, dict) else None
    if not (isinstance(turns, list) and turns):
        turns = [answers]
    yield from turns
    while True:  # the last for ever
        yield turns[-1]


def _response(answer: object) -> httpx.Response:
    if not (isinstance(answer, dict) and isinstance(answer.get("!status"), int)):
        return httpx.Response(200, stream=httpx.ByteStream(json.dumps(answer).encode()))
    given = answer.get("!headers")
    headers = {
        key: value
        for key, value in (given.items() if isinstance(given, dict) else ())
        if isinstance(value, str) and f"{key}{value}".isascii() and f"{key}{value}".isprintable()
    }
    body = answer.get("!body")
    content = body.encode(errors="replace") if isinstance(body, str) else json.dumps(body).encode()
    status = 200 + answer["!status"] % 400
    return httpx.Response(status, headers=headers, stream=httpx.ByteStream(content))


class _Known:
    """Another source, which must not suffer."""

    name = "other"
    offers = frozenset({What.SERIES})

    def fetch(self, ask: Ask) -> Haul:
        times = np.arange(ask.window.start, ask.window.end, ask.step)
        signal = Signal(
            "known", "latency", Family.LATENCY, Statistic.MEAN, times, np.ones(len(times)), "s"
        )
        asked = Asked(source=self.name, what=What.SERIES, asked="latency", came=1)
        return Haul(series=(signal,), asked=(asked,))


def collected(connector: Connector) -> bool:
    """Collect from a source and another; return whether nothing of the first is missing."""
    found = collect([connector, _Known()], WANTED)
    incident = found.incident
    assert any((s.component, s.name) == ("known", "latency") for s in incident.signals)
    lines = [line for line in found.asked if line.source == connector.name]
    assert lines
    for line in lines:
        f"{line.asked} {line.missing}".encode()
    for note in incident.notes:
        note.encode()
    missing = [line for line in lines if line.missing]
    for what in {line.what for line in missing}:
        named = f"{what} from {connector.name}; missing: "
        assert any(named in note for note in incident.notes), incident.notes
    return not missing and not any(note.startswith("No ") for note in incident.notes)


def _server(name: str, make: Callable[[HttpSource], Connector]) -> Law:
    return lambda data: collected(make(Scripted(name, data)))


class _Messages(GrpcSource):
    """A gRPC server whose answers are given: names of services, then traces for each of them."""

    def __init__(self, data: bytes) -> None:
        super().__init__("jaeger", "grpc://back.end:1", limits=LIMITS, pause=lambda _: None)
        self._left = data

    def __enter__(self) -> Self:
        self._patience.begin()
        return self

    def ask(self, method: str, request: bytes) -> list[bytes]:
        """Return messages: their number in a byte, each behind its length in two."""
        assert method
        assert request or method.endswith("GetServices")
        count, self._left = self._left[:1], self._left[1:]
        messages = []
        for _ in range(count[0] % 8 if count else 0):
            length = int.from_bytes(self._left[:2], "little")
            messages.append(self._left[2 : 2 + length])
            self._left = self._left[2 + length :]
        return messages


def jaeger_grpc(data: bytes) -> bool:
    return collected(Jaeger(JaegerGrpc(_Messages(data))))


def change_events(data: bytes) -> bool:
    path = folder() / "changes.json"
    path.write_bytes(data)
    return collected(ChangeEvents(path))


def alertmanager(data: bytes) -> bool:
    content = _json(data)
    try:
        notification = parse_notification(content)
    except SourceError as error:
        return refused(error, NAME)
    for alert in notification.alerts:
        assert alert.title
        alert.event(Mapping())
    if notification.first is not None:
        assert notification.first.firing
        assert notification.request_id == parse_notification(content).request_id
    return True


def otlp_json(data: bytes) -> bool:
    reader = SpanReader(Shapes("jaeger"))
    try:
        new, traces = reader.read(_json(data), "it")
    except SourceError as error:
        return refused(error, "jaeger")
    assert 0 <= traces <= max(new, traces)
    rows = reader.collector.rows()
    if rows is None:
        return True
    assert rows.count == new
    spans, _, notes = read_usable(rows.to_table("the spans that came"), None, Naming())
    assert (spans is None) == bool(notes)
    return spans is not None


def http_body(data: bytes) -> bool:
    """The first byte says how the rest is sent: in how many pieces, and as what."""
    first, body = data[:1] or b"\0", data[1:]
    size = 1 + first[0] % 16
    encoding = {} if first[0] < 128 else {"Content-Encoding": "gzip"}
    pieces = [body[i : i + size] for i in range(0, len(body), size)]

    class Pieces(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield from pieces

    class InPieces(Scripted):
        def reply(self, request: httpx.Request) -> httpx.Response:
            return httpx.Response(200, headers=encoding, stream=Pieces(), request=request)

    source = InPieces("server", b"")
    try:
        with source:
            answer = source.ask("GET", "it")
    except SourceError as error:
        return refused(error, "server")
    json.dumps(answer)
    return True


LAWS: dict[str, Law] = {
    "alertmanager": alertmanager,
    "change_events": change_events,
    "datadog": _server("datadog", Datadog),
    "elasticsearch": _server("elasticsearch", Elasticsearch),
    "http_body": http_body,
    "jaeger": _server("jaeger", lambda http: Jaeger(JaegerJson(http))),
    "jaeger_grpc": jaeger_grpc,
    "loki": _server("loki", Loki),
    "otlp_json": otlp_json,
    "prometheus": _server("prometheus", Prometheus),
}
