"""Draws and evidence -> the posterior over root causes that users read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bayesrca.evidence import Evidence
from bayesrca.incident import Event, Topology
from bayesrca.kernels.propagation import KINDS, PreparedLikelihood
from bayesrca.model.draws import Draws
from bayesrca.posterior.ambiguity import compute_ambiguity
from bayesrca.posterior.changes import compute_change_posterior
from bayesrca.posterior.explain import Explainer
from bayesrca.posterior.levels import compute_levels
from bayesrca.posterior.onsets import rank_onsets
from bayesrca.posterior.result import (
    Alarm,
    Cause,
    CauseSet,
    ChangeProbability,
    Changes,
    Onset,
    RootCausePosterior,
)
from bayesrca.posterior.summary import RootProbabilities

LEADING = 10
"""Most probable causes of which it is told what they explain and how their fault spread."""
LISTED_SETS = 10
"""Sets that are listed however improbable they are."""
LEAST_SET = 1e-6
"""Sets at least this probable are all listed; scores of a backtest do not look below it."""


def build_posterior(
    draws: Draws,
    root: RootProbabilities,
    evidence: Evidence,
    likelihood: PreparedLikelihood,
    *,
    topology: Topology,
    target: int | None,
    interval_mass: float,
) -> RootCausePosterior:
    """Rank the components and say what speaks for each.

    Args:
        draws: draws of either speed.
        root: their probabilities.
        evidence: what the draws were made from.
        likelihood: the same, prepared.
        topology: the incident's.
        target: index of the target, or None.
        interval_mass: mass of the credible intervals, in (0, 1).
    """
    explainer = Explainer(
        evidence, likelihood, draws.mean, target, root.members, interval_mass=interval_mass
    )
    ranked = np.argsort(-root.values[:-1], kind="stable")
    names = evidence.components
    exclusive = [*((name,) for name in names), *_named(root, names), ()]
    values = np.concatenate([root.only.values, root.sets.values, root.values[-1:]])
    return RootCausePosterior(
        causes=tuple(
            _cause(int(i), root, evidence, explainer, leading=rank < LEADING)
            for rank, i in enumerate(ranked)
        ),
        none=root.probability(-1),
        sets=_sets(root, names),
        ambiguity=compute_ambiguity(exclusive, values, n_components=len(names)),
        levels=compute_levels(draws, root, topology.components, interval_mass),
    )


def read_alarm(evidence: Evidence) -> Alarm:
    """Whether anything is anomalous at all."""
    test = evidence.alarm
    return Alarm(
        target_p=test.target_p,
        incident_p=test.incident_p,
        anomalous=test.anomalous,
        text=test.text,
    )


def read_changes(
    root: RootProbabilities, evidence: Evidence, events: Sequence[Event]
) -> Changes | None:
    """Which of the changes that the incident tells of brought it about; None without any.

    Args:
        root: probabilities of the components.
        evidence: what they were made from.
        events: the incident's.
    """
    traces = evidence.traces
    if traces is None or not traces.changes:
        return None
    found = compute_change_posterior(
        traces.changes, np.clip(root.values[:-1], 0.0, 1.0), np.exp(evidence.root_log_prior)
    )
    by_change = dict(zip(map(id, found.changes), found.probability.tolist(), strict=True))
    return Changes(
        none=found.none,
        ranking=tuple(
            ChangeProbability(
                id=next((events[r].id for r in c.rows or (c.event,) if events[r].id), None),
                kind=events[c.event].kind,
                component=None if c.component < 0 else evidence.components[c.component],
                time=events[c.event].time,
                text="\n".join(dict.fromkeys(events[r].text for r in c.rows or (c.event,))),
                probability=by_change[id(c)],
            )
            for c in found.ranking
        ),
    )


def read_onsets(evidence: Evidence) -> tuple[Onset, ...]:
    """When components began to move, where the evidence tells."""
    onsets = evidence.onsets
    if onsets is None:
        return ()
    return rank_onsets(
        evidence.components,
        time=onsets.time,
        lower=onsets.lower,
        upper=onsets.upper,
        signal=onsets.signal,
    )


def most_probable_footprint(draws: Draws, likelihood: PreparedLikelihood) -> int:
    """Index of the footprint that is most probable over all hypotheses, at the mean of theta."""
    joint = likelihood.compute_footprint_log_joint(draws.mean)
    return int(np.logaddexp.reduce(joint, axis=0).argmax())


def _named(root: RootProbabilities, names: Sequence[str]) -> list[tuple[str, ...]]:
    return [tuple(names[i] for i in members) for members in root.members]


def _sets(root: RootProbabilities, names: Sequence[str]) -> tuple[CauseSet, ...]:
    """Return every considered set worth listing, single components included."""
    n = len(names)
    members = [*((name,) for name in names), *_named(root, names)]
    values = np.concatenate([root.only.values, root.sets.values])
    ranked = np.argsort(-values, kind="stable")
    size = max(LISTED_SETS, int((values >= LEAST_SET).sum()))
    return tuple(
        CauseSet(
            components=members[i],
            probability=root.only.probability(i) if i < n else root.sets.probability(i - n),
        )
        for i in ranked[:size].tolist()
    )


def _cause(
    i: int, root: RootProbabilities, evidence: Evidence, explainer: Explainer, *, leading: bool
) -> Cause:
    kind = int(np.argmax(root.by_kind[i]))
    probability = root.probability(i)
    return Cause(
        component=evidence.components[i],
        kind=KINDS[kind],
        kinds={k: float(p) for k, p in zip(KINDS, root.by_kind[i], strict=True)},
        probability=probability,
        only=root.only.probability(i),
        explains=replace(
            explainer.explain(i, kind, leading=leading),
            regions=explainer.find_regions(i, probability, root.by_kind[i]),
        ),
    )
