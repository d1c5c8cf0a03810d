"""Made-up incidents of any size, with series: for load tests and for trying things out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bayesrca.errors import InvalidSettingsError
from bayesrca.evaluation.inject import choose_target
from bayesrca.evaluation.inject_faults import FAULTS, Injection, draw_course
from bayesrca.evaluation.inject_panel import Panel
from bayesrca.evaluation.simulate_graph import Shape, draw_topology
from bayesrca.incident import Family, Incident, Signal, Statistic, TimeWindow, Topology
from bayesrca.ingest.truth import Truth

Floats = NDArray[np.float64]

FEWEST_SAMPLES = 20
_TRIES = 50
_PASSED = 0.4
"""Requests a component sends to each it calls, per request it serves."""


def simulate_incident(
    topology: Topology | None = None,
    *,
    components: int = 50,
    samples: int = 200,
    seed: int | Sequence[int],
    step: float = 60.0,
    season: float | None = None,
    fault: tuple[str, str] | None = None,
    faulty: bool = True,
) -> tuple[Incident, Truth]:
    """Make an incident with requests, latency, error ratio, cpu and memory of every component.

    Requests flow from callers to callees. The last tenth of the samples is the incident window, the
    rest the normal period. The fault is one of `bayesrca.evaluation.inject_faults.FAULTS`.

    Args:
        topology: the system; None draws one.
        components: size of a system that is drawn (>= 2).
        samples: samples of each series (>= 20).
        seed: the same seed gives the same incident.
        step: seconds between samples.
        season: period in seconds of a daily course of requests and cpu; None for a steady load.
        fault: component and kind of the fault; None draws one that can be noticed.
        faulty: whether there is a fault at all.

    Raises:
        InvalidSettingsError: too few samples or components, a kind that does not exist, or a fault
            that the component cannot have or that nobody would notice.
        UnknownComponentError: the fault's component is not in the system.
    """
    if samples < FEWEST_SAMPLES or components < 2:
        msg = f"give at least {FEWEST_SAMPLES} samples and 2 components"
        raise InvalidSettingsError(msg, field="samples" if components >= 2 else "components")
    if fault is not None and fault[1] not in FAULTS:
        msg = f"no kind of fault is named {fault[1]!r}; kinds are {', '.join(FAULTS)}"
        raise InvalidSettingsError(msg, field="fault")
    for name, value in (("step", step), ("season", season)):
        if value is not None and not 1e-3 <= value <= 1e9:
            msg = f"{name} must be in [0.001, 1e9] seconds, got {value!r}"
            raise InvalidSettingsError(msg, field=name)
    rng = np.random.default_rng(seed)
    if topology is None:
        topology = draw_topology(rng, components=components, shape=Shape.LAYERED)
    if fault is not None:
        topology.index(fault[0])
    quiet = _make_quiet(topology, rng, samples=samples, step=step, season=season)
    if not faulty:
        return quiet, Truth(())
    for _ in range(_TRIES):
        made = _inject(quiet, rng, fault)
        if made is not None:
            return made
    msg = "nobody would notice such a fault here; choose another component or kind"
    raise InvalidSettingsError(msg, field="fault")


def _inject(
    quiet: Incident, rng: np.random.Generator, fault: tuple[str, str] | None
) -> tuple[Incident, Truth] | None:
    names = quiet.topology.names
    component, kind = fault or (names[rng.integers(len(names))], str(rng.choice(list(FAULTS))))
    panel = Panel(quiet)
    root = quiet.topology.index(component)
    if not FAULTS[kind][1](Injection(panel, rng, root, draw_course(rng, len(panel.times)))):
        return None
    target = choose_target(panel, rng, [root])
    if target is None:
        return None
    return replace(panel.finish(), target=target), Truth(((component, None),), kind)


def _make_quiet(
    topology: Topology, rng: np.random.Generator, *, samples: int, step: float, season: float | None
) -> Incident:
    time = step * np.arange(samples, dtype=np.float64)
    time.setflags(write=False)
    n = len(topology)
    course = np.ones(samples)
    if season is not None:
        course = 1.0 + 0.4 * np.sin(2.0 * np.pi * time / season)
    common = course * _wander(rng, 1, samples, 0.03)
    per_second = _flow(topology, rng)[:, None] * common * _wander(rng, n, samples, 0.03)
    requests = rng.poisson(per_second * step).astype(np.float64)
    usual = np.exp(rng.normal(-3.5, 1.0, (n, 1)))
    latency = usual * _wander(rng, n, samples, 0.03) * np.sqrt(common)
    latency *= np.exp(0.1 * rng.standard_normal((n, samples)))
    share = np.exp(rng.normal(-6.0, 1.0, (n, 1)))
    failed = rng.binomial(requests.astype(np.int64), np.minimum(share, 0.2))
    errors = np.divide(failed, requests, out=np.full_like(requests, np.nan), where=requests > 0)
    latency[requests == 0] = np.nan
    cpu = np.clip(rng.uniform(5.0, 50.0, (n, 1)) * common * _wander(rng, n, samples, 0.05), 0, 100)
    memory = rng.uniform(50.0, 900.0, (n, 1)) * _wander(rng, n, samples, 0.02)
    series = (
        ("requests", Family.LOAD, Statistic.COUNT, "", requests),
        ("latency", Family.LATENCY, Statistic.MEAN, "s", latency),
        ("error_ratio", Family.ERRORS, Statistic.ERROR_RATIO, "1", errors),
        ("cpu", Family.CPU, Statistic.VALUE, "%", cpu),
        ("memory", Family.MEMORY, Statistic.VALUE, "MB", memory),
    )
    signals = []
    for name, family, statistic, unit, values in series:
        values.setflags(write=False)
        signals += [
            Signal(component, name, family, statistic, time, row, unit)
            for component, row in zip(topology.names, values, strict=True)
        ]
    first = samples - max(3, samples // 10)
    return Incident(
        name=f"simulated_{n}",
        topology=topology,
        signals=tuple(signals),
        baseline=TimeWindow(float(time[0]), float(time[first - 1])),
        window=TimeWindow(float(time[first]), float(time[-1])),
    )


def _flow(topology: Topology, rng: np.random.Generator) -> Floats:
    """[n] requests per second: users call those whom nobody calls, and they call the others."""
    calls = topology.propagation_edges(Family.LOAD)
    n = len(topology)
    called = np.zeros(n, dtype=bool)
    called[calls[:, 1]] = True
    own = np.exp(rng.uniform(np.log(1.0), np.log(50.0), n)) * np.where(called, 0.02, 1.0)
    flow = own
    # Cycles settle too: what comes back is less than half of what went out.
    for _ in range(64):
        arriving = np.bincount(calls[:, 1], _PASSED * flow[calls[:, 0]], minlength=n)
        flow = own + np.minimum(arriving, 1000.0)
    return flow


def _wander(rng: np.random.Generator, n: int, samples: int, sd: float) -> Floats:
    """[n, samples] factors that drift slowly round one."""
    noise = rng.standard_normal((n, samples + 9))
    sums = np.cumsum(noise, axis=1)
    smooth = (sums[:, 9:] - np.pad(sums, ((0, 0), (1, 0)))[:, :samples]) / np.sqrt(10.0)
    return np.asarray(np.exp(sd * smooth))
