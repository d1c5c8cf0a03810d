"""Answers and policies to decide on: numbers are exact in binary, so that boundaries are too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bayesrca.posterior.result import (
    Alarm,
    Ambiguity,
    Answer,
    Cause,
    CauseSet,
    Diagnostics,
    ExplainedShare,
    Explanation,
    Level,
    NodeProbability,
    Probability,
    RootCausePosterior,
)

NOW = 10_000.0
CIRCUMSTANCES: dict[str, Any] = {
    "now": NOW,
    "analyzed_at": NOW - 512.0,
    "history": (),
    "kill_switch": False,
}
NUTS = {
    "pareto_k": None,
    "r_hat": 1.0,
    "ess": 1000.0,
    "divergences": 0,
    "n_chains": 4,
    "e_bfmi": 1.0,
}


def at(value: float, *, mcse: float = 0.0, width: float = 0.0) -> Probability:
    return Probability(
        value=value,
        mcse=mcse,
        interval=(max(0.0, value - width), min(1.0, value + width)),
    )


def make_answer(
    sets: Mapping[str, float],
    *,
    none: float = 0.03125,
    none_mcse: float = 0.0,
    none_width: float = 0.0,
    mcse: float = 0.0,
    width: float = 0.0,
    kinds: Mapping[str, float] | None = None,
    only: Mapping[str, float] | None = None,
    explained: float | None = 0.75,
    explained_width: float = 0.0,
    levels: Mapping[str, Mapping[str, float]] | None = None,
    method: str = "screen",
    healthy: bool = True,
    anomalous: bool = True,
    interval_mass: float = 0.89,
    **diagnostics: Any,  # noqa: ANN401
) -> Answer:
    """An answer whose hypotheses have these probabilities, by the letters of their components.

    Args:
        sets: e.g. ``{"a": 0.9, "ab": 0.05, "c": 0.0}``; listed in this order.
        none, none_mcse, none_width: p(none), its error, half of its interval.
        mcse, width: the same of every cause.
        kinds: how being the only cause divides into kinds; all of it ``latency`` by default.
        only: p(only cause) of some components, where it is not that of their set.
        explained, explained_width: explained share of every cause, half of its interval.
        levels: places by kind and name.
        method, healthy, anomalous, interval_mass, diagnostics: as in the answer.
    """
    names = sorted({name for members in sets for name in members})
    total = {name: sum(p for members, p in sets.items() if name in members) for name in names}
    causes = [
        Cause(
            component=name,
            kind="latency",
            kinds={"latency": 0.0, "errors": 0.0}
            | {k: s * sets.get(name, 0.0) for k, s in (kinds or {"latency": 1.0}).items()},
            probability=at(total[name], mcse=mcse, width=width),
            only=at((only or sets).get(name, sets.get(name, 0.0)), mcse=mcse, width=width),
            explains=_explain(explained, explained_width),
        )
        for name in names
    ]
    numbers = {
        "n_draws": 1024, "n_chains": 0, "r_hat": None, "ess": 500.0, "divergences": None,
        "e_bfmi": None, "pareto_k": 0.25, "reruns": 0, "max_width": 4, "sum_error": 0.0,
    }  # fmt: skip
    return Answer(
        incident="made up",
        method=method,
        posterior=RootCausePosterior(
            causes=tuple(sorted(causes, key=lambda c: -c.probability.value)),
            none=at(none, mcse=none_mcse, width=none_width),
            sets=tuple(
                CauseSet(components=tuple(members), probability=at(p))
                for members, p in sets.items()
            ),
            ambiguity=_AMBIGUITY,
            levels=tuple(
                Level(
                    kind=kind,
                    nodes=tuple(
                        NodeProbability(component=n, probability=at(p, mcse=mcse, width=width))
                        for n, p in nodes.items()
                    ),
                )
                for kind, nodes in (levels or {}).items()
            ),
        ),
        interval_mass=interval_mass,
        diagnostics=Diagnostics(
            healthy=healthy,
            problems=() if healthy else ("made up",),
            **{**numbers, **(NUTS if method == "nuts" else {}), **diagnostics},
        ),
        attribution=None,
        alarm=Alarm(target_p=1e-6, incident_p=1e-6, anomalous=anomalous, text=""),
        onsets=(),
        notes=(),
        seed=0,
        versions={},
        timings={"screen": 0.5},
    )


def policy_table(**changes: Any) -> dict[str, Any]:  # noqa: ANN401
    """A policy's document by which ``make_answer({"a": 0.9375, "b": 0.03125})`` runs.

    Args:
        changes: ``table__key=value`` for an entry of a table, ``key=value`` for one of its own;
            None takes a key of its own away.
    """
    document: dict[str, Any] = {
        "runbook": "restart",
        "reversible": True,
        "scope": {"components": ["a"]},
        "loss": {"act_right": 1, "act_wrong": 8, "wait_right": 9, "wait_wrong": 0},
        "rate_limit": {"runs": 2, "window_seconds": 4096},
        "thresholds": {
            "p_cause": 0.875,
            "p_cause_review": 0.625,
            "p_none": 0.0625,
            "p_none_review": 0.5,
            "lead": 0.25,
            "alone": 0.5,
            "fault": 0.75,
        },
        "explained_share": {"minimum": 0.5},
        "health": {"min_ess": 100},
        "max_age_seconds": 1024,
    }
    for key, value in changes.items():
        table, _, entry = key.partition("__")
        if entry:
            document[table] = {**document.get(table, {}), entry: value}
        else:
            document[table] = value
    return {key: value for key, value in document.items() if value is not None}


def _explain(share: float | None, width: float) -> Explanation:
    return Explanation(
        own=(),
        dose=None,
        explained_share=None
        if share is None
        else ExplainedShare(
            family="latency",
            value=share,
            interval=(max(share - width, 0.0), min(share + width, 1.0)),
            ratio=share,
        ),
        path=(),
        edges=(),
        affected=(),
        reaches_target=None,
        footprint=(0.0, 1.0),
        text="",
    )


_AMBIGUITY = Ambiguity(
    entropy=0.5, effective=1.5, credible=(("a",),), credible_mass=0.9, word="clear", text=""
)
