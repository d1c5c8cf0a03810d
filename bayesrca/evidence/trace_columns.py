"""Incident -> counts of spans and log lines: which stretch of time each belongs to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from bayesrca.columns.logs import mine_templates
from bayesrca.columns.spans import SpanBatch, SpanTables, build_batch, reduce_spans
from bayesrca.evidence.trace_laws import DRIFT, FAR_DRIFT
from bayesrca.incident import Incident, Logs, Run, Spans, TimeWindow

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

WINDOW, BASELINE, NEAR, FAR = 0, 1, 2, 3
"""Sides: the incident window, its normal period, and recordings in which all was well, made within
the normal period and at other times."""
SIDES = 4
PARTS = 4
"""Parts of equal length into which the time that the window's spans cover is cut, to tell when what
they show began to change."""
GUARD_BEFORE, GUARD_AFTER = 2.0, 5.0
"""Seconds before and after the window's start that belong to neither side: what begins there may
still, or not yet, be under the fault."""
TRUST, DOUBT = 0.3, 0.1
"""Weights of readings that take one reference alone and the other for wrong. A recording that was
vetted as normal within the normal period is better than the minutes before an incident, which may
hold its beginning; one of another time is worse, since it may be of other code."""
MINUTE_NS = 60_000_000_000
LEVELS = ("", "TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
"""Names of OpenTelemetry's severity numbers, four to a name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogKey:
    """What makes two log lines the same line of code.

    Attributes:
        text: how it reads, e.g. ``ERROR OrderController#52`` or ``WARN retry <*> of <*>``.
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
        minutes: the log lines outside spans.
        tables: the counts; components are numbered as in the topology, and on from there where only
            a normal run has them.
        operations: names of operations.
        keys: log keys by number.
        has_spans: bool [n] whether a component made a span in the incident.
        drift: [3] standard deviation between mean log times of the window and of each reference.
        trust: [3] weight of each reference by itself.
        spans: spans on each side.
    """

    minutes: MinuteTable
    tables: SpanTables
    operations: tuple[str, ...]
    keys: tuple[LogKey, ...]
    has_spans: Bools
    drift: Floats
    trust: Floats
    spans: Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class MinuteTable:
    """Log lines that lie in no span, by component and key: in how many minutes they came.

    Attributes:
        keys: int64 [m, 3] component, log key, and 1 for "at least twice in the minute".
        present: int64 [m, s] minutes of each side in which it came.
        minutes: int64 [m, s] minutes in which the component logged anything outside spans.
    """

    keys: Ints
    present: Ints
    minutes: Ints


@dataclass(frozen=True, slots=True)
class _Recording:
    spans: Spans | None
    logs: Logs | None
    side: Callable[[Ints], Ints]
    """Side of each time in nanoseconds, -1 for none."""


def build_trace_columns(incident: Incident, window: TimeWindow) -> TraceColumns:
    """Count an incident's spans and log lines.

    Args:
        incident: what happened.
        window: the time in question.
    """
    recordings = list(_recordings(incident, window))
    numbers = _Numbers(incident, [r.logs for r in recordings if r.logs is not None])
    traced = [(r.spans, r) for r in recordings if r.spans is not None]
    batches = [numbers.batch(spans, r) for spans, r in traced]
    has_spans = np.zeros(len(incident.topology), dtype=np.bool_)
    if incident.spans is not None:
        made = np.unique(incident.spans.component)
        has_spans[[incident.topology.index(incident.spans.components[i]) for i in made]] = True
    sides = [r.side(spans.start_ns) for spans, r in traced]
    counts = np.bincount(np.concatenate([*sides, [-1]]) + 1, minlength=SIDES + 1)[1:]
    return TraceColumns(
        minutes=numbers.minutes(recordings, window),
        tables=reduce_spans(batches, sides=SIDES, parts=PARTS),
        operations=tuple(numbers.operations),
        keys=tuple(numbers.keys),
        has_spans=has_spans,
        drift=np.array([DRIFT, DRIFT, FAR_DRIFT]),
        trust=np.array([DOUBT, TRUST, DOUBT] if counts[NEAR] else [TRUST, TRUST, DOUBT]),
        spans=counts,
    )


def _recordings(incident: Incident, window: TimeWindow) -> Iterator[_Recording]:
    def side(time_ns: Ints) -> Ints:
        time = time_ns / 1e9
        inside = (time >= window.start + GUARD_AFTER) & (time <= window.end)
        out = np.where(inside, WINDOW, -1)
        if incident.baseline is not None:
            near = (time >= window.start - GUARD_BEFORE) & (time <= window.end)
            out[incident.baseline.contains(time) & ~near] = BASELINE
        return out

    yield _Recording(incident.spans, incident.logs, side)
    for run in incident.normal_runs:
        where = NEAR if _is_near(incident, run) else FAR
        yield _Recording(run.spans, run.logs, partial(_all_on, where))


def _parts(side: Ints, start_ns: Ints) -> Ints:
    """Sides as `reduce_spans` counts them: which part of the window, or what else."""
    inside = side == WINDOW
    out = np.where(side > WINDOW, side + PARTS - 1, side)
    if inside.any():
        since = start_ns[inside] - start_ns[inside].min()
        out[inside] = since * PARTS // (since.max() + 1)
    return out


