"""The log prior density of theta, entry by entry."""

from __future__ import annotations

from math import log, pi

import numpy as np

from bayesrca.model.draws import Floats
from bayesrca.model.parameters import PRIORS


def compute_log_prior(thetas: Floats, prior: tuple[Floats, Floats]) -> Floats:
    """Log prior density of each entry of unconstrained draws [..., p], [..., p].

    The density is that of the unconstrained scale, where priors are normal: raising it to the power
    alpha then keeps the centre and divides the standard deviation by sqrt(alpha).

    Args:
        thetas: the draws.
        prior: the prior's means and standard deviations, [p] each.
    """
    mean, sd = prior
    return np.asarray(-0.5 * ((thetas - mean) / sd) ** 2 - np.log(sd) - 0.5 * log(2.0 * pi))


def split_by_parameter(values: Floats) -> dict[str, Floats]:
    """Split values of theta's entries [..., p] by parameter.

    Returns:
        [...] for a single parameter, [..., 2] for one per family.
    """
    ends = np.cumsum([len(prior.centre) for prior in PRIORS.values()])
    parts = np.split(values, ends[:-1], axis=-1)
    return {
        name: part if part.shape[-1] > 1 else part[..., 0]
        for name, part in zip(PRIORS, parts, strict=True)
    }
