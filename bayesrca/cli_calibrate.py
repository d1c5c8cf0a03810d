"""``bayesrca calibrate``: how honest the answers are on faults injected into normal periods."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from bayesrca.cli_learn import Prior, read_prior
from bayesrca.cli_output import (
    check_file,
    check_plot_file,
    counting,
    raise_stopped,
    show,
    write_file,
    write_json,
)
from bayesrca.config import LARGEST_SEED, Method, Settings


def calibrate(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="DIR...", help="Folders of incidents, or of data sets of them."),
    ],
    *,
    n: Annotated[
        int,
        typer.Option("--n", help="Incidents of each data set; one in five has no culprit.", min=1),
    ] = 200,
    seed: Annotated[
        int, typer.Option(help="Seed of incidents and analyses.", min=0, max=LARGEST_SEED)
    ] = 0,
    as_json: Annotated[
        Path | None, typer.Option("--json", help="Also write JSON.", dir_okay=False)
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(help="Also draw a reliability diagram (.png, .pdf, .svg).", dir_okay=False),
    ] = None,
    jobs: Annotated[int, typer.Option(help="Processes at work; never changes a score.", min=1)] = 1,
    families: Annotated[
        Path | None,
        typer.Option(help="TOML file of rules from metric names to families (docs/families.md)."),
    ] = None,
    prior: Prior = None,
) -> None:
    """Score the answers on faults injected into your own normal periods (docs/simulation.md)."""
    for file, field in ((as_json, "json"), (plot, "plot")):
        if file is not None:
            check_file(file, field)
    # Late, for they load SciPy, which --help does not need.
    from bayesrca.evaluation.calibrate import CalibrationPlan, run_calibration  # noqa: PLC0415
    from bayesrca.evaluation.calibrate_summary import (  # noqa: PLC0415
        calibration_document,
        render_calibration,
    )
    from bayesrca.evaluation.cases import find_data_sets  # noqa: PLC0415
    from bayesrca.evaluation.outcome import DataSetResult  # noqa: PLC0415
    from bayesrca.evaluation.plot import plot_reliability  # noqa: PLC0415
    from bayesrca.ingest import FamilyRules  # noqa: PLC0415

    if plot is not None:
        check_plot_file(plot)
    plan = CalibrationPlan(
        settings=Settings(
            method=Method.SCREEN,
            cores=max(1, (os.cpu_count() or 1) // jobs),
            prior=read_prior(prior),
        ),
        seed=seed,
        n=n,
        families=None if families is None else FamilyRules.from_toml(families),
    )
    with counting("injecting and analysing") as tell:
        results = run_calibration(find_data_sets(paths), plan, jobs=jobs, tell=tell)
    show(render_calibration(results))
    raise_stopped(results.stopped)
    if as_json is not None:
        write_json(as_json, calibration_document(results.data_sets))
    if plot is not None:
        all_of_it = [DataSetResult(name=r.name, outcomes=r.everything) for r in results.data_sets]
        write_file(plot, plot_reliability(all_of_it, plot.suffix))
