"""The decoder against upb, which shares no code with it, and against damaged requests."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from bayesrca.columns.otlp import DEFAULT_LIMITS, Kind, Limits, Table, decode, merge
from bayesrca.errors import InvalidTelemetryError
from tests.oracle import otlp as oracle
from tests.oracle.otlp_requests import ID, REQUESTS, TRACE, Attributes, logs, points, spans

type Point = Any  # a point of any of the five kinds


class Rows:
    """Reads a table row by row."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.columns = table.columns

    def text(self, column: str, row: int) -> str:
        return self.table.strings[int(self.columns[column][row])]

    def wide(self, row: int) -> bytes:
        halves = (self.columns["trace_high"][row], self.columns["trace_low"][row])
        return b"".join(int(half).to_bytes(8) for half in halves)

    def part(self, name: str, row: int) -> np.ndarray[Any, Any]:
        ends = self.columns[f"{name}_ends"]
        return self.columns[f"{name}s"][ends[row - 1] if row else 0 : ends[row]]

    def attributes(self, row: int, name: str = "attribute") -> Attributes:
        found: Attributes = []
        for i in self.part(name, row):
            value: object = self.table.values[i]
            if self.columns["value_type"][i] == 6:
                value = ("json", plain(json.loads(str(value), object_pairs_hook=list)))
            found.append((self.table.strings[self.columns["key"][i]], value))
        return found


def plain(value: object) -> object:
    """Return nested lists and pairs in a form that compares: lists of lists."""
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def told(given: Attributes) -> Attributes:
    return [(k, ("json", plain(v)) if isinstance(v, list) else v) for k, v in given]


def same(found: object, wanted: object) -> bool:
    """Equality of type and value, in which NaN equals NaN."""
    return repr(found) == repr(wanted)


def common(rows: Rows, row: int, wanted: dict[str, Any]) -> None:
    columns = rows.columns
    assert columns["time"][row] == wanted["time"]
    assert same(rows.attributes(row), told(wanted["attributes"]))
    for name in ("resource", "scope"):
        found = rows.attributes(int(columns[name][row]), f"{name}_attribute")
        assert same(found, told(wanted[name]))


@settings(max_examples=150, deadline=None)
@given(spans())
def test_spans_are_what_upb_reads(request: bytes) -> None:
    rows, wanted = Rows(decode(Kind.SPANS, request)), list(oracle.spans(request))
    assert len(rows.table) == len(wanted)
    events = iter(range(len(rows.columns["event_span"])))
    for row, span in enumerate(wanted):
        common(rows, row, span)
        assert rows.columns["duration"][row] == span["duration"]
        assert rows.wide(row) == span["trace"]
        assert int(rows.columns["id"][row]).to_bytes(8) == span["id"]
        assert int(rows.columns["parent"][row]).to_bytes(8) == span["parent"]
        assert rows.columns["kind"][row] == span["kind"]
        assert rows.columns["status"][row] == span["status"]
        assert rows.text("name", row) == span["name"]
        assert rows.text("message", row) == span["message"]
        for time, name, attributes in span["events"]:
            event = next(events)
            assert rows.columns["event_span"][event] == row
            assert rows.columns["event_time"][event] == time
            assert rows.text("event_name", event) == name
            assert same(rows.attributes(event, "event_attribute"), told(attributes))
    assert next(events, None) is None


@settings(max_examples=150, deadline=None)
@given(logs())
def test_logs_are_what_upb_reads(request: bytes) -> None:
    rows, wanted = Rows(decode(Kind.LOGS, request)), list(oracle.logs(request))
    assert len(rows.table) == len(wanted)
    for row, record in enumerate(wanted):
        common(rows, row, record)
        assert rows.columns["severity"][row] == record["severity"]
        assert rows.text("severity_text", row) == record["severity_text"]
        assert rows.text("event", row) == record["event"]
        assert rows.wide(row) == record["trace"]
        assert int(rows.columns["span"][row]).to_bytes(8) == record["span"]
        body, written = record["body"], rows.text("body", row)
        match body:
            case None:
                assert written == ""
            case str():
                assert written == body
            case bool():
                assert written == str(body).lower()
            case int():
                assert int(written) == body
            case float():
                assert same(float(written), body)
            case _:
                loaded = json.loads(written, object_pairs_hook=list)
                assert same(plain(loaded), plain(body))


@settings(max_examples=200, deadline=None)
@given(points())
def test_points_are_what_upb_reads(request: bytes) -> None:
    rows, wanted = Rows(decode(Kind.POINTS, request)), list(oracle.points(request))
    assert not rows.table.rejected.keys() - {"it has no time"}
    assert len(rows.table) == len(wanted)
    columns = rows.columns
    kinds = ["gauge", "sum", "histogram", "exponential_histogram", "summary"]
    for row, told_ in enumerate(wanted):
        common(rows, row, told_)
        metric, point = columns["metric"][row], told_["point"]
        assert rows.text("metric_name", metric) == told_["name"]
        assert rows.text("metric_unit", metric) == told_["unit"]
        assert kinds[columns["metric_kind"][metric]] == told_["kind"]
        assert columns["metric_temporality"][metric] == told_["temporality"]
        assert columns["metric_monotonic"][metric] == told_["monotonic"]
        assert columns["start"][row] == told_["start"]
        if told_["kind"] in ("gauge", "sum"):
            which = point.WhichOneof("value")
            assert columns["value"][row] == float(getattr(point, which))
            continue
        assert math.isnan(columns["value"][row])
        assert columns["count"][row] == point.count
        if told_["kind"] == "summary":
            assert columns["sum"][row] == point.sum  # 0 where it was not written
        else:
            for name in ("sum", "min", "max"):
                given_ = getattr(point, name) if point.HasField(name) else math.nan
                assert same(float(columns[name][row]), float(given_))
        check_buckets(rows, row, told_["kind"], point)


def check_buckets(rows: Rows, row: int, kind: str, point: Point) -> None:
    columns, ends = rows.columns, rows.columns["bucket_ends"]
    part = slice(ends[row - 1] if row else 0, ends[row])
    upper, count = columns["bucket_upper"][part], columns["bucket_count"][part]
    if kind == "histogram":
        assert count.tolist() == list(point.bucket_counts)
        assert upper.tolist()[:-1] == list(point.explicit_bounds)
    elif kind == "exponential_histogram":
        base = 2.0 ** (2.0**-point.scale)
        assert (np.diff(upper) >= 0).all()
        expected = point.zero_count
        expected += sum(point.positive.bucket_counts) + sum(point.negative.bucket_counts)
        assert sum(count.tolist()) == expected
        # A value in the middle of a bucket, on the scale of the buckets, is found in it.
        for sign, buckets in ((1, point.positive), (-1, point.negative)):
            for i, held in enumerate(buckets.bucket_counts):
                value = sign * base ** (buckets.offset + i + 0.5)
                if abs(value) > point.zero_threshold * 2:
                    assert count[np.searchsorted(upper, value)] == held
        assert count[np.searchsorted(upper, 0.0)] == point.zero_count
    elif kind == "summary":
        ends = columns["quantile_ends"]
        part = slice(ends[row - 1] if row else 0, ends[row])
        found = zip(columns["quantile"][part], columns["quantile_value"][part], strict=True)
        assert list(found) == [(q.quantile, q.value) for q in point.quantile_values]


@pytest.mark.parametrize("kind", Kind)
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_merging_is_decoding_one_after_the_other(kind: Kind, data: st.DataObject) -> None:
    # Serialised messages that follow each other are one message.
    parts = [data.draw(REQUESTS[kind]) for _ in range(data.draw(st.integers(0, 3)))]
    whole = decode(kind, b"".join(parts))
    merged = merge(kind, [decode(kind, part) for part in parts], 0, (1 << 63) - 1)
    assert len(merged) == len(whole)
    for row in range(len(whole)):
        one, other = Rows(whole), Rows(merged)
        assert same(one.attributes(row), other.attributes(row))
        for name in ("resource", "scope"):
            at = f"{name}_attribute"
            left = one.attributes(int(one.columns[name][row]), at)
            assert same(left, other.attributes(int(other.columns[name][row]), at))
    for name in sorted(whole.columns):
        np.testing.assert_array_equal(per_row(whole, name), per_row(merged, name))


def per_row(table: Table, name: str) -> np.ndarray[Any, Any]:
    """Return a column without the numbers that depend on what came first."""
    column = table.columns[name]
    if name.startswith("metric_"):  # by metric, of which a merged table has only those in use
        column = column[table.columns["metric"]]
    if name in TEXTS:
        return np.array([table.strings[i] for i in column], dtype=object)
    return column if name in PLAIN or name.startswith("metric_") else np.empty(0)


TEXTS = ("name", "message", "event_name", "metric_name", "metric_unit", "severity_text", "body")
PLAIN = (
    "time", "attribute_ends", "trace_high", "trace_low", "id", "parent", "duration", "kind",
    "status", "event_span", "event_time", "event_attribute_ends", "start", "value", "count", "sum",
    "min", "max", "bucket_ends", "bucket_upper", "bucket_count", "quantile_ends", "quantile",
    "quantile_value", "severity", "span",
)  # fmt: skip


def test_merging_keeps_the_window() -> None:
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for i in range(1, 6):
        span = scope.spans.add(trace_id=TRACE, span_id=bytes(7) + bytes([i]))
        span.start_time_unix_nano, span.end_time_unix_nano = 10 * i, 10 * i + 5
        span.events.add(time_unix_nano=10 * i, name=f"event {i}")
        if i > 1:
            span.parent_span_id = bytes(7) + bytes([i - 1])
    table = decode(Kind.SPANS, request.SerializeToString())
    part = merge(Kind.SPANS, [table, table], 20, 40)
    assert part.columns["time"].tolist() == [20, 30, 20, 30]
    assert part.columns["event_span"].tolist() == [0, 1, 2, 3]
    assert part.period == (20, 30)
    numbers, names = part.traces()
    assert (numbers.tolist(), names) == ([0, 0, 0, 0], [TRACE.hex()])


def span_request(change: Callable[[Span], None]) -> bytes:
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add(trace_id=TRACE, span_id=ID)
    span.start_time_unix_nano, span.end_time_unix_nano = 5, 9
    change(span)
    return request.SerializeToString()


def test_invalid_utf8_costs_no_batch() -> None:
    request = span_request(lambda span: setattr(span, "name", "XXXX"))
    request = request.replace(b"XXXX", b"a\xff\xfeb")
    table = decode(Kind.SPANS, request + request)
    assert len(table) == 2
    assert table.invalid_texts == 2
    assert Rows(table).text("name", 1) == "a\ufffd\ufffdb"


def test_what_is_left_out_is_counted_by_why() -> None:
    def broken(span: Span) -> None:
        span.trace_id = b"short"
        span.attributes.add(key="gone").value.int_value = 3
        span.events.add(name="gone")

    def backwards(span: Span) -> None:
        span.end_time_unix_nano = 4

    requests = [span_request(change) for change in (broken, backwards, backwards, lambda _: None)]
    table = decode(Kind.SPANS, b"".join(requests))
    assert len(table) == 1
    assert sorted(table.rejected.values()) == [1, 2]
    assert table.columns["attributes"].size == table.columns["event_span"].size == 0


def test_times_beyond_64_bits_are_refused_by_name() -> None:
    def starts_late(span: Span) -> None:
        span.start_time_unix_nano = span.end_time_unix_nano = 1 << 63

    def ends_late(span: Span) -> None:
        span.end_time_unix_nano = 1 << 63

    table = decode(Kind.SPANS, span_request(starts_late) + span_request(ends_late))
    assert table.rejected == {
        "it starts after the year 2262": 1,
        "it ends after the year 2262": 1,
    }


def test_a_point_that_says_it_has_no_value_has_none() -> None:
    request = ExportMetricsServiceRequest()
    metrics = request.resource_metrics.add().scope_metrics.add().metrics
    told: dict[str, Any] = {"time_unix_nano": 5, "flags": 1}
    metrics.add(name="g").gauge.data_points.add(as_double=3.0, **told)
    metrics.add(name="h").histogram.data_points.add(count=2, sum=3.0, min=1.0, max=2.0, **told)
    metrics.add(name="e").exponential_histogram.data_points.add(sum=3.0, zero_count=1, **told)
    metrics.add(name="s").summary.data_points.add(count=2, sum=3.0, **told)
    columns = decode(Kind.POINTS, request.SerializeToString()).columns
    for name in ("value", "sum", "min", "max"):
        assert np.isnan(columns[name]).tolist() == [True] * 4
    assert columns["count"].tolist() == columns["bucket_ends"].tolist() == [0] * 4


@pytest.mark.parametrize(
    ("quantile", "value", "why"),
    [
        (1.1, 2.0, "a summary's quantile is not in [0, 1]"),
        (math.nan, 2.0, "a summary's quantile is not in [0, 1]"),
        (0.5, math.inf, "it holds an infinite number"),
    ],
)
def test_quantiles_of_a_summary_are_checked(quantile: float, value: float, why: str) -> None:
    request = ExportMetricsServiceRequest()
    summary = request.resource_metrics.add().scope_metrics.add().metrics.add(name="s").summary
    for q, v in ((quantile, value), (1.0, math.nan)):
        summary.data_points.add(time_unix_nano=5).quantile_values.add(quantile=q, value=v)
    table = decode(Kind.POINTS, request.SerializeToString())
    assert (len(table), table.rejected) == (1, {why: 1})


def nest(depth: int) -> Callable[[Span], None]:
    def change(span: Span) -> None:
        value = span.attributes.add(key="deep").value
        for _ in range(depth):
            value = value.array_value.values.add()
        value.int_value = 1

    return change


def test_limits_are_errors_that_name_the_byte() -> None:
    limits = Limits(records=1, attributes=2, text_bytes=9, depth=3)
    fine = span_request(nest(3))
    with pytest.raises(InvalidTelemetryError, match=r"byte \d+: .* bytes; the most is 9"):
        decode(Kind.SPANS, fine, limits)
    limits = Limits(records=1, attributes=2, depth=3)
    assert len(decode(Kind.SPANS, fine, limits)) == 1
    with pytest.raises(InvalidTelemetryError, match=r"byte \d+: a value is nested too deeply"):
        decode(Kind.SPANS, span_request(nest(4)), limits)
    with pytest.raises(InvalidTelemetryError, match="more than 1 records"):
        decode(Kind.SPANS, fine + fine, limits)

    def many(span: Span) -> None:
        for i in range(3):
            span.attributes.add(key=f"k{i}")

    with pytest.raises(InvalidTelemetryError, match="more than 2 attributes"):
        decode(Kind.SPANS, span_request(many), limits)
    assert decode(Kind.SPANS, span_request(nest(32)), DEFAULT_LIMITS)


@pytest.mark.parametrize("kind", Kind)
@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damage_is_an_error_or_harmless(kind: Kind, data: st.DataObject) -> None:
    request = bytearray(data.draw(REQUESTS[kind]))
    for _ in range(data.draw(st.integers(0, 4))):
        if request:
            request[data.draw(st.integers(0, len(request) - 1))] = data.draw(st.integers(0, 255))
    request = request[: data.draw(st.integers(0, len(request)))]
    try:
        table = decode(kind, bytes(request))
    except InvalidTelemetryError as error:
        offset = int(str(error).removeprefix("byte ").split(":")[0])
        assert 0 <= offset <= len(request)
    else:
        assert table.n_bytes < 256 * len(request) + 4096
        merge(kind, [table], 0, (1 << 63) - 1)
