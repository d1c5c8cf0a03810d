"""The screen and NUTS compute the same integral: their answers agree within their errors."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bayesrca.config import Method, Settings
from bayesrca.evaluation.simulate import simulate_evidence
from bayesrca.model.draws import Draws
from bayesrca.model.prepare import prepare_likelihood
from bayesrca.model.screen import estimate_by_screen

pytestmark = pytest.mark.pymc
Floats = NDArray[np.float64]
SETTINGS = Settings(method=Method.NUTS, chains=4, draws=500, tune=500, screen_points=128)
BATCHES = 20


def weighted(draws: Draws, parts: int) -> tuple[Floats, Floats]:
    """Probabilities [k] of all hypotheses, and their errors from the spread of batches."""
    p, w = np.exp(draws.log_root), draws.weights
    batches = [b for c in range(len(w)) for b in np.array_split(np.arange(w.shape[1]), parts)]
    owners = np.repeat(np.arange(len(w)), parts)
    value = np.einsum("cd,cdk->k", w, p)
    sums = np.array([w[c, b] @ (p[c, b] - value) for c, b in zip(owners, batches, strict=True)])
    n = len(sums)
    return value, np.sqrt(n / (n - 1) * (sums**2).sum(axis=0))


@pytest.mark.parametrize("seed", [3, 8, 21])
def test_they_agree_on_simulated_incidents(seed: int) -> None:
    """Every hypothesis: each component and kind, each set of several, and none of these."""
    from bayesrca.model.sampling import estimate_by_nuts

    evidence, _ = simulate_evidence(seed=seed, components=8, causes=(0.7, 0.3))
    with prepare_likelihood(evidence, SETTINGS, seed=1) as likelihood:
        fast = estimate_by_screen(likelihood, seed=seed, settings=SETTINGS)
        full = estimate_by_nuts(likelihood, seed=seed, settings=SETTINGS, target_accept=0.7)
    assert full is not None
    assert fast.pareto_k is not None
    assert fast.pareto_k < 0.7
    screen, screen_error = weighted(fast, 1)
    nuts, nuts_error = weighted(full, BATCHES // SETTINGS.chains)
    # Errors of hardly probable hypotheses are themselves hardly known.
    allowed = 4 * np.hypot(screen_error, nuts_error) + 1e-3
    gap = np.abs(screen - nuts)
    assert (gap <= allowed).all(), (gap - allowed).max()
    assert allowed.max() < 0.1  # the test can fail
