"""Made-up draws and small incidents whose answers are known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bayesrca.incident import (
    Component,
    Edge,
    Family,
    Incident,
    Signal,
    Statistic,
    Target,
    TimeWindow,
    Topology,
)
from bayesrca.kernels.propagation import KINDS
from bayesrca.model.draws import Draws
from bayesrca.model.parameters import unconstrained_prior

Floats = NDArray[np.float64]
HOUR = 3600.0


def make_draws(
    seed: int = 0,
    *,
    chains: int = 4,
    draws: int = 500,
    components: int = 3,
    sets: int = 0,
    screen: bool = False,
    pareto_k: float = 0.2,
    divergences: int = 0,
) -> Draws:
    """Independent draws: healthy by every gate unless told otherwise.

    As in a posterior, the probabilities depend on theta, and so do the screen's weights.
    """
    rng = np.random.default_rng(seed)
    mean, sd = unconstrained_prior()
    thetas = mean + sd * rng.standard_normal((chains, draws, len(mean)))
    hypotheses = len(KINDS) * components + sets + 1
    mixing = np.random.default_rng(99).standard_normal((len(mean), hypotheses)) / 5
    logits = (thetas - mean) / sd @ mixing
    log_root = logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)
    log_weights = np.zeros((chains, draws))
    if screen:
        log_weights = 0.4 * (thetas[..., 0] - mean[0]) / sd[0] - 7.0
    return Draws(
        thetas=thetas,
        log_weights=log_weights,
        log_root=log_root,
        log_likelihood=rng.standard_normal((chains, draws)),
        sample_stats={} if screen else {"energy": rng.standard_normal((chains, draws))},
        pareto_k=pareto_k if screen else None,
        divergences=None if screen else divergences,
    )


def make_incident(
    names: Sequence[str],
    calls: Sequence[tuple[str, str]],
    *,
    slow: Sequence[str] = (),
    silent: Sequence[str] = (),
    target: str | None = None,
    alarm: str | None = "latency",
    window: bool = True,
    baseline: bool = True,
    name: str = "made up",
) -> Incident:
    """A system with a latency and a request series per component, two samples a minute.

    Args:
        names: its components.
        calls: (caller, callee).
        slow: components whose latency quadruples in the last eighth, by the same excess work.
        silent: components without series.
        target: where it was noticed.
        alarm: the series that raised the alarm.
        window: whether the incident window is known.
        baseline: whether the normal period is known.
        name: the incident's name.
    """
    rng = np.random.default_rng(5)
    time = np.arange(160, dtype=np.float64) * 30.0
    bad = time >= time[140]
    signals = []
    for component in names:
        latency: Floats = np.asarray(0.2 * rng.lognormal(0.0, 0.05, len(time)))
        if component in slow:
            latency[bad] *= 4.0
        if component not in silent:
            requests = rng.poisson(50.0, len(time)).astype(np.float64)
            signals += [
                Signal(component, "latency", Family.LATENCY, Statistic.MEAN, time, latency, "s"),
                Signal(component, "requests", Family.LOAD, Statistic.COUNT, time, requests),
            ]
    return Incident(
        name=name,
        topology=Topology(
            tuple(Component(n) for n in names),
            tuple(Edge(caller, callee) for caller, callee in calls),
        ),
        signals=tuple(signals),
        baseline=TimeWindow(time[0], time[139]) if baseline else None,
        window=TimeWindow(time[140], time[-1]) if window else None,
        target=None if target is None else Target(target, alarm),
    )


def make_shop() -> Incident:
    """A front end that waits for a cart that waits for a slow store; search is not concerned."""
    return make_incident(
        ("front", "cart", "store", "search", "hosts/dark"),
        (("front", "cart"), ("cart", "store"), ("front", "search"), ("search", "hosts/dark")),
        slow=("front", "cart", "store"),
        silent=("hosts/dark",),
        target="front",
    )


def make_dense(n: int = 24, reach: int = 12) -> Incident:
    """A system in which each component calls most of the `reach` after it; the all are slow.

    The exact sum over affected sets holds open about as many components as `reach`.
    """
    rng = np.random.default_rng(1)
    names = [f"c{i}" for i in range(n)]
    calls = [
        (names[i], names[j])
        for i in range(n)
        for j in range(i + 1, min(n, i + reach + 1))
        if j == i + 1 or rng.random() < 0.8
    ]
    return make_incident(names, calls, slow=names, target=names[0])
