"""Tempering: the posterior over hypotheses, flattened towards their prior by a learned exponent."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from bayesrca.config import Settings
from bayesrca.kernels.propagation import KINDS
from bayesrca.model.draws import Draws

Floats = NDArray[np.float64]

SETS_SHARE = 0.2
"""Share of the prior of "some component is a cause" that sets of several have (sets.rs)."""


def temper(draws: Draws, gamma: float, *, none_prior: float, n_components: int) -> Draws:
    """Return the draws with p(H | theta) raised to `gamma` and its prior to one less.

    With o the outcomes "component i is the only cause" (its kinds summed), each set of several
    causes, and "none of these",

        log p'(o | theta) = gamma log p(o | theta) + (1 - gamma) log prior(o) + constant,

    where the prior gives "none of these" `none_prior`, the sets together `SETS_SHARE` of the rest
    and the components what is left, in equal parts. The kinds of a component keep their
    proportions.

    Args:
        draws: draws of either speed.
        gamma: in (0, 1]; 1 changes nothing.
        none_prior: prior probability of "none of these", in (0, 1).
        n_components: number of components n.
    """
    if gamma == 1.0:
        return draws
    log_root = draws.log_root
    kinds, rest = np.split(log_root, [n_components * len(KINDS)], axis=-1)
    by_kind = kinds.reshape(*kinds.shape[:-1], n_components, len(KINDS))
    single = logsumexp(by_kind, axis=-1)
    # An impossible component has no kinds to divide, and stays impossible.
    within = by_kind - np.where(np.isfinite(single), single, 0.0)[..., None]
    outcomes = np.concatenate([single, rest], axis=-1)
    outcome = temper_outcomes(outcomes, gamma, none_prior=none_prior, n_components=n_components)
    single, rest = np.split(outcome, [n_components], axis=-1)
    kinds = (within + single[..., None]).reshape(kinds.shape)
    return replace(draws, log_root=np.concatenate([kinds, rest], axis=-1))


def temper_as_set(draws: Draws, settings: Settings, n_components: int) -> Draws:
    """Temper draws by the learned prior of the settings; as they are without one."""
    if settings.prior is None:
        return draws
    none_prior, gamma = settings.none_prior, settings.prior.gamma
    return temper(draws, gamma, none_prior=none_prior, n_components=n_components)


def temper_outcomes(log_p: Floats, gamma: float, *, none_prior: float, n_components: int) -> Floats:
    """Temper log probabilities [..., o]: components, sets, "none of these"; see `temper`."""
    sets = log_p.shape[-1] - n_components - 1
    share = SETS_SHARE if sets else 0.0
    rest = np.log1p(-none_prior)
    prior = np.concatenate(
        [
            np.full(n_components, rest + np.log1p(-share) - np.log(n_components)),
            np.full(sets, rest + np.log(SETS_SHARE) - np.log(max(sets, 1))),
            [np.log(none_prior)],
        ]
    )
    tempered = gamma * log_p + (1.0 - gamma) * prior
    return np.asarray(tempered - logsumexp(tempered, axis=-1, keepdims=True))
