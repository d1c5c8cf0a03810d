"""Faults as they might be: made without the model's own laws, so that its answers are tested.

Sizes are log-uniform and multiplicative, onsets are steps or ramps, work is conserved on its way to
the callers but for what is lost on an edge, effects saturate. The model knows t-laws, log-logistic
effects and affected sets; none of that is used here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayesrca.evaluation.inject_panel import Panel, layers, ratio_top
from bayesrca.incident import Family, Statistic

Floats = NDArray[np.float64]

RESOURCES = (Family.CPU, Family.MEMORY, Family.DISK, Family.NETWORK, Family.GENERIC, Family.STATE)
"""Families in which a component's own resource can be at fault."""
_MORE = {Family.CPU: 0.9, Family.MEMORY: 0.9, Family.DISK: 0.75}
"""Probability that a resource at fault is used more, not less; .5 for the others."""


@dataclass(frozen=True)
class Injection:
    """One fault under way: where it is put, and its course in time, [m] in [0, 1]."""

    panel: Panel
    rng: np.random.Generator
    root: int
    course: Floats

    def log_uniform(self, low: float, high: float) -> float:
        """A size whose logarithm is uniform."""
        return float(np.exp(self.rng.uniform(np.log(low), np.log(high))))

    def chance(self, p: float) -> bool:
        """Whether something of probability p happens."""
        return bool(self.rng.random() < p)

    def edges(self, family: Family) -> list[tuple[int, int]]:
        """Edges that carry an effect of a family away from the root."""
        pairs = self.panel.incident.topology.propagation_edges(family)
        everywhere = [(int(a), int(b)) for a, b in pairs]
        return layers(everywhere, self.root)

    def jitter(self) -> Floats:
        """[m] factors round one: no effect is as smooth as its cause."""
        return np.exp(0.1 * self.rng.standard_normal(len(self.course)))

    def passed(self) -> float:
        """Share of an effect that an edge passes on: nothing, all of it or a part."""
        u = self.rng.random()
        if u < 0.15:
            return 0.0
        return 1.0 if u < 0.65 else float(self.rng.uniform(0.2, 1.0))

    def late(self, amount: Floats) -> Floats:
        """The amount [m], one or two samples later one time in five."""
        lag = int(self.rng.choice([0, 1, 2], p=[0.8, 0.15, 0.05]))
        return amount if not lag else np.concatenate([np.zeros(lag), amount])[: len(amount)]


