"""Pictures of Shapley values. The only importer of matplotlib in this package."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib import pyplot as plt
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bayesrca.attribution.result import ShapleyEstimate

_POSITIVE, _NEGATIVE, _REST = "#b2452c", "#2c6fb2", "#9a9a9a"


def draw_estimate(
    estimate: ShapleyEstimate, order: NDArray[np.intp], *, n_players: int, ax: Axes | None
) -> Axes:
    """Draw horizontal bars with intervals; see `ShapleyEstimate.plot`."""
    shown, rest = order[:n_players], order[n_players:]
    rows = len(shown) + bool(len(rest))
    if ax is None:
        _, ax = plt.subplots(figsize=(7.0, 1.2 + 0.32 * rows), layout="constrained")
    values = estimate.values[shown]
    places = np.arange(len(shown))
    colours = np.where(values >= 0.0, _POSITIVE, _NEGATIVE)
    ax.barh(places, values, color=list(colours), height=0.7)
    errors = estimate.half_width[shown]
    known = np.isfinite(errors) & (errors > 0.0)
    if known.any():
        ax.errorbar(
            values[known], places[known], xerr=errors[known],
            fmt="none", ecolor="black", elinewidth=1.2, capsize=3,
        )  # fmt: skip
    names = [estimate.players[i] for i in shown]
    if len(rest):
        ax.barh(len(shown), estimate.values[rest].sum(), color=_REST, height=0.7)
        names.append(f"{len(rest)} others together")
    ax.set_yticks(np.arange(rows), names)
    ax.invert_yaxis()
    ax.axvline(0.0, color="black", linewidth=0.8)
    ax.set_xlabel(f"Shapley value (sum {estimate.values.sum():.4g})")
    ax.set_title(_title(estimate), fontsize="medium", loc="left")
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    return ax


def _title(estimate: ShapleyEstimate) -> str:
    if estimate.exact:
        return f"Exact by {estimate.rule.replace('_', ' ')}"
    state = "" if estimate.converged else ", not converged"
    mass = f"{estimate.confidence:.0%} intervals"
    return f"{estimate.n_evaluations:,} evaluations, {mass}{state}"
