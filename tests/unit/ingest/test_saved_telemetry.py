"""What is saved of received telemetry makes the incident that it would have made when received."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bayesrca.columns.otlp import Kind, Table, decode
from bayesrca.errors import IncidentFormatError, NoEvidenceError
from bayesrca.incident import Incident, TimeWindow
from bayesrca.ingest.connectors.collect import Wanted, collect
from bayesrca.ingest.connectors.received import Received
from bayesrca.ingest.connectors.saved import Saved
from bayesrca.ingest.places import Naming
from bayesrca.ingest.saved_telemetry import read_manifest, read_points, write_window

S = 10**9
WHOLE = TimeWindow(1000.0, 1300.0)


def spans(rng: random.Random, n: int) -> Table:
    request = ExportTraceServiceRequest()
    for service in ("front", "cart"):
        group = request.resource_spans.add()
        group.resource.attributes.add(key="service.name").value.string_value = service
        group.resource.attributes.add(key="host.name").value.string_value = f"host {service}"
        scope = group.scope_spans.add()
        for i in range(n):
            start = rng.randrange(950 * S, 1350 * S)
            span = scope.spans.add(
                trace_id=rng.randbytes(16) if i else b"short",
                span_id=rng.randbytes(8),
                name=rng.choice(["GET /", "POST /ä"]),
                start_time_unix_nano=start,
                end_time_unix_nano=start + rng.randrange(S),
                kind=rng.randrange(1, 4),
                status={"code": rng.randrange(3)},
            )
            span.attributes.add(key="i").value.int_value = i
            if rng.random() < 0.5:
                span.attributes.add(key="peer.service").value.string_value = "payment"
    return decode(Kind.SPANS, request.SerializeToString())


def logs(rng: random.Random, n: int) -> Table:
    request = ExportLogsServiceRequest()
    group = request.resource_logs.add()
    group.resource.attributes.add(key="service.name").value.string_value = "cart"
    for i in range(n):
        record = group.scope_logs.add().log_records.add(
            time_unix_nano=rng.randrange(950 * S, 1350 * S),
            severity_number=rng.choice([0, 9, 17]),
        )
        record.body.string_value = f"it failed {i % 3} times"
    return decode(Kind.LOGS, request.SerializeToString())


def points(rng: random.Random) -> Table:
    request = ExportMetricsServiceRequest()
    for service in ("front", "cart", ""):
        group = request.resource_metrics.add()
        if service:
            group.resource.attributes.add(key="service.name").value.string_value = service
        for scope_name in ("a", "b"):
            scope = group.scope_metrics.add()
            scope.scope.name = scope_name
            requests = scope.metrics.add(name="requests").sum
            requests.is_monotonic = True
            requests.aggregation_temporality = 2  # type: ignore[assignment]
            took = scope.metrics.add(name="http.server.request.duration", unit="s").histogram
            took.aggregation_temporality = 1  # type: ignore[assignment]
            level = scope.metrics.add(name="queue", unit="1").gauge
            for at in range(940, 1360, 10):
                for code in (200, 500):
                    one = requests.data_points.add(
                        start_time_unix_nano=900 * S,
                        time_unix_nano=at * S,
                        as_int=code + (at - 900) // 10 * rng.randrange(1, 9),
                    )
                    counts = [rng.randrange(5) for _ in range(3)]
                    other = took.data_points.add(
                        start_time_unix_nano=(at - 10) * S,
                        time_unix_nano=at * S,
                        count=sum(counts),
                        sum=rng.random(),
                        bucket_counts=counts,
                        explicit_bounds=[0.1, 1.0],
                    )
                    for point in (one, other):
                        key = "http.response.status_code"
                        point.attributes.add(key=key).value.int_value = code
                level.data_points.add(time_unix_nano=at * S, as_double=rng.random())
    return decode(Kind.POINTS, request.SerializeToString())


@pytest.fixture(scope="module")
def tables() -> list[Table]:
    rng = random.Random(3)
    return [spans(rng, 40), points(rng), logs(rng, 30), spans(rng, 20)]


def made(source: Received | Saved, window: TimeWindow, baseline: TimeWindow | None) -> Incident:
    wanted = Wanted(name="x", window=window, baseline=baseline, step=10.0)
    return collect([source], wanted).incident


@pytest.mark.parametrize(
    ("window", "baseline"),
    [
        (TimeWindow(1200.0, 1300.0), TimeWindow(1000.0, 1200.0)),
        (TimeWindow(1100.5, 1207.25), None),
        (TimeWindow(1280.0, 1300.0), TimeWindow(1000.0, 1100.0)),
    ],
)
def test_the_incident_is_that_of_what_was_held(
    tables: list[Table], tmp_path: Path, window: TimeWindow, baseline: TimeWindow | None
) -> None:
    write_window(tmp_path, tables, WHOLE, created=0.0, evicted={})
    held = made(Received(tables, {}, Naming()), window, baseline)
    saved = made(Saved(tmp_path, Naming()), window, baseline)
    assert len(held.signals) > 8
    assert held.spans is not None
    assert held.logs is not None
    assert saved == held
    for one, other in zip(saved.signals, held.signals, strict=True):
        np.testing.assert_array_equal(one.values, other.values)


def test_every_record_of_the_time_is_there_and_no_other(
    tables: list[Table], tmp_path: Path
) -> None:
    counts = write_window(tmp_path, tables, WHOLE, created=0.0, evicted={})
    for kind in Kind:
        time = np.concatenate([t.columns["time"] for t in tables if t.kind is kind])
        inside = ((time >= 1000 * S) & (time <= 1300 * S)).sum()
        assert counts[kind] == inside > 0
        table = pq.read_table(tmp_path / f"{kind}.parquet")
        assert table.num_rows == inside
        maps = [dict(row) for row in table.column("attributes").to_pylist()]
        if kind is Kind.SPANS:
            assert {m["i"] for m in maps} <= {str(i) for i in range(40)}
            owners = [dict(row) for row in table.column("resource_attributes").to_pylist()]
            names = table.column("servicename").to_pylist()
            assert [o["service.name"] for o in owners] == names
            assert [o["host.name"] for o in owners] == [f"host {name}" for name in names]
    assert read_manifest(tmp_path).records == counts


def test_nothing_makes_no_file(tables: list[Table], tmp_path: Path) -> None:
    counts = write_window(tmp_path, tables, TimeWindow(1.0, 2.0), created=0.0, evicted={})
    assert set(counts.values()) == {0}
    assert [path.name for path in tmp_path.iterdir()] == ["window.json"]
    assert read_points(tmp_path, WHOLE, read_manifest(tmp_path)) is None
    with pytest.raises(NoEvidenceError):
        made(Saved(tmp_path, Naming()), WHOLE, None)


def test_damage_costs_what_was_in_the_file_and_is_told(tables: list[Table], tmp_path: Path) -> None:
    write_window(tmp_path, tables, WHOLE, created=0.0, evicted={})
    for name in ("points.parquet", "logs.parquet"):
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) // 2])
    incident = made(Saved(tmp_path, Naming()), WHOLE, None)
    assert not incident.signals
    assert incident.logs is None
    assert incident.spans is not None
    told = [note for note in incident.notes if "missing" in note]
    assert len(told) == 2


def test_times_that_were_not_saved_are_told(tables: list[Table], tmp_path: Path) -> None:
    write_window(tmp_path, tables, TimeWindow(1100.0, 1300.0), created=0.0, evicted={})
    incident = made(Saved(tmp_path, Naming()), WHOLE, None)
    told = [note for note in incident.notes if "1970-01-01 00:18:20" in note]
    assert len(told) == 3


def test_what_was_evicted_before_it_was_saved_is_told(tables: list[Table], tmp_path: Path) -> None:
    evicted = {Kind.SPANS: 7}
    write_window(tmp_path, tables, WHOLE, created=0.0, evicted=evicted)
    early = TimeWindow(900.0, 1300.0)
    held = made(Received(tables, evicted, Naming()), early, None)
    saved = made(Saved(tmp_path, Naming()), early, None)
    assert any("7 were evicted" in note for note in held.notes)
    assert any("7 were evicted" in note for note in saved.notes)


def test_a_file_that_is_gone_is_told(tables: list[Table], tmp_path: Path) -> None:
    write_window(tmp_path, tables, WHOLE, created=0.0, evicted={})
    (tmp_path / "spans.parquet").unlink()
    incident = made(Saved(tmp_path, Naming()), WHOLE, None)
    assert incident.spans is None
    assert any("spans.parquet of the saved telemetry is gone" in note for note in incident.notes)


@pytest.mark.parametrize(
    "broken",
    [{"created": None}, {"records": {"songs": 1}}, {"start": 5.0, "end": 1.0}, {"gaps": 3}],
)
def test_a_manifest_that_cannot_be_is_refused(
    tables: list[Table], tmp_path: Path, broken: dict[str, object]
) -> None:
    write_window(tmp_path, tables, WHOLE, created=0.0, evicted={})
    path = tmp_path / "window.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | broken))
    with pytest.raises(IncidentFormatError, match=r"window\.json"):
        read_manifest(tmp_path)
