"""Draws of theta with the posterior over hypotheses at each: what both speeds produce."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesrca.model.parameters import unconstrained_prior

Floats = NDArray[np.float64]
Cancelled = Callable[[], bool]
"""Polled by long work; True asks it to stop."""
Tell = Callable[[float, int], None]
"""Told the share of work done, in [0, 1], and the number of divergences so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draws:
    """Draws of theta, weighted for the screen and equally weighted for NUTS.

    Attributes:
        thetas: [c, d, p] unconstrained draws; one "chain" per scramble for the screen.
        log_weights: [c, d] log importance weights, zero for NUTS.
        log_root: [c, d, k] log posterior of every hypothesis given each draw.
        log_likelihood: [c, d] log likelihood of each draw.
        prior: means and standard deviations, [p] each, of theta's prior behind them.
        sample_stats: NUTS statistics by name, [c, d] each; empty for the screen.
        pareto_k: Pareto shape of the weights; None for NUTS.
        divergences: divergent transitions; None for the screen.
    """

    thetas: Floats
    log_weights: Floats
    log_root: Floats
    log_likelihood: Floats
    prior: tuple[Floats, Floats] = field(default_factory=unconstrained_prior)
    sample_stats: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    pareto_k: float | None = None
    divergences: int | None = None

    @property
    def is_screen(self) -> bool:
        """Whether these are importance draws."""
        return self.pareto_k is not None

    @property
    def weights(self) -> Floats:
        """[c, d] weights that sum to one."""
        w = np.exp(self.log_weights - self.log_weights.max())
        return np.asarray(w / w.sum())

    @property
    def mean(self) -> Floats:
        """[p] weighted mean of the unconstrained thetas."""
        return np.asarray(np.einsum("cd,cdp->p", self.weights, self.thetas))


def resample(draws: Draws, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Indices [n] into the flattened draws, in proportion to their weights and in their order.

    Systematic resampling (Kitagawa 1996); of equal weights it keeps every k-th draw.
    """
    w = draws.weights.ravel()
    points = (np.arange(n) + rng.random()) / n
    return np.minimum(np.searchsorted(np.cumsum(w), points), w.size - 1)
