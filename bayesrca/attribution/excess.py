"""The target's excess in one incident, shared among the components that brought it about."""

from __future__ import annotations

from typing import NoReturn

import numpy as np

from bayesrca.attribution.graphs import ExcessFlowGame
from bayesrca.attribution.shapley import compute_shapley
from bayesrca.attribution.shares import ComponentShare, ExcessAttribution
from bayesrca.errors import NoEvidenceError
from bayesrca.evidence import FAMILIES, Evidence
from bayesrca.incident import Family

MIN_SIGNAL = 1.5
"""Excess, a component's whole or its own, below this many standard deviations counts as none."""
N_RESAMPLES = 256
"""Draws behind the standard errors, which are then themselves known to 4 %."""


def estimate_excess_attribution(
    evidence: Evidence,
    *,
    footprint: int,
    seed: int,
    min_signal: float = MIN_SIGNAL,
    n_resamples: int = N_RESAMPLES,
) -> ExcessAttribution:
    """Share the target's excess in one footprint by the linear model of excess work.

    Components hand their excess on along the edges by which faults of the alarm's family travel,
    each to those that wait for it in proportion to the requests these serve (docs/concepts.md,
    "Shares of the target's excess"). The values are exact, given the doses; their errors come from
    drawing the doses anew, independently, from normal laws of their quiet noise.

    Args:
        evidence: the incident's evidence.
        footprint: index into ``evidence.footprints``.
        seed: 0 to 2^64 - 1.
        min_signal: excess below this many standard deviations counts as none (>= 0).
        n_resamples: how often the doses are drawn (>= 2).

    Raises:
        NoEvidenceError: there is no target, its excess is not known, or it is within its noise.
        InvalidGameError: callers so uneven that the work going round a cycle cannot be summed.
    """
    target, family = evidence.target, evidence.alarm_family
    if target is None or family is None:
        _refuse("the incident names no target")
    table, name = evidence.families[family], FAMILIES[family].value
    dose, noise = table.excess[:, footprint], table.dose_noise[:, footprint]
    excess, deviation = float(dose[target]), float(noise[target])
    where = f"the target {evidence.components[target]!r}"
    if np.isnan(excess):
        needed = "mean latency" if FAMILIES[family] is Family.LATENCY else "failures"
        _refuse(f"{where} does not tell its excess in {name}, which takes {needed} and requests")
    if not excess > min_signal * deviation:
        amount = f"{excess:.3g} {table.unit}".rstrip()
        _refuse(
            f"{where} has an excess in {name} of {amount}, "
            f"within {min_signal:g} standard deviations ({deviation:.3g}) of its noise"
        )
    game = ExcessFlowGame.from_requests(
        players=evidence.components,
        calls=table.edges[:, ::-1],
        requests=evidence.request_rate[:, footprint],
        target=target,
        dose=dose,
        dose_sd=noise,
        min_signal=min_signal,
    )
    exact = compute_shapley(game, threads=1)
    share, share_std_err, value_std_err = game.estimate_shares(seed=seed, resamples=n_resamples)
    start, end = evidence.footprints[footprint]
    return ExcessAttribution(
        family=name,
        unit=table.unit,
        footprint=(float(start), float(end)),
        target=evidence.components[target],
        excess=excess,
        excess_std_err=deviation,
        shares=tuple(
            ComponentShare(
                component=evidence.components[i],
                value=float(exact.values[i]),
                value_std_err=float(value_std_err[i]),
                share=float(share[i]),
                share_std_err=float(share_std_err[i]),
                observed=not np.isnan(dose[i]),
            )
            for i in np.argsort(-exact.values, kind="stable")
        ),
        rule=exact.rule,
        n_resamples=n_resamples,
        seed=seed,
    )


def _refuse(message: str) -> NoReturn:
    raise NoEvidenceError(message, field="target")
