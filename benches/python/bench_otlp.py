"""Spans to columns with their attributes: the native decoder beside one in Python on upb.

    python benches/python/bench_otlp.py              # prints the table
    pytest benches/python/bench_otlp.py              # times the native one

Figures are spans per CPU-second of this process. Both decode the same requests, alternately, and
end with the same columns: ids, times, names, kinds, interned attributes.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from pytest_benchmark.fixture import BenchmarkFixture

from bayesrca.columns.otlp import Kind, decode


def request_of(n: int, seed: int) -> bytes:
    """Return a serialised request of n spans, 8 attributes each, about 290 bytes a span."""
    rng = random.Random(seed)
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    for key, text in (("service.name", "checkout"), ("host.name", "node-7")):
        resource.resource.attributes.add(key=key).value.string_value = text
    scope = resource.scope_spans.add()
    scope.scope.name = "bench"
    for i in range(n):
        start = 1_700_000_000_000_000_000 + i * 1_000_000
        span = Span(
            trace_id=rng.randbytes(16),
            span_id=rng.randbytes(8),
            parent_span_id=rng.randbytes(8),
            name=f"GET /api/{i % 20}",
            kind=Span.SPAN_KIND_SERVER,
            start_time_unix_nano=start,
            end_time_unix_nano=start + rng.randrange(1, 10**9),
            status=Status(code=Status.STATUS_CODE_OK),
        )
        for key, text in (
            ("http.request.method", "GET"),
            ("url.path", f"/api/{i % 20}"),
            ("server.address", f"10.0.0.{i % 9}"),
            ("network.protocol.version", "1.1"),
            ("user_agent.original", "Mozilla/5.0 (X11; Linux x86_64)"),
            ("enduser.id", f"user-{rng.randrange(200)}"),
        ):
            span.attributes.add(key=key).value.string_value = text
        span.attributes.add(key="http.response.status_code").value.int_value = 200
        span.attributes.add(key="http.response.body.size").value.int_value = rng.randrange(100_000)
        scope.spans.append(span)
    return request.SerializeToString()


def decode_by_upb(request: bytes) -> dict[str, np.ndarray[Any, Any]]:
    """Decode as `bayesrca.columns.otlp` does, in Python."""
    numbers: dict[object, int] = {}
    columns: dict[str, list[Any]] = {
        name: []
        for name in (
            "trace", "id", "parent", "name", "kind", "status", "start", "duration", "key", "value",
            "ends",
        )
    }  # fmt: skip
    for resource in ExportTraceServiceRequest.FromString(request).resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                start = span.start_time_unix_nano
                columns["trace"].append(span.trace_id)
                columns["id"].append(span.span_id)
                columns["parent"].append(span.parent_span_id)
                columns["name"].append(numbers.setdefault(span.name, len(numbers)))
                columns["kind"].append(span.kind)
                columns["status"].append(span.status.code)
                columns["start"].append(start)
                columns["duration"].append(span.end_time_unix_nano - start)
                for pair in span.attributes:
                    value = pair.value
                    plain = getattr(value, value.WhichOneof("value") or "string_value")
                    columns["key"].append(numbers.setdefault(pair.key, len(numbers)))
                    columns["value"].append(numbers.setdefault(plain, len(numbers)))
                columns["ends"].append(len(columns["key"]))
    return {
        name: np.array(column, dtype="S16" if name in ("trace", "id", "parent") else np.int64)
        for name, column in columns.items()
    }


def decode_to_columns(request: bytes) -> object:
    return decode(Kind.SPANS, request).columns


def rate(run: Callable[[], object], n: int, seconds: float = 1.0) -> float:
    """Return records per CPU-second of this process."""
    done, begun = 0, time.process_time()
    while time.process_time() - begun < seconds:
        run()
        done += n
    return done / (time.process_time() - begun)


def bench_decode(benchmark: BenchmarkFixture) -> None:
    request = request_of(512, seed=0)
    benchmark(decode, Kind.SPANS, request)


def main() -> None:
    """Print both, and their ratio, for small and large requests."""
    print(f"{'spans a request':>16} {'bytes a span':>13} {'upb':>9} {'native':>11} {'ratio':>6}")
    for n in (512, 4096, 8192):
        request = request_of(n, seed=n)
        rounds = []
        for _ in range(3):
            slow = rate(partial(decode_by_upb, request), n)
            fast = rate(partial(decode_to_columns, request), n)
            rounds.append((fast / slow, slow, fast))
        ratio, slow, fast = sorted(rounds)[1]
        print(f"{n:>16} {len(request) / n:>13.0f} {slow:>9.0f} {fast:>11.0f} {ratio:>6.1f}")


if __name__ == "__main__":
    main()
