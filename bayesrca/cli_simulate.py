"""``bayesrca simulate``: a made-up incident of any size, as an incident folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bayesrca.cli_output import say
from bayesrca.config import LARGEST_SEED
from bayesrca.errors import InvalidSettingsError

NONE = "none"
"""What ``--fault`` takes for an incident in which nothing is wrong."""


def simulate(
    *,
    output: Annotated[Path, typer.Option(help="Folder to write; it must not exist.")],
    components: Annotated[int, typer.Option(help="Components of the system.", min=2)] = 50,
    samples: Annotated[int, typer.Option(help="Samples of each series.", min=20)] = 200,
    step: Annotated[float, typer.Option(help="Seconds between samples.", min=1e-3)] = 60.0,
    season: Annotated[
        float | None, typer.Option(help="Period of load and cpu in seconds, 86400 say.", min=1e-3)
    ] = None,
    fault: Annotated[
        str | None,
        typer.Option(help="COMPONENT:KIND, or none. Default: a random one.", metavar="WHAT"),
    ] = None,
    seed: Annotated[
        int, typer.Option(help="The same seed gives the same incident.", min=0, max=LARGEST_SEED)
    ] = 0,
) -> None:
    """Make an incident with a known cause, for load tests and for trying out (docs/simulation.md).

    Components are named c0, c1, and so on; the truth is in the folder's truth.json.
    """
    # Late, for they load SciPy, which --help does not need.
    from bayesrca.evaluation.simulate_incident import simulate_incident  # noqa: PLC0415
    from bayesrca.ingest import save_incident  # noqa: PLC0415

    incident, truth = simulate_incident(
        components=components,
        samples=samples,
        step=step,
        season=season,
        seed=seed,
        fault=None if fault in (None, NONE) else _split(str(fault)),
        faulty=fault != NONE,
    )
    folder = save_incident(incident, output, labels=truth)
    causes = ", ".join(name for name, _ in truth.root_causes)
    what = f"{truth.fault_type} at {causes}" if causes else "nothing is wrong"
    say(f"{folder}: {len(incident.topology)} components, {len(incident.signals)} series; {what}\n")


def _split(fault: str) -> tuple[str, str]:
    component, colon, kind = fault.rpartition(":")
    if not (component and colon and kind):
        msg = f"--fault must be COMPONENT:KIND or {NONE}, got {fault!r}"
        raise InvalidSettingsError(msg, field="fault")
    return component, kind