def draw_course(rng: np.random.Generator, m: int) -> Floats:
    """[m] course of a fault: it begins in the first half, at once or slowly, and may end early."""
    begin = int(rng.integers(0, m // 2 + 1)) if m > 1 else 0
    end = m if rng.random() < 0.7 else int(rng.integers(begin + 1, m + 1))
    end = max(end, min(m, begin + max(1, m // 3)))
    t = np.arange(m) - begin + 1.0
    shape = rng.choice(3)
    length = max(end - begin, 1)
    if shape == 0:
        course = np.ones(m)
    elif shape == 1:  # a ramp
        course = np.clip(t / max(1.0, rng.uniform(0.2, 1.0) * length), 0.0, 1.0)
    else:  # saturating
        course = 1.0 - np.exp(-np.maximum(t, 0.0) / max(0.5, rng.uniform(0.1, 0.4) * length))
    return np.where((np.arange(m) >= begin) & (np.arange(m) < end), course, 0.0)


def slow_down(fault: Injection, factor: float, *, own: bool = True) -> None:
    """Let requests at the root take `factor` times as long; its callers wait for them.

    With ``own`` false only the callers see it: the wait is on the way to the root.
    """
    panel = fault.panel
    latency = panel.latency(fault.root)
    if latency is None:
        return
    usual = float(np.median(latency))
    ceiling = usual * fault.log_uniform(10.0, 300.0) if fault.chance(0.3) else np.inf
    extra = {fault.root: _saturate((factor - 1.0) * usual * fault.course * fault.jitter(), ceiling)}
    for (a, b), share in _shares(fault, fault.edges(Family.LATENCY)).items():
        if a not in extra:
            continue
        arriving = fault.late(extra[a]) * share * fault.passed()
        done, waiting = panel.requests[a], panel.requests[b]
        if done is not None and waiting is not None:  # seconds of work are conserved
            arriving = arriving * np.divide(
                done, waiting, out=np.zeros_like(done), where=waiting > 0
            )
        extra[b] = extra.get(b, 0.0) + arriving
    for i, seconds in extra.items():
        if i == fault.root and not own:
            continue
        ceiling = np.inf
        here = panel.latency(i)
        if here is not None and fault.chance(0.2):  # somebody gives up waiting
            ceiling = float(np.median(here)) * fault.log_uniform(5.0, 200.0)
        _add_latency(fault, i, _saturate(seconds * fault.jitter(), ceiling))


def fail(fault: Injection, share: float) -> None:
    """Let a share of the root's requests fail; callers survive some of the failures."""
    panel = fault.panel
    failed = {fault.root: np.clip(share * fault.course * fault.jitter(), 0.0, 1.0)}
    for (a, b), part in _shares(fault, fault.edges(Family.ERRORS)).items():
        if a not in failed:
            continue
        arriving = fault.late(failed[a]) * part * fault.passed()
        done, waiting = panel.requests[a], panel.requests[b]
        if done is not None and waiting is not None:
            ratio = np.divide(done, waiting, out=np.zeros_like(done), where=waiting > 0)
            arriving = arriving * ratio
        failed[b] = np.clip(failed.get(b, 0.0) + arriving, 0.0, 1.0)
    for i, p in failed.items():
        _add_failures(fault, i, p)


def saturate(fault: Injection, families: tuple[Family, ...] = RESOURCES) -> bool:
    """Let one resource of the root be used up or change; returns whether it reports any."""
    panel = fault.panel
    reported = [f for f in families if panel.series(fault.root, f)]
    if not reported:
        return False
    family = reported[int(fault.rng.integers(len(reported)))]
    factor = fault.log_uniform(1.5, 20.0)
    if not fault.chance(_MORE.get(family, 0.5)):
        factor = 1.0 / factor
    hit = {fault.root}
    for a, b in fault.edges(family):
        if a in hit and fault.chance(0.7):
            hit.add(b)
    for i in sorted(hit):
        own = panel.series(i, family)
        if own:
            _move(fault, own, factor if i == fault.root else factor ** fault.rng.uniform(0.2, 1.0))
    return True


def disturb(fault: Injection, i: int, families: tuple[Family, ...]) -> None:
    """Move one of a component's families a little, up or down."""
    reported = [f for f in families if fault.panel.series(i, f)]
    if reported:
        family = reported[int(fault.rng.integers(len(reported)))]
        _move(fault, fault.panel.series(i, family), fault.log_uniform(0.5, 2.0))


def surge(fault: Injection, factor: float) -> None:
    """Multiply the requests at the root and, in part, at what it calls."""
    panel = fault.panel
    grown = {fault.root: 1.0}
    for a, b in fault.edges(Family.LOAD):
        if a in grown:
            grown[b] = max(grown.get(b, 0.0), grown[a] * fault.passed())
    for i, share in grown.items():
        if share == 0.0:
            continue
        rise = 1.0 + (factor - 1.0) * share * fault.course
        for s in panel.series(i, Family.LOAD):
            panel.write(s, panel.values(s) * rise * fault.jitter())
        busy = 1.0 + (rise - 1.0) * fault.rng.uniform(0.2, 0.9)
        for s in panel.series(i, Family.CPU, Family.NETWORK):
            if fault.chance(0.7):
                panel.write(s, panel.values(s) * busy)
        usual = panel.latency(i)
        if usual is not None and fault.chance(0.5):
            extra = np.median(usual) * (rise - 1.0) * fault.rng.uniform(0.0, 0.4)
            _add_latency(fault, i, extra)


def crash(fault: Injection) -> None:
    """Stop the root: it serves nothing, its callers fail."""
    panel, silent = fault.panel, fault.course > 0.0
    gone = fault.chance(0.5)  # its telemetry too, or only its work
    for s in panel.series(fault.root):
        family = panel.signal(s).family
        values = panel.values(s)
        if family is Family.LOAD:
            panel.write(s, np.where(silent, 0.0, values))
        elif gone or family in (Family.LATENCY, Family.ERRORS):
            panel.write(s, np.where(silent, np.nan, values))
        elif family in (Family.CPU, Family.NETWORK):
            panel.write(s, np.where(silent, 0.02 * values, values))
    share = float(fault.rng.uniform(0.2, 1.0))
    for (a, b), part in _shares(fault, fault.edges(Family.ERRORS)).items():
        if a != fault.root:
            continue
        done, waiting = panel.requests[a], panel.requests[b]
        ratio = np.ones(len(fault.course))
        if done is not None and waiting is not None:
            ratio = np.divide(done, waiting, out=np.zeros_like(done), where=waiting > 0)
        p = np.clip(silent * share * part * ratio * fault.jitter(), 0.0, 1.0)
        _add_failures(fault, b, p)
        usual = panel.latency(b)
        if usual is not None and fault.chance(0.5):  # it tries again
            _add_latency(fault, b, p * np.median(usual) * fault.log_uniform(0.5, 10.0))


def _shares(fault: Injection, edges: list[tuple[int, int]]) -> Mapping[tuple[int, int], float]:
    """What part of a component's work is done for each caller: by its requests, not exactly."""
    weight: dict[tuple[int, int], float] = {}
    for a, b in edges:
        requests = fault.panel.requests[b]
        size = 1.0 if requests is None else float(requests.mean())
        weight[a, b] = size * float(np.exp(0.3 * fault.rng.standard_normal()))
    total: dict[int, float] = {}
    for (a, _), w in weight.items():
        total[a] = total.get(a, 0.0) + w
    # Without requests there is no work to divide: everybody who waits waits for all of it.
    known = {a: fault.panel.requests[a] is not None for a, _ in edges}
    return {
        (a, b): (w / total[a] if total[a] > 0 else 0.0) if known[a] else 1.0
        for (a, b), w in weight.items()
    }


def _saturate(x: Floats, ceiling: float) -> Floats:
    return x if not 0.0 < ceiling < np.inf else ceiling * -np.expm1(-x / ceiling)


def _add_latency(fault: Injection, i: int, seconds: Floats) -> None:
    panel = fault.panel
    for s in panel.series(i, Family.LATENCY):
        signal = panel.signal(s)
        heard = 1.0
        if signal.statistic is not Statistic.MEAN:  # a percentile may miss it or show more
            heard = 0.0 if fault.chance(0.1) else float(np.exp(0.3 * fault.rng.standard_normal()))
        panel.write(s, panel.values(s) + heard * seconds / panel.seconds(s))


def _add_failures(fault: Injection, i: int, p: Floats) -> None:
    """Turn a share p [m] of a component's requests into failures, in whole requests if known."""
    panel = fault.panel
    requests = panel.requests[i]
    step = float(np.median(np.diff(panel.times))) if len(panel.times) > 1 else 1.0
    if requests is not None:
        n = np.round(requests * step).astype(np.int64)
        k = fault.rng.binomial(n, p)
        p = np.divide(k, n, out=np.zeros(len(p)), where=n > 0)
    for s in panel.series(i, Family.ERRORS):
        signal, values = panel.signal(s), panel.values(s)
        top = ratio_top(signal, panel.normal(s))
        if signal.statistic is Statistic.SUCCESS_RATIO:
            panel.write(s, values * (1.0 - p))
        elif signal.statistic is Statistic.ERROR_RATIO:
            panel.write(s, values + (top - values) * p)
        else:  # failures by number
            done = np.full(len(p), 10.0) if requests is None else requests
            counted = signal.statistic is Statistic.COUNT
            panel.write(s, values + p * done * (step if counted else 1.0))


def _move(fault: Injection, series: list[int], factor: float) -> None:
    """Multiply some of the series; one that rests at zero rises, one of states changes state."""
    panel, first = fault.panel, int(fault.rng.integers(len(series)))
    for position, s in enumerate(series):
        if position != first and not fault.chance(0.5):
            continue
        values = panel.values(s)
        if panel.has_states(s):
            panel.write(s, np.where(fault.course > 0.5, _other_state(fault, s), values))
            continue
        size = np.abs(values)
        usual = np.where(size > 0, size, panel.level(s))
        change = (factor - 1.0) * usual * fault.course * fault.jitter()
        panel.write(s, values + change)


def _other_state(fault: Injection, s: int) -> float:
    values = fault.panel.before(s)
    now = float(np.nanmedian(values))
    others = [v for v in np.unique(fault.panel.normal(s)) if v != now]
    if others and fault.chance(0.5):
        return float(others[int(fault.rng.integers(len(others)))])
    return now + 1.0 if now == 0.0 or fault.chance(0.5) else 0.0


def _shows(fault: Injection, family: Family) -> bool:
    """Whether the root's own series tell; a meter that always reads zero does not."""
    panel = fault.panel
    return any(panel.moved(s) > 0.0 for s in panel.series(fault.root, family))


def _slowness(fault: Injection) -> bool:
    slow_down(fault, fault.log_uniform(1.3, 30.0))
    if fault.chance(0.2):
        fail(fault, fault.log_uniform(0.01, 0.3))
    if fault.chance(0.4):
        disturb(fault, fault.root, (Family.CPU, Family.MEMORY, Family.NETWORK, Family.GENERIC))
    return _shows(fault, Family.LATENCY)


def _failures(fault: Injection) -> bool:
    fail(fault, fault.log_uniform(0.02, 1.0))
    if fault.chance(0.4):
        slow_down(fault, fault.log_uniform(1.05, 4.0))
    if fault.chance(0.3):
        disturb(fault, fault.root, (Family.CPU, Family.MEMORY, Family.NETWORK, Family.GENERIC))
    return _shows(fault, Family.ERRORS)


def _resource(fault: Injection) -> bool:
    found = saturate(fault)
    if found and fault.chance(0.6):
        slow_down(fault, fault.log_uniform(1.1, 15.0))
    if found and fault.chance(0.2):
        fail(fault, fault.log_uniform(0.01, 0.3))
    return found


def _surge(fault: Injection) -> bool:
    surge(fault, fault.log_uniform(1.5, 8.0))
    return bool(fault.panel.series(fault.root, Family.LOAD))


def _link(fault: Injection) -> bool:
    waiting = [b for a, b in fault.edges(Family.LATENCY) if a == fault.root]
    slow_down(fault, fault.log_uniform(2.0, 50.0), own=False)
    return len(waiting) > 0


def _crash(fault: Injection) -> bool:
    crash(fault)
    return bool(fault.panel.series(fault.root, Family.LOAD))


FAULTS: Mapping[str, tuple[float, Callable[[Injection], bool]]] = {
    "latency": (0.3, _slowness),
    "errors": (0.2, _failures),
    "resource": (0.25, _resource),
    "load": (0.1, _surge),
    "link": (0.075, _link),
    "crash": (0.075, _crash),
}
"""Weight of each kind of fault and what it does; false where the root cannot have it."""
