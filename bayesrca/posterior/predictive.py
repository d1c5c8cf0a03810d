"""Predictive draws as a DataTree that ArviZ reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesrca.model.parameters import FAMILY_NAMES, PRIORS, natural_values

if TYPE_CHECKING:
    from xarray import DataTree

Floats = NDArray[np.float64]


def build_predictive_tree(
    *,
    labels: Mapping[str, tuple[str, ...]],
    observed: Mapping[str, Floats],
    replicates: Mapping[str, Mapping[str, Floats]],
    thetas: Mapping[str, Floats],
    attrs: Mapping[str, Any],
) -> DataTree:
    """Build groups ``observed_data``, and ``<part>`` and ``<part>_predictive`` for each part.

    Contrasts are stored as arcsinh(z): like z near 0, like log(2 |z|) far out, where effects lie;
    laws with tails of z^-2 cannot be drawn otherwise. sinh gives z back.

    Args:
        labels: names of the m entries of each variable, its coordinate ``<variable>_series``.
        observed: [m] contrasts by variable.
        replicates: [d, m] contrasts by part (``prior``, ``posterior``) and variable.
        thetas: [d, p] unconstrained parameters by part.
        attrs: recorded on the tree.
    """
    import xarray as xr  # noqa: PLC0415  two CPU seconds, only for those who check the model

    names = [name for name, values in observed.items() if values.size]
    coords = {f"{name}_series": list(labels[name]) for name in names}
    groups: dict[str, Any] = {
        "observed_data": xr.Dataset(
            {name: (f"{name}_series", np.arcsinh(observed[name])) for name in names}, coords=coords
        )
    }
    for part, values in replicates.items():
        n = len(thetas[part])
        sample = {"chain": [0], "draw": np.arange(n)}
        groups[f"{part}_predictive"] = xr.Dataset(
            {
                name: (("chain", "draw", f"{name}_series"), np.arcsinh(values[name])[None])
                for name in names
            },
            coords={**sample, **coords},
        )
        groups[part] = xr.Dataset(
            {
                name: (
                    ("chain", "draw", "family")
                    if len(PRIORS[name].centre) > 1
                    else ("chain", "draw"),
                    v[None],
                )
                for name, v in natural_values(thetas[part]).items()
            },
            coords={**sample, "family": list(FAMILY_NAMES)},
        )
    tree = xr.DataTree.from_dict({f"/{name}": ds for name, ds in groups.items()})
    tree.attrs.update(attrs)
    return tree
