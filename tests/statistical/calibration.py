"""Replicates of simulation-based calibration, and the statistics that judge them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from bayesrca.evaluation.simulate import simulate_evidence
from bayesrca.kernels.propagation import KINDS, PreparedLikelihood
from bayesrca.model.parameters import unconstrained_prior

Floats = NDArray[np.float64]
Sets = tuple[tuple[int, ...], ...]

NONE_PRIOR = 0.15
N_DRAWS = 63
"""Posterior draws a true value is ranked among: 64 equally likely ranks."""
EDGES = np.array([0.0, 0.02, 0.1, 0.3, 0.6, 0.9, 1.0 + 1e-9])
"""Bins of a component's published probability of being the root."""


@dataclass(frozen=True)
class Replicates:
    """r replicates: ranks [r, p + 1] of theta and of the log likelihood, and published answers.

    Beside each answer stand its sets of several causes.
    """

    ranks: NDArray[np.int64]
    truth: NDArray[np.int64]
    log_probability: list[Floats]
    sets: list[Sets]
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
    causes: tuple[float, ...] = (1.0,),
) -> Replicates:
    """Simulate and screen n incidents; replicate i depends on (seed, i) alone.

    `sizes` are the fewest and the most components of an incident, `causes` the probabilities of
    one and of two causes.
    """
    ranks, truth, published, sets, shapes = [], [], [], [], []
    for i in range(n):
        rng = np.random.default_rng([seed, i])
        evidence, drawn_from = simulate_evidence(
            seed=(seed, i, 1),
            none_prior=NONE_PRIOR,
            components=int(rng.integers(sizes[0], sizes[1] + 1)),
            most_series=most,
            correlation=correlation,
            causes=causes,
        )
        likelihood = PreparedLikelihood(
            evidence,
            none_prior=NONE_PRIOR,
            max_width=14,
            max_causes=len(causes),
            set_candidates=24,
            centre=unconstrained_prior()[0],
        )
        with likelihood:
            rank, log_p, shape = _screen(rng, likelihood, drawn_from.theta, scrambles, points)
        at = drawn_from.hypothesis(len(evidence.components), likelihood.sets)
        assert at is not None, "all pairs of a small incident are weighed"
        ranks.append(rank)
        truth.append(at)
        published.append(log_p)
        sets.append(likelihood.sets)
        shapes.append(shape)
    return Replicates(np.array(ranks), np.array(truth), published, sets, np.array(shapes))


def _screen(
    rng: np.random.Generator,
    likelihood: PreparedLikelihood,
    theta: Floats,
    scrambles: int,
    points: int,
) -> tuple[NDArray[np.int64], Floats, float]:
    mean, sd = unconstrained_prior()
    screen = likelihood.estimate_screen(
        prior_mean=mean,
        prior_sd=sd,
        scrambles=scrambles,
        points=points,
        seed=int(rng.integers(2**63)),
    )
    true_logp, _ = likelihood.compute_logp_grad(theta)
    weights = np.exp(screen.log_weights - screen.log_weights.max())
    weights /= weights.sum()
    chosen = rng.choice(len(weights), size=N_DRAWS, p=weights)
    below = (screen.thetas[chosen] < theta).sum(axis=0)
    # The log likelihood sees what single parameters cannot: a posterior that ignored the data
    # would pass on theta alone (Modrák et al. 2023).
    last = (screen.log_likelihood[chosen] < true_logp).sum()
    probability = weights @ np.exp(screen.log_root)
    return np.append(below, last), np.log(probability), screen.pareto_k


def uniformity(ranks: NDArray[np.int64], simulations: int = 30_000) -> Floats:
    """P-value [q] of each column of ranks being uniform, by its distribution function.

    The statistic is the smallest two-sided binomial tail of the empirical distribution function
    over all ranks; a p-value below .01 lies outside the simultaneous 99% band of Säilynoja,
    Bürkner & Vehtari (2022). Its null distribution is simulated.
    """
    n, k = len(ranks), np.arange(1, N_DRAWS + 1) / (N_DRAWS + 1)
    at = np.arange(n + 1)
    below = stats.binom.cdf(at, n, k[:, None])
    above = stats.binom.sf(at - 1, n, k[:, None])
    tails = np.minimum(below, above)  # [63, n + 1]

    def smallest(counts: NDArray[np.int64]) -> Floats:
        reached = np.cumsum(counts, axis=1)[:, :-1]
        return np.asarray(tails[np.arange(N_DRAWS), reached].min(axis=1))

    uniform = np.full(N_DRAWS + 1, 1.0 / (N_DRAWS + 1))
    null = np.sort(smallest(np.random.default_rng(0).multinomial(n, uniform, size=simulations)))
    found = smallest(np.stack([np.bincount(c, minlength=N_DRAWS + 1) for c in ranks.T]))
    # Equal up to rounding counts as reached.
    reached = np.searchsorted(null, found * (1 + 1e-9), side="right")
    return np.asarray((reached + 1.0) / (simulations + 1.0), dtype=np.float64)


def reliability(replicates: Replicates, n_sets: int = 4000) -> tuple[Floats, Floats]:
    """Observed statistics [t], and the same [n_sets, t] if every answer were calibrated.

    Statistics: roots whose probability lay in each bin of `EDGES`, single causes of each kind, sets
    of several causes, answers "none", and the total log score. Under calibration the truth of a
    replicate is a draw from its own published distribution.
    """
    rng = np.random.default_rng(0)
    observed, expected = 0.0, np.zeros((n_sets, _N_STATISTICS))
    for truth, log_p, sets in zip(
        replicates.truth, replicates.log_probability, replicates.sets, strict=True
    ):
        p = np.exp(log_p)
        values = _statistics(p / p.sum(), log_p, sets)
        observed = observed + values[truth]
        expected += values[rng.choice(len(p), size=n_sets, p=p / p.sum())]
    return np.asarray(observed), expected


_N_STATISTICS = len(EDGES) - 1 + len(KINDS) + 3


def _statistics(p: Floats, log_p: Floats, sets: Sets) -> Floats:
    """[k, t] contribution of each hypothesis being true."""
    kinds, bins = len(KINDS), len(EDGES) - 1
    singles = len(p) - 1 - len(sets)
    n = singles // kinds
    members = np.zeros((len(p), n))
    members[np.arange(singles), np.repeat(np.arange(n), kinds)] = 1.0
    for row, roots in enumerate(sets):
        members[singles + row, list(roots)] = 1.0
    # Sums of probabilities may exceed one by rounding.
    at = np.digitize(np.minimum(p @ members, 1.0), EDGES) - 1
    kind = np.zeros((len(p), kinds))
    kind[np.arange(singles), np.tile(np.arange(kinds), n)] = 1.0
    several = np.zeros(len(p))
    several[singles:-1] = 1.0
    none = np.zeros(len(p))
    none[-1] = 1.0
    return np.column_stack([members @ np.eye(bins)[at], kind, several, none, log_p])


def two_sided(observed: Floats, expected: Floats) -> Floats:
    """Two-sided tail probability [t] of each observed statistic among the expected ones."""
    low = (expected <= observed).mean(axis=0)
    high = (expected >= observed).mean(axis=0)
    return np.minimum(1.0, 2.0 * np.minimum(low, high))
