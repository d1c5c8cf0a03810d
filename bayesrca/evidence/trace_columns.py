"""Incident -> counts of spans and log lines: which stretch of time each belongs to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayesrca.columns.spans import SpanBatch, SpanTables, build_batch, reduce_spans
from bayesrca.evidence.trace_laws import DRIFT, FAR_DRIFT
from bayesrca.incident import Incident, Logs, Spans, TimeWindow

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

WINDOW, BASELINE, RUNS = 0, 1, 2
"""Sides: the incident window, its normal period, and other recordings in which all was well."""
SIDES = 3
GUARD_BEFORE, GUARD_AFTER = 2.0, 5.0
"""Seconds before and after the window's start that belong to neither side: what begins there may
still, or not yet, be under the fault."""
MINUTE_NS = 60_000_000_000
LEVELS = ("", "TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
"""Names of OpenTelemetry's severity numbers, four to a name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogKey:
    """What makes two log lines the same line of code.

    Attributes:
        text: how it reads, e.g. ``ERROR OrderController#52``.
        region: the code region, empty where it is not known.
        severity: OpenTelemetry's severity number.
    """

    text: str
    region: str
    severity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceColumns:
    """An incident's spans and log lines, counted by side.

    Attributes:
        tables: the counts; components are numbered as in the topology, and on from there where only
            a normal run has them.
        operations: names of operations.
        keys: log keys by number.
        has_spans: bool [n] whether a component made a span in the incident.
        drift: [2] standard deviation between mean log times of the window and of each reference.
        spans: spans on each side.
    """

    tables: SpanTables
    operations: tuple[str, ...]
    keys: tuple[LogKey, ...]
    has_spans: Bools
    drift: Floats
    spans: Ints


@dataclass(frozen=True, slots=True)
class _Recording:
    spans: Spans
    logs: Logs | None
    side: Ints


def build_trace_columns(incident: Incident, window: TimeWindow) -> TraceColumns:
    """Count an incident's spans and the log lines within them.

    Args:
        incident: an incident with spans.
        window: the time in question.
    """
    recordings = list(_recordings(incident, window))
    numbers = _Numbers(incident)
    batches = [numbers.batch(recording) for recording in recordings]
    has_spans = np.zeros(len(incident.topology), dtype=np.bool_)
    if incident.spans is not None:
        made = np.unique(incident.spans.component)
        has_spans[[incident.topology.index(incident.spans.components[i]) for i in made]] = True
    sides = np.concatenate([r.side for r in recordings]) if recordings else np.empty(0, np.int64)
    return TraceColumns(
        tables=reduce_spans(batches, sides=SIDES),
        operations=tuple(numbers.operations),
        keys=tuple(numbers.keys),
        has_spans=has_spans,
        drift=np.array([DRIFT, _drift_of_runs(incident)]),
        spans=np.bincount(sides[sides >= 0], minlength=SIDES),
    )


def _recordings(incident: Incident, window: TimeWindow) -> Iterator[_Recording]:
    if incident.spans is not None:
        start = incident.spans.start_ns / 1e9
        inside = (start >= window.start + GUARD_AFTER) & (start <= window.end)
        side = np.where(inside, WINDOW, -1)
        if incident.baseline is not None:
            near = (start >= window.start - GUARD_BEFORE) & (start <= window.end)
            side[incident.baseline.contains(start) & ~near] = BASELINE
        yield _Recording(incident.spans, incident.logs, side)
    for run in incident.normal_runs:
        if run.spans is not None:
            yield _Recording(run.spans, run.logs, np.full(len(run.spans), RUNS))


def _drift_of_runs(incident: Incident) -> float:
    """Runs that were recorded within the baseline's time are as near as the baseline itself."""
    period = incident.baseline
    starts = [run.spans.start_ns / 1e9 for run in incident.normal_runs if run.spans is not None]
    near = period is not None and all(period.contains(start).all() for start in starts)
    return DRIFT if near else FAR_DRIFT


class _Numbers:
    """Numbers that components, operations and log keys have in every recording."""

    def __init__(self, incident: Incident) -> None:
        self.components = {name: i for i, name in enumerate(incident.topology.names)}
        self.operations: dict[str, int] = {}
        self.keys: dict[LogKey, int] = {}

    def batch(self, recording: _Recording) -> SpanBatch:
        spans, logs = recording.spans, recording.logs
        components = [self._of(self.components, name) for name in spans.components]
        operations = [self._of(self.operations, name) for name in spans.operations]
        if logs is None:
            nothing = np.empty(0, dtype=np.int64)
            return build_batch(
                spans,
                components=components,
                operations=operations,
                side=recording.side,
                covered=np.zeros(len(spans), dtype=np.bool_),
                log_span=nothing,
                log_key=nothing,
                log_time_ns=nothing,
            )
        key = self._log_keys(logs)
        rows = _distinct(logs)
        rows = rows[(key[rows] >= 0) & (logs.span[rows] >= 0)]
        return build_batch(
            spans,
            components=components,
            operations=operations,
            side=recording.side,
            covered=_covered(spans, logs),
            log_span=logs.span[rows],
            log_key=key[rows],
            log_time_ns=logs.time_ns[rows],
        )

    @staticmethod
    def _of(numbers: dict[str, int], name: str) -> int:
        return numbers.setdefault(name, len(numbers))

    def _log_keys(self, logs: Logs) -> Ints:
        """[n] number of each record's key, -1 where it has no code region."""
        pairs = logs.code.astype(np.int64) * 32 + logs.severity
        distinct, inverse = np.unique(pairs, return_inverse=True)
        numbers = [self._key(logs, int(pair)) for pair in distinct]
        return np.asarray(np.array(numbers, dtype=np.int64)[inverse])

    def _key(self, logs: Logs, pair: int) -> int:
        code, severity = divmod(pair, 32)
        if code < 0:
            return -1
        region = logs.codes[code]
        text = f"{LEVELS[(severity + 3) // 4]} {region}".strip()
        key = LogKey(text=text, region=region, severity=severity)
        return self.keys.setdefault(key, len(self.keys))


def _distinct(logs: Logs) -> Ints:
    """Rows without those that repeat component, time, span and text of an earlier one."""
    columns = np.stack([logs.component, logs.time_ns, logs.span, logs.text])
    order = np.lexsort(columns)
    ordered = columns[:, order]
    repeated = np.concatenate([[False], (ordered[:, 1:] == ordered[:, :-1]).all(axis=0)])
    return np.sort(order[~repeated])


def _covered(spans: Spans, logs: Logs) -> Bools:
    """Which spans [n] began in a minute in which their component logged anything."""
    names = {name: i for i, name in enumerate(logs.components)}
    owner = np.array([names.get(name, -1) for name in spans.components], dtype=np.int64)
    first = min(int(logs.time_ns.min()), int(spans.start_ns.min())) // MINUTE_NS
    width = len(names) + 1
    seen = (logs.time_ns // MINUTE_NS - first) * width + logs.component
    asked = (spans.start_ns // MINUTE_NS - first) * width + owner[spans.component]
    return np.isin(asked, seen) & (owner[spans.component] >= 0)
