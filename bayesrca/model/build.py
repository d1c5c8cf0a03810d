"""The PyMC model: priors on theta, and the likelihood with the root cause summed out."""

from __future__ import annotations

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pymc.distributions import transforms

from bayesrca.model.ops import PropagationLogp
from bayesrca.model.parameters import FAMILY_NAMES, PRIORS, TRANSFORMS, unconstrained_prior


def build_model(handle: int = 0) -> pm.Model:
    """Build the model of one incident.

    Free variables are the parameters of `PRIORS` on their natural scale; the discrete root cause,
    affected set and footprint are summed out exactly inside the likelihood and recovered per draw
    afterwards.

    Args:
        handle: a prepared likelihood's handle. The model's data ``handle`` can be replaced later,
            also by an incident of another size; ``prior_mean`` and ``prior_sd``, [p] each on the
            unconstrained scale, by a learned prior's.
    """
    centres, widths = unconstrained_prior()
    with pm.Model(coords={"family": FAMILY_NAMES}) as model:
        data = pm.Data("handle", np.array([handle], dtype=np.int64))
        mean, sd = pm.Data("prior_mean", centres), pm.Data("prior_sd", widths)
        parts = []
        start = 0
        for name, prior in PRIORS.items():
            several = len(prior.centre) > 1
            at = slice(start, start + len(prior.centre)) if several else start
            start += len(prior.centre)
            kind = TRANSFORMS[name]
            make = pm.LogNormal if kind == "log" else pm.LogitNormal
            variable = make(
                name,
                mu=mean[at],
                sigma=sd[at],
                dims="family" if several else None,
                # PyMC leaves logit-normal variables untransformed unless told.
                default_transform=transforms.log if kind == "log" else transforms.logodds,
            )
            free = pt.log(variable) if kind == "log" else pt.log(variable) - pt.log1p(-variable)
            parts.append(free if several else free[None])
        pm.Potential("likelihood", PropagationLogp()(data, pt.concatenate(parts))[0])
    return model
