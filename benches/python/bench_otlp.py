"""Spans to columns with their attributes: the native decoder beside one in Python on upb.

    python benches/python/bench_otlp.py              # prints both tables
    pytest benches/python/bench_otlp.py              # times the native decoder

First in this process: spans per CPU-second; both decode the same requests, alternately, and end
with the same columns: ids, times, names, kinds, interned attributes. Then through servers on the
loopback interface, spans per CPU-second of the server's process: `bayesrca serve
--receive-telemetry` with all that it does around a call, and a bare grpc.aio server that decodes in
Python and forgets. The real one is flooded: it holds 64 MiB, and its memory is printed.
"""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Self

import grpc
import numpy as np
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from pytest_benchmark.fixture import BenchmarkFixture

from bayesrca.columns.otlp import Kind, decode

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


def request_of(n: int, seed: int) -> bytes:
    """Return a serialised request of n spans, 8 attributes each, about 345 bytes a span."""
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


def in_process() -> None:
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


class Running:
    """A server process; ends with its context."""

    def __init__(self, *command: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, *command], stderr=subprocess.PIPE, text=True
        )
        assert self._process.stderr is not None
        found = next((x for x in self._process.stderr if x.startswith("listening on ")), "")
        # Its log must not fill the pipe.
        threading.Thread(target=self._process.stderr.read, daemon=True).start()
        self.channel = grpc.insecure_channel(found.split()[-1])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.channel.close()
        self._process.terminate()
        self._process.wait(60)

    def cpu_seconds(self) -> float:
        stat = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="utf-8")
        user, system = stat.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def resident(self) -> float:
        """MiB of memory."""
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="utf-8")
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024

    def rate(self, request: bytes, n: int, seconds: float) -> float:
        """Return spans per CPU-second of the server, with four requests under way."""
        send: grpc.UnaryUnaryMultiCallable[bytes, bytes] = self.channel.unary_unary(EXPORT)
        for _ in range(3):
            send(request)
        begun, done = self.cpu_seconds(), 0
        while self.cpu_seconds() - begun < seconds:
            for future in [send.future(request) for _ in range(4)]:
                future.result()
            done += 4 * n
        return done / (self.cpu_seconds() - begun)


def through_servers() -> None:
    real = ("-m", "bayesrca.service", "--port", "0", "--receive-telemetry", "--no-warm")
    held = ("--telemetry-bytes", str(64 << 20), "--telemetry-spared-seconds", "0")
    print(f"{'through a server':>16} {'':>13} {'upb':>9} {'bayesrca':>11} {'ratio':>6} {'MiB':>5}")
    with Running(__file__, "--serve-upb") as slow, Running(*real, *held) as fast:
        for n in (512, 4096, 8192):
            request = request_of(n, seed=n)
            rounds = []
            for _ in range(3):
                python, native = slow.rate(request, n, 1.5), fast.rate(request, n, 1.5)
                rounds.append((native / python, python, native))
            ratio, python, native = sorted(rounds)[1]
            line = f"{n:>16} {len(request) / n:>13.0f} {python:>9.0f} {native:>11.0f}"
            print(f"{line} {ratio:>6.1f} {fast.resident():>5.0f}")


async def serve_upb() -> None:
    """Serve a bare Export that decodes in Python; ends with the process."""

    async def export(request: bytes, _: object) -> bytes:
        decode_by_upb(request)
        return b""

    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(export)
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", 64 << 20)])
    service, _, name = EXPORT.removeprefix("/").partition("/")
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(service, {name: handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"listening on 127.0.0.1:{port}", file=sys.stderr, flush=True)
    await server.wait_for_termination()


def main() -> None:
    if "--serve-upb" in sys.argv:
        asyncio.run(serve_upb())
        return
    in_process()
    through_servers()


if __name__ == "__main__":
    main()
