"""What was learned as the content of a prior file, and as text for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Group as Lines
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from bayesrca.evaluation.learn import Learned
from bayesrca.evaluation.learn_alert_cases import is_used
from bayesrca.evaluation.learn_alerts import LearnedAlerts
from bayesrca.evaluation.learn_gamma import FEWEST_ERRORS, mean_and_error
from bayesrca.evaluation.learn_incidents import Group
from bayesrca.model.parameters import natural_values, parameter_names, unconstrained_prior
from bayesrca.model.prior_file import describe_alerts, describe_parameters

Floats = NDArray[np.float64]

NAMED = 3
"""Incidents named for each reason to leave some out; the file names them all."""


def prior_content(
    learned: Learned, *, created: str, seed: int, versions: Mapping[str, str]
) -> dict[str, Any]:
    """Return the content of a prior file (docs/learning.md).

    Args:
        learned: what was learned.
        created: date and time, ISO 8601.
        seed: the seed of the learning.
        versions: library name to version.
    """
    mean, sd = learned.fleet.predict()
    parameters = describe_parameters(mean, sd)
    spread = np.sqrt(np.diag(learned.fleet.covariance))[: len(mean)] * learned.fleet.prior.tau
    for name, entry in describe_parameters(learned.fleet.mu, spread).items():
        parameters[name]["mu_sd"] = entry["sd"]
    gamma = learned.gamma
    gain, error = learned.gain()
    alerts = learned.alerts
    return {
        **(
            {} if alerts is None or not is_used(alerts) else {"alerts": describe_alerts(alerts.law)}
        ),
        "parameters": parameters,
        "gamma": {
            "value": gamma.value,
            "estimate": gamma.estimate,
            "std_err": gamma.std_err,
            "gain": gamma.gain,
            "gain_std_err": gamma.gain_std_err,
        },
        "provenance": {
            "created": created,
            "seed": seed,
            "versions": dict(versions),
            "incidents": len(learned.incidents),
            "groups": len(learned.groups),
            "data_sha256": learned.data_sha256,
            "left_out": [{"case": x.name, "reason": x.reason} for x in learned.left_out],
            "diagnostics": {
                "steps": list(learned.steps),
                "converged": learned.converged,
                "largest_pareto_k": learned.largest_pareto_k,
            },
            "held_out": {
                "before": float(np.mean([h.before for h in learned.held_out])),
                "after": float(np.mean([h.after for h in learned.held_out])),
                "gain": gain,
                "gain_std_err": error,
                "alerts": None if alerts is None else _alert_scores(alerts),
                "groups": [
                    {
                        "group": group_name(h.group),
                        "incidents": h.incidents,
                        "before": h.before,
                        "after": h.after,
                    }
                    for h in learned.held_out
                ],
            },
        },
    }


def group_name(group: Group) -> str:
    """``dataset: causes, fault``."""
    data_set, roots, fault = group
    return f"{data_set}: {' + '.join(roots)}, {fault or 'unknown'}"


def render(learned: Learned) -> RenderableType:
    """Return what was learned as a rich renderable."""
    n, groups = len(learned.incidents), len(learned.groups)
    end = "" if learned.converged else f"; NOT CONVERGED: the last moved {learned.steps[-1]:.2f}"
    head = (
        f"{n} incidents in {groups} groups of (data set, root causes, fault), each group counted "
        f"once. {len(learned.steps)} rounds{end}; largest Pareto k-hat "
        f"{learned.largest_pareto_k:.2f}."
    )
    parts: list[RenderableType] = [Text(head), Text(), _parameters(learned), Text()]
    parts += [_scores(learned), Text(), Text(_gamma(learned))]
    if learned.alerts is not None:
        parts.append(Text(_alerts(learned.alerts)))
    parts += [Text(line) for line in _left_out(learned)]
    return Lines(*parts)


def _parameters(learned: Learned) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("parameter")
    for name in ("prior", "95% range", "learned", "95% range", "moved (sd)"):
        table.add_column(name, justify="right")
    old, new = unconstrained_prior(), learned.fleet.predict()
    moved = (new[0] - old[0]) / old[1]
    cells = [_median_and_range(*prior) for prior in (old, new)]
    for name, was, now, shift in zip(parameter_names(), *cells, moved, strict=True):
        table.add_row(Text(name), *was, *now, f"{shift:+.2f}")
    return table


def _median_and_range(mean: Floats, sd: Floats) -> list[tuple[str, str]]:
    """Median and central 95% range of every parameter on its natural scale."""
    laws = [
        np.concatenate([np.ravel(v) for v in natural_values(mean + shift * sd).values()])
        for shift in (-1.96, 0.0, 1.96)
    ]
    return [(f"{m:.3g}", f"{low:.2g} - {high:.2g}") for low, m, high in zip(*laws, strict=True)]


def _scores(learned: Learned) -> Table:
    """Held-out scores, all groups together and of each data set."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("log score of groups left out")
    for name in ("groups", "before", "after", "gain", "std. err."):
        table.add_column(name, justify="right")
    names = dict.fromkeys(h.group[0] for h in learned.held_out)
    for name in ("all", *names) if len(names) > 1 else ("all",):
        of = [h for h in learned.held_out if name in ("all", h.group[0])]
        gains = [h.after - h.before for h in of]
        error = f"{mean_and_error(gains)[1]:.3f}" if len(of) > 1 else "-"
        before, after = (float(np.mean([getattr(h, x) for h in of])) for x in ("before", "after"))
        table.add_row(
            Text(name),
            str(len(of)),
            f"{before:.3f}",
            f"{after:.3f}",
            f"{float(np.mean(gains)):+.3f}",
            error,
        )
    return table


