"""Metric points become series, and what was received an incident that can be saved and analysed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from bayesrca.columns.otlp import Kind, Table, decode
from bayesrca.errors import NoEvidenceError
from bayesrca.incident import Family, Incident, Signal, Statistic, Target, TimeWindow
from bayesrca.ingest import load_incident, save_incident
from bayesrca.ingest.places import Naming
from bayesrca.ingest.received_incident import build_received_incident
from bayesrca.ingest.received_series import series_of

S = 10**9
EDGES = [0.1, 0.5, 1.0]
WINDOW = TimeWindow(1000.0, 1099.0)


def metric(request: ExportMetricsServiceRequest, service: str, name: str, unit: str = "") -> Metric:
    group = request.resource_metrics.add()
    group.resource.attributes.add(key="service.name").value.string_value = service
    return group.scope_metrics.add().metrics.add(name=name, unit=unit)


def table(request: ExportMetricsServiceRequest) -> Table:
    return decode(Kind.POINTS, request.SerializeToString())


def series(request: ExportMetricsServiceRequest) -> dict[str, Signal]:
    return {s.name: s for s in series_of(table(request), WINDOW, 10.0, Naming())}


def label(point: Any, **attributes: object) -> None:  # noqa: ANN401
    for key, value in attributes.items():
        held = point.attributes.add(key=key.replace("_", ".")).value
        if isinstance(value, int):
            held.int_value = value
        else:
            held.string_value = str(value)


@pytest.mark.parametrize("cumulative", [False, True])
def test_a_histogram_of_requests(cumulative: bool) -> None:
    """Every 10 s: 8 requests of .3 s that succeed on one route, 2 of .7 s that fail on another."""
    request = ExportMetricsServiceRequest()
    data = metric(request, "cart", "http.server.request.duration", "s").histogram
    data.aggregation_temporality = 2 if cumulative else 1  # type: ignore[assignment]
    for i in range(10):
        for count, took, bucket, code in ((8, 0.3, 1, 200), (2, 0.7, 2, 500)):
            n = count * (i + 1 if cumulative else 1)
            counts = [0] * 4
            counts[bucket] = n
            point = data.data_points.add(
                start_time_unix_nano=900 * S if cumulative else (1000 + 10 * i - 10) * S,
                time_unix_nano=(1000 + 10 * i) * S + 7_000_000,  # exporters are late
                count=n,
                sum=n * took,
                explicit_bounds=EDGES,
                bucket_counts=counts,
            )
            point.attributes.add(key="http.response.status_code").value.int_value = code
    found = series(request)
    word = "http.server.request.duration"
    assert set(found) == {word + end for end in ("_rate", "_mean", "_p95", "_error_ratio")}
    # Of the first of points that count from afar nobody knows when what they count came.
    first = 1 if cumulative else 0
    for end, value, family, statistic, unit in (
        ("_rate", 1.0, Family.LOAD, Statistic.RATE, ""),
        ("_mean", 0.38, Family.LATENCY, Statistic.MEAN, "s"),
        # Half of the 10 % that remain above the 90th percentile: 0.5 + 0.75 of the bucket.
        ("_p95", 0.875, Family.LATENCY, Statistic.QUANTILE, "s"),
        ("_error_ratio", 0.2, Family.ERRORS, Statistic.ERROR_RATIO, "1"),
    ):
        signal = found[word + end]
        assert signal.timestamps.tolist() == [1000.0 + 10 * i for i in range(10)]
        np.testing.assert_allclose(signal.values[first:], value)
        assert np.isnan(signal.values[:first]).all()
        assert (signal.family, signal.statistic, signal.unit) == (family, statistic, unit)
        assert signal.component == "cart"


def test_a_counter_that_begins_anew() -> None:
    request = ExportMetricsServiceRequest()
    data = metric(request, "cart", "requests").sum
    data.is_monotonic, data.aggregation_temporality = True, 2  # type: ignore[assignment]
    for i, (start, value) in enumerate([(900, 50), (900, 60), (1015, 5), (1015, 25), (1015, 20)]):
        data.data_points.add(
            start_time_unix_nano=start * S, time_unix_nano=(1000 + 10 * i) * S, as_int=value
        )
    (signal,) = series(request).values()
    # At 1020 all of 5 is new, for it began after 1010; a fall without a begin tells nothing.
    np.testing.assert_array_equal(signal.values[:6], [np.nan, 1.0, 0.5, 2.0, np.nan, np.nan])
    assert (signal.name, signal.statistic) == ("requests", Statistic.RATE)


def test_counters_of_two_scopes_are_two_streams() -> None:
    request = ExportMetricsServiceRequest()
    group = request.resource_metrics.add()
    group.resource.attributes.add(key="service.name").value.string_value = "cart"
    for scope, first in (("a", 1000), ("b", 0)):
        held = group.scope_metrics.add()
        held.scope.name = scope
        data = held.metrics.add(name="requests").sum
        data.is_monotonic, data.aggregation_temporality = True, 2  # type: ignore[assignment]
        for i in range(4):
            data.data_points.add(
                start_time_unix_nano=900 * S,
                time_unix_nano=(1000 + 10 * i) * S,
                as_int=first + 10 * i,
            )
    (signal,) = series(request).values()
    np.testing.assert_array_equal(signal.values[:4], [np.nan, 2.0, 2.0, 2.0])


def test_a_marker_that_a_sender_has_gone_is_no_observation() -> None:
    request = ExportMetricsServiceRequest()
    data = metric(request, "cart", "http.server.request.duration", "s").histogram
    data.aggregation_temporality = 2  # type: ignore[assignment]
    for i, count in enumerate([500, 510, 0, 520, 530]):
        data.data_points.add(
            start_time_unix_nano=900 * S,
            time_unix_nano=(1000 + 10 * i) * S,
            count=count,
            flags=0 if count else 1,
            **({"sum": 0.1 * count} if count else {}),
        )
    rate = series(request)["http.server.request.duration_rate"]
    np.testing.assert_array_equal(rate.values[:5], [np.nan, 1.0, np.nan, 1.0, 1.0])


def test_a_histogram_needs_its_sum_for_the_mean_alone() -> None:
    request = ExportMetricsServiceRequest()
    data = metric(request, "cart", "http.server.request.duration", "s").histogram
    data.aggregation_temporality = 1  # type: ignore[assignment]
    for i in range(4):
        for count, code in ((8, 200), (2 * (i % 2), 500)):
            point = data.data_points.add(
                time_unix_nano=(1000 + 10 * i) * S,
                count=count,
                explicit_bounds=EDGES,
                bucket_counts=[0, count, 0, 0],
            )
            point.attributes.add(key="http.response.status_code").value.int_value = code
    found = series(request)
    word = "http.server.request.duration"
    assert set(found) == {word + end for end in ("_rate", "_p95", "_error_ratio")}
    np.testing.assert_allclose(found[word + "_rate"].values[:4], [0.8, 1.0, 0.8, 1.0])
    np.testing.assert_allclose(found[word + "_error_ratio"].values[:4], [0.0, 0.2, 0.0, 0.2])


def test_gauges_are_averaged_and_sums_added() -> None:
    request = ExportMetricsServiceRequest()
    gauge = metric(request, "cart", "system.cpu.utilization", "1").gauge
    level = metric(request, "cart", "system.memory.usage", "By").sum
    for i in range(10):
        for n, name in enumerate(("a", "b")):
            for data, value in ((gauge, 0.2 + n * 0.4), (level, 100.0 + n)):
                point = data.data_points.add(time_unix_nano=(1000 + 10 * i) * S, as_double=value)
                label(point, state=name)
    found = series(request)
    cpu, memory = found["system.cpu.utilization"], found["system.memory.usage"]
    np.testing.assert_allclose(cpu.values, 0.4)
    np.testing.assert_allclose(memory.values, 201.0)
    assert (cpu.family, memory.family) == (Family.CPU, Family.MEMORY)
    assert (cpu.unit, memory.unit) == ("1", "By")


def test_a_metric_that_comes_rarely_has_a_longer_step() -> None:
    request = ExportMetricsServiceRequest()
    gauge = metric(request, "cart", "queue").gauge
    for i in range(4):
        gauge.data_points.add(time_unix_nano=(1000 + 30 * i) * S, as_double=i)
    (signal,) = series(request).values()
    assert signal.timestamps.tolist() == [1000, 1030, 1060, 1090]
    assert signal.values.tolist() == [0, 1, 2, 3]


def span_table() -> Table:
    request = ExportTraceServiceRequest()
    for service, own, parent in (("web", 1, 0), ("cart", 2, 1)):
        group = request.resource_spans.add()
        group.resource.attributes.add(key="service.name").value.string_value = service
        group.scope_spans.add().spans.add(
            trace_id=bytes(15) + b"\1",
            span_id=own.to_bytes(8),
            parent_span_id=parent.to_bytes(8) if parent else b"",
            name="op",
            start_time_unix_nano=1005 * S,
            end_time_unix_nano=1006 * S,
        )
    return decode(Kind.SPANS, request.SerializeToString())


def build(**more: Any) -> Incident:  # noqa: ANN401
    request = ExportMetricsServiceRequest()
    gauge = metric(request, "cart", "system.cpu.utilization").gauge
    for i in range(90):
        gauge.data_points.add(time_unix_nano=(100 + 10 * i) * S + 900 * S, as_double=i % 3)
    return build_received_incident([table(request), span_table()], "received", **more)


def test_an_incident_of_all_that_was_received(tmp_path: Path) -> None:
    incident = build(
        window=WINDOW, baseline=TimeWindow(1100.0, 1400.0), target=Target(component="web")
    )
    assert [(e.source, e.target) for e in incident.topology.edges] == [("web", "cart")]
    assert incident.spans is not None
    assert len(incident.spans) == 2
    assert {s.component for s in incident.signals} == {"cart"}
    assert load_incident(save_incident(incident, tmp_path / "received")) == incident


def test_a_time_of_which_nothing_is_held() -> None:
    with pytest.raises(NoEvidenceError, match="was received"):
        build(window=TimeWindow(1.0, 2.0))
