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


@dataclass(frozen=True, slots=True, kw_only=True)
class RootProbabilities:
    """Probabilities of n components and of "none of these", per draw and summed up.

    Attributes:
        by_draw: [c, d, n + 1] p(component is the cause | theta), "none of these" last.
        by_kind: [n, 3] posterior probability of (component, kind), kinds as in `KINDS`.
        values: [n + 1] posterior probabilities; they sum to one.
        mcse: [n + 1] their Monte Carlo standard errors.
        intervals: [n + 1, 2] central credible intervals over theta.
    """

    by_draw: Floats
    by_kind: Floats
    values: Floats
    mcse: Floats
    intervals: Floats

    def probability(self, i: int) -> Probability:
        """Probability of component i; -1 is "none of these"."""
        return Probability(
            value=float(self.values[i]),
            mcse=float(self.mcse[i]),
            interval=(float(self.intervals[i, 0]), float(self.intervals[i, 1])),
        )


def compute_root_probabilities(draws: Draws, interval_mass: float) -> RootProbabilities:
    """Average p(hypothesis | theta) over the draws (Rao-Blackwell: Gelfand & Smith 1990).

    Args:
        draws: draws of either speed.
        interval_mass: mass of the credible intervals, in (0, 1).
    """
    by_hypothesis = np.exp(draws.log_root)
    kinds = by_hypothesis[..., :-1]
    c, d, k = kinds.shape
    by_component = kinds.reshape(c, d, k // len(KINDS), len(KINDS)).sum(axis=-1)
    by_draw = np.concatenate([by_component, by_hypothesis[..., -1:]], axis=-1)
    w = draws.weights
    values = np.einsum("cd,cdn->n", w, by_draw)
    mcse = _scramble_error(w, by_draw, values) if draws.is_screen else _chain_error(by_draw, values)
    by_kind = np.einsum("cd,cdk->k", w, kinds).reshape(-1, len(KINDS))
    return RootProbabilities(
        by_draw=by_draw,
        by_kind=by_kind,
        values=values,
        mcse=mcse,
        intervals=_intervals(w, by_draw, interval_mass),
    )


def _scramble_error(w: Floats, by_draw: Floats, values: Floats) -> Floats:
    """Error of a ratio estimate from independent scrambles (delta method), [n + 1]."""
    share = w.sum(axis=1)
    residual = np.einsum("cd,cdn->cn", w, by_draw) - share[:, None] * values
    b = len(share)
    return np.asarray(np.sqrt(b / (b - 1) * (residual**2).sum(axis=0)) / share.sum())


def _chain_error(by_draw: Floats, values: Floats) -> Floats:
    """Autocorrelation-corrected error of a mean (Vehtari et al. 2021), [n + 1]."""
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
    """Weighted quantiles of every column, [n + 1, 2]."""
    flat, weight = by_draw.reshape(-1, by_draw.shape[-1]), w.ravel()
    order = np.argsort(flat, axis=0)
    ranked = np.take_along_axis(flat, order, axis=0)
    # Midpoints of the weights, so that a single draw is its own median.
    below = np.cumsum(weight[order], axis=0) - 0.5 * weight[order]
    tails = np.array([0.5 - 0.5 * mass, 0.5 + 0.5 * mass])
    columns = [np.interp(tails, below[:, j], ranked[:, j]) for j in range(flat.shape[1])]
    return np.array(columns)
