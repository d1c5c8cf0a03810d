"""``bayesrca calibrate``: how honest the answers are on faults injected into normal periods."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bayesrca.cli_output import check_file, say, write_file
from bayesrca.config import LARGEST_SEED, Method, Settings
from bayesrca.errors import KernelError

if TYPE_CHECKING:
    from bayesrca.evaluation.calibrate import CalibrationPlan, CalibrationResults
    from bayesrca.evaluation.cases import DataSet


def calibrate(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="DIR...", help="Folders of incidents, or of data sets of them."),
    ],
    *,
    n: Annotated[int, typer.Option("--n", help="Incidents to make of each data set.", min=1)] = 200,
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
) -> None:
    """Score the answers on faults injected into your own normal periods (docs/simulation.md)."""
    for file, field in ((as_json, "json"), (plot, "plot")):
        if file is not None:
            check_file(file, field)
    # Late, for they load SciPy, which --help does not need.
    from bayesrca.evaluation.calibrate import CalibrationPlan  # noqa: PLC0415
    from bayesrca.evaluation.calibrate_summary import calibration_document  # noqa: PLC0415
    from bayesrca.evaluation.cases import find_data_sets  # noqa: PLC0415
    from bayesrca.evaluation.outcome import DataSetResult  # noqa: PLC0415
    from bayesrca.evaluation.plot import check_plot_file, plot_reliability  # noqa: PLC0415
    from bayesrca.ingest import FamilyRules  # noqa: PLC0415

    if plot is not None:
        check_plot_file(plot)
    plan = CalibrationPlan(
        settings=Settings(method=Method.SCREEN, cores=max(1, (os.cpu_count() or 1) // jobs)),
        seed=seed,
        n=n,
        families=None if families is None else FamilyRules.from_toml(families),
    )
    results = _run(find_data_sets(paths), plan, jobs)
    _show(results)
    if results.stopped == "interrupted":
        raise KeyboardInterrupt
    if results.stopped:
        raise KernelError(results.stopped)
    if as_json is not None:
        document = calibration_document(results.data_sets)
        write_file(as_json, (json.dumps(document, indent=1, allow_nan=False) + "\n").encode())
    if plot is not None:
        all_of_it = [DataSetResult(name=r.name, outcomes=r.everything) for r in results.data_sets]
        write_file(plot, plot_reliability(all_of_it, plot.suffix))


def _run(data_sets: tuple[DataSet, ...], plan: CalibrationPlan, jobs: int) -> CalibrationResults:
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import Progress  # noqa: PLC0415

    from bayesrca.evaluation.calibrate import run_calibration  # noqa: PLC0415

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("injecting and analysing", total=None)

        def tell(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total, description=f"{done} of {total}")

        return run_calibration(data_sets, plan, jobs=jobs, tell=tell)


def _show(results: CalibrationResults) -> None:
    from rich.console import Console  # noqa: PLC0415

    from bayesrca.evaluation.calibrate_summary import render_calibration  # noqa: PLC0415

    console = Console() if sys.stdout.isatty() else Console(width=160, highlight=False)
    with console.capture() as text:
        console.print(render_calibration(results), soft_wrap=False)
    say(text.get())
