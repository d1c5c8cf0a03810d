"""Every call counted, timed and traced."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import partial
from typing import cast

import grpc
from opentelemetry.trace import (
    INVALID_SPAN,
    Span,
    SpanKind,
    StatusCode,
    Tracer,
    format_trace_id,
    use_span,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from structlog.contextvars import bind_contextvars

from bayesrca.service.auth import EXPORTS, HEALTH
from bayesrca.service.caller import current_caller
from bayesrca.service.interceptors import Context, Continuation, Handler, surrounded
from bayesrca.service.messages import CallFailedError
from bayesrca.service.status import status_of
from bayesrca.service.telemetry import Metrics

_PROPAGATOR = TraceContextTextMapPropagator()
_TRACE_HEADERS = ("traceparent", "tracestate")
_OUR_FAULT = (
    "UNKNOWN",
    "DEADLINE_EXCEEDED",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
)


class TelemetryInterceptor(grpc.aio.ServerInterceptor):
    """Counts, times and traces every call, and gives its log records their context.

    Args:
        metrics: takes the counts.
        tracer: takes the spans; health checks and received telemetry have none.
    """

    def __init__(self, metrics: Metrics, tracer: Tracer) -> None:
        self._metrics = metrics
        self._tracer = tracer

    async def intercept_service(
        self, continuation: Continuation, details: grpc.HandlerCallDetails
    ) -> Handler | None:
        """Return the method's handler, observed."""
        begun = time.perf_counter()
        handler = await continuation(details)
        if handler is None:
            self._metrics.rpc_unknown()
            return None
        return surrounded(handler, partial(self._observed, details, begun))

    @contextlib.contextmanager
    def _observed(
        self, details: grpc.HandlerCallDetails, begun: float, context: Context
    ) -> Iterator[None]:
        method, code = details.method, "OK"
        self._metrics.rpc_began()
        with self._span(details) as span:
            trace_id = trace_id_of(span)
            bind_contextvars(call_id=uuid.uuid4().hex)
            if trace_id:
                bind_contextvars(trace_id=trace_id)
            try:
                yield
            except BaseException as error:
                code = _code_of(error, context)
                raise
            finally:
                self._metrics.rpc_ended(method, code, time.perf_counter() - begun, trace_id)
                span.set_attribute("rpc.response.status_code", code)
                span.set_attribute("bayesrca.tenant", current_caller().tenant)
                if code in _OUR_FAULT:
                    span.set_status(StatusCode.ERROR)

    def _span(self, details: grpc.HandlerCallDetails) -> AbstractContextManager[Span]:
        # Spans about received spans would make more of them, should they be sent to this server.
        if details.method.startswith(HEALTH) or details.method in EXPORTS:
            return contextlib.nullcontext(INVALID_SPAN)
        headers = {
            key: value
            for key, value in details.invocation_metadata or ()
            if key in _TRACE_HEADERS and isinstance(value, str)
        }
        name = details.method.removeprefix("/")
        span = self._tracer.start_span(
            name,
            context=_PROPAGATOR.extract(headers),
            kind=SpanKind.SERVER,
            attributes={"rpc.system.name": "grpc", "rpc.method": name},
        )
        # An error's text may hold what the caller sent.
        return use_span(
            span, end_on_exit=True, record_exception=False, set_status_on_exception=False
        )


def trace_id_of(span: Span) -> str:
    """Return the id of the trace a span belongs to, 32 hexadecimal digits; empty for none."""
    found = span.get_span_context()
    return format_trace_id(found.trace_id) if found.is_valid else ""


def _code_of(error: BaseException, context: Context) -> str:
    """Return the code that a call ends with when its handler raises."""
    match error:
        case CallFailedError():
            return status_of(error.failure)[0].name
        case grpc.aio.AbortError():
            return context.code().name
        case asyncio.CancelledError():
            remaining = cast("float | None", context.time_remaining())
            late = remaining is not None and remaining <= 0
            return "DEADLINE_EXCEEDED" if late else "CANCELLED"
    return "UNKNOWN"
