"""What stored draws say of each parameter, and whether their chains agree."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xarray import DataTree

_CAUSES = 10
"""Causes whose probabilities are summarised beside the parameters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterSummary:
    """One parameter's posterior, or one probability's, over equally weighted draws.

    Attributes:
        name: its name; of an array ``name[label]``.
        mean: mean of the draws.
        sd: standard deviation of the draws.
        r_hat: rank-normalised split R-hat; NaN where it is undefined, like the next three.
        ess_bulk: bulk effective sample size.
        ess_tail: tail effective sample size.
        mcse_mean: Monte Carlo standard error of the mean.
    """

    name: str
    mean: float
    sd: float
    r_hat: float
    ess_bulk: float
    ess_tail: float
    mcse_mean: float


def read_tree(content: bytes) -> DataTree:
    """Return the tree that a netCDF file holds, in memory (`bayesrca.posterior.tree`)."""
    import xarray as xr  # noqa: PLC0415  two CPU seconds, only for those who read draws

    with xr.open_datatree(io.BytesIO(content), engine="h5netcdf") as tree:
        return tree.load()


def summarize_tree(tree: DataTree) -> list[ParameterSummary]:
    """Summarise theta's parameters, then p(none) and p(cause) of the ten most probable causes.

    Args:
        tree: the draws of an analysis.
    """
    import arviz as az  # noqa: PLC0415
    import xarray as xr  # noqa: PLC0415

    causes = tree["root_cause"].to_dataset()[["p_none", "p_cause"]]
    order = (-causes["p_cause"].mean(("chain", "draw"))).argsort().values[:_CAUSES]
    groups = {"posterior": tree["posterior"].to_dataset(), "causes": causes.isel(component=order)}
    found = []
    for name, group in groups.items():
        table = az.summary(xr.DataTree.from_dict({name: group}), group=name, round_to="none")
        found += [
            ParameterSummary(
                name=str(label),
                mean=float(row["mean"]),
                sd=float(row["sd"]),
                r_hat=float(row["r_hat"]),
                ess_bulk=float(row["ess_bulk"]),
                ess_tail=float(row["ess_tail"]),
                mcse_mean=float(row["mcse_mean"]),
            )
            for label, row in table.iterrows()
        ]
    return found
