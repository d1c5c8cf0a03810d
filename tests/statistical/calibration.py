"""Replicates of simulation-based calibration, and the statistics that judge them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from bayesrca.analysis import MORE_POINTS
from bayesrca.evaluation.simulate import simulate_evidence
from bayesrca.kernels.propagation import KINDS, PreparedLikelihood
from bayesrca.model.parameters import unconstrained_prior
from bayesrca.posterior.limits import PARETO_K_LIMIT

Floats = NDArray[np.float64]
Sets = tuple[tuple[int, ...], ...]

NONE_PRIOR = 0.15
FLOOR = float(np.log(1e-6))
"""Log score of a set of causes that was not weighed."""
N_DRAWS = 63
"""Posterior draws a true value is ranked among: 64 equally likely ranks."""
EDGES = np.array([0.0, 0.02, 0.1, 0.3, 0.6, 0.9, 1.0 + 1e-9])
"""Bins of a published probability, of a component being a cause or of "none of these"."""
_BINS = [f"{low:g} to {min(high, 1.0):g}" for low, high in pairwise(EDGES)]
STATISTICS = (
    *(f"p(cause) {b}" for b in _BINS),
    *(f"p(none) {b}" for b in _BINS),
    *(f"kind {kind}" for kind in KINDS),
    *("two causes", "three causes", "log score"),
)
"""What is counted over all replicates: how often the truth was in each of these."""


@dataclass(frozen=True)
class Replicates:
    """r replicates: ranks [r, p + 1] of theta and of the log likelihood, and published answers.

    Beside each answer stand its sets of several causes. The true hypothesis is a column of the
    answer, or the roots of a set that was not weighed.
    """

    ranks: NDArray[np.int64]
    truth: list[int | tuple[int, ...]]
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

    `sizes` are the fewest and the most components of an incident, `most` and `correlation` the most
    series of a cell and what their noise has in common, `causes` the probabilities of one, two and
    three causes.
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
        ranks.append(rank)
        truth.append(tuple(root for root, _ in drawn_from.causes) if at is None else at)
        published.append(log_p)
        sets.append(likelihood.sets)
        shapes.append(shape)
    return Replicates(np.array(ranks), truth, published, sets, np.array(shapes))


def _screen(
    rng: np.random.Generator,
    likelihood: PreparedLikelihood,
    theta: Floats,
    scrambles: int,
    points: int,
) -> tuple[NDArray[np.int64], Floats, float]:
    mean, sd = unconstrained_prior()
    seed = int(rng.integers(2**63))
    # As an analysis does: once more where a few draws carry the answer.
    for number in (points, MORE_POINTS * points):
        screen = likelihood.estimate_screen(
            prior_mean=mean, prior_sd=sd, scrambles=scrambles, points=number, seed=seed
        )
        if screen.pareto_k < PARETO_K_LIMIT:
            break
    true_logp, _ = likelihood.compute_logp_grad(theta)
    weights = np.exp(screen.log_weights - screen.log_weights.max())
    weights /= weights.sum()
    chosen = rng.choice(len(weights), size=N_DRAWS, p=weights)
    below = (screen.thetas[chosen] < theta).sum(axis=0)
    # The log likelihood sees what single parameters cannot: a posterior that ignored the data
    # would pass on theta alone (Modrák et al. 2023).
    last = (screen.log_likelihood[chosen] < true_logp).sum()
    probability = weights @ np.exp(screen.log_root)
    # A fault in code is impossible where nothing was traced.
    return np.append(below, last), np.log(np.maximum(probability, 1e-300)), screen.pareto_k


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


def reliability(replicates: Replicates, n_sets: int = 20_000) -> tuple[Floats, Floats]:
    """Observed `STATISTICS` [t], and the same [n_sets, t] if every answer were calibrated.

    Under calibration the truth of a replicate is a draw from its own published distribution.
    """
    rng = np.random.default_rng(0)
    observed, expected = np.zeros(len(STATISTICS)), np.zeros((n_sets, len(STATISTICS)))
    for truth, log_p, sets in zip(
        replicates.truth, replicates.log_probability, replicates.sets, strict=True
    ):
        p = np.exp(log_p)
        unweighed = () if isinstance(truth, int) else (truth,)
        values = _statistics(p / p.sum(), log_p, sets, unweighed)
        observed += values[truth if isinstance(truth, int) else -1]
        expected += values[rng.choice(len(p), size=n_sets, p=p / p.sum())]
    return observed, expected


def _statistics(p: Floats, log_p: Floats, sets: Sets, unweighed: Sets) -> Floats:
    """[k + u, t] contribution of each hypothesis being true, sets without a column last."""
    kinds = len(KINDS)
    singles = len(p) - 1 - len(sets)
    n = singles // kinds
    members = np.zeros((len(p) + len(unweighed), n))
    members[np.arange(singles), np.repeat(np.arange(n), kinds)] = 1.0
    kind = np.zeros((len(members), kinds))
    kind[np.arange(singles), np.tile(np.arange(kinds), n)] = 1.0
    several = np.zeros((len(members), 2))
    rows = [*range(singles, len(p) - 1), *range(len(p), len(members))]
    for row, roots in zip(rows, (*sets, *unweighed), strict=True):
        members[row, list(roots)] = 1.0
        several[row, len(roots) - 2] = 1.0
    none = np.zeros((len(members), len(EDGES) - 1))
    none[len(p) - 1] = _in_bins(p[-1:])[0]
    score = np.append(log_p, np.full(len(unweighed), FLOOR))
    bins = _in_bins(p @ members[: len(p)])
    return np.column_stack([members @ bins, none, kind, several, score])


def _in_bins(p: Floats) -> Floats:
    """[n, bins] in which bin of `EDGES` each probability lies."""
    # Sums of probabilities may exceed one by rounding.
    return np.asarray(np.eye(len(EDGES) - 1)[np.digitize(np.minimum(p, 1.0), EDGES) - 1])


@dataclass(frozen=True)
class Envelope:
    """Where calibrated answers lie, all statistics [t] at once with the probability asked for.

    `p` is the probability that calibrated answers leave such an envelope further than was observed,
    `each` the two-sided tail [t] of every statistic by itself.
    """

    low: Floats
    high: Floats
    each: Floats
    p: float


def envelope(observed: Floats, expected: Floats, level: float = 0.99) -> Envelope:
    """Hold observed statistics [t] against their law, drawn as expected [n, t]."""
    order = np.sort(expected, axis=0)

    def tails(x: Floats) -> Floats:
        columns = [(order[:, j], x[:, j]) for j in range(x.shape[1])]
        low = [np.searchsorted(law, at, side="right") for law, at in columns]
        high = [len(law) - np.searchsorted(law, at, side="left") for law, at in columns]
        return np.minimum(1.0, 2.0 * np.minimum(low, high).T / len(order))

    smallest = np.sort(tails(expected).min(axis=1))
    each = tails(observed[None])[0]
    # A count of draws at either end that is as rare as the rarest statistic of 1 - level of them.
    cut = int(np.quantile(smallest, 1.0 - level) * len(order) / 2.0)
    return Envelope(
        low=order[cut],
        high=order[-1 - cut],
        each=each,
        p=float((smallest <= each.min() * (1 + 1e-9)).mean()),
    )
