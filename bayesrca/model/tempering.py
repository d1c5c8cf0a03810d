"""Tempering: the posterior over hypotheses, flattened towards their prior by a learned exponent."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from bayesrca.config import Settings
from bayesrca.kernels.propagation import KINDS, PreparedLikelihood
from bayesrca.model.draws import Draws

Floats = NDArray[np.float64]


def temper_as_set(draws: Draws, settings: Settings, likelihood: PreparedLikelihood) -> Draws:
    """Temper draws by the learned prior of the settings; as they are without one."""
    if settings.prior is None:
        return draws
    return temper(draws, settings.prior.gamma, likelihood.compute_outcome_log_prior())


def temper(draws: Draws, gamma: float, log_prior: Floats) -> Draws:
    """Return the draws with p(H | theta) raised to `gamma` and its prior to one less.

    With o the outcomes "component i is the only cause" (its kinds summed), each set of several
    causes, and "none of these",

        log p'(o | theta) = gamma log p(o | theta) + (1 - gamma) log prior(o) + constant.

    The kinds of a component keep their proportions.

    Args:
        draws: draws of either speed.
        gamma: in (0, 1]; 1 changes nothing.
        log_prior: [o] log prior of the outcomes, up to a constant.
    """
    if gamma == 1.0:
        return draws
    n = count_components(draws.log_root, len(log_prior))
    by_kind = draws.log_root[..., : n * len(KINDS)]
    by_kind = by_kind.reshape(*by_kind.shape[:-1], n, len(KINDS))
    outcomes = sum_kinds(draws.log_root, n)
    # An impossible component has no kinds to divide, and stays impossible.
    single = np.where(np.isfinite(outcomes[..., :n]), outcomes[..., :n], 0.0)
    tempered = temper_outcomes(outcomes, gamma, log_prior)
    kinds = by_kind - single[..., None] + tempered[..., :n, None]
    parts = [kinds.reshape(*kinds.shape[:-2], n * len(KINDS)), tempered[..., n:]]
    return replace(draws, log_root=np.concatenate(parts, axis=-1))


def count_components(log_root: Floats, n_outcomes: int) -> int:
    """Number of components, from the numbers of hypotheses and of outcomes."""
    return int((log_root.shape[-1] - n_outcomes) // (len(KINDS) - 1))


def sum_kinds(log_root: Floats, n_components: int) -> Floats:
    """Log probabilities of hypotheses [..., k] as those of outcomes [..., o], kinds summed."""
    at = n_components * len(KINDS)
    kinds = log_root[..., :at].reshape(*log_root.shape[:-1], n_components, len(KINDS))
    return np.concatenate([logsumexp(kinds, axis=-1), log_root[..., at:]], axis=-1)


def temper_outcomes(log_p: Floats, gamma: float, log_prior: Floats) -> Floats:
    """Temper log probabilities of outcomes, [..., o]; see `temper`."""
    tempered = gamma * log_p + (1.0 - gamma) * log_prior
    return np.asarray(tempered - logsumexp(tempered, axis=-1, keepdims=True))