def _all_on(side: int, time_ns: Ints) -> Ints:
    return np.full(len(time_ns), side)


def _is_near(incident: Incident, run: Run) -> bool:
    """Whether a recording was made within the baseline's time."""
    if incident.baseline is None or run.spans is None:
        return False
    return bool(incident.baseline.contains(run.spans.start_ns / 1e9).all())


class _Numbers:
    """Numbers that components, operations and log keys have in every recording."""

    def __init__(self, incident: Incident, logs: list[Logs]) -> None:
        self.components = {name: i for i, name in enumerate(incident.topology.names)}
        self.operations: dict[str, int] = {}
        self.keys: dict[LogKey, int] = {}
        self.templates = _templates(logs)
        self.rows = {id(table): _distinct(table) for table in logs}
        self.key = {id(table): self._log_keys(table) for table in logs}

    def batch(self, spans: Spans, recording: _Recording) -> SpanBatch:
        """Return the spans of a recording with the log lines within them."""
        logs = recording.logs
        rows = covered = None
        if logs is not None:
            rows = self.rows[id(logs)]
            rows = rows[logs.span[rows] >= 0]
            covered = _covered(spans, logs)
        nothing = np.empty(0, dtype=np.int64)
        return build_batch(
            spans,
            components=[self._of(self.components, name) for name in spans.components],
            operations=[self._of(self.operations, name) for name in spans.operations],
            side=_parts(recording.side(spans.start_ns), spans.start_ns),
            covered=np.zeros(len(spans), dtype=np.bool_) if covered is None else covered,
            log_span=nothing if logs is None else logs.span[rows],
            log_key=nothing if logs is None else self.key[id(logs)][rows],
            log_time_ns=nothing if logs is None else logs.time_ns[rows],
        )

    def minutes(self, recordings: list[_Recording], window: TimeWindow) -> MinuteTable:
        """Count the minutes in which lines outside spans came; minutes begin with the window."""
        columns = []
        for number, recording in enumerate(recordings):
            logs = recording.logs
            if logs is None:
                continue
            rows = self.rows[id(logs)]
            rows = rows[logs.span[rows] < 0]
            names = [self._of(self.components, name) for name in logs.components]
            columns.append(
                np.stack(
                    [
                        recording.side(logs.time_ns[rows]),
                        np.full(len(rows), number),
                        (logs.time_ns[rows] - int(window.start * 1e9)) // MINUTE_NS,
                        np.array(names, dtype=np.int64)[logs.component[rows]],
                        self.key[id(logs)][rows],
                    ],
                    axis=1,
                )
            )
        lines = np.concatenate(columns) if columns else np.empty((0, 5), dtype=np.int64)
        return _count_minutes(lines[lines[:, 0] >= 0])

    @staticmethod
    def _of(numbers: dict[str, int], name: str) -> int:
        return numbers.setdefault(name, len(numbers))

    def _log_keys(self, logs: Logs) -> Ints:
        """[n] number of each record's key: level and code region, or level and template."""
        source = np.where(logs.code >= 0, logs.code, -1 - logs.text.astype(np.int64))
        triples = np.stack([source, logs.severity.astype(np.int64)], axis=1)
        distinct, inverse = np.unique(triples, axis=0, return_inverse=True)
        numbers = [self._key(logs, int(place), int(severity)) for place, severity in distinct]
        return np.asarray(np.array(numbers, dtype=np.int64)[inverse.reshape(-1)])

    def _key(self, logs: Logs, place: int, severity: int) -> int:
        region = logs.codes[place] if place >= 0 else ""
        what = region or self.templates[logs.texts[-1 - place]]
        text = f"{LEVELS[(severity + 3) // 4]} {what}".strip()
        key = LogKey(text=text, region=region, severity=severity)
        return self.keys.setdefault(key, len(self.keys))


def _templates(tables: list[Logs]) -> dict[str, str]:
    """Template of every text that no code region stands for, over all recordings."""
    texts: dict[str, None] = {}
    for logs in tables:
        for i in np.unique(logs.text[logs.code < 0]).tolist():
            texts[logs.texts[i]] = None
    numbers, templates = mine_templates(list(texts))
    return {text: templates[t] for text, t in zip(texts, numbers.tolist(), strict=True)}


def _count_minutes(lines: Ints) -> MinuteTable:
    """Count by component and key lines, int64 [l, 5]: side, recording, minute, component, key."""
    spoken = np.unique(lines[:, :4], axis=0)
    cells, times = np.unique(lines, axis=0, return_counts=True)
    cells = np.concatenate([np.c_[cells, np.zeros_like(times)], np.c_[cells, times]])
    cells = cells[cells[:, 5] != 1]
    cells[:, 5] = np.minimum(cells[:, 5], 1)
    keys, row = np.unique(cells[:, 3:], axis=0, return_inverse=True)
    present = np.zeros((len(keys), SIDES), dtype=np.int64)
    np.add.at(present, (row.reshape(-1), cells[:, 0]), 1)
    minutes = np.zeros((int(lines[:, 3].max(initial=-1)) + 1, SIDES), dtype=np.int64)
    np.add.at(minutes, (spoken[:, 3], spoken[:, 0]), 1)
    return MinuteTable(keys=keys, present=present, minutes=minutes[keys[:, 0]])


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
    return np.isin(asked, seen)
