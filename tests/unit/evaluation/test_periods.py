"""What online mode and normal windows leave of an incident."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayesrca.errors import InvalidIncidentError
from bayesrca.evaluation.periods import (
    Telemetry,
    cut_normal,
    cut_online,
    find_quiet_windows,
    hide_telemetry,
    record_normal,
)
from bayesrca.incident import (
    Component,
    Event,
    Family,
    Incident,
    Logs,
    Run,
    Signal,
    Spans,
    Statistic,
    Target,
    TimeWindow,
    Topology,
)

MINUTE = 60.0


def make(
    minutes: Iterable[float],
    *,
    baseline: tuple[float, float] | None,
    window: tuple[float, float] | None,
    seed: int = 0,
) -> Incident:
    """Two components sampled at these minutes; periods in minutes too."""
    time = np.array([*minutes]) * MINUTE
    rng = np.random.default_rng(seed)

    def period(ends: tuple[float, float] | None) -> TimeWindow | None:
        return None if ends is None else TimeWindow(ends[0] * MINUTE, ends[1] * MINUTE)

    return Incident(
        name="made up",
        topology=Topology((Component("a"), Component("b")), ()),
        signals=tuple(
            Signal(name, "latency", Family.LATENCY, Statistic.MEAN, time, rng.random(len(time)))
            for name in ("a", "b")
        ),
        events=tuple(Event(t, "tick") for t in time),
        baseline=period(baseline),
        window=period(window),
        target=Target("a", "latency"),
    )


def minutes_of(incident: Incident) -> list[float]:
    (times,) = {tuple(s.timestamps) for s in incident.signals}
    return [t / MINUTE for t in times]


def test_online_ends_five_minutes_after_it_began() -> None:
    whole = make(range(60), baseline=(0, 59), window=(20, 40))
    cut = cut_online(whole)
    assert minutes_of(cut) == list(range(26))
    assert cut.window == TimeWindow(20 * MINUTE, 25 * MINUTE)
    assert cut.baseline == whole.baseline
    assert cut.target == whole.target
    assert max(e.time for e in cut.events) == 25 * MINUTE


def test_online_waits_for_three_sampling_intervals() -> None:
    cut = cut_online(make(range(0, 600, 10), baseline=(0, 199), window=(200, 300)))
    assert cut.window == TimeWindow(200 * MINUTE, 230 * MINUTE)


def test_online_never_outlasts_the_window() -> None:
    cut = cut_online(make(range(60), baseline=(0, 19), window=(20, 22)))
    assert cut.window == TimeWindow(20 * MINUTE, 22 * MINUTE)
    assert minutes_of(cut)[-1] == 22


def test_online_does_not_know_a_normal_period_to_come() -> None:
    cut = cut_online(make(range(60), baseline=(30, 59), window=(0, 9)))
    assert cut.baseline is None


def trace(incident: Incident, starts: Iterable[float], seconds: float) -> Incident:
    """Add spans of one trace that start at these minutes, and a log record in each."""
    time = np.array([int(m * MINUTE) * 10**9 for m in starts])
    n = len(time)
    zeros: Any = np.zeros(n, dtype=np.int64)
    none: Any = np.full(n, -1)
    spans = Spans(
        components=("a",),
        operations=("x",),
        codes=(),
        trace_ids=("t",),
        component=zeros,
        operation=zeros,
        code=none,
        trace=zeros,
        parent=none,
        start_ns=time,
        duration_ns=np.full(n, int(seconds * 1e9)),
        kind=zeros,
        status=zeros,
        peer=none,
    )
    logs = Logs(("a",), ("y",), (), zeros, zeros, time, zeros, np.arange(n), none)
    return replace(incident, spans=spans, logs=logs)


def test_online_knows_no_span_that_goes_on_and_no_later_log_record() -> None:
    whole = trace(make(range(60), baseline=(0, 59), window=(20, 40)), range(60), seconds=90.0)
    cut = cut_online(whole)
    assert cut.spans is not None
    assert cut.logs is not None
    assert (cut.spans.start_ns / 60e9).tolist() == list(range(24))
    assert (cut.logs.time_ns / 60e9).tolist() == list(range(26))
    assert cut.logs.span.tolist() == [*range(24), -1, -1]


def test_a_case_of_spans_alone_can_be_cut() -> None:
    whole = trace(make(range(60), baseline=(0, 59), window=(20, 40)), range(60), seconds=1.0)
    cut = cut_online(replace(whole, signals=(), target=None))
    assert cut.spans is not None
    assert len(cut.spans) == 25
    assert cut.baseline == whole.baseline


def test_online_needs_a_window() -> None:
    with pytest.raises(InvalidIncidentError, match="online needs the incident window"):
        cut_online(make(range(60), baseline=(0, 19), window=None))


def test_a_quiet_part_holds_nothing_of_the_incident() -> None:
    whole = make(range(60), baseline=(0, 49), window=(20, 24))
    cut = cut_normal(whole, TimeWindow(5 * MINUTE, 9 * MINUTE))
    assert minutes_of(cut) == [*range(20), *range(25, 50)]
    assert len(cut.events) == 45
    assert cut.window == TimeWindow(5 * MINUTE, 9 * MINUTE)
    assert (cut.baseline, cut.topology, cut.target) == (
        whole.baseline,
        whole.topology,
        whole.target,
    )


def test_a_quiet_part_needs_a_normal_period() -> None:
    with pytest.raises(InvalidIncidentError, match="no normal period"):
        cut_normal(make(range(60), baseline=None, window=(0, 9)), TimeWindow(1, 2))


def test_a_target_whose_series_is_gone_keeps_its_place() -> None:
    whole = make(range(60), baseline=(0, 49), window=(50, 54))
    late = Signal(
        "a", "alarm", Family.ERRORS, Statistic.RATE, np.array([51.0]) * MINUTE, np.array([1.0])
    )
    whole = replace(whole, signals=(*whole.signals, late), target=Target("a", "alarm"))
    cut = cut_normal(whole, TimeWindow(0, 4 * MINUTE))
    assert cut.target == Target("a")
    assert len(cut.signals) == 2


def windows_of(incident: Incident, *others: Incident) -> list[tuple[float, float]]:
    earlier = [record_normal(other) for other in others]
    windows = find_quiet_windows(incident, record_normal(incident), earlier)
    return [(w.start / MINUTE, w.end / MINUTE) for w in windows]


def test_quiet_windows_follow_one_another() -> None:
    incident = make(range(30), baseline=(0, 29), window=(10, 14))
    # Five samples each; 8 and 9 are too few to fill another before the incident.
    assert windows_of(incident) == [(0, 4), (5, 9), (15, 19), (20, 24), (25, 29)]


def test_a_window_with_a_gap_is_not_cut() -> None:
    minutes = [0, 1, 2, 3, 10, 11, 12, 13, 14, 15, 16, 20, 21, 22, 23, 24]
    incident = make(minutes, baseline=(0, 19), window=(20, 24))
    # Four of five will do.
    assert windows_of(incident) == [(0, 4), (10, 14)]


def test_the_same_normal_period_is_cut_once() -> None:
    incident = make(range(30), baseline=(0, 19), window=(20, 24))
    other = replace(incident, window=TimeWindow(25 * MINUTE, 29 * MINUTE))
    assert windows_of(incident, other) == []
    # Another recording that shares the clock and nothing else.
    assert len(windows_of(incident, make(range(30), baseline=(0, 19), window=None, seed=1))) == 4


def test_some_normal_samples_are_left_outside() -> None:
    assert windows_of(make(range(14), baseline=(0, 8), window=(9, 13))) == []
    assert len(windows_of(make(range(15), baseline=(0, 9), window=(10, 14)))) == 2


def test_no_normal_period_no_windows() -> None:
    assert windows_of(make(range(30), baseline=None, window=(10, 14))) == []
    assert windows_of(make(range(30), baseline=(0, 29), window=None)) == []


@given(
    st.lists(st.integers(0, 90), min_size=3, max_size=60, unique=True).map(sorted),
    st.integers(0, 80),
    st.integers(1, 10),
    st.integers(0, 2),
)
@settings(deadline=None)
def test_quiet_windows_are_normal_and_apart(
    minutes: list[int], start: int, length: int, shift: int
) -> None:
    window = (float(minutes[0] + start), float(minutes[0] + start + length))
    if not any(window[0] <= m <= window[1] for m in minutes):
        window = (minutes[0], minutes[0] + length)
    incident = make(minutes, baseline=(minutes[0], minutes[-1]), window=window)
    kept = minutes[shift:]
    other = replace(
        incident,
        baseline=TimeWindow(kept[0] * MINUTE, (kept[0] + 20) * MINUTE),
        window=None,
    )
    mine = windows_of(incident, other)
    theirs = {t / MINUTE for t in record_normal(other).times}
    free = {t / MINUTE for t in record_normal(incident).times} - theirs
    for i, (low, high) in enumerate(mine):
        inside = {m for m in minutes if low <= m <= high and not window[0] <= m <= window[1]}
        assert inside
        assert inside <= free
        assert high - low == pytest.approx(length)
        assert high < window[0] or low > window[1]
        assert all(high < later for later, _ in mine[i + 1 :])


def test_online_knows_no_span_of_a_normal_run_that_comes_later() -> None:
    incident = make(range(60), baseline=(0, 59), window=(20, 40))
    early, late = (trace(incident, minutes, seconds=1.0) for minutes in (range(5, 50), (45, 46)))
    runs = (
        Run("both", (), early.spans, early.logs),
        Run("later", (), late.spans, late.logs),
        Run("with series", incident.signals, late.spans, late.logs),
    )
    both, series = cut_online(replace(incident, normal_runs=runs)).normal_runs
    assert both.spans is not None
    assert both.spans.start_ns.max() / 60e9 == 24
    assert (series.name, series.spans, series.logs) == ("with series", None, None)
    assert series.signals == incident.signals


def test_a_quiet_window_is_not_its_own_reference() -> None:
    incident = make(range(60), baseline=(0, 59), window=(50, 55))
    normal = trace(incident, range(10, 30), seconds=1.0)
    runs = (Run("normal", (), normal.spans, normal.logs),)
    quiet = cut_normal(replace(incident, normal_runs=runs), TimeWindow(15 * 60.0, 20 * 60.0))
    (run,) = quiet.normal_runs
    assert run.spans is not None
    assert sorted({int(t // 60e9) for t in run.spans.start_ns}) == [*range(10, 15), *range(21, 30)]


@pytest.mark.parametrize("kind", ["metrics", "spans", "logs"])
def test_hidden_telemetry_is_not_there(kind: str) -> None:
    incident = make(range(60), baseline=(0, 19), window=(20, 40))
    both = trace(incident, range(60), seconds=1.0)
    runs = (Run("normal", incident.signals, both.spans, both.logs),)
    incident = replace(both, normal_runs=runs)
    hidden = hide_telemetry(incident, {Telemetry(kind)})
    for before, after in ((incident, hidden), (incident.normal_runs[0], hidden.normal_runs[0])):
        assert bool(after.signals) == (kind != "metrics")
        assert (after.spans is not None) == (kind != "spans")
        assert (after.logs is not None) == (kind != "logs")
        if kind == "spans":
            assert after.logs is not None
            assert before.logs is not None
            assert (after.logs.span == -1).all()
            assert (before.logs.span >= 0).any()
    assert (hidden.topology, hidden.window) == (incident.topology, incident.window)
    assert hidden.baseline == incident.baseline


def test_hiding_leaves_no_period_without_telemetry() -> None:
    incident = make(range(60), baseline=(0, 19), window=(20, 40))
    late = trace(incident, range(25, 35), seconds=1.0)
    hidden = hide_telemetry(late, {Telemetry.METRICS})
    assert hidden.baseline is None
    with pytest.raises(InvalidIncidentError):
        hide_telemetry(late, {Telemetry.METRICS, Telemetry.SPANS, Telemetry.LOGS})
