"""``bayesrca evidence``: what the telemetry says of each component, before anything is inferred."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bayesrca.cli_normal import NormalRuns, SharedNormal, add_normal
from bayesrca.cli_output import say
from bayesrca.config import Settings
from bayesrca.errors import InvalidSettingsError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bayesrca.evidence import Evidence


def evidence(
    path: Annotated[Path, typer.Argument(help="Incident folder (docs/incident-folder.md).")],
    *,
    footprint: Annotated[
        int | None,
        typer.Option(help="Show this footprint (0 is the first); else where each moved most."),
    ] = None,
    families: Annotated[
        Path | None,
        typer.Option(help="TOML file of rules from metric names to families (docs/families.md)."),
    ] = None,
    normal_runs: NormalRuns = None,
    shared_normal: SharedNormal = False,
    max_bins: Annotated[
        int, typer.Option(help="Bins of the incident window to place onset and end in.")
    ] = Settings().max_bins,
) -> None:
    """Print contrast, scale, log likelihood ratio and dose of every component and family.

    The log likelihood ratio is that of a root (a vital: of the resource at fault) to quiet, at the
    centre of theta's prior.
    """
    from bayesrca.evidence import build_evidence  # noqa: PLC0415  keeps --help fast
    from bayesrca.ingest import FamilyRules, load_incident  # noqa: PLC0415

    settings = Settings(max_bins=max_bins)
    rules = None if families is None else FamilyRules.from_toml(families)
    incident = load_incident(path, families=rules)
    incident = add_normal(incident, path if shared_normal else None, rules, normal_runs)
    found = build_evidence(incident, max_bins=settings.max_bins)
    n = len(found.footprints)
    if footprint is not None and not 0 <= footprint < n:
        msg = f"the evidence has the footprints 0 to {n - 1}"
        raise InvalidSettingsError(msg, field="footprint")
    lines = [found.alarm.text, *_onset_lines(found), *found.notes]
    table = found.table(footprint, log_ratios=_log_ratios(found, settings))
    say("\n".join([*lines, "", str(table), ""]))


def _log_ratios(
    found: Evidence, settings: Settings
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    from bayesrca.kernels.propagation import PreparedLikelihood  # noqa: PLC0415
    from bayesrca.model.prior_file import prior_in_use  # noqa: PLC0415

    theta, _ = prior_in_use(settings)
    # Cells hold no sum over affected sets, so that the graph's width does not matter.
    with PreparedLikelihood(
        found, none_prior=settings.none_prior, max_width=settings.max_width, estimate_seed=0
    ) as likelihood:
        return likelihood.compute_own_log_ratios(theta), likelihood.compute_vital_log_ratios(theta)


def _onset_lines(found: Evidence) -> list[str]:
    onsets = found.onsets
    if onsets is None or onsets.order.size == 0:
        return []
    parts = [
        f"{found.components[i]} at {onsets.time[i]:.10g} s "
        f"({onsets.lower[i]:.10g} to {onsets.upper[i]:.10g}, {onsets.signal[i]})"
        for i in onsets.order
    ]
    return [f"Began to change, earliest first: {'; '.join(parts)}."]
