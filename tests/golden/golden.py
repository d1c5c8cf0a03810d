"""What the golden files hold, and how it is computed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesrca.evidence import build_evidence
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
from bayesrca.ingest import load_incident
from bayesrca.kernels.propagation import KINDS, PreparedLikelihood
from bayesrca.model.parameters import unconstrained_prior

HERE = Path(__file__).parent
EXAMPLES = HERE.parents[1] / "examples"
MADE_UP = "made_up_memory"
NAMES = ("search_delay", "search_errors", "search_delay_no_baseline", MADE_UP)

NONE_PRIOR = 0.05
LISTED = 1e-3
"""Probabilities below this are summed as "others"."""


def make_incident() -> Incident:
    """Return a shop whose store runs out of memory; no random number is drawn."""
    time: NDArray[np.float64] = np.arange(160, dtype=np.float64) * 30.0
    fault = time >= time[145]
    signals = []
    for c, component in enumerate(("front", "cart", "store", "search")):
        series = {
            "latency": (0.2, Family.LATENCY, Statistic.MEAN),
            "requests": (50.0, Family.LOAD, Statistic.COUNT),
            "cpu_busy": (0.4, Family.CPU, Statistic.VALUE),
            "memory_used": (3e8, Family.MEMORY, Statistic.VALUE),
            "memory_pages": (7e4, Family.MEMORY, Statistic.VALUE),
            "disk_writes": (20.0, Family.DISK, Statistic.VALUE),
            "network_out": (1e4, Family.NETWORK, Statistic.VALUE),
            "queue": (5.0, Family.GENERIC, Statistic.VALUE),
        }
        for m, (name, (level, family, statistic)) in enumerate(series.items()):
            if component == "search" and family in {Family.DISK, Family.NETWORK}:
                continue
            wave = np.sin(1.7 * np.arange(time.size) ** 2 + 10 * c + m)
            values = level * (1.0 + 0.1 * wave)
            if component == "front" and name == "queue":
                values[:] = 5.0  # stands still
            if component == "cart" and name == "cpu_busy":
                values[100:110] = np.nan
            factors = {("store", "memory_used"): 2.5, ("store", "latency"): 3.0,
                       ("cart", "latency"): 2.5, ("front", "latency"): 2.0,
                       ("store", "disk_writes"): 1.8}  # fmt: skip
            values[fault] *= factors.get((component, name), 1.0)
            signals.append(Signal(component, name, family, statistic, time, values))
    return Incident(
        name=MADE_UP,
        topology=Topology(
            tuple(Component(n) for n in ("front", "cart", "store", "search")),
            (Edge("front", "cart"), Edge("cart", "store"), Edge("front", "search")),
        ),
        signals=tuple(signals),
        baseline=TimeWindow(time[0], time[139]),
        window=TimeWindow(time[140], time[-1]),
        target=Target("front", "latency"),
    )


def compute_golden(name: str) -> dict[str, Any]:
    """Return the numbers of one incident, at fixed theta and a fixed seed."""
    incident = make_incident() if name == MADE_UP else load_incident(EXAMPLES / name)
    evidence = build_evidence(incident)
    mean, sd = unconstrained_prior()
    wave = np.sin(1.0 + np.arange(len(mean)))
    with PreparedLikelihood(evidence, none_prior=NONE_PRIOR, max_width=14) as likelihood:
        points = [likelihood.compute_logp_grad(mean + x * sd * wave) for x in (0.0, 0.7, -1.3)]
        screen = likelihood.estimate_screen(
            prior_mean=mean, prior_sd=sd, scrambles=16, points=32, seed=1
        )
    weights = np.exp(screen.log_weights - screen.log_weights.max())
    p = weights @ np.exp(screen.log_root) / weights.sum()
    label = [f"{c}/{kind}" for c in evidence.components for kind in KINDS] + ["none"]
    listed = {k: float(v) for k, v in zip(label, p, strict=True) if v >= LISTED}
    return {
        "n_components": len(evidence.components),
        "n_footprints": len(evidence.footprint_log_prior),
        "width": likelihood.width,
        "logp": [value for value, _ in points],
        "gradient": [gradient.tolist() for _, gradient in points],
        "screen": {**listed, "others": 1.0 - sum(listed.values())},
    }


def path_of(name: str) -> Path:
    """Return where an example's golden numbers are kept."""
    return HERE / f"{name}.json"


def describe_change(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Say in one line how far the numbers moved."""
    logp = np.abs(np.subtract(old["logp"], new["logp"])).max()
    keys = set(old["screen"]) | set(new["screen"])
    screen = max(abs(old["screen"].get(k, 0.0) - new["screen"].get(k, 0.0)) for k in keys)
    return f"log likelihood by at most {logp:.3g}, a probability by at most {screen:.3g}"
