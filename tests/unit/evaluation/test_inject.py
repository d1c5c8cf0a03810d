"""Injected faults: what was promised is in the telemetry, and nothing else is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bayesrca.errors import InvalidIncidentError
from bayesrca.evaluation.inject import NO_CULPRIT, VISIBLE, Part, inject
from bayesrca.evaluation.inject_faults import FAULTS, Injection, fail, slow_down
from bayesrca.evaluation.inject_panel import Panel, layers
from bayesrca.evaluation.inject_telemetry import move_to_another_day
from bayesrca.evaluation.periods import cut_normal
from bayesrca.evaluation.simulate_incident import simulate_incident
from bayesrca.incident import (
    Component,
    Edge,
    Family,
    Incident,
    Run,
    Signal,
    Spans,
    Statistic,
    TimeWindow,
    Topology,
)


@pytest.fixture(scope="module")
def system() -> Incident:
    return simulate_incident(components=12, samples=120, seed=3, faulty=False)[0]


def chain(requests: tuple[float, ...] = (50.0, 200.0, 100.0)) -> Incident:
    """front calls shop calls store; a normal period of 100 samples and a window of 20."""
    names = ("front", "shop", "store")
    time = np.arange(0.0, 60.0 * 120, 60.0)
    rng = np.random.default_rng(0)
    signals = []
    for name, n in zip(names, requests, strict=True):
        latency = 0.1 * np.exp(0.02 * rng.standard_normal(120))
        kinds = (
            ("requests", Family.LOAD, Statistic.COUNT, "", np.full(120, n)),
            ("latency", Family.LATENCY, Statistic.MEAN, "s", latency),
            ("success", Family.ERRORS, Statistic.SUCCESS_RATIO, "%", np.full(120, 100.0)),
        )
        signals += [Signal(name, k, f, s, time, v, unit) for k, f, s, unit, v in kinds]
    return Incident(
        name="chain",
        topology=Topology(
            components=tuple(Component(name) for name in names),
            edges=(Edge("front", "shop"), Edge("shop", "store")),
        ),
        signals=tuple(signals),
        baseline=TimeWindow(0.0, 60.0 * 99),
        window=TimeWindow(6000.0, 60.0 * 119),
    )


def excess(panel: Panel, component: str) -> np.ndarray:
    """[m] seconds of extra work in each sample."""
    i = panel.names.index(component)
    (s,) = panel.series(i, Family.LATENCY)
    requests = panel.requests[i]
    assert requests is not None
    return np.asarray((panel.values(s) - panel.before(s)) * requests)


@pytest.mark.parametrize("part", Part)
def test_parts_hold_what_they_say(system: Incident, part: Part) -> None:
    for seed in range(12):
        made = inject(system, seed=seed, part=part)
        causes = [name for name, _ in made.truth.root_causes]
        assert made.part is part
        assert len(causes) == {Part.CAUSE: 1, Part.CAUSES: 2}.get(part, 0)
        assert (part in NO_CULPRIT) == (causes == [])
        assert set(causes) <= set(made.incident.topology.names)
        hidden = set(system.topology.names) - set(made.incident.topology.names)
        assert len(hidden) == (1 if part is Part.HIDDEN else 0)
        assert {s.component for s in made.incident.signals}.isdisjoint(hidden)


@pytest.mark.parametrize("part", Part)
def test_spans_and_logs_are_left_out(system: Incident, part: Part) -> None:
    """They are of the normal period and would contradict the fault; a hidden cause may own some."""
    n = len(system.topology)
    count: Any = np.arange(3 * n)
    none: Any = np.full(3 * n, -1)
    zeros: Any = np.zeros(3 * n, dtype=np.int64)
    assert system.baseline is not None
    start = np.linspace(system.baseline.start, system.baseline.end - 1.0, 3 * n) * 1e9
    spans = Spans(
        components=system.topology.names, operations=("x",), codes=(), trace_ids=("t",),
        component=count % n, operation=zeros, code=none, trace=zeros, parent=none,
        start_ns=start.astype(np.int64), duration_ns=zeros, kind=zeros, status=zeros, peer=none,
    )  # fmt: skip
    traced = replace(system, spans=spans, normal_runs=(Run("normal", (), spans),))
    made = inject(traced, seed=3, part=part).incident
    assert (made.spans, made.logs, made.normal_runs) == (None, None, ())
    assert made == inject(system, seed=3, part=part).incident


def test_the_same_seed_gives_the_same_incident(system: Incident) -> None:
    assert inject(system, seed=5).incident == inject(system, seed=5).incident
    assert inject(system, seed=5).incident != inject(system, seed=6).incident


def test_a_quiet_window_is_left_alone(system: Incident) -> None:
    original = {s.label: s for s in system.signals}
    made = inject(system, seed=1, part=Part.QUIET, share=0.0).incident
    for signal in made.signals:
        if signal.label not in original:
            continue  # a derived series
        whole = original[signal.label]
        at = np.isin(whole.timestamps, signal.timestamps)
        seen = ~np.isnan(signal.values)
        np.testing.assert_array_equal(signal.values[seen], whole.values[at][seen])


def test_the_target_moved(system: Incident) -> None:
    for seed in range(8):
        made = inject(system, seed=seed, part=Part.NOISE, share=0.0).incident
        assert made.target is not None
        assert made.window is not None
        original = {s.label: s for s in system.signals}
        (signal,) = (
            s
            for s in made.signals
            if (s.component, s.name) == (made.target.component, made.target.signal)
        )
        before = original[signal.label]
        inside = made.window.contains(signal.timestamps)
        at = np.isin(before.timestamps, signal.timestamps[inside])
        change = np.abs(np.nanmean(signal.values[inside] - before.values[at]))
        assert change > VISIBLE * 0.5 * np.nanstd(before.values)


def test_work_is_conserved_along_the_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Injection, "passed", lambda _: 1.0)
    monkeypatch.setattr(Injection, "late", lambda _, amount: amount)
    monkeypatch.setattr(Injection, "chance", lambda _, p: p >= 0.5)
    monkeypatch.setattr(Injection, "jitter", lambda self: np.ones(len(self.course)))
    panel = Panel(chain())
    slow_down(Injection(panel, np.random.default_rng(0), 2, np.ones(20)), 5.0)
    own = excess(panel, "store")
    assert (own > 0).all()
    for caller in ("shop", "front"):
        np.testing.assert_allclose(excess(panel, caller), own, rtol=1e-9)
    nobody = Panel(chain())
    slow_down(Injection(nobody, np.random.default_rng(0), 0, np.ones(20)), 5.0)
    assert (excess(nobody, "front") > 0).all()
    assert (excess(nobody, "store") == 0).all()


def test_a_slow_way_is_not_seen_at_its_end() -> None:
    panel = Panel(chain())
    assert FAULTS["link"][1](Injection(panel, np.random.default_rng(2), 2, np.ones(20)))
    assert (excess(panel, "store") == 0).all()
    front = Injection(Panel(chain()), np.random.default_rng(2), 0, np.ones(20))
    assert not FAULTS["link"][1](front)


def test_failures_come_in_whole_requests() -> None:
    panel = Panel(chain())
    fail(Injection(panel, np.random.default_rng(0), 2, np.ones(20)), 0.3)
    (s,) = panel.series(2, Family.ERRORS)
    failed = (100.0 - panel.values(s)) / 100.0 * 100.0
    assert 10 < failed.mean() < 50
    np.testing.assert_allclose(failed, np.round(failed), atol=1e-9)


def test_a_dead_meter_cannot_show_a_failure() -> None:
    incident = chain()
    dead = tuple(
        s
        if s.family is not Family.ERRORS
        else Signal(s.component, s.name, s.family, s.statistic, s.timestamps, 0 * s.values, s.unit)
        for s in incident.signals
    )
    panel = Panel(
        Incident(
            name="dead",
            topology=incident.topology,
            signals=dead,
            baseline=incident.baseline,
            window=incident.window,
        )
    )
    assert not FAULTS["errors"][1](Injection(panel, np.random.default_rng(0), 2, np.ones(20)))


def test_faults_pass_each_component_of_a_cycle_once() -> None:
    edges = [(0, 1), (1, 2), (2, 0), (1, 3), (2, 3)]
    assert layers(edges, 0) == [(0, 1), (1, 2), (1, 3)]
    assert layers(edges, 3) == []


def test_another_day_lies_further_off_than_the_normal_period_is_long(system: Incident) -> None:
    quiet = cut_normal(system, TimeWindow(60.0 * 50, 60.0 * 60))
    moved = move_to_another_day(quiet, np.random.default_rng(0))
    assert quiet.baseline is not None
    assert moved.baseline is not None
    assert quiet.window is not None
    assert moved.window is not None
    assert moved.window.start - moved.baseline.end > moved.baseline.duration
    assert moved.baseline.duration == quiet.baseline.duration
    inside = moved.window.contains(moved.signals[0].timestamps)
    np.testing.assert_array_equal(
        moved.signals[0].values[inside],
        quiet.signals[0].values[quiet.window.contains(quiet.signals[0].timestamps)],
    )


def test_what_cannot_be_made_is_said(system: Incident) -> None:
    nothing = Incident(
        name="bare", topology=system.topology, signals=system.signals, window=system.window
    )
    with pytest.raises(InvalidIncidentError, match="no normal period"):
        inject(nothing, seed=0)