def _gamma(learned: Learned) -> str:
    g = learned.gamma
    found = f"best {g.estimate:g} +- {g.std_err:.2f}, gain {g.gain:.3f} +- {g.gain_std_err:.3f}"
    if g.value < 1.0:
        return f"Tempering: gamma {g.value:g} ({found})."
    return (
        f"Tempering: none, gamma 1 ({found}; another value needs a gain of {FEWEST_ERRORS:g} "
        "standard errors)."
    )


def _alert_scores(alerts: LearnedAlerts) -> dict[str, float | bool]:
    return {
        "groups": alerts.groups,
        "before": alerts.before,
        "after": alerts.after,
        "gain": alerts.gain,
        "gain_std_err": alerts.gain_std_err,
        "fires_without": alerts.fires_without,
        "converged": alerts.converged,
    }


def _alerts(alerts: LearnedAlerts) -> str:
    scores = (
        f"log score of groups left out {alerts.before:.3f} before, {alerts.after:.3f} after, gain "
        f"{alerts.gain:+.3f} +- {alerts.gain_std_err:.3f}"
    )
    law = alerts.law
    if not is_used(alerts):
        end = "" if alerts.converged else ", NOT CONVERGED"
        return f"Alerts: nothing is kept of {law.incidents} incidents ({scores}{end})."
    return (
        f"Alerts: {len(law.labels)} labels told apart, {len(law.kinds)} kinds of fault, from "
        f"{law.incidents} incidents in {alerts.groups} groups ({scores}). Without the "
        f"component that caused it, another has more than .9 in {alerts.fires_without:.1%} of them."
    )


def _left_out(learned: Learned) -> Iterator[str]:
    reasons: dict[str, list[str]] = {}
    for x in learned.left_out:
        reasons.setdefault(x.reason, []).append(x.name)
    for reason, cases in sorted(reasons.items(), key=lambda item: -len(item[1])):
        more = f" and {len(cases) - NAMED} more" if len(cases) > NAMED else ""
        yield f"left out: {', '.join(cases[:NAMED])}{more}: {reason}"
