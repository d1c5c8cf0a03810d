"""Saved telemetry on the disk, some of it damaged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bayesrca.columns.otlp import Kind, Table, decode
from bayesrca.incident import TimeWindow
from bayesrca.service.held import Counts, Held
from bayesrca.service.messages import CallFailedError
from bayesrca.service.saved_files import SavedFiles, SavingLimits
from bayesrca.service.store import Clock
from tests.unit.service.test_store import Hand

WINDOW = TimeWindow(0.0, 100.0)
ONE, TWO, THREE = (f"00000000-0000-4000-8000-00000000000{i}" for i in (1, 2, 3))


def held() -> Held:
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add()
    span.trace_id, span.span_id = b"t" * 16, b"s" * 8
    span.start_time_unix_nano = span.end_time_unix_nano = 50 * 10**9
    tables: tuple[Table, ...] = (decode(Kind.SPANS, request.SerializeToString()),)
    counts = {Kind.SPANS: Counts(received=1, rejected=0, evicted=0)}
    return Held(tables=tables, n_bytes=1, refused=0, counts=counts)


def files(tmp_path: Path, clock: Clock | None = None, tenant_bytes: int = 1 << 30) -> SavedFiles:
    limits = SavingLimits(tenant_bytes=tenant_bytes, retain_seconds=60.0)
    return SavedFiles(tmp_path, limits, clock or Clock())


def damage(saved: SavedFiles, identity: str) -> None:
    path = saved.find("a", identity) / "window.json"
    told = json.loads(path.read_text())
    del told["created"]
    path.write_text(json.dumps(told))


def test_one_that_is_damaged_hides_no_other_and_goes_too(tmp_path: Path) -> None:
    hand = Hand()
    saved = files(tmp_path, hand.clock())
    for identity in (ONE, TWO):
        saved.save("a", identity, held(), WINDOW)
    damage(saved, ONE)
    assert [one.name.rpartition("/")[2] for one in saved.all_of("a")] == [TWO]
    assert saved.expire() == 0
    hand.steady += 1e12
    assert saved.expire() == 2
    with pytest.raises(CallFailedError):
        saved.find("a", ONE)


def test_one_that_is_damaged_counts_as_what_it_takes(tmp_path: Path) -> None:
    saved = files(tmp_path)
    size = saved.save("a", ONE, held(), WINDOW).size_bytes
    damage(saved, ONE)
    tight = files(tmp_path, tenant_bytes=size + size // 2)
    with pytest.raises(CallFailedError) as caught:
        tight.save("a", TWO, held(), WINDOW)
    assert caught.value.failure.reason == "STORAGE_QUOTA"
    tight.save("b", THREE, held(), WINDOW)
