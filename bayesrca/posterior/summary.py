"""Draws -> probabilities with their Monte Carlo errors and credible intervals."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesrca.kernels.propagation import KINDS
from bayesrca.model.draws import Draws
from bayesrca.posterior.result import Probability

Floats = NDArray[np.float64]
Members = tuple[tuple[int, ...], ...]
"""Sets of component indices, each ascending."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimates:
    """Posterior probabilities of m events.

    Attributes:
        values: [m] probabilities.
        mcse: [m] their Monte Carlo standard errors.
        intervals: [m, 2] central credible intervals over theta.
    """

    values: Floats
    mcse: Floats
    intervals: Floats

    def probability(self, i: int) -> Probability:
        """Probability of event i."""
        return Probability(
            value=float(self.values[i]),
            mcse=float(self.mcse[i]),
            interval=(float(self.intervals[i, 0]), float(self.intervals[i, 1])),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RootProbabilities(Estimates):
    """Probabilities of n components and of "none of these", per draw and summed up.

    The estimates are of "component i is a cause", alone or in a set, "none of these" last (-1).
    Without sets they sum to one.

    Attributes:
        members: the m sets of several components that were considered.
        by_draw: [c, d, n + 1] p(component is a cause | theta), "none of these" last.
        only_by_draw: [c, d, n] p(component is the only cause | theta).
        sets_by_draw: [c, d, m] p(exactly the set is the cause | theta).
        by_kind: [n, len(KINDS)] posterior probability of (the only cause, kind).
        only: estimates of "the only cause", [n].
        sets: estimates of "exactly this set", [m].
    """

    members: Members
    by_draw: Floats
    only_by_draw: Floats
    sets_by_draw: Floats
    by_kind: Floats
    only: Estimates
    sets: Estimates


def compute_root_probabilities(
    draws: Draws, interval_mass: float, sets: Members = ()
) -> RootProbabilities:
    """Average p(hypothesis | theta) over the draws (Rao-Blackwell: Gelfand & Smith 1990).

    Args:
        draws: draws of either speed; their hypotheses are every kind of every component, then
            ``sets``, then "none of these".
        interval_mass: mass of the credible intervals, in (0, 1).
        sets: the sets of several components among the hypotheses, in their order.
    """
    p = np.exp(draws.log_root)
    c, d, k = p.shape
    n_singles = k - 1 - len(sets)
    kinds, sets_by_draw = p[..., :n_singles], p[..., n_singles:-1]
    only_by_draw = kinds.reshape(c, d, -1, len(KINDS)).sum(axis=-1)
    by_draw = np.concatenate([only_by_draw, p[..., -1:]], axis=-1)
    for j, members in enumerate(sets):
        by_draw[..., list(members)] += sets_by_draw[..., j, None]
    any_cause = summarise(draws, by_draw, interval_mass)
    return RootProbabilities(
        members=tuple(sets),
        by_draw=by_draw,
        only_by_draw=only_by_draw,
        sets_by_draw=sets_by_draw,
        by_kind=np.einsum("cd,cdk->k", draws.weights, kinds).reshape(-1, len(KINDS)),
        values=any_cause.values,
        mcse=any_cause.mcse,
        intervals=any_cause.intervals,
        only=_only(draws, only_by_draw, any_cause, sets, interval_mass),
        sets=summarise(draws, sets_by_draw, interval_mass),
    )


def summarise(draws: Draws, by_draw: Floats, interval_mass: float) -> Estimates:
    """Average probabilities given theta, [c, d, m], over the draws.

    Args:
        draws: draws of either speed.
        by_draw: the probabilities at each of them.
        interval_mass: mass of the credible intervals, in (0, 1).
    """
    w = draws.weights
    # Sums of hypotheses may exceed one by rounding.
    values = np.minimum(np.einsum("cd,cdm->m", w, by_draw), 1.0)
    if not values.size:
        return Estimates(values=values, mcse=values, intervals=np.empty((0, 2)))
    mcse = _scramble_error(w, by_draw, values) if draws.is_screen else _chain_error(by_draw, values)
    intervals = np.minimum(_intervals(w, by_draw, interval_mass), 1.0)
    return Estimates(values=values, mcse=mcse, intervals=intervals)


def _only(
    draws: Draws, only_by_draw: Floats, any_cause: Estimates, sets: Members, interval_mass: float
) -> Estimates:
    """Estimates of "the only cause": of a component in no set those of "a cause"."""
    n = only_by_draw.shape[-1]
    values, mcse = any_cause.values[:n].copy(), any_cause.mcse[:n].copy()
    intervals = any_cause.intervals[:n].copy()
    shared = sorted({i for members in sets for i in members})
    own = summarise(draws, only_by_draw[..., shared], interval_mass)
    values[shared], mcse[shared], intervals[shared] = own.values, own.mcse, own.intervals
    return Estimates(values=values, mcse=mcse, intervals=intervals)


def _scramble_error(w: Floats, by_draw: Floats, values: Floats) -> Floats:
    """Error of a ratio estimate from independent scrambles (delta method), [m]."""
    share = w.sum(axis=1)
    residual = np.einsum("cd,cdm->cm", w, by_draw) - share[:, None] * values
    b = len(share)
    return np.asarray(np.sqrt(b / (b - 1) * (residual**2).sum(axis=0)) / share.sum())


def _chain_error(by_draw: Floats, values: Floats) -> Floats:
    """Autocorrelation-corrected error of a mean (Vehtari et al. 2021), [m]."""
    if by_draw.shape[1] < 4:
        # Undefined. No quantity in [0, 1] with this mean has a larger standard deviation.
        return np.sqrt(np.clip(values * (1.0 - values), 0.0, None))
    # Late, for it takes four CPU seconds and only NUTS needs it; by name, for it is untyped.
    array_stats: Any = import_module("arviz_stats.base").array_stats

    with np.errstate(invalid="ignore", divide="ignore"):
        mcse = np.asarray(array_stats.mcse(by_draw, chain_axis=0, draw_axis=1, method="mean"))
    # A probability that never moves has no Monte Carlo error.
    return np.where(np.isfinite(mcse), mcse, 0.0)


def _intervals(w: Floats, by_draw: Floats, mass: float) -> Floats:
    """Weighted quantiles of every column, [m, 2]."""
    flat, weight = by_draw.reshape(-1, by_draw.shape[-1]), w.ravel()
    order = np.argsort(flat, axis=0)
    ranked = np.take_along_axis(flat, order, axis=0)
    # Midpoints of the weights, so that a single draw is its own median.
    below = np.cumsum(weight[order], axis=0) - 0.5 * weight[order]
    tails = np.array([0.5 - 0.5 * mass, 0.5 + 0.5 * mass])
    columns = [np.interp(tails, below[:, j], ranked[:, j]) for j in range(flat.shape[1])]
    return np.array(columns)
