"""Replicates of simulation-based calibration, and the statistics that judge them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from bayesrca.evaluation.simulate import SimulatedTruth, simulate_evidence
from bayesrca.evidence import Evidence
from bayesrca.kernels.propagation import KINDS, PreparedLikelihood
from bayesrca.model.parameters import unconstrained_prior

Floats = NDArray[np.float64]

NONE_PRIOR = 0.15
N_DRAWS = 63
"""Posterior draws a true value is ranked among: 64 equally likely ranks."""
EDGES = np.array([0.0, 0.02, 0.1, 0.3, 0.6, 0.9, 1.0 + 1e-9])
"""Bins of a component's published probability of being the root."""


@dataclass(frozen=True)
class Replicates:
    """r replicates: ranks [r, p + 1] of theta and of the log likelihood, and published answers."""

    ranks: NDArray[np.int64]
    truth: NDArray[np.int64]
    log_probability: list[Floats]
    pareto_k: Floats


def run(
    seed: int,
    n: int,
    *,
    scrambles: int = 16,
    points: int = 32,
    sizes: tuple[int, int] = (8, 20),
    most: int = 1,
    correlation: float = 0.0,
) -> Replicates:
    """Simulate and screen n incidents; replicate i depends on (seed, i) alone.

    `sizes` are the fewest and the most components of an incident.
    """
    ranks, truth, published, shapes = [], [], [], []
    for i in range(n):
        rng = np.random.default_rng([seed, i])
        evidence, drawn_from = simulate_evidence(
            seed=(seed, i, 1),
            none_prior=NONE_PRIOR,
            components=int(rng.integers(sizes[0], sizes[1] + 1)),
            most_series=most,
            correlation=correlation,
        )
        rank, log_p, shape, at = _analyse(rng, evidence, drawn_from, scrambles, points)
        ranks.append(rank)
        truth.append(at)
        published.append(log_p)
        shapes.append(shape)
    return Replicates(np.array(ranks), np.array(truth), published, np.array(shapes))


def _analyse(
    rng: np.random.Generator,
    evidence: Evidence,
    truth: SimulatedTruth,
    scrambles: int,
    points: int,
) -> tuple[NDArray[np.int64], Floats, float, int]:
    mean, sd = unconstrained_prior()
    with PreparedLikelihood(evidence, none_prior=NONE_PRIOR, max_width=14) as likelihood:
        screen = likelihood.estimate_screen(
            prior_mean=mean,
            prior_sd=sd,
            scrambles=scrambles,
            points=points,
            seed=int(rng.integers(2**63)),
        )
        true_logp, _ = likelihood.compute_logp_grad(truth.theta)
    weights = np.exp(screen.log_weights - screen.log_weights.max())
    weights /= weights.sum()
    chosen = rng.choice(len(weights), size=N_DRAWS, p=weights)
    below = (screen.thetas[chosen] < truth.theta).sum(axis=0)
    # The log likelihood sees what single parameters cannot: a posterior that ignored the data
    # would pass on theta alone (Modrák et al. 2023).
    last = (screen.log_likelihood[chosen] < true_logp).sum()
    probability = weights @ np.exp(screen.log_root)
    at = truth.hypothesis(len(evidence.components))
    assert at is not None
    return np.append(below, last), np.log(probability), screen.pareto_k, at


def uniformity(ranks: NDArray[np.int64], bins: int = 8) -> Floats:
    """P-value [q] of each column of ranks being uniform, by chi-square."""
    width = (N_DRAWS + 1) // bins
    counts = np.stack([np.bincount(c // width, minlength=bins) for c in ranks.T])
    return np.asarray(stats.chisquare(counts, axis=1).pvalue)


def reliability(replicates: Replicates, n_sets: int = 4000) -> tuple[Floats, Floats]:
    """Observed statistics [t], and the same [n_sets, t] if every answer were calibrated.

    Statistics: roots whose probability lay in each bin of `EDGES`, answers "none", faults of the
    errors and of the resource kind, and the total log score. Under calibration the truth of a
    replicate is a draw from its own published distribution.
    """
    rng = np.random.default_rng(0)
    observed, expected = 0.0, np.zeros((n_sets, len(EDGES) + 3))
    for truth, log_p in zip(replicates.truth, replicates.log_probability, strict=True):
        p = np.exp(log_p)
        values = _statistics(p / p.sum(), log_p)
        observed = observed + values[truth]
        expected += values[rng.choice(len(p), size=n_sets, p=p / p.sum())]
    return np.asarray(observed), expected


def _statistics(p: Floats, log_p: Floats) -> Floats:
    """[k, t] contribution of each hypothesis being true."""
    k, kinds = len(p), len(KINDS)
    out = np.zeros((k, len(EDGES) + 3))
    component = p[:-1].reshape(-1, kinds).sum(axis=1)
    at = np.digitize(component, EDGES) - 1
    out[np.arange(k - 1), np.repeat(at, kinds)] = 1.0
    out[-1, -4] = 1.0
    out[1:-1:kinds, -3] = 1.0
    out[2:-1:kinds, -2] = 1.0
    out[:, -1] = log_p
    return out


def two_sided(observed: Floats, expected: Floats) -> Floats:
    """Two-sided tail probability [t] of each observed statistic among the expected ones."""
    low = (expected <= observed).mean(axis=0)
    high = (expected >= observed).mean(axis=0)
    return np.minimum(1.0, 2.0 * np.minimum(low, high))
