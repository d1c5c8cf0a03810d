"""The fleet's law against marginal likelihoods that are known in closed form."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.stats import multivariate_normal, norm

from bayesrca.evaluation.learn_fit import (
    LOG_SIGMA_SD,
    Fleet,
    HyperPrior,
    Slopes,
    climb,
    compute_slopes,
)
from bayesrca.model.parameters import unconstrained_prior

Floats = NDArray[np.float64]
CENTRE, SD = np.array([0.5, -1.0]), np.array([1.0, 0.6])
PRIOR = HyperPrior.split(CENTRE, SD)
# What an incident's data see: one parameter well, or only the sum of both.
SEEN = (np.array([[1.0, 0.0], [0.0, 0.05]]), np.array([[1.0, 1.0]]))
NOISE = 0.3
N_DRAWS = 40_000


def simulate(seed: int, n: int) -> list[tuple[Floats, Floats]]:
    """Data y = A theta + noise of n incidents, and their A."""
    rng = np.random.default_rng(seed)
    out = []
    for i in range(n):
        a = SEEN[i % 2]
        theta = np.array([1.6, -0.4]) + np.array([0.4, 0.2]) * rng.standard_normal(2)
        out.append((a @ theta + NOISE * rng.standard_normal(len(a)), a))
    return out


def slopes_of(fleet: Fleet, data: Sequence[tuple[Floats, Floats]]) -> list[Slopes]:
    """Slopes from draws of each incident's exact Gaussian posterior."""
    out = []
    for i, (y, a) in enumerate(data):
        precision = np.diag(fleet.sigma**-2) + a.T @ a / NOISE**2
        covariance = np.linalg.inv(precision)
        mean = covariance @ (fleet.mu / fleet.sigma**2 + a.T @ y / NOISE**2)
        z = np.random.default_rng([7, i]).standard_normal((N_DRAWS, 2))
        draws = mean + z @ np.linalg.cholesky(covariance).T
        out.append(compute_slopes(fleet, draws, np.full(N_DRAWS, 1 / N_DRAWS)))
    return out


def fit(data: Sequence[tuple[Floats, Floats]], shares: Sequence[float]) -> Fleet:
    fleet = Fleet.unlearned(PRIOR)
    for _ in range(15):
        fleet, _ = climb(fleet, slopes_of(fleet, data), shares)
    return fleet


def exact_log_posterior(
    x: Floats, data: Sequence[tuple[Floats, Floats]], shares: Sequence[float]
) -> float:
    """Log posterior of (mu, log sigma) in standard units, theta integrated out by algebra."""
    mu = CENTRE + np.sqrt(0.5) * SD * x[:2]
    # E sigma^2 under the prior is half of the built-in variance.
    sigma2 = 0.5 * SD**2 * np.exp(-2 * 0.5**2) * np.exp(2 * 0.5 * x[2:])
    total = float(norm.logpdf(x).sum())
    for (y, a), share in zip(data, shares, strict=True):
        covariance = a @ np.diag(sigma2) @ a.T + NOISE**2 * np.eye(len(y))
        total += share * float(multivariate_normal.logpdf(y, a @ mu, covariance))
    return total


def negative(x: Floats, data: Sequence[tuple[Floats, Floats]], shares: Sequence[float]) -> float:
    return -exact_log_posterior(x, data, shares)


def hessian(f: Callable[[Floats], float], x: Floats, h: float = 1e-3) -> Floats:
    e = h * np.eye(len(x))
    return np.array(
        [
            [(f(x + a + b) - f(x + a - b) - f(x - a + b) + f(x - a - b)) / (4 * h * h) for b in e]
            for a in e
        ]
    )


def test_the_mode_and_its_covariance_are_those_of_the_exact_posterior() -> None:
    """Among the incidents are some that see only the sum of two parameters."""
    data = simulate(1, 30)
    shares = [1.0 if i % 3 else 0.5 for i in range(30)]
    fleet = fit(data, shares)
    found = minimize(negative, np.zeros(4), (data, shares), tol=1e-10)
    np.testing.assert_allclose(fleet.x, found.x, atol=0.05)
    information = hessian(lambda x: negative(x, data, shares), found.x)
    np.testing.assert_allclose(fleet.covariance, np.linalg.inv(information), atol=0.04)
    # The data moved it: agreement is not that of two fits which stayed at the prior.
    assert found.x[0] > 1.0


def test_one_step_leaves_a_group_out() -> None:
    data = simulate(2, 24)
    shares = [1.0] * 24
    fleet = fit(data, shares)
    without = [0.0 if i < 3 else 1.0 for i in range(24)]
    one_step, _ = climb(fleet, slopes_of(fleet, data), without)
    refitted = minimize(negative, np.zeros(4), (data, without), tol=1e-10).x
    np.testing.assert_allclose(one_step.x, refitted, atol=0.12)
    assert np.abs(refitted - fleet.x).max() > 0.15


def test_nothing_learned_is_the_built_in_prior() -> None:
    mean, sd = unconstrained_prior()
    fleet = Fleet.unlearned(HyperPrior.split(mean, sd))
    np.testing.assert_allclose(fleet.predict(), (mean, sd), rtol=1e-12)
    same, step = climb(fleet, [], [])
    np.testing.assert_allclose(same.predict(), (mean, sd), rtol=1e-12)
    assert step == 0.0


def test_the_predictive_law_holds_both_uncertainties() -> None:
    """Against draws of (mu, sigma), then theta."""
    covariance = np.array(
        [[0.3, 0.0, 0.1, 0.0], [0.0, 0.9, 0.0, 0.0], [0.1, 0.0, 0.5, 0.0], [0.0, 0.0, 0.0, 0.2]]
    )
    fleet = Fleet(PRIOR, np.array([1.0, 0.0, -0.5, 0.3]), covariance)
    rng = np.random.default_rng(0)
    x = rng.multivariate_normal(fleet.x, covariance, size=400_000)
    mu = PRIOR.centre + PRIOR.tau * x[:, :2]
    sigma = np.exp(PRIOR.log_sigma + LOG_SIGMA_SD * x[:, 2:])
    theta = mu + sigma * rng.standard_normal(mu.shape)
    mean, sd = fleet.predict()
    np.testing.assert_allclose(mean, theta.mean(axis=0), atol=0.01)
    np.testing.assert_allclose(sd, theta.std(axis=0), rtol=0.01)


def test_a_likelihood_that_curves_upwards_makes_nothing_surer() -> None:
    fleet = Fleet.unlearned(PRIOR)
    upwards = Slopes(np.zeros(4), np.diag([3.0, -1.0, 0.0, 2.0]))
    after, _ = climb(fleet, [upwards], [1.0])
    variances = np.diag(after.covariance)
    assert variances[0] == pytest.approx(1.0)
    assert variances[1] < 0.9
    assert np.linalg.eigvalsh(after.covariance).max() <= 1.0 + 1e-12


def test_a_long_step_is_cut() -> None:
    fleet = Fleet.unlearned(PRIOR)
    steep = Slopes(np.array([50.0, 0.0, -3.0, 0.0]), np.zeros((4, 4)))
    after, asked = climb(fleet, [steep], [1.0])
    assert asked > 10.0
    assert np.abs(after.x).max() == pytest.approx(1.0)
