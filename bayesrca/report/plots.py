"""Pictures of an analysis: ArviZ's own of its draws, and one of its probabilities."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from bayesrca.errors import InvalidSettingsError, NotSupportedError
from bayesrca.posterior.result import Answer

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from xarray import DataTree

_SHOWN = 10
"""Causes in the picture of causes."""
_LONGEST_LABEL = 48
MOST_PARAMETERS = 12
"""Parameters in one picture: ArviZ draws a row or a panel for each of their elements."""


class Plot(StrEnum):
    """What to draw.

    ``CAUSES``: probability, error and credible interval of the ten most probable causes and of
    none. The others are the plots of that name of ArviZ, of the parameters' draws; ``POSTERIOR`` is
    its ``plot_dist``. ``ENERGY`` is of NUTS only, ``RANK`` of two chains or more.
    """

    CAUSES = "causes"
    TRACE = "trace"
    RANK = "rank"
    POSTERIOR = "posterior"
    FOREST = "forest"
    ENERGY = "energy"
    AUTOCORRELATION = "autocorrelation"
    ESS = "ess"


class ImageFormat(StrEnum):
    """Form of a picture."""

    PNG = "png"
    SVG = "svg"


_ARVIZ: Mapping[Plot, str] = {
    Plot.TRACE: "plot_trace_dist",
    Plot.RANK: "plot_rank",
    Plot.POSTERIOR: "plot_dist",
    Plot.FOREST: "plot_forest",
    Plot.ENERGY: "plot_energy",
    Plot.AUTOCORRELATION: "plot_autocorr",
    Plot.ESS: "plot_ess",
}
# What docs/diagnostics.md looks at: one of each sort.
_USUAL = ("noise_scale", "transmission", "dose_spread", "full_dose_target")


def render_plot(
    answer: Answer,
    tree: DataTree,
    plot: Plot,
    *,
    form: ImageFormat = ImageFormat.PNG,
    parameters: Sequence[str] = (),
) -> bytes:
    """Draw one picture of an analysis.

    Args:
        answer: the analysis's answer.
        tree: its draws (`bayesrca.posterior.tree`).
        plot: what to draw.
        form: as what.
        parameters: of which parameters, up to 12; the usual ones when empty. `Plot.CAUSES` and
            `Plot.ENERGY` take none.

    Raises:
        InvalidSettingsError: a parameter the draws do not hold, or too many.
        NotSupportedError: `Plot.ENERGY` of draws that have none, `Plot.RANK` of a single chain.
    """
    import matplotlib as mpl  # noqa: PLC0415  a CPU second, only for those who draw

    names = _checked(tree, plot, parameters)
    # No display, no user's configuration, and nothing that differs from one run to the next.
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update({"backend": "agg", "svg.hashsalt": "bayesrca"})
        figure = _draw_causes(answer) if plot is Plot.CAUSES else _draw(tree, plot, names)
        try:
            return _saved(figure, form)
        finally:
            from matplotlib import pyplot  # noqa: PLC0415

            pyplot.close(figure)


def _checked(tree: DataTree, plot: Plot, parameters: Sequence[str]) -> list[str]:
    if plot in (Plot.CAUSES, Plot.ENERGY):
        if parameters:
            msg = f"a plot of {plot} is not of parameters; leave them out"
            raise InvalidSettingsError(msg, field="parameters")
        if plot is Plot.ENERGY and "sample_stats" not in tree.children:
            msg = "only NUTS has energies, and this is the screen's answer"
            raise NotSupportedError(msg, field="plot")
        return []
    if plot is Plot.RANK and tree["posterior"].sizes["chain"] < 2:
        msg = "ranks are compared between chains, and there is but one (the screen has no others)"
        raise NotSupportedError(msg, field="plot")
    known = [str(name) for name in tree["posterior"].data_vars]
    for i, name in enumerate(parameters):
        if name not in known:
            msg = f"there is no parameter {name[:100]!r}; there are {', '.join(known)}"
            raise InvalidSettingsError(msg, field=f"parameters[{i}]")
    if len(parameters) > MOST_PARAMETERS:
        msg = f"{len(parameters)} parameters are too many for one picture; up to {MOST_PARAMETERS}"
        raise InvalidSettingsError(msg, field="parameters")
    return list(parameters) or [name for name in _USUAL if name in known]


def _draw(tree: DataTree, plot: Plot, names: Sequence[str]) -> Figure:
    import arviz as az  # noqa: PLC0415

    of: dict[str, Any] = {"var_names": list(names)} if names else {}
    drawn = getattr(az, _ARVIZ[plot])(tree, backend="matplotlib", **of)
    figure: Figure = drawn.viz["figure"].item()
    return figure


def _draw_causes(answer: Answer) -> Figure:
    from matplotlib import pyplot  # noqa: PLC0415

    shown = [(c.component, c.probability) for c in answer.posterior.causes[:_SHOWN]]
    shown.append(("none of these", answer.posterior.none))
    rows = range(len(shown))[::-1]
    values = [p.value for _, p in shown]
    figure, axes = pyplot.subplots(figsize=(9, 1.6 + 0.4 * len(shown)), layout="constrained")
    axes.hlines(
        rows,
        [p.interval[0] for _, p in shown],
        [p.interval[1] for _, p in shown],
        color="0.7",
        linewidth=6,
        label=f"{answer.interval_mass:.0%} credible interval",
    )
    axes.errorbar(
        values,
        rows,
        xerr=[p.mcse for _, p in shown],
        fmt="o",
        color="C0",
        capsize=3,
        label="probability, with its Monte Carlo error",
    )
    axes.set_yticks(rows, [_label(name) for name, _ in shown])
    axes.set_xlim(-0.02, 1.02)
    axes.set_xlabel("posterior probability of being a cause")
    state = "healthy" if answer.healthy else "NOT HEALTHY: nothing may act on this"
    axes.set_title(f"{_label(answer.incident)}\n{answer.method}, {state}")
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def _label(name: str) -> str:
    """Return a name as text: short, on one line, and none of it read as mathematics."""
    line = " ".join(name.split())
    short = line if len(line) <= _LONGEST_LABEL else f"{line[: _LONGEST_LABEL - 1]}…"
    return short.replace("$", r"\$")


def _saved(figure: Figure, form: ImageFormat) -> bytes:
    content = io.BytesIO()
    # No date, no version: the same draws give the same bytes.
    metadata = {"Date": None, "Creator": None} if form is ImageFormat.SVG else {"Software": None}
    figure.savefig(content, format=form.value, metadata=metadata, bbox_inches="tight")
    return content.getvalue()
