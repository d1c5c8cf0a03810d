"""Draws as an ArviZ-readable DataTree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesrca.model.draws import Draws, resample
from bayesrca.model.log_prior import compute_log_prior, split_by_parameter
from bayesrca.model.parameters import FAMILY_NAMES, PRIORS, natural_values
from bayesrca.posterior.summary import RootProbabilities

if TYPE_CHECKING:
    from xarray import DataTree


def build_tree(
    draws: Draws,
    root: RootProbabilities,
    components: Sequence[str],
    attrs: Mapping[str, Any],
    *,
    seed: int,
) -> DataTree:
    """Build the tree behind an answer.

    Groups: ``posterior`` (parameters on their natural scale, dims chain, draw, family),
    ``sample_stats``, ``log_prior`` (of each parameter, on the unconstrained scale),
    ``log_likelihood`` (of theta, the root cause summed out) and ``root_cause``: per draw and given
    theta, ``p_cause`` that a component is a cause, ``p_only`` that it is the only one, ``p_set``
    that exactly a set of several is (coordinate ``set``: positions on ``component``, joined by
    ``+``) and ``p_none``. The screen's weighted draws are in ``importance`` with their log weights;
    its other groups are resampled from them in proportion to the weights, as one
    chain.

    Args:
        draws: draws of either speed.
        root: probabilities per draw.
        components: names, in order.
        attrs: recorded on the tree: incident, method, seed, versions.
        seed: seed of the screen's resampling.
    """
    import xarray as xr  # noqa: PLC0415  two CPU seconds, only for those who keep the draws

    groups: dict[str, Any] = {}
    pick = _resample(draws, seed) if draws.is_screen else None
    groups["posterior"] = _dataset(xr, _take(natural_values(draws.thetas), pick))
    given = {"any": root.by_draw, "only": root.only_by_draw, "set": root.sets_by_draw}
    p = _take(given, pick)
    groups["root_cause"] = xr.Dataset(
        {
            "p_cause": (("chain", "draw", "component"), p["any"][..., :-1]),
            "p_only": (("chain", "draw", "component"), p["only"]),
            "p_set": (("chain", "draw", "set"), p["set"]),
            "p_none": (("chain", "draw"), p["any"][..., -1]),
        },
        coords={
            **_coords(p["any"]),
            "component": list(components),
            "set": ["+".join(map(str, members)) for members in root.members],
        },
    )
    log_prior = split_by_parameter(compute_log_prior(draws.thetas, draws.prior))
    groups["log_prior"] = _dataset(xr, _take(log_prior, pick))
    likelihood = _take({"theta": draws.log_likelihood}, pick)
    groups["log_likelihood"] = _dataset(xr, likelihood).drop_vars("family")
    if draws.is_screen:
        weighted = {**natural_values(draws.thetas), "log_weight": draws.log_weights}
        groups["importance"] = _dataset(xr, weighted)
    else:
        groups["sample_stats"] = xr.Dataset(
            {name: (("chain", "draw"), v) for name, v in draws.sample_stats.items()},
            coords=_coords(draws.log_weights),
        )
    tree = xr.DataTree.from_dict({f"/{name}": ds for name, ds in groups.items()})
    tree.attrs.update(attrs)
    return tree


def _dataset(xr: Any, values: Mapping[str, Any]) -> Any:
    data = {}
    for name, v in values.items():
        several = name in PRIORS and len(PRIORS[name].centre) > 1
        data[name] = (("chain", "draw", "family") if several else ("chain", "draw"), v)
    first = next(iter(values.values()))
    return xr.Dataset(data, coords={**_coords(first), "family": list(FAMILY_NAMES)})


def _coords(values: Any) -> dict[str, Any]:
    return {"chain": np.arange(values.shape[0]), "draw": np.arange(values.shape[1])}


def _resample(draws: Draws, seed: int) -> Any:
    """Flat indices, [1, number of draws], shuffled: neighbours are no chain."""
    rng = np.random.default_rng(seed)
    return rng.permutation(resample(draws, draws.log_weights.size, rng))[None, :]


def _take(values: Mapping[str, Any], pick: Any) -> dict[str, Any]:
    if pick is None:
        return dict(values)
    return {name: v.reshape(-1, *v.shape[2:])[pick] for name, v in values.items()}
