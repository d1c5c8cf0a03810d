"""What traces written by hand say: who changed, where, and in which order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from bayesrca.analysis import analyze
from bayesrca.config import Method, Settings
from bayesrca.evidence import TraceEvidence, build_evidence
from bayesrca.evidence.trace_build import build_trace_evidence
from bayesrca.evidence.trace_columns import build_trace_columns
from bayesrca.evidence.trace_laws import LARGEST_LOG_RATIO
from bayesrca.incident import Event, Family, Signal, Statistic, TimeWindow
from tests.unit.evidence.trace_kit import BASELINE, WINDOW, Traces, incident, is_window

FRONT, BACK, SHOP = range(3)
Request = Callable[[Traces, float, bool], None]


def recorded(request: Request, *, start: float = BASELINE.start, end: float = WINDOW.end) -> Traces:
    """One request a second, told whether it lies in the window."""
    traces = Traces()
    for second in np.arange(start, end):
        request(traces, float(second), is_window(float(second)))
    return traces


def call(
    traces: Traces, second: float, *, client: float = 12.0, server: float = 8.0, own: float = 2.0
) -> tuple[int, int, int]:
    """`front` spends ``own`` ms, then calls `back`; milliseconds of both sides of the call."""
    root = traces.span("front", "get", second, own + client, kind=2)
    out = traces.span("front", "call back", second + own / 1000.0, client, root, kind=3)
    gap = (client - server) / 2000.0
    return root, out, traces.span("back", "work", second + own / 1000.0 + gap, server, out, kind=2)


def build(traces: Traces, **options: object) -> TraceEvidence:
    evidence = build_trace_evidence(incident(traces, **options), WINDOW)  # type: ignore[arg-type]
    assert evidence is not None
    return evidence


def edge(evidence: TraceEvidence, caller: int, callee: int) -> int:
    (row,) = np.flatnonzero((evidence.edge_source == caller) & (evidence.edge_target == callee))
    return int(row)


def test_a_line_that_vanishes_names_component_and_region() -> None:
    def request(traces: Traces, second: float, faulty: bool) -> None:
        root, _, work = call(traces, second)
        traces.line("front", "got it", second + 0.001, root, code="Front#7")
        traces.line("back", "begin", second + 0.004, work, code="Work#10")
        if faulty:
            traces.line("back", "no such key", second + 0.005, work, code="Work#14", level=17)
        else:
            traces.line("back", "found", second + 0.005, work, code="Work#12")

    evidence = build(recorded(request))
    assert evidence.own_pattern[BACK] > 5.0
    assert evidence.own_pattern[FRONT] < 0.0
    assert np.isnan(evidence.own_pattern[SHOP])
    assert evidence.has_spans.tolist() == [True, True, False]
    first, second, *_ = (r for r in evidence.regions if r.component == BACK)
    assert (first.region, first.change) == ("Work#12", "vanished")
    assert (second.region, second.change) == ("Work#14", "new")
    shares = [r.probability for r in evidence.regions if r.component == BACK]
    assert sum(shares) == pytest.approx(1.0)
    line = next(t for t in evidence.tests if t.region == "Work#14")
    assert (line.subject, line.n, line.n0) == ("ERROR Work#14 in work", 55, 98)
    assert line.contrast == pytest.approx(1.0, abs=0.02)


def test_where_flow_stops_the_first_line_missing_comes_first() -> None:
    def request(traces: Traces, second: float, faulty: bool) -> None:
        work = traces.span("back", "work", second, 9.0)
        for step in range(1 if faulty else 5):
            traces.line("back", f"step {step}", second + 0.001 * step, work, code=f"Work#{step}")

    evidence = build(recorded(request))
    assert evidence.regions[0].region == "Work#1"
    assert evidence.regions[0].change == "vanished"
    assert evidence.regions[0].probability > 0.8


def test_slow_work_and_a_slow_way_are_told_apart() -> None:
    slow_work = build(
        recorded(
            lambda t, s, bad: void(call(t, s, server=80.0, client=84.0) if bad else call(t, s))
        )
    )
    slow_way = build(
        recorded(lambda t, s, bad: void(call(t, s, client=90.0) if bad else call(t, s)))
    )
    for evidence, own, gap in ((slow_work, 1, -1), (slow_way, -1, 1)):
        assert np.sign(evidence.own_self_time[BACK]) == own
        assert np.sign(evidence.edge_gap[edge(evidence, FRONT, BACK)]) == gap
        assert evidence.own_self_time[FRONT] < 0.0
        assert abs(evidence.own_self_time[BACK]) > 1.0


def void(_: object) -> None:
    return


def test_a_component_without_spans_is_timed_by_its_callers() -> None:
    def request(traces: Traces, second: float, faulty: bool) -> None:
        root = traces.span("back", "work", second, 90.0)
        row = traces.span("back", "SELECT", second, 60.0 if faulty else 3.0, root, kind=3)
        traces.peers[row] = "shop"

    evidence = build(recorded(request))
    assert evidence.own_self_time[SHOP] > 1.0
    assert not evidence.has_spans[SHOP]


def test_truncation_belongs_to_the_edge() -> None:
    def request(traces: Traces, second: float, faulty: bool) -> None:
        root, _, _ = call(traces, second)
        if not faulty:
            traces.span("front", "render", second + 0.02, 1.0, root)

    evidence = build(recorded(request))
    assert evidence.edge_terminal[edge(evidence, FRONT, BACK)] > 5.0


@pytest.mark.parametrize("callee_first", [True, False])
def test_errors_flow_from_whoever_failed_first(callee_first: bool) -> None:
    def request(traces: Traces, second: float, faulty: bool) -> None:
        bad = faulty and int(second) % 3 == 0
        root, _, work = call(traces, second)
        at = second + (0.013 if callee_first else 0.001)
        if bad:
            traces.line("front", "sorry", at, root, code="Front#9", level=17)
            traces.line("back", "broken", second + 0.006, work, code="Work#3", level=17)
        traces.line("back", "work", second + 0.005, work, code="Work#1")
        traces.line("front", "front", second + 0.0005, root, code="Front#1")

    evidence = build(recorded(request))
    order = evidence.edge_order[edge(evidence, FRONT, BACK)]
    assert order > 3.0 if callee_first else order < -3.0


def test_a_callee_that_never_changed_says_nothing_of_order() -> None:
    def request(traces: Traces, second: float, faulty: bool) -> None:
        root, _, _ = call(traces, second)
        if faulty:
            traces.line("front", "sorry", second + 0.013, root, code="Front#9", level=17)
        traces.line("front", "front", second + 0.0005, root, code="Front#1")

    evidence = build(recorded(request))
    assert evidence.own_pattern[FRONT] > 5.0
    for caller, callee, order in zip(
        evidence.edge_source, evidence.edge_target, evidence.edge_order, strict=True
    ):
        assert np.isnan(order), (caller, callee)


def test_lines_outside_spans_speak_by_the_minute() -> None:
    traces = Traces()
    for second in range(0, 1200, 20):
        faulty = second >= 600
        text = f"timeout after {second} ms" if faulty else f"order {second} stored"
        traces.line("back", text, 500.0 + second, level=17 if faulty else 9)
        traces.line("front", f"GET /orders/{second}", 500.0 + second)
    traces.span("shop", "idle", 700.0, 1.0)
    window, baseline = TimeWindow(1100.0, 1700.0), TimeWindow(500.0, 1099.0)
    made = replace(incident(traces, baseline=baseline), window=window)
    evidence = build_trace_evidence(made, window)
    assert evidence is not None
    assert evidence.own_pattern[BACK] > 5.0
    assert evidence.own_pattern[FRONT] < 0.0
    assert {t.subject for t in evidence.tests if t.component == BACK} == {
        "ERROR timeout after <*> ms",
        "INFO order <*> stored",
    }
    assert evidence.has_spans.tolist() == [False, False, True]


def test_repeated_lines_count_once() -> None:
    def request(traces: Traces, second: float, faulty: bool) -> None:
        work = traces.span("back", "work", second, 9.0)
        for _ in range(3 if faulty else 1):
            traces.line("back", "once", second + 0.001, work, code="Work#1")

    columns = build_trace_columns(incident(recorded(request)), WINDOW)
    assert columns.tables.events[:, 3].tolist() == [0]


def test_lines_are_compared_where_there_are_any() -> None:
    def request(traces: Traces, second: float, faulty: bool) -> None:
        work = traces.span("back", "work", second, 9.0)
        if not faulty:  # nothing was collected any more
            traces.line("back", "once", second + 0.001, work, code="Work#1")

    baseline = TimeWindow(1000.0, 1079.0)  # the window's minutes hold no line of its last seconds
    made = recorded(request, end=1080.0)
    for second in range(1140, 1160):
        request(made, float(second), True)
    evidence = build(made, baseline=baseline)
    assert np.isnan(evidence.own_pattern[BACK])


def test_what_begins_at_the_window_s_start_belongs_to_neither_side() -> None:
    columns = build_trace_columns(incident(recorded(lambda t, s, _: void(call(t, s)))), WINDOW)
    assert columns.spans.tolist() == [55 * 3, 98 * 3, 0, 0]


def test_a_run_stands_in_for_a_baseline() -> None:
    def request(traces: Traces, second: float, faulty: bool) -> None:
        call(traces, second, server=80.0 if faulty else 8.0, client=84.0 if faulty else 12.0)

    faulty = recorded(request, start=WINDOW.start)
    run = recorded(request, start=10.0, end=60.0)
    evidence = build(faulty, runs=(run,), baseline=None)
    assert evidence.own_self_time[BACK] > 1.0
    near = build(faulty, runs=(recorded(request, start=1000.0, end=1050.0),), baseline=None)
    assert near.own_self_time[BACK] == pytest.approx(evidence.own_self_time[BACK])  # no period


def test_without_a_reference_there_is_nothing_to_tell() -> None:
    faulty = recorded(lambda t, s, _: void(call(t, s)), start=WINDOW.start)
    evidence = build(faulty, baseline=None)
    assert np.isnan(evidence.own_self_time).all()
    assert np.isnan(evidence.edge_gap).all()
    assert "nothing to be compared with" in evidence.notes[0]


def test_changes_alone_make_evidence_and_nothing_makes_none() -> None:
    traces = recorded(lambda t, s, _: void(call(t, s)), start=BASELINE.start)
    whole = incident(traces, events=(Event(1050.0, "deploy", "back", "", "v2"),))
    found = build_trace_evidence(whole, WINDOW)
    assert found is not None
    assert [(c.event, c.component, c.age) for c in found.changes] == [(0, BACK, 50.0)]


def test_the_table_tells_the_loudest_test_of_each_sort() -> None:
    def request(traces: Traces, second: float, faulty: bool) -> None:
        root, _, work = call(traces, second, client=90.0 if faulty else 12.0)
        traces.line("front", "got it", second + 0.001, root, code="Front#7")
        if not faulty:
            traces.line("back", "found", second + 0.005, work, code="Work#12")
        else:
            traces.line("back", "none", second + 0.005, work, code="Work#14", level=17)

    time = np.arange(BASELINE.start, WINDOW.end)
    made = replace(
        incident(recorded(request)),
        signals=(
            Signal(
                "front", "latency", Family.LATENCY, Statistic.MEAN, time, 0.1 + 0.01 * (time % 3)
            ),
        ),
    )
    evidence = build_evidence(made)
    rows = {(r.component, r.signal.partition(":")[0]): r for r in evidence.table().rows}
    pattern, gap = rows["back", "pattern"], rows["front", "gap to back"]
    assert pattern.signal == "pattern: ERROR Work#14 in work (new, before: 98)"
    assert (pattern.family, pattern.series, pattern.samples) == ("trace", 2, 55)
    assert gap.signal == "gap to back: call back (slower, before: 98)"
    assert gap.measure == "log ratio"
    assert gap.scale is not None
    assert gap.z == pytest.approx(gap.contrast / gap.scale)
    assert evidence.traces is not None
    assert gap.log_ratio == pytest.approx(evidence.traces.edge_gap[0])


def test_a_busy_service_tells_no_more_than_can_be_told() -> None:
    """Many paths multiply; the likelihood takes log factors of 60 at most."""
    traces = Traces()
    for second in range(1000, 1161):
        for path in range(8):
            for half in (0.0, 0.5):
                top = traces.span("front", f"get {path}", second + half, 5.0)
                if second < 1100:
                    traces.line("front", "done", second + half + 0.001, top, code="Front#9")
    assert build(traces).own_pattern[FRONT] == LARGEST_LOG_RATIO
    # ... and takes it.
    best = analyze(incident(traces), seed=1, settings=Settings(method=Method.SCREEN)).answer
    assert best.posterior.causes[0].component == "front"


def test_a_component_that_names_itself_as_the_called_has_no_edge() -> None:
    traces = Traces()
    for second in range(1000, 1161):
        row = traces.span("front", "poll", second, 5.0, kind=3)
        traces.peers[row] = "front"
    evidence = build(traces)
    assert not (evidence.edge_source == evidence.edge_target).any()
