"""Hundreds of components and several footprints: no absurd mode, no overflow."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bayesrca.analysis import Analysis, analyze
from bayesrca.config import Method, Settings
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
from bayesrca.model.parameters import PRIORS, unconstrained_prior

TIME: NDArray[np.float64] = np.arange(400, dtype=np.float64) * 60.0
WINDOW = TimeWindow(float(TIME[380]), float(TIME[399]))
SLOW = np.arange(TIME.size) >= 390


def incident(n: int, slow: set[int], edges: list[tuple[int, int]]) -> Incident:
    rng = np.random.default_rng(n)
    signals = []
    for i in range(n):
        latency = 0.02 * np.exp(0.05 * rng.standard_normal(TIME.size))
        latency[SLOW] *= 3.0 if i in slow else 1.0
        requests = np.full(TIME.size, 100.0, dtype=np.float64)
        for name, family, statistic, values in (
            ("latency", Family.LATENCY, Statistic.MEAN, latency),
            ("requests", Family.LOAD, Statistic.COUNT, requests),
        ):
            signals.append(Signal(f"c{i}", name, family, statistic, TIME, values, "s"))
    return Incident(
        name="many",
        topology=Topology(
            tuple(Component(f"c{i}") for i in range(n)),
            tuple(Edge(f"c{a}", f"c{b}") for a, b in edges),
        ),
        signals=tuple(signals),
        baseline=TimeWindow(float(TIME[0]), float(TIME[379])),
        window=WINDOW,
        target=Target("c0", "latency"),
    )


def screen(case: Incident) -> Analysis:
    settings = Settings(method=Method.SCREEN, screen_scrambles=8, screen_points=32)
    return analyze(case, seed=1, settings=settings)


@pytest.mark.parametrize("n", [200, 600])
def test_the_deepest_slow_component_of_a_tree_is_the_cause(n: int) -> None:
    tree = [((i - 1) // 2, i) for i in range(1, n)]
    analysis = screen(incident(n, {0, 1, 3, 7}, tree))
    assert analysis.answer.posterior.causes[0].component == "c7"
    mean, sd = unconstrained_prior()
    draws = analysis.draws
    centre = np.einsum("cd,cdp->p", draws.weights, draws.thetas)
    away = np.abs(centre - mean) / sd
    names = [name for name, prior in PRIORS.items() for _ in prior.centre]
    assert away.max() < 5, names[int(away.argmax())]


def test_a_general_slowdown_without_a_graph_gives_a_finite_answer() -> None:
    n = 400
    answer = screen(incident(n, set(range(n)), [])).answer
    posterior = answer.posterior
    assert np.isfinite([c.probability.value for c in posterior.causes]).all()
    several = sum(s.probability.value for s in posterior.sets if len(s.components) > 1)
    alone = sum(c.only.value for c in posterior.causes)
    assert alone + several + posterior.none.value == pytest.approx(1.0, abs=5e-4)
