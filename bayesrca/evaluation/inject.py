"""Faults injected into real normal periods: incidents whose cause is known, noise and all.

The telemetry is what some system really reported when nothing was wrong; the fault, its way along
the graph and the gaps are made up, by laws that are not the model's (docs/simulation.md).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from bayesrca.errors import InvalidIncidentError
from bayesrca.evaluation.inject_faults import FAULTS, Injection, draw_course
from bayesrca.evaluation.inject_panel import Panel
from bayesrca.evaluation.inject_telemetry import move_to_another_day, spoil
from bayesrca.evaluation.periods import Telemetry, cut_normal, hide_telemetry, record_normal
from bayesrca.incident import Family, Incident, Target, TimeWindow, Topology
from bayesrca.incident.selection import hide_alerts, hide_components
from bayesrca.ingest.truth import Truth

VISIBLE = 3.0
"""Standard deviations by which the target must have moved, for nobody notices less."""
_TRIES = 200
"""Faults drawn before a quiet window is given up."""
_CANDIDATES = 3
"""Windows of which the calmest is taken: recorded normal periods hold faults of their own."""
_FEWEST = 3
"""Samples a window has at least."""


class Part(StrEnum):
    """What an injected incident is: which answer is right.

    ``CAUSE``: one component is at fault. ``CAUSES``: two are. ``HIDDEN``: the component at fault is
    taken out of topology and telemetry. ``NOISE``: components moved by themselves, unconnected, the
    target among them. ``QUIET``: nothing was touched.
    """

    CAUSE = "cause"
    CAUSES = "causes"
    HIDDEN = "hidden"
    NOISE = "noise"
    QUIET = "quiet"


NO_CULPRIT = (Part.HIDDEN, Part.NOISE, Part.QUIET)
"""Parts in which "none of these" is right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Injected:
    """An incident and what was done to it.

    Attributes:
        incident: what an analysis may see.
        truth: components at fault, none for the parts of `NO_CULPRIT`, and the kind of fault.
        part: what sort of incident it is.
        stand_ins: with `Part.HIDDEN`, components from which a fault would reach all that moved. By
            their position nothing tells such a one from the hidden cause.
    """

    incident: Incident
    truth: Truth
    part: Part
    stand_ins: tuple[str, ...] = ()


def inject(
    incident: Incident, *, seed: int | Sequence[int], part: Part = Part.CAUSE, share: float = 1 / 3
) -> Injected:
    """Cut a quiet window out of an incident's normal period and put a fault into its series.

    Spans and log records are left out: they would say that nothing happened.

    Args:
        incident: an incident with a normal period and a window; nothing but the normal period, the
            topology and the target is used, and of the window only its length.
        seed: the same seed gives the same incident.
        part: what to make.
        share: probability that the normal period is moved to another day.

    Raises:
        InvalidIncidentError: there is no normal period, it is too short, or no fault of this part
            can be seen in this system (no graph for `Part.HIDDEN`, say).
    """
    rng = np.random.default_rng(seed)
    candidates = 1 if part is Part.QUIET else _CANDIDATES
    quiet = cut_normal(incident, _choose_window(incident, rng, candidates))
    quiet = hide_telemetry(quiet, (Telemetry.SPANS, Telemetry.LOGS))
    for _ in range(_TRIES):
        made = _MAKERS[part](quiet, rng)
        if made is not None:
            break
    else:
        msg = f"incident {incident.name!r}: no visible fault of the part {part} could be injected"
        raise InvalidIncidentError(msg, field="topology")
    found = made.incident
    if rng.random() < share:
        found = move_to_another_day(found, rng)
    return replace(made, incident=spoil(found, rng))


