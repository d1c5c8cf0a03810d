"""``bayesrca topology``: what depends on what, and how that is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from bayesrca.cli_output import check_file, check_plot_file, say, show, write_file


def topology(
    path: Annotated[Path, typer.Argument(help="Incident folder (docs/incident-folder.md).")],
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the map as JSON (docs/topology.md).")
    ] = False,
    plot: Annotated[
        Path | None,
        typer.Option(help="Also draw it into this .pdf, .png or .svg file.", dir_okay=False),
    ] = None,
    resources: Annotated[
        bool, typer.Option("--resources", help="With hosts, pods, containers and regions.")
    ] = False,
    code: Annotated[
        bool, typer.Option("--code", help="With code regions, as parts of their service.")
    ] = False,
) -> None:
    """Print components and edges: calls, errors, median time, how known and how sure."""
    from bayesrca.ingest import load_topology_map  # noqa: PLC0415  keeps --help fast
    from bayesrca.report.topology import map_to_json, render_map  # noqa: PLC0415

    if plot is not None:
        check_plot_file(plot)
        check_file(plot, "plot")
    found = load_topology_map(path).select(resources=resources, code=code)
    if plot is not None:
        from bayesrca.report.topology_plot import plot_topology  # noqa: PLC0415

        write_file(plot, plot_topology(found, plot.suffix))
    if as_json:
        say(json.dumps(map_to_json(found), ensure_ascii=False, indent=2, allow_nan=False) + "\n")
    else:
        show(render_map(found))
