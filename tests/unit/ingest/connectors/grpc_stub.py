"""A Jaeger query service on the loopback interface that answers as scripted, over gRPC.

Its messages are made by protobuf itself from descriptors, and OpenTelemetry's from the official
package; nothing of the code under test has a part in them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import grpc
from google.protobuf import (
    any_pb2,
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    timestamp_pb2,
)
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span, TracesData

from bayesrca.ingest.connectors.credentials import Credentials
from bayesrca.ingest.connectors.grpc_source import GrpcSource
from tests.unit.ingest.connectors.stub import QUICK

_FIELDS = {
    "TraceQueryParameters": [
        ("service_name", 1, 9, ""),
        ("operation_name", 2, 9, ""),
        ("start_time_min", 4, 11, ".google.protobuf.Timestamp"),
        ("start_time_max", 5, 11, ".google.protobuf.Timestamp"),
        ("search_depth", 8, 5, ""),
        ("raw_traces", 9, 8, ""),
    ],
    "FindTracesRequest": [("query", 1, 11, ".jaeger.api_v3.TraceQueryParameters")],
    "GetServicesResponse": [("services", 1, 9, "")],
}
"""Name, number, type and message type by ``proto/api_v3/query_service.proto``."""


def _classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(
        name="query_service.proto", package="jaeger.api_v3", syntax="proto3",
        dependency=["google/protobuf/timestamp.proto"],
    )  # fmt: skip
    for name, fields in _FIELDS.items():
        message = file.message_type.add(name=name)
        for label, number, kind, of in fields:
            field = message.field.add(name=label, number=number)
            field.type = kind  # type: ignore[assignment]
            field.label = field.LABEL_REPEATED if label == "services" else field.LABEL_OPTIONAL
            if of:
                field.type_name = of
    pool = descriptor_pool.DescriptorPool()
    stamps = descriptor_pb2.FileDescriptorProto()
    timestamp_pb2.DESCRIPTOR.CopyToProto(stamps)
    pool.Add(stamps)
    pool.Add(file)
    find = pool.FindMessageTypeByName
    return {n: message_factory.GetMessageClass(find(f"jaeger.api_v3.{n}")) for n in _FIELDS}


_CLASSES = _classes()
FindTracesRequest = _CLASSES["FindTracesRequest"]
GetServicesResponse = _CLASSES["GetServicesResponse"]


@dataclass
class Refusal:
    """An error status, perhaps with a RetryInfo."""

    code: grpc.StatusCode
    words: str = ""
    retry: float | None = None
    details: bytes | None = None

    def abort(self, context: grpc.ServicerContext) -> None:
        details = self.details
        if self.retry is not None:
            info = error_details_pb2.RetryInfo()
            info.retry_delay.FromNanoseconds(round(self.retry * 1e9))
            packed = any_pb2.Any()
            packed.Pack(info)
            status = status_pb2.Status(code=8, message=self.words, details=[packed])
            details = status.SerializeToString()
        if details is not None:
            context.set_trailing_metadata((("grpc-status-details-bin", details),))
        context.abort(self.code, self.words)


@dataclass
class Slow:
    """Waits before the next message."""

    seconds: float


Part = bytes | Refusal | Slow
Answer = Callable[[Any], Iterable[Part]]


def services(*names: str) -> Iterable[Part]:
    return [GetServicesResponse(services=names).SerializeToString()]


@dataclass
class GrpcStub:
    """Answers GetServices and FindTraces by functions of the request.

    Use as a context manager.
    """

    traces: Answer = lambda _: ()
    names: Answer = lambda _: services("front")
    tls: tuple[bytes, bytes] | None = None
    compression: grpc.Compression | None = None
    asked: list[Any] = field(default_factory=list)
    metadata: list[dict[str, str]] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._over = threading.Event()
        self._pool = ThreadPoolExecutor(4)
        self._server = grpc.server(self._pool, compression=self.compression)
        handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            # One message of a stream is on the wire what a unary answer is.
            "GetServices": grpc.unary_stream_rpc_method_handler(
                lambda raw, context: self._serve(self.names, raw, context)
            ),
            "FindTraces": grpc.unary_stream_rpc_method_handler(
                lambda raw, context: self._serve(
                    self.traces, FindTracesRequest.FromString(raw), context
                )
            ),
        }
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("jaeger.api_v3.QueryService", handlers),)
        )
        if self.tls is None:
            port = self._server.add_insecure_port("127.0.0.1:0")
        else:
            credentials = grpc.ssl_server_credentials([self.tls])
            port = self._server.add_secure_port("127.0.0.1:0", credentials)
        self.url = f"grpc{'s' if self.tls else ''}://127.0.0.1:{port}"
        self._server.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._server.stop(0).wait(10)
        self._pool.shutdown()

    def _serve(
        self,
        answer: Answer,
        request: Any,  # noqa: ANN401
        context: grpc.ServicerContext,
    ) -> Iterator[bytes]:
        self.asked.append(request)
        self.metadata.append({key: str(value) for key, value in context.invocation_metadata()})
        for part in answer(request):
            if isinstance(part, Slow):
                self._over.wait(part.seconds)
            elif isinstance(part, Refusal):
                part.abort(context)
            else:
                yield part

    def source(self, **settings: Any) -> GrpcSource:  # noqa: ANN401
        return GrpcSource("jaeger", self.url, **{"limits": QUICK} | settings)


def one_trace(number: int, at: float, *, service: str = "front", callee: str = "cart") -> bytes:
    """A caller, its client span, its callee and that one's query to a cache."""
    trace = number.to_bytes(16, "big")
    ids = [(10 * number + i).to_bytes(8, "big") for i in range(4)]
    begun = round(at * 1e9)

    def span(name: str, own: int, parent: int | None, kind: int, **more: Any) -> Span:  # noqa: ANN401
        made = Span(
            trace_id=trace, span_id=ids[own], name=name, kind=kind,  # type: ignore[arg-type]
            start_time_unix_nano=begun + own, end_time_unix_nano=begun + 100_000_000,
            parent_span_id=b"" if parent is None else ids[parent],
        )  # fmt: skip
        made.status.code = more.pop("status", 0)
        for key, value in more.items():
            made.attributes.add(key=key.replace("_", ".")).value.string_value = value
        return made

    def resource(name: str, *spans: Span) -> ResourceSpans:
        made = ResourceSpans()
        made.resource.attributes.add(key="service.name").value.string_value = name
        made.scope_spans.add().spans.extend(spans)
        return made

    return TracesData(
        resource_spans=[
            resource(service, span("GET /", 0, None, 2), span("call", 1, 0, 3)),
            resource(
                callee,
                span("GetCart", 2, 1, 2, status=2),
                span("GET", 3, 2, 3, db_system_name="redis", db_query_text="GET x",
                     server_address="cache"),
            ),
        ]
    ).SerializeToString()  # fmt: skip


def hidden(**headers: str) -> Credentials:
    return Credentials({name.replace("_", "-"): value for name, value in headers.items()})


def wait_for(check: Callable[[], bool], seconds: float = 5.0) -> bool:
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if check():
            return True
        time.sleep(0.01)
    return check()
