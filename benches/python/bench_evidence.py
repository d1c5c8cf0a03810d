"""CPU cost of evidence: 50 components of 600 samples, nulls remembered or not.

    python -m pytest benches/python/bench_evidence.py --benchmark-only

All times are CPU times of the whole process, so that a busy machine does not change what they mean.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from bayesrca.evidence import build_evidence
from bayesrca.evidence.nulls import NULLS
from bayesrca.incident import (
    Component,
    Edge,
    Family,
    Incident,
    Signal,
    Statistic,
    TimeWindow,
    Topology,
)

CPU = pytest.mark.benchmark(timer=time.process_time)
DAY = 86_400.0


def make_incident(
    n: int = 50, samples: int = 600, *, seed: int = 4, step: float = 1.0, season: float = 0.0
) -> Incident:
    """A chain of components with latency, requests, failures, cpu and memory each."""
    rng = np.random.default_rng(seed)
    t = step * np.arange(samples, dtype=np.float64)
    onset = float(t[-samples // 10])
    daily = season * np.sin(2 * np.pi * t / DAY)
    signals = []
    for i in range(n):
        noise = rng.standard_normal((3, samples))
        for name, family, statistic, values in (
            ("latency", Family.LATENCY, Statistic.MEAN, 0.2 * np.exp(daily + 0.1 * noise[0])),
            (
                "requests",
                Family.LOAD,
                Statistic.COUNT,
                rng.poisson(100.0, samples).astype(np.float64),
            ),
            (
                "failures",
                Family.ERRORS,
                Statistic.COUNT,
                rng.poisson(1.0, samples).astype(np.float64),
            ),
            ("cpu", Family.CPU, Statistic.VALUE, 5.0 + daily + 0.3 * noise[1]),
            ("memory", Family.MEMORY, Statistic.VALUE, 5.0 + 0.3 * noise[2]),
        ):
            unit = "s" if family is Family.LATENCY else ""
            signals.append(Signal(f"c{i}", name, family, statistic, t, values, unit))
    return Incident(
        "chain",
        Topology(
            tuple(Component(f"c{i}") for i in range(n)),
            tuple(Edge(f"c{i}", f"c{i + 1}") for i in range(n - 1)),
        ),
        tuple(signals),
        baseline=TimeWindow(0.0, onset - step),
        window=TimeWindow(onset, float(t[-1])),
    )


def build_anew(incident: Incident) -> None:
    NULLS.clear()
    build_evidence(incident)


@CPU
def test_evidence_with_nulls_remembered(benchmark: Any) -> None:  # noqa: ANN401
    incident = make_incident()
    build_anew(incident)
    benchmark(build_evidence, incident)
    assert NULLS.hits > 0


@CPU
def test_evidence_anew(benchmark: Any) -> None:  # noqa: ANN401
    benchmark(build_anew, make_incident())


@CPU
def test_seasonal_evidence_anew(benchmark: Any) -> None:  # noqa: ANN401
    incident = make_incident(5 if benchmark.disabled else 50, 2000, step=300.0, season=1.0)
    benchmark.pedantic(build_anew, (incident,), rounds=2)
    assert build_evidence(incident).seasons


@CPU
def test_seasonal_evidence_with_nulls_remembered(benchmark: Any) -> None:  # noqa: ANN401
    incident = make_incident(5 if benchmark.disabled else 50, 2000, step=300.0, season=1.0)
    build_anew(incident)
    benchmark.pedantic(build_evidence, (incident,), rounds=5)


@CPU
def test_table_and_alarm(benchmark: Any) -> None:  # noqa: ANN401
    evidence = build_evidence(make_incident())
    benchmark(lambda: (str(evidence.table()), evidence.alarm))
