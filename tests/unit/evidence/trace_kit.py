"""Traces written by hand: one request a second, a caller and what it calls."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from bayesrca.incident import (
    Component,
    Edge,
    EdgeKind,
    Event,
    Incident,
    Logs,
    Run,
    Spans,
    TimeWindow,
    Topology,
)

BASELINE = TimeWindow(1000.0, 1099.0)
WINDOW = TimeWindow(1100.0, 1160.0)
COMPONENTS = ("front", "back", "shop")
SECOND = 1_000_000_000


@dataclass
class Traces:
    """Spans and log lines under construction; times in seconds, durations in milliseconds."""

    spans: list[tuple[str, str, int, float, float, int, int]] = field(default_factory=list)
    lines: list[tuple[str, str, str, float, int, int]] = field(default_factory=list)
    peers: dict[int, str] = field(default_factory=dict)

    def span(
        self,
        component: str,
        operation: str,
        start: float,
        ms: float,
        parent: int = -1,
        *,
        kind: int = 0,
        status: int = 0,
    ) -> int:
        self.spans.append((component, operation, parent, start, ms, kind, status))
        return len(self.spans) - 1

    def line(
        self,
        component: str,
        text: str,
        time: float,
        span: int = -1,
        *,
        code: str = "",
        level: int = 9,
    ) -> None:
        self.lines.append((component, text, code, time, span, level))

    def to_spans(self) -> Spans:
        n = len(self.spans)
        parents = [s[2] for s in self.spans]
        trace = list(range(n))
        for row, parent in enumerate(parents):
            trace[row] = row if parent < 0 else trace[parent]
        roots = sorted(set(trace))
        operations = sorted({s[1] for s in self.spans})
        return Spans(
            components=COMPONENTS,
            operations=tuple(operations),
            codes=(),
            trace_ids=tuple(f"{root:032x}" for root in roots),
            component=np.array([COMPONENTS.index(s[0]) for s in self.spans], dtype=np.int32),
            operation=np.array([operations.index(s[1]) for s in self.spans], dtype=np.int32),
            code=np.full(n, -1, dtype=np.int32),
            trace=np.array([roots.index(t) for t in trace], dtype=np.int64),
            parent=np.array(parents, dtype=np.int64),
            start_ns=np.array([round(s[3] * SECOND) for s in self.spans], dtype=np.int64),
            duration_ns=np.array([round(s[4] * 1e6) for s in self.spans], dtype=np.int64),
            kind=np.array([s[5] for s in self.spans], dtype=np.int8),
            status=np.array([s[6] for s in self.spans], dtype=np.int8),
            peer=np.array(
                [COMPONENTS.index(self.peers[r]) if r in self.peers else -1 for r in range(n)],
                dtype=np.int32,
            ),
        )

    def to_logs(self) -> Logs | None:
        if not self.lines:
            return None
        texts = sorted({line[1] for line in self.lines})
        codes = sorted({line[2] for line in self.lines} - {""})
        return Logs(
            components=COMPONENTS,
            texts=tuple(texts),
            codes=tuple(codes),
            component=np.array([COMPONENTS.index(x[0]) for x in self.lines], dtype=np.int32),
            text=np.array([texts.index(x[1]) for x in self.lines], dtype=np.int32),
            time_ns=np.array([round(x[3] * SECOND) for x in self.lines], dtype=np.int64),
            severity=np.array([x[5] for x in self.lines], dtype=np.int8),
            span=np.array([x[4] for x in self.lines], dtype=np.int64),
            code=np.array([codes.index(x[2]) if x[2] else -1 for x in self.lines], dtype=np.int32),
        )


def incident(
    traces: Traces,
    *,
    runs: tuple[Traces, ...] = (),
    events: tuple[Event, ...] = (),
    baseline: TimeWindow | None = BASELINE,
) -> Incident:
    return Incident(
        name="traced",
        topology=Topology(
            tuple(Component(name) for name in COMPONENTS), (Edge("front", "back", EdgeKind.CALLS),)
        ),
        signals=(),
        events=events,
        baseline=baseline,
        window=WINDOW,
        normal_runs=tuple(
            Run(name=f"run {i}", signals=(), spans=run.to_spans(), logs=run.to_logs())
            for i, run in enumerate(runs)
        ),
        spans=traces.to_spans() if traces.spans else None,
        logs=traces.to_logs(),
    )


def is_window(second: float) -> bool:
    return second >= WINDOW.start
