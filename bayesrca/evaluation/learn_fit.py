"""The fleet's law of theta: empirical Bayes with a Laplace approximation for what is left open.

Every incident's theta is Normal(mu, sigma), independent per parameter, on the unconstrained scale.
The marginal likelihood of (mu, log sigma) is an expectation over theta, so that its gradient and
Hessian are moments of theta's posterior under the current (mu, sigma): importance draws give both
without bias, and Newton's method climbs from there (docs/learning.md has the equations).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BETWEEN_SYSTEMS = 0.5
"""Share of the built-in prior's variance that lies between fleets; the rest is between incidents of
one."""
LOG_SIGMA_SD = 0.5
"""Standard deviation of log sigma's prior."""
LARGEST_STEP = 1.0
"""Most that the first step may move a coordinate, in standard deviations of its prior."""


@dataclass(frozen=True, slots=True)
class HyperPrior:
    """Prior of mu and log sigma, made of theta's built-in prior.

    mu ~ N(centre, tau), log sigma ~ N(log_sigma, .5), independent per parameter, so that a new
    incident's theta has exactly the built-in prior's mean and variance before anything is learned.

    Attributes:
        centre: [p].
        tau: [p].
        log_sigma: [p].
    """

    centre: Floats
    tau: Floats
    log_sigma: Floats

    @classmethod
    def split(cls, mean: Floats, sd: Floats) -> HyperPrior:
        """Split theta's prior [p] into what fleets and what incidents of one differ by."""
        # E sigma^2 = exp(2 log_sigma + 2 LOG_SIGMA_SD^2) is the incidents' part of the variance.
        between_incidents = 0.5 * np.log1p(-BETWEEN_SYSTEMS) + np.log(sd) - LOG_SIGMA_SD**2
        return cls(mean, np.sqrt(BETWEEN_SYSTEMS) * sd, between_incidents)


@dataclass(frozen=True, slots=True)
class Fleet:
    """Where (mu, log sigma) is, and how well that is known.

    Attributes:
        prior: the prior of both.
        x: [2 p] mu and log sigma, each in standard deviations from its prior's centre.
        covariance: [2 p, 2 p] of x.
    """

    prior: HyperPrior
    x: Floats
    covariance: Floats

    @classmethod
    def unlearned(cls, prior: HyperPrior) -> Fleet:
        """Return what is known without data."""
        size = 2 * len(prior.centre)
        return cls(prior, np.zeros(size), np.eye(size))

    @property
    def mu(self) -> Floats:
        """[p] mean of the incidents' theta."""
        return self.prior.centre + self.prior.tau * self.x[: len(self.prior.centre)]

    @property
    def sigma(self) -> Floats:
        """[p] standard deviation between incidents, at log sigma's mode."""
        return np.exp(self.prior.log_sigma + LOG_SIGMA_SD * self.x[len(self.prior.centre) :])

    def predict(self) -> tuple[Floats, Floats]:
        """Mean and standard deviation, [p] each, of a new incident's theta.

        E mu, and the root of E sigma^2 + Var mu, the law of (mu, log sigma) taken as normal.
        """
        var_mu, var_log = np.split(np.diag(self.covariance), 2)
        of_sigma = self.sigma**2 * np.exp(2.0 * LOG_SIGMA_SD**2 * var_log)
        return self.mu, np.sqrt(of_sigma + self.prior.tau**2 * var_mu)


@dataclass(frozen=True, slots=True)
class Slopes:
    """Derivatives of one incident's log marginal likelihood at some (mu, sigma).

    In the coordinates mu / sigma (sigma held) and log sigma.

    Attributes:
        gradient: [2 p].
        hessian: [2 p, 2 p].
    """

    gradient: Floats
    hessian: Floats

    @classmethod
    def flat(cls, p: int) -> Slopes:
        """Return those of an incident that tells nothing of the p parameters."""
        return cls(np.zeros(2 * p), np.zeros((2 * p, 2 * p)))


def compute_slopes(fleet: Fleet, thetas: Floats, weights: Floats) -> Slopes:
    """Return the derivatives by Fisher's and Louis's (1982) identities.

    With u = (theta - mu) / sigma and s = (u, u^2 - 1), the gradient is E s and the Hessian
    Cov s + E ds, expectations over theta's posterior under Normal(mu, sigma).

    Args:
        fleet: mu and sigma.
        thetas: [d, p] draws.
        weights: [d] their weights under that posterior; they sum to one.
    """
    p = len(fleet.mu)
    u = (thetas - fleet.mu) / fleet.sigma
    s = np.concatenate([u, u**2 - 1.0], axis=1)
    gradient = weights @ s
    centred = s - gradient
    hessian = centred.T @ (weights[:, None] * centred)
    at = np.arange(p)
    hessian[at, at] -= 1.0
    hessian[at, p + at] -= 2.0 * gradient[:p]
    hessian[p + at, at] -= 2.0 * gradient[:p]
    hessian[p + at, p + at] -= 2.0 * (gradient[p:] + 1.0)
    return Slopes(gradient, hessian)


def climb(
    fleet: Fleet,
    slopes: Sequence[Slopes],
    shares: Sequence[float],
    longest: float = LARGEST_STEP,
) -> tuple[Fleet, float]:
    """One Newton step of the log posterior of (mu, log sigma), and its covariance there.

    Where draws say that the likelihood curves upwards, which they may by chance or because a
    posterior has two modes, it counts as flat: nobody is less sure for data than without, and a
    step is rather too short than too long.

    Args:
        fleet: where the derivatives were taken.
        slopes: one for each incident.
        shares: what each counts.
        longest: most that the step may move a coordinate, in prior standard deviations.

    Returns:
        The fleet after the step, and the largest coordinate of the step that was wanted.
    """
    prior = fleet.prior
    scale = np.concatenate([prior.tau / fleet.sigma, np.full(len(prior.tau), LOG_SIGMA_SD)])
    gradient = -fleet.x
    information = np.zeros((len(scale), len(scale)))
    for slope, share in zip(slopes, shares, strict=True):
        gradient += share * scale * slope.gradient
        information -= share * np.outer(scale, scale) * slope.hessian
    values, vectors = np.linalg.eigh(information)
    covariance = (vectors / (1.0 + np.maximum(values, 0.0))) @ vectors.T
    step = covariance @ gradient
    largest = float(np.abs(step).max())
    step *= longest / max(largest, longest)
    return Fleet(prior, fleet.x + step, covariance), largest
