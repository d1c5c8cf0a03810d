"""The command line: ``bayesrca analyze`` and the other commands.

Results go to standard output, progress and messages to standard error. Exit codes: 0 answered and
healthy, 3 answered but not healthy, 6 and 7 decided to review and to hold, 2 wrong usage (a setting
out of range included), 4 the input cannot be analysed, 5 the server could not be reached or
refused, 1 the answer could not be written or a bug, 130 interrupted.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bayesrca.cli_backtest import backtest
from bayesrca.cli_calibrate import calibrate
from bayesrca.cli_collect import collect
from bayesrca.cli_decide import decide
from bayesrca.cli_evidence import evidence
from bayesrca.cli_learn import Prior, learn, read_prior
from bayesrca.cli_normal import NormalRuns, SharedNormal, add_normal
from bayesrca.cli_output import OutputError, check_file, say, show, silence, write_file
from bayesrca.cli_serve import config, serve, token
from bayesrca.cli_simulate import simulate
from bayesrca.cli_sources import SourceFlags, collect_incident, server_source, with_sources
from bayesrca.cli_topology import topology
from bayesrca.config import BeyondWidth, Method, Settings
from bayesrca.errors import BayesRcaError, InvalidSettingsError, ServiceError

if TYPE_CHECKING:
    from bayesrca.analysis import Analysis
    from bayesrca.client import Client
    from bayesrca.incident import Incident, IncidentSource
    from bayesrca.ingest import FamilyRules
    from bayesrca.posterior.result import Answer
    from bayesrca.wire import StoredAnalysis

EXIT_OUTPUT, EXIT_USAGE, EXIT_UNHEALTHY, EXIT_INPUT, EXIT_SERVICE = 1, 2, 3, 4, 5
EXIT_INTERRUPTED = 130

app = typer.Typer(
    name="bayesrca",
    help="Which components caused this anomaly, and how sure are we?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    epilog=(
        "Exit codes: 0 answered and healthy; 3 answered but not healthy (nothing may act on it); "
        "2 wrong usage; 4 the input cannot be analysed; 5 the server could not be reached or "
        "refused; 1 the answer could not be written; 130 interrupted. Of decide: 0 RUN, 6 REVIEW, "
        "7 HOLD."
    ),
)


def _print_version(value: bool) -> None:
    if value:
        import bayesrca  # noqa: PLC0415  its version is in the native core

        say(f"bayesrca {bayesrca.__version__}\n")
        raise typer.Exit


@app.callback()
def _main(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    pass


@app.command()
@with_sources
def analyze(  # noqa: PLR0913  one parameter per option
    path: Annotated[
        Path | None,
        typer.Argument(help="Incident folder (docs/incident-folder.md); none: ask the sources."),
    ] = None,
    *,
    method: Annotated[
        Method,
        typer.Option(help="screen: milliseconds. nuts: full sampling. auto: screen, then nuts."),
    ] = Method.AUTO,
    seed: Annotated[int, typer.Option(help="The same seed gives the same numbers.", min=0)] = 0,
    deadline: Annotated[
        float | None,
        typer.Option(help="Seconds the analysis may take; auto then answers by what fits."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON (docs/json.md).")] = False,
    output: Annotated[
        Path | None,
        typer.Option(help="Also write the draws as NetCDF, readable by ArviZ.", dir_okay=False),
    ] = None,
    top: Annotated[int, typer.Option(help="Causes to list.", min=1)] = 5,
    families: Annotated[
        Path | None,
        typer.Option(help="TOML file of rules from metric names to families (docs/families.md)."),
    ] = None,
    normal_runs: NormalRuns = None,
    shared_normal: SharedNormal = False,
    server: Annotated[
        str | None,
        typer.Option(help="Let the server at HOST:PORT compute; the same numbers come back."),
    ] = None,
    held: Annotated[
        list[str] | None,
        typer.Option(
            "--from",
            metavar="received|configured|NAME",
            help="Let that server make the incident: of what it received, of its back ends, or of "
            "saved telemetry by its NAME.",
        ),
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="File that holds the token to show to the server.")
    ] = None,
    ca_file: Annotated[
        Path | None,
        typer.Option(help="Authorities (PEM) of the server's certificate; switches TLS on."),
    ] = None,
    tls: Annotated[
        bool, typer.Option("--tls", help="TLS with the authorities that this machine trusts.")
    ] = False,
    chains: Annotated[int, typer.Option(help="NUTS chains.", min=1)] = Settings().chains,
    draws: Annotated[int, typer.Option(help="Draws per chain.", min=1)] = Settings().draws,
    tune: Annotated[int, typer.Option(help="Warm-up draws per chain.", min=1)] = Settings().tune,
    max_width: Annotated[
        int,
        typer.Option(help="Components the exact sum may hold open: 2^this numbers. Server: to 16."),
    ] = Settings().max_width,
    beyond_width: Annotated[
        BeyondWidth,
        typer.Option(help="Sums that would need more: estimate them, or refuse the graph."),
    ] = BeyondWidth.ESTIMATE,
    max_bins: Annotated[
        int, typer.Option(help="Bins of the incident window to place onset and end in.")
    ] = Settings().max_bins,
    cores: Annotated[
        int | None, typer.Option(help="Threads to use; never changes a number.", min=1)
    ] = None,
    prior: Prior = None,
    sources: SourceFlags,
) -> None:
    """Rank the root causes of one incident, with their posterior probabilities.

    The incident is a folder, or what the telemetry sources hold of the time from --start to --end.
    With --from it is what a server holds of that time.
    """
    if output is not None:
        check_file(output, "output")
    settings = Settings(
        method=method,
        deadline=deadline,
        chains=chains,
        draws=draws,
        tune=tune,
        max_width=max_width,
        beyond_width=beyond_width,
        max_bins=max_bins,
        cores=cores or os.cpu_count() or 1,
        prior=read_prior(prior),
    )
    incident: Incident | IncidentSource
    if held:
        extra = {
            "PATH": path,
            "--families": families,
            "--normal-runs": normal_runs,
            "--shared-normal": shared_normal or None,
        }
        incident = _held(held, server, sources, extra)
    else:
        beside = path if shared_normal else None
        if shared_normal and path is None:
            msg = "only an incident folder has others beside it; give PATH, or --normal-runs"
            raise typer.BadParameter(msg, param_hint="--shared-normal")
        loaded, rules = _load(path, sources, families)
        incident = local = add_normal(loaded, beside, rules, normal_runs)
    if server is not None:
        with _client(server, token_file, ca_file, tls=tls) as client:
            if output is None:
                answer = client.analyze(incident, seed=seed, settings=settings)
                _show(answer, as_json=as_json, top=top)
            else:
                with _stored(client, incident, seed, settings) as stored:
                    answer = _answer_of(stored)
                    _show(answer, as_json=as_json, top=top)
                    _download(client, stored.name, output)
    else:
        analysis = _analyze(local, seed, settings)
        answer = analysis.answer
        # First, so that a full disk costs the draws but not the answer.
        _show(answer, as_json=as_json, top=top)
        if output is not None:
            _write(analysis, output)
    if not answer.healthy:
        raise typer.Exit(EXIT_UNHEALTHY)


app.command()(backtest)
app.command()(collect)
app.command()(decide)
app.command()(evidence)
app.command()(calibrate)
app.command()(simulate)
app.command()(topology)
app.command()(learn)
app.command("serve")(serve)
app.command("config")(config)
app.command()(token)


def main() -> None:
    """Run the command line and exit."""
    try:
        code = _run()
        say("")  # what Typer has written of its own, such as --help, may not be out yet
    except BayesRcaError as error:
        where = f" ({error.field})" if error.field else ""
        sys.stderr.write(f"bayesrca: {error}{where}\n")
        if isinstance(error, ServiceError):
            for name, description in error.violations:
                sys.stderr.write(f"  {name}: {description}\n")
        code = _code_of(error)
    except OutputError as error:
        sys.stderr.write(f"bayesrca: {error}\n")
        code = EXIT_OUTPUT
    except OSError as error:  # of what Typer writes; anything else is a bug
        if error.errno != errno.ENOSPC:
            raise
        silence()
        sys.stderr.write(f"bayesrca: cannot write: {error.strerror}\n")
        code = EXIT_OUTPUT
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    if code == EXIT_INTERRUPTED:
        sys.stderr.write("bayesrca: interrupted\n")
        # An interrupt that crosses an `exec` of text, such as a library's generated code, marks
        # CPython as killed by it, whatever is caught; under `python -m` that replaces the code.
        # The next such call takes the mark away.
        exec("")
    sys.exit(code)


def _run() -> int | str | None:
    """Run Typer; return its exit code."""
    try:
        app()
    except SystemExit as stop:  # how Typer ends, interrupts included: those with code 130
        return stop.code
    return 0


def _code_of(error: BayesRcaError) -> int:
    if isinstance(error, ServiceError):
        return EXIT_SERVICE
    return EXIT_USAGE if isinstance(error, InvalidSettingsError) else EXIT_INPUT


def _held(
    origins: Sequence[str], server: str | None, sources: SourceFlags, extra: Mapping[str, object]
) -> IncidentSource:
    from bayesrca.incident import Origin  # noqa: PLC0415  keeps --help fast

    if server is None:
        msg = "only a server has telemetry of its own: name it with --server"
        raise typer.BadParameter(msg, param_hint="--from")
    for name, value in extra.items():
        if value is not None:
            msg = f"{name} is of no use with --from: the server makes the incident"
            raise typer.BadParameter(msg, param_hint=name)
    saved = [word for word in origins if word.startswith("savedTelemetry/")]
    for word in origins:
        if word not in {*Origin, *saved[:1]}:
            msg = f"{word!r} must be one of {', '.join(Origin)}, or one savedTelemetry/ID"
            raise typer.BadParameter(msg, param_hint="--from")
    own = [Origin(word) for word in origins if word not in saved]
    return server_source(sources, own, saved[0] if saved else "")


def _load(
    path: Path | None, sources: SourceFlags, families: Path | None
) -> tuple[Incident, FamilyRules | None]:
    from bayesrca.ingest import FamilyRules, load_incident  # noqa: PLC0415  keeps --help fast

    if (path is None) != sources.given:
        msg = "give either an incident folder or sources such as --prometheus, one of the two"
        raise typer.BadParameter(msg, param_hint="PATH")
    if path is not None and (extra := sources.changed()):
        msg = f"{extra} is for sources; an incident folder holds its own"
        raise typer.BadParameter(msg, param_hint="PATH")
    if path is None and families is not None:
        msg = "what a source's series measure is said by its queries; --families is for folders"
        raise typer.BadParameter(msg, param_hint="--families")
    rules = None if families is None else FamilyRules.from_toml(families)
    if path is None:
        return collect_incident(sources, None).incident, None
    return load_incident(path, families=rules), rules


def _analyze(incident: Incident, seed: int, settings: Settings) -> Analysis:
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    from bayesrca.analysis import Progress as Report  # noqa: PLC0415  loads SciPy
    from bayesrca.analysis import analyze as run  # noqa: PLC0415

    names = {
        "evidence": "reading the evidence",
        "screen": "screening",
        "compile": "compiling the model (once per process)",
        "nuts": "sampling",
        "diagnose": "checking the draws",
        "explain": "explaining",
    }
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        tasks = {}

        def tell(report: Report) -> None:
            if report.step not in tasks:
                total = 1.0 if report.step == "nuts" else None
                tasks[report.step] = bar.add_task(names[report.step], total=total)
            done = report.done >= 1.0
            bar.update(tasks[report.step], completed=report.done, total=1.0 if done else None)
            if report.step == "nuts":
                extra = f", {report.divergences} divergences" if report.divergences else ""
                bar.update(tasks["nuts"], description=names["nuts"] + extra, total=1.0)

        return run(incident, seed=seed, settings=settings, progress=tell)


def _client(server: str, token_file: Path | None, ca_file: Path | None, *, tls: bool) -> Client:
    from bayesrca.client import Client  # noqa: PLC0415  loads gRPC

    token = None
    if token_file is not None:
        # From a file: every process of the machine can read a command line.
        try:
            token = token_file.read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            msg = f"cannot read the token in {token_file}"
            raise InvalidSettingsError(msg, field="token_file") from error
    return Client(server, token=token, ca_file=ca_file, tls=tls)


@contextmanager
def _stored(
    client: Client, incident: Incident | IncidentSource, seed: int, settings: Settings
) -> Iterator[StoredAnalysis]:
    """Have an analysis stored by the server until it has ended and been used, and no longer."""
    made = client.create_analysis(incident, seed=seed, settings=settings)
    try:
        yield client.wait_for_analysis(made.name)
    finally:
        client.delete_analysis(made.name)


def _answer_of(stored: StoredAnalysis) -> Answer:
    if stored.answer is not None:
        return stored.answer
    reason, message, _ = stored.failure or ("CANCELLED", "the analysis was cancelled", "")
    raise ServiceError(message, reason=reason)


def _download(client: Client, name: str, output: Path) -> None:
    try:
        client.download_draws(name, output)
    except OSError as error:
        msg = f"cannot write {output}: {error.strerror or error}"
        raise OutputError(msg) from error


def _write(analysis: Analysis, output: Path) -> None:
    # In memory, a few MB: HDF5 itself does not survive a disk that is full.
    write_file(output, analysis.to_datatree().to_netcdf(engine="h5netcdf"))


def _show(answer: Answer, *, as_json: bool, top: int) -> None:
    if as_json:
        from bayesrca.posterior.document import answer_document  # noqa: PLC0415

        say(json.dumps(answer_document(answer), indent=2, allow_nan=False) + "\n")
        return
    from bayesrca.report.terminal import render  # noqa: PLC0415

    show(render(answer, shown=top))


if __name__ == "__main__":
    main()
