"""What the golden files hold, and how it is computed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bayesrca.evidence import FAMILIES, build_evidence
from bayesrca.ingest import load_incident
from bayesrca.kernels.propagation import PreparedLikelihood
from bayesrca.model.parameters import unconstrained_prior

HERE = Path(__file__).parent
EXAMPLES = HERE.parents[1] / "examples"
NAMES = ("search_delay", "search_errors", "search_delay_no_baseline")

NONE_PRIOR = 0.05
LISTED = 1e-3
"""Probabilities below this are summed as "others"."""


def compute_golden(name: str) -> dict[str, Any]:
    """Return the numbers of one example incident, at fixed theta and a fixed seed."""
    evidence = build_evidence(load_incident(EXAMPLES / name))
    mean, sd = unconstrained_prior()
    wave = np.sin(1.0 + np.arange(len(mean)))
    with PreparedLikelihood(evidence, none_prior=NONE_PRIOR, max_width=14) as likelihood:
        points = [likelihood.compute_logp_grad(mean + x * sd * wave) for x in (0.0, 0.7, -1.3)]
        screen = likelihood.estimate_screen(
            prior_mean=mean, prior_sd=sd, scrambles=16, points=32, seed=1
        )
    weights = np.exp(screen.log_weights - screen.log_weights.max())
    p = weights @ np.exp(screen.log_root) / weights.sum()
    label = [f"{c}/{f.value}" for c in evidence.components for f in FAMILIES] + ["none"]
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
