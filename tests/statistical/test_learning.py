"""Learning finds the fleet that labelled incidents were drawn from, and knows how well it does.

(mu, log sigma) is drawn from its own prior, incidents from the model; the truth must lie where the
learned law says. The bounded form runs with the other tests, the full one by `make slow`. Seeds and
numbers were fixed before the first run.
"""

from __future__ import annotations

from contextlib import ExitStack

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from bayesrca.config import Settings
from bayesrca.evaluation.learn import Learned, learn_from
from bayesrca.evaluation.learn_fit import LOG_SIGMA_SD, HyperPrior
from bayesrca.evaluation.learn_incidents import Labelled
from bayesrca.evaluation.simulate import simulate_evidence
from bayesrca.kernels.propagation import KINDS, PreparedLikelihood
from bayesrca.model.parameters import parameter_names, unconstrained_prior

Floats = NDArray[np.float64]

MEAN, SD = unconstrained_prior()
PRIOR = HyperPrior.split(MEAN, SD)
SETTINGS = Settings(screen_scrambles=8, cores=1)


def draw_incident(
    stack: ExitStack, seed: tuple[int, ...], fleet: tuple[Floats, Floats]
) -> Labelled | None:
    """One incident of the fleet with its cause; None for one without."""
    components = 8 + seed[-1] % 13
    evidence, truth = simulate_evidence(seed=seed, prior=fleet, components=components)
    if not truth.causes:
        return None
    root = truth.causes[0][0]
    likelihood = PreparedLikelihood(
        evidence, none_prior=SETTINGS.none_prior, max_width=SETTINGS.max_width
    )
    return Labelled(
        name=f"set/{seed}",
        sha256="",
        group=("set", (str(seed),), None),
        likelihood=stack.enter_context(likelihood),
        columns=tuple(range(len(KINDS) * root, len(KINDS) * (root + 1))),
        outcome=root,
    )


def learn(seed: int, n: int) -> tuple[Floats, Learned]:
    """The true fleet [2 p], in prior standard deviations, and what n incidents teach of it."""
    x = np.random.default_rng(seed).standard_normal(2 * len(MEAN))
    mu = MEAN + PRIOR.tau * x[: len(MEAN)]
    sigma = np.exp(PRIOR.log_sigma + LOG_SIGMA_SD * x[len(MEAN) :])
    with ExitStack() as stack:
        drawn = (draw_incident(stack, (seed, i), (mu, sigma)) for i in range(n))
        incidents = [incident for incident in drawn if incident is not None]
        return x, learn_from(incidents, seed=seed, settings=SETTINGS)


def surprise(x: Floats, learned: Learned) -> float:
    """P-value of the truth lying so far out: chi-square of its Mahalanobis distance."""
    off = x - learned.fleet.x
    distance = off @ np.linalg.solve(learned.fleet.covariance, off)
    return float(stats.chi2.sf(distance, len(x)))


def test_the_fleet_is_found() -> None:
    x, learned = learn(1, 24)
    assert learned.converged, learned.steps
    assert len(learned.incidents) >= 20, learned.left_out
    assert 0.001 < surprise(x, learned) < 0.999
    sd = np.sqrt(np.diag(learned.fleet.covariance))[: len(MEAN)]
    known = [parameter_names().index(name) for name in ("vital_scale", "vital_index")]
    assert (sd[known] < 0.7).all(), sd[known]
    # What the data say most of is nearer to the truth than the prior's centre is.
    best = np.argsort(sd)[:8]
    nearer = np.abs(learned.fleet.x - x)[best] < np.abs(x)[best]
    assert nearer.mean() > 0.6, (sd[best], learned.fleet.x[best], x[best])


@pytest.mark.slow
def test_the_stated_uncertainty_is_right_over_many_fleets() -> None:
    p, gains = [], []
    for seed in range(100, 120):
        x, learned = learn(seed, 40)
        p.append(surprise(x, learned))
        gains.append(learned.gain()[0])
    assert stats.kstest(p, "uniform").pvalue > 0.001, np.sort(p)
    # A prior learned from its own fleet predicts better than the built-in one.
    assert np.mean(gains) > 2 * np.std(gains, ddof=1) / np.sqrt(len(gains))