def _choose_window(incident: Incident, rng: np.random.Generator, candidates: int) -> TimeWindow:
    """The calmest of some windows drawn at random from the normal period.

    A window is as long as the incident's, or a third of the normal period if that is shorter.
    """
    normal = record_normal(incident)
    if incident.window is None or len(normal.times) < 3 * _FEWEST:
        msg = f"incident {incident.name!r} has no window or no normal period to cut one from"
        raise InvalidIncidentError(msg, field="baseline")
    clocks = {id(s.timestamps): s.timestamps for s in incident.signals}.values()
    inside = incident.window.contains(np.unique(np.concatenate(list(clocks))))
    m = max(_FEWEST, min(int(inside.sum()), len(normal.times) // 3))
    starts = np.arange(len(normal.times) - m + 1)
    spans = normal.times[starts + m - 1] - normal.times[starts]
    # A gap or the incident itself may lie between two normal samples.
    even = starts[spans <= 1.5 * np.median(spans)]
    first = int(even[rng.integers(len(even))])
    for other in even[rng.integers(len(even), size=candidates - 1)]:
        first = min(first, int(other), key=lambda k: _unrest(normal.values, k, m))
    return TimeWindow(float(normal.times[first]), float(normal.times[first + m - 1]))


def _unrest(values: NDArray[np.float64], first: int, m: int) -> float:
    """How far the window's means lie from the series' medians, by the spread of samples.

    Each series counts ten spreads at most: the mean tells a system that is disturbed from a single
    series that is.
    """
    with np.errstate(invalid="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of series without a sample
        middle = np.nanmedian(values, axis=1)
        spread = np.nanmedian(np.abs(values - middle[:, None]), axis=1) + 0.05 * np.abs(middle)
        mean = np.nanmean(values[:, first : first + m], axis=1)
        size = np.abs(mean - middle) / np.where(spread > 0, spread, np.inf)
    return float(np.nanmean(np.minimum(size, 10.0))) if np.isfinite(size).any() else 0.0


_SYMPTOMS = (Family.LATENCY, Family.ERRORS)
"""Where an alarm is raised if anything moved there."""


def _make_cause(quiet: Incident, rng: np.random.Generator, n: int = 1) -> Injected | None:
    panel = Panel(quiet)
    roots, kinds = [], []
    for root in rng.permutation(len(panel.names))[:n]:
        before = _find_moved(panel)
        kind = _inject_fault(panel, int(root), rng)
        if kind is None or (n > 1 and _find_moved(panel) == before):
            return None
        roots.append(int(root))
        kinds.append(kind)
    target = choose_target(panel, rng, roots)
    if target is None:
        return None
    causes = tuple((panel.names[i], None) for i in sorted(roots))
    return Injected(
        incident=replace(panel.finish(), target=target),
        truth=Truth(causes, " + ".join(sorted(kinds))),
        part=Part.CAUSE if n == 1 else Part.CAUSES,
    )


def _make_causes(quiet: Incident, rng: np.random.Generator) -> Injected | None:
    return _make_cause(quiet, rng, 2)


def _make_hidden(quiet: Incident, rng: np.random.Generator) -> Injected | None:
    panel = Panel(quiet)
    root = int(rng.integers(len(panel.names)))
    kind = _inject_fault(panel, root, rng)
    moved = _find_moved(panel) - {root}
    if kind is None or not moved:
        return None
    target = choose_target(panel, rng, [root], without=root)
    if target is None:
        return None
    left = _without(panel.finish(), panel.names[root])
    return Injected(
        incident=replace(left, target=target),
        truth=Truth((), kind),
        part=Part.HIDDEN,
        stand_ins=_find_stand_ins(left.topology, {panel.names[i] for i in moved}),
    )


def _make_noise(quiet: Incident, rng: np.random.Generator) -> Injected | None:
    components = quiet.topology.components
    own = tuple(s for s in quiet.signals if s.edge is None)
    panel = Panel(replace(quiet, topology=Topology(components), signals=own))
    most = max(3, min(7, len(components) // 2 + 1))
    for i in rng.permutation(len(components))[: int(rng.integers(2, most))]:
        if _inject_fault(panel, int(i), rng) is None:
            return None
    target = choose_target(panel, rng, [])
    if target is None:
        return None
    noisy = replace(panel.finish(), topology=quiet.topology, target=target)
    return Injected(incident=noisy, truth=Truth(()), part=Part.NOISE)


def _make_quiet(quiet: Incident, _: np.random.Generator) -> Injected | None:
    return Injected(incident=quiet, truth=Truth(()), part=Part.QUIET)


_MAKERS = {
    Part.CAUSE: _make_cause,
    Part.CAUSES: _make_causes,
    Part.HIDDEN: _make_hidden,
    Part.NOISE: _make_noise,
    Part.QUIET: _make_quiet,
}
"""What makes each part; None when nobody would notice what was made."""


def _inject_fault(panel: Panel, root: int, rng: np.random.Generator) -> str | None:
    """Put a fault of some kind at a component; returns the kind, None if it cannot have it."""
    weights = np.array([weight for weight, _ in FAULTS.values()])
    kind = list(FAULTS)[int(rng.choice(len(weights), p=weights / weights.sum()))]
    happened = FAULTS[kind][1](Injection(panel, rng, root, draw_course(rng, len(panel.times))))
    return kind if happened else None


def _find_moved(panel: Panel) -> set[int]:
    return {i for i in range(len(panel.names)) if panel.moved_most(i)[0] > VISIBLE}


def choose_target(
    panel: Panel, rng: np.random.Generator, roots: Sequence[int], without: int | None = None
) -> Target | None:
    """Choose where it is noticed: the system's usual target, or another component that moved.

    Args:
        panel: what was done.
        rng: source of randomness.
        roots: components at fault, which are seldom the first to be noticed.
        without: a component nobody knows of.

    Returns:
        The target, or None when nothing moved far enough to be noticed.
    """
    moved = sorted(_find_moved(panel) - {without})
    if not moved:
        return None
    usual = panel.incident.target
    weights = np.array([0.3 if i in roots else 1.0 for i in moved])
    chosen = moved[int(rng.choice(len(moved), p=weights / weights.sum()))]
    at = None if usual is None else panel.names.index(usual.component)
    if at in moved and rng.random() < 0.6:
        chosen = at
    symptoms = {s: panel.moved(s) for s in panel.series(chosen, *_SYMPTOMS)}
    alarmed = max(symptoms, key=lambda s: symptoms[s], default=None)
    if alarmed is None or symptoms[alarmed] <= VISIBLE:
        alarmed = panel.moved_most(chosen)[1]
    return Target(panel.names[chosen], None if alarmed is None else panel.signal(alarmed).name)


def _without(incident: Incident, name: str) -> Incident:
    """The incident of a system in which nobody knows of a component."""
    signals = tuple(
        s
        for s in incident.signals
        if s.component != name and (s.edge is None or name not in (s.edge.source, s.edge.target))
    )
    return replace(
        incident,
        topology=hide_components(incident.topology, {name}),
        signals=signals,
        events=tuple(e for e in incident.events if e.component != name),
        alerts=None if incident.alerts is None else hide_alerts(incident.alerts, {name}),
        target=None,
    )


def _find_stand_ins(topology: Topology, moved: set[str]) -> tuple[str, ...]:
    """Components from which a fault of one family or another reaches all that moved."""
    wanted = {topology.index(name) for name in moved}
    found: set[int] = set()
    for family in Family:
        onward: dict[int, set[int]] = {}
        for a, b in topology.propagation_edges(family):
            onward.setdefault(int(a), set()).add(int(b))
        found |= {i for i in range(len(topology)) if wanted <= _reach(i, onward)}
    return tuple(topology.names[i] for i in sorted(found))


def _reach(start: int, onward: Mapping[int, set[int]]) -> set[int]:
    seen, left = {start}, [start]
    while left:
        new = onward.get(left.pop(), set()) - seen
        seen |= new
        left.extend(new)
    return seen
