"""The options that say which normal recordings an incident is compared with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from bayesrca.incident import Incident
    from bayesrca.ingest import FamilyRules

NormalRuns = Annotated[
    Path | None,
    typer.Option(help="Folder of fault-free runs of the same system (docs/incident-folder.md)."),
]
SharedNormal = Annotated[
    bool,
    typer.Option(
        "--shared-normal",
        help="Compare also with the normal recordings of the incident folders beside this one, "
        "as backtest does: they must be of the same system.",
    ),
]


def add_normal(
    incident: Incident,
    beside: Path | None,
    rules: FamilyRules | None,
    normal_runs: Path | None,
) -> Incident:
    """Add the recordings that the options name.

    Args:
        incident: what is analysed.
        beside: its folder, if those beside it are to be used.
        rules: rules that say what a metric measures by its name.
        normal_runs: folder of further runs, if any.

    Raises:
        BayesRcaError: they cannot be read.
    """
    from bayesrca.ingest import load_normal_runs, share_normal  # noqa: PLC0415  keeps --help fast

    if beside is not None:
        incident = share_normal(incident, beside, rules)
    if normal_runs is None:
        return incident
    runs = load_normal_runs(normal_runs, families=rules)
    return replace(incident, normal_runs=(*incident.normal_runs, *runs))
