"""What is held of received telemetry, and what has to go."""

from __future__ import annotations

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bayesrca.columns.otlp import Kind, Table, decode
from bayesrca.service.held import Bounds, HeldTelemetry
from bayesrca.service.messages import CallFailedError


def table_of(n: int) -> Table:
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for i in range(1, n + 1):
        span = scope.spans.add(trace_id=i.to_bytes(16), span_id=i.to_bytes(8))
        span.start_time_unix_nano = span.end_time_unix_nano = 5
    return decode(Kind.SPANS, request.SerializeToString())


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def make(seconds: float = 60.0, n_bytes: int = 1 << 20, spared: float = 0.0) -> HeldTelemetry:
    clock.now = 100.0
    evicted.clear()
    bounds = Bounds(seconds=seconds, n_bytes=n_bytes, spared_seconds=spared)
    return HeldTelemetry(bounds, lambda kind, count: evicted.append((kind, count)), clock)


clock = Clock()
evicted: list[tuple[Kind, int]] = []


def test_what_is_too_old_goes() -> None:
    held = make(seconds=10)
    held.add("a", table_of(3))
    clock.now += 6
    held.add("a", table_of(2))
    clock.now += 6
    found = held.look("a")
    assert [len(table) for table in found.tables] == [2]
    assert evicted == [(Kind.SPANS, 3)]
    assert found.counts[Kind.SPANS].received == 5
    assert found.counts[Kind.SPANS].evicted == 3
    assert held.n_bytes == found.n_bytes > 0


def test_the_oldest_goes_first_and_the_bound_holds() -> None:
    size = table_of(10).n_bytes
    held = make(n_bytes=3 * (size + 2048))
    for _ in range(50):
        held.add("a", table_of(10))
        assert held.n_bytes <= 3 * (size + 2048)
        clock.now += 0.1
    assert len(held.look("a").tables) == 3
    assert sum(count for _, count in evicted) == 470
    clock.now += 1000
    assert held.look("a").n_bytes == 0


def test_recent_telemetry_is_spared_and_the_sender_told_when_to_come_back() -> None:
    size = table_of(10).n_bytes + 2048
    held = make(n_bytes=2 * size, spared=20)
    held.add("a", table_of(10))
    clock.now += 5
    held.add("a", table_of(10))
    with pytest.raises(CallFailedError) as caught:
        held.add("a", table_of(10))
    assert caught.value.failure.reason == "TELEMETRY_FULL"
    assert caught.value.failure.retry_after == 15
    with pytest.raises(CallFailedError):
        held.check("a")
    assert held.look("a").refused == 2
    held.add("b", table_of(10))  # another tenant has its own room
    clock.now += 15
    held.add("a", table_of(10))
    assert evicted == [(Kind.SPANS, 10)]


def test_what_never_fits_is_not_to_be_sent_again() -> None:
    held = make(n_bytes=1 << 12)
    with pytest.raises(CallFailedError) as caught:
        held.add("a", table_of(1000))
    assert caught.value.failure.reason == "TELEMETRY_TOO_LARGE"
    assert not caught.value.failure.retryable
    assert held.n_bytes == 0


def test_a_tenant_that_went_quiet_keeps_nothing() -> None:
    held = make(seconds=10)
    held.add("quiet", table_of(3))
    clock.now += 11
    held.check("busy")
    assert held.n_bytes == 0
    assert evicted == [(Kind.SPANS, 3)]


def test_the_sum_of_all_tenants_is_kept() -> None:
    held = make(seconds=10)
    for tenant, n in (("a", 3), ("b", 5), ("a", 2)):
        held.add(tenant, table_of(n))
    assert held.n_bytes == held.look("a").n_bytes + held.look("b").n_bytes
