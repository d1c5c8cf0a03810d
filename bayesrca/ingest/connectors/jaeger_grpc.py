"""Jaeger's query service, version 3 of its gRPC API: spans.

The names and numbers of the messages' fields are those of ``jaeger.api_v3`` in
``proto/api_v3/query_service.proto`` of github.com/jaegertracing/jaeger-idl. The few that are needed
are written and read here by hand, by https://protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from collections.abc import Iterator

from bayesrca.ingest.connectors.grpc_source import GrpcSource
from bayesrca.ingest.connectors.interface import Line
from bayesrca.ingest.connectors.otlp_bytes import SpanDecoder
from bayesrca.ingest.connectors.rows import Rows
from bayesrca.ingest.connectors.shapes import Shapes

_SERVICE = "jaeger.api_v3.QueryService"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class JaegerGrpc:
    """The questions of `Jaeger` over gRPC.

    Args:
        source: the server.
    """

    def __init__(self, source: GrpcSource) -> None:
        self.name = source.name
        self.server = source
        self._shapes = Shapes(source.name)
        self.begin()

    def begin(self) -> None:
        """Forget the spans so far."""
        self._spans = SpanDecoder(self._shapes)

    def services(self) -> list[str]:
        """Return the names of all services."""
        messages = self.server.ask(f"{_SERVICE}/GetServices", b"")
        return parse_services(messages, self._shapes)

    def traces(self, service: str, start: float, end: float, depth: int, line: Line) -> int:
        """Take traces of a service; return how many came."""
        request = find_traces_request(service, start, end, depth)
        return self._spans.read(self.server.ask(f"{_SERVICE}/FindTraces", request), line)

    def rows(self) -> Rows | None:
        """Return the spans so far."""
        return self._spans.collector.rows()


def find_traces_request(service: str, start: float, end: float, depth: int) -> bytes:
    """Serialise a ``FindTracesRequest``.

    Args:
        service: name of the service.
        start: seconds since the epoch, included.
        end: seconds since the epoch, not included.
        depth: most traces.
    """
    query = (
        _part(1, service.encode())
        + _part(4, _timestamp(start))
        + _part(5, _timestamp(end))
        + _number(8, depth)  # search_depth, num_traces in older versions
    )
    return _part(1, query)


def parse_services(messages: list[bytes], shapes: Shapes) -> list[str]:
    """Read the answer to a question for the names of services.

    Raises:
        SourceError: it is none.
    """
    names: set[str] = set()
    try:
        for message in messages:
            names |= {text.decode() for number, text in _parts(message) if number == 1}
    except ValueError:
        shapes.reject("it is no list of services")
    return sorted(names - {""})


def _timestamp(seconds: float) -> bytes:
    whole, nanos = divmod(round(seconds * 1e9), 10**9)
    return _number(1, whole) + _number(2, nanos)


def _varint(value: int) -> bytes:
    out = bytearray()
    value &= (1 << 64) - 1  # negative numbers as their two's complement
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3 | _VARINT) + _varint(value)


def _part(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | _BYTES) + _varint(len(content)) + content


def _parts(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Return number and content of the fields with a length; others are passed over.

    Raises:
        ValueError: it is no message.
    """
    at = 0
    while at < len(message):
        tag, at = _read_varint(message, at)
        field, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            _, at = _read_varint(message, at)
            continue
        if kind == _BYTES:
            length, at = _read_varint(message, at)
        elif kind in (_FIXED32, _FIXED64):
            length = 4 if kind == _FIXED32 else 8
        else:
            raise ValueError
        if field == 0 or length > len(message) - at:
            raise ValueError
        if kind == _BYTES:
            yield field, message[at : at + length]
        at += length


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    """Return a number and where the next begins."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            break
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError
