"""Prometheus' answers as arrays, labels and events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayesrca.ingest.connectors.shapes import Shapes

Floats = NDArray[np.float64]
MAX_SERIES = 20_000


@dataclass(frozen=True, slots=True)
class Row:
    """One series of an answer.

    Attributes:
        labels: what distinguishes it.
        times: [n] seconds since the epoch.
        values: [n] numbers, NaN and infinities included.
    """

    labels: dict[str, str]
    times: Floats
    values: Floats


@dataclass(frozen=True, slots=True)
class Matrix:
    """An answer to a range query.

    Attributes:
        rows: its series.
        warnings: what the server remarks.
        native: series that hold native histograms instead of numbers, and are left out.
    """

    rows: tuple[Row, ...]
    warnings: tuple[str, ...] = ()
    native: int = 0


def own_reason(answer: object) -> str:
    """Return the reason in an answer that reports an error; empty when it holds none."""
    if isinstance(answer, dict) and answer.get("status") == "error":
        return f"{answer.get('errorType', '')}: {answer.get('error', '')}"
    return ""


def parse_matrix(answer: object, shapes: Shapes) -> Matrix:
    """Read the answer to a range query.

    Raises:
        SourceError: it is none.
    """
    content = _data(answer, shapes)
    data = shapes.table(content["data"], "data")
    if data.get("resultType") != "matrix":
        shapes.reject(f"data.resultType must be 'matrix', got {data.get('resultType')!r:.40}")
    result = shapes.items(data.get("result"), "data.result")
    if len(result) > MAX_SERIES:
        shapes.reject(f"it holds {len(result)} series, more than {MAX_SERIES}; sum by fewer labels")
    rows, native = [], 0
    for i, entry in enumerate(result):
        what = f"data.result[{i}]"
        series = shapes.table(entry, what)
        labels = shapes.labels(series.get("metric"), f"{what}.metric")
        if "values" not in series and "histograms" in series:
            native += 1
            continue
        samples = shapes.items(series.get("values"), f"{what}.values")
        rows.append(Row(labels, *_samples(samples, shapes, f"{what}.values")))
    return Matrix(tuple(rows), _warnings(content, shapes), native)


def parse_names(answer: object, shapes: Shapes) -> list[str]:
    """Read the answer to a question for a label's values.

    Raises:
        SourceError: it is none.
    """
    names = shapes.items(_data(answer, shapes)["data"], "data")
    return [shapes.text(name, f"data[{i}]") for i, name in enumerate(names)]


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert at work.

    Attributes:
        labels: its labels, ``alertname`` among them.
        since: when its condition began to hold, in seconds since the epoch.
        firing: whether it has held for long enough.
        summary: what its annotations say; may be empty.
    """

    labels: dict[str, str]
    since: float
    firing: bool
    summary: str


def parse_alerts(answer: object, shapes: Shapes) -> list[Alert]:
    """Read the answer to a question for active alerts.

    Raises:
        SourceError: it is none.
    """
    data = shapes.table(_data(answer, shapes)["data"], "data")
    alerts = []
    for i, entry in enumerate(shapes.items(data.get("alerts"), "data.alerts")):
        what = f"data.alerts[{i}]"
        alert = shapes.table(entry, what)
        annotations = shapes.labels(alert.get("annotations") or {}, f"{what}.annotations")
        state = shapes.text(alert.get("state"), f"{what}.state")
        alerts.append(
            Alert(
                shapes.labels(alert.get("labels"), f"{what}.labels"),
                shapes.instant(alert.get("activeAt"), f"{what}.activeAt"),
                state == "firing",
                annotations.get("summary") or annotations.get("description", ""),
            )
        )
    return alerts


@dataclass(frozen=True, slots=True)
class Exemplar:
    """One request that a histogram remembers.

    Attributes:
        labels: of its series.
        trace: identity of its trace.
        time: seconds since the epoch.
        value: what was measured, in the metric's unit.
    """

    labels: dict[str, str]
    trace: str
    time: float
    value: float


_TRACES = ("trace_id", "traceID", "traceId")


def parse_exemplars(answer: object, shapes: Shapes) -> list[Exemplar]:
    """Read the answer to a question for exemplars; those without a trace or a number are left out.

    Raises:
        SourceError: it is none.
    """
    found = []
    for i, entry in enumerate(shapes.items(_data(answer, shapes)["data"], "data")):
        series = shapes.table(entry, f"data[{i}]")
        labels = shapes.labels(series.get("seriesLabels"), f"data[{i}].seriesLabels")
        entries = shapes.items(series.get("exemplars"), f"data[{i}].exemplars")
        for j, exemplar in enumerate(entries):
            what = f"data[{i}].exemplars[{j}]"
            content = shapes.table(exemplar, what)
            own = shapes.labels(content.get("labels"), f"{what}.labels")
            trace = next((own[key] for key in _TRACES if own.get(key)), "")
            time = shapes.number(content.get("timestamp"), f"{what}.timestamp")
            text = shapes.text(content.get("value"), f"{what}.value")
            try:
                value = float(text)
            except ValueError:
                shapes.reject(f"{what}.value must be a number written as text, got {text!r:.40}")
            if trace and np.isfinite(value):
                found.append(Exemplar(labels, trace, time, value))
    return found


def _data(answer: object, shapes: Shapes) -> dict[str, object]:
    content = shapes.table(answer, "it")
    if content.get("status") != "success":
        shapes.reject(f"status must be 'success', got {content.get('status')!r:.40}")
    if "data" not in content:
        shapes.reject("it holds no data")
    return content


def _warnings(content: dict[str, object], shapes: Shapes) -> tuple[str, ...]:
    found = shapes.items(content.get("warnings") or [], "warnings")
    return tuple(shapes.text(text, f"warnings[{i}]") for i, text in enumerate(found))


def _samples(samples: list[object], shapes: Shapes, what: str) -> tuple[Floats, Floats]:
    """Split ``[[seconds, "value"], ...]``; by columns, for there may be millions."""
    if not all(type(pair) is list and len(pair) == 2 for pair in samples):
        shapes.reject(f"{what} must hold pairs of a time and a value")
    times = [pair[0] for pair in samples]  # type: ignore[index]
    values = [pair[1] for pair in samples]  # type: ignore[index]
    if not {type(t) for t in times} <= {int, float}:
        shapes.reject(f"the times of {what} must be numbers")
    if not {type(v) for v in values} <= {str}:
        shapes.reject(f"the values of {what} must be numbers written as text")
    try:
        return _array(times), _array([float(value) for value in values])
    except (ValueError, OverflowError):
        shapes.reject(f"{what} holds something that is no number")


def _array(numbers: Sequence[float]) -> Floats:
    return np.array(numbers, dtype=np.float64)
