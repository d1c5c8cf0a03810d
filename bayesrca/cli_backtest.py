"""``bayesrca backtest``: how right the answers are on incidents whose cause is known."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from bayesrca.cli_learn import Prior, Where, read_prior
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


def backtest(  # noqa: PLR0913  one parameter per option
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="DIR...", help="Folders of labelled incidents, or of data sets of them."
        ),
    ],
    *,
    method: Annotated[
        Literal["screen", "nuts"], typer.Option(help="screen: milliseconds. nuts: full sampling.")
    ] = "screen",
    mode: Annotated[
        Literal["retrospective", "online"],
        typer.Option(help="online: only what was known shortly after the incident began."),
    ] = "retrospective",
    as_json: Annotated[
        Path | None, typer.Option("--json", help="Also write JSON.", dir_okay=False)
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(help="Also draw a reliability diagram (.png, .pdf, .svg).", dir_okay=False),
    ] = None,
    no_incident: Annotated[
        bool, typer.Option("--no-incident", help="Also give normal windows as incidents.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of every analysis.", min=0, max=LARGEST_SEED)] = 0,
    jobs: Annotated[int, typer.Option(help="Processes at work; never changes a score.", min=1)] = 1,
    limit: Annotated[
        int | None, typer.Option(help="Only the first so many cases of each data set.", min=1)
    ] = None,
    case: Annotated[
        list[str] | None,
        typer.Option(help="Only cases whose name matches this shell pattern; may be repeated."),
    ] = None,
    where: Where = None,
    own_normal: Annotated[
        bool,
        typer.Option(
            "--own-normal", help="Compare no case with normal recordings of its data set."
        ),
    ] = False,
    without: Annotated[
        list[str] | None,
        typer.Option(
            metavar="metrics|spans|logs|events|alerts",
            help="Telemetry that no analysis sees; may be repeated.",
        ),
    ] = None,
    families: Annotated[
        Path | None,
        typer.Option(help="TOML file of rules from metric names to families (docs/families.md)."),
    ] = None,
    prior: Prior = None,
) -> None:
    """Score the answers on incidents whose cause is known (docs/backtest.md)."""
    for file, field in ((as_json, "json"), (plot, "plot")):
        if file is not None:
            check_file(file, field)
    # Late, for they load SciPy, which --help does not need.
    from bayesrca.evaluation.cases import choose_cases, find_data_sets  # noqa: PLC0415
    from bayesrca.evaluation.periods import Telemetry  # noqa: PLC0415
    from bayesrca.evaluation.plot import plot_reliability  # noqa: PLC0415
    from bayesrca.evaluation.run import Mode, Plan, run_backtest  # noqa: PLC0415
    from bayesrca.evaluation.summary import backtest_document  # noqa: PLC0415
    from bayesrca.evaluation.table import render  # noqa: PLC0415
    from bayesrca.ingest import FamilyRules  # noqa: PLC0415

    if plot is not None:
        check_plot_file(plot)
    data_sets = choose_cases(find_data_sets(paths), case or (), limit, where or ())
    for word in without or ():
        if word not in {*Telemetry}:
            msg = f"{word!r} must be one of {', '.join(Telemetry)}"
            raise typer.BadParameter(msg, param_hint="--without")
    plan = Plan(
        settings=Settings(
            method=Method(method),
            cores=max(1, (os.cpu_count() or 1) // jobs),
            prior=read_prior(prior),
        ),
        seed=seed,
        mode=Mode(mode),
        families=None if families is None else FamilyRules.from_toml(families),
        normal_windows=no_incident,
        own_normal=own_normal,
        without=frozenset(map(Telemetry, without or ())),
    )
    with counting("analysing") as tell:
        results = run_backtest(data_sets, plan, jobs=jobs, tell=tell)
    show(render(results))
    raise_stopped(results.stopped)
    if as_json is not None:
        write_json(as_json, backtest_document(results.data_sets))
    if plot is not None:
        write_file(plot, plot_reliability(results.data_sets, plot.suffix))
