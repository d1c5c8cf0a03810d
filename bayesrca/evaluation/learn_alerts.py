"""Learn what alerts tell of the cause from labelled incidents (docs/learning.md, "Alerts")."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import logsumexp

from bayesrca.alert_law import AlertLabel, AlertLaw
from bayesrca.evaluation.learn_gamma import mean_and_error
from bayesrca.evidence.alert_evidence import compute_learned_log_ratio, compute_plain_log_ratio
from bayesrca.evidence.alert_features import compute_alert_features
from bayesrca.evidence.alert_table import AlertTable, build_alert_table
from bayesrca.incident import Alert, Topology
from bayesrca.incident.selection import hide_alerts, hide_components

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SHARED_PRECISION, KIND_PRECISION, BIAS_PRECISION = 0.4, 0.8, 0.1
"""Precisions of the normal priors of weights that kinds of fault share, of what a kind's own
weights differ by, and of biases. A group of repeats counts as one incident."""
FEWEST_COMPONENTS, FEWEST_INCIDENTS = 3, 5
"""A label is told apart if it fired on so many components: else it is a component's own."""
FOLDS = 6
"""Parts into which groups are divided, each read by what the others taught."""
MOST_STEPS = 400
GATE = 0.9
"""Gate that is tried on incidents without their cause's component."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertCase:
    """The alerts of one labelled incident.

    Attributes:
        table: its alerts, at least one.
        absent: the same where nobody knows of the component that caused it.
        root: index of its only cause.
        kind: kind of fault, in the labels' own word.
        group: what it is a repeat of.
    """

    table: AlertTable
    absent: AlertTable
    root: int
    kind: str
    group: object


def make_alert_case(
    alerts: Sequence[Alert], topology: Topology, root: str, *, kind: str, group: object
) -> AlertCase:
    """Read an incident's alerts as they were, and as they would be without the cause's component.

    Args:
        alerts: at least one.
        topology: the components, of which one is the cause and one is not at least.
        root: name of the cause.
        kind: kind of fault.
        group: what it is a repeat of.
    """
    hidden = {root}
    return AlertCase(
        table=build_alert_table(alerts, topology),
        absent=build_alert_table(hide_alerts(alerts, hidden), hide_components(topology, hidden)),
        root=topology.index(root),
        kind=kind,
        group=group,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnedAlerts:
    """What was learned of alerts, and how much better it predicts.

    Attributes:
        law: learned from all incidents.
        held_out: for each incident, the law learned without its fold.
        groups: number of groups.
        before: mean log score of groups under the built-in law.
        after: the same under laws that had not seen the group.
        gain: the difference.
        gain_std_err: its standard error over groups.
        fires_without: share of incidents without their cause's component in which another has more
            than .9 under a law that had not seen the group.
        converged: whether every fit reached its mode.
    """

    law: AlertLaw
    held_out: tuple[AlertLaw, ...]
    groups: int
    before: float
    after: float
    gain: float
    gain_std_err: float
    fires_without: float
    converged: bool


def learn_alerts(cases: Sequence[AlertCase], *, seed: int, none_prior: float) -> LearnedAlerts:
    """Fit the law of alerts, and score each group by what the other folds teach.

    Args:
        cases: labelled incidents with alerts.
        seed: divides groups into folds.
        none_prior: prior probability of "none of these", in (0, 1), in the scores.
    """
    groups = list(dict.fromkeys(case.group for case in cases))
    order = np.random.default_rng(seed).permutation(len(groups))
    fold_of = {group: int(order[i] % FOLDS) for i, group in enumerate(groups)}
    fits = {
        fold: fit_alert_law([c for c in cases if fold_of[c.group] != fold])
        for fold in sorted(set(fold_of.values()))
    }
    law, converged = fit_alert_law(cases)
    held_out = tuple(fits[fold_of[case.group]][0] for case in cases)
    gains: dict[object, list[tuple[float, float]]] = {}
    fired: list[bool] = []
    for case, one in zip(cases, held_out, strict=True):
        before = _log_posterior(compute_plain_log_ratio(case.table), none_prior)[case.root]
        after = _log_posterior(compute_learned_log_ratio(case.table, one), none_prior)[case.root]
        gains.setdefault(case.group, []).append((before, after))
        absent = _log_posterior(compute_learned_log_ratio(case.absent, one), none_prior)
        fired.append(absent[:-1].max() > np.log(GATE))
    means = np.array([np.mean(pairs, axis=0) for pairs in gains.values()])
    gain, error = mean_and_error(list(means[:, 1] - means[:, 0]))
    return LearnedAlerts(
        law=law,
        held_out=held_out,
        groups=len(groups),
        before=float(means[:, 0].mean()),
        after=float(means[:, 1].mean()),
        gain=gain,
        gain_std_err=error,
        fires_without=float(np.mean(fired)),
        converged=converged and all(done for _, done in fits.values()),
    )


def _log_posterior(log_ratio: Floats, none_prior: float) -> Floats:
    """[n + 1] log probabilities with equal prior weights, that of "none of these" last."""
    log_joint = np.append(
        log_ratio + np.log((1.0 - none_prior) / len(log_ratio)), np.log(none_prior)
    )
    return np.asarray(log_joint - logsumexp(log_joint))


def fit_alert_law(cases: Sequence[AlertCase]) -> tuple[AlertLaw, bool]:
    """Fit weights by their posterior's mode; also return whether it was reached.

    Every incident is read twice: as it was, with its cause and kind of fault among all pairs of
    them and "none of these", and without the component that caused it, with "none of these" for
    the truth: what alerts look like when the cause is somebody else. Either reading has even odds
    for "none of these", so that biases are log Bayes factors. How usual an operation or a template
    is, an incident is told by the other groups, as a new one will be.
    """
    labels, details = _vocabulary(cases)
    kinds = tuple(sorted({case.kind for case in cases}))
    sizes = Counter(case.group for case in cases)
    readings = []
    own: dict[object, Counter[AlertLabel]] = {}
    for case in cases:
        own.setdefault(case.group, Counter()).update(_details_of(case))
    for case in cases:
        weight, others = 1.0 / sizes[case.group], len(cases) - sizes[case.group]
        mine = own[case.group]
        known = {label: details[label] - mine[label] for label in _details_of(case)}
        for table, root in ((case.table, case.root), (case.absent, None)):
            x = compute_alert_features(table, labels, known, others)
            readings.append((x, root, kinds.index(case.kind), weight))
    weights, bias, converged = _climb(readings, len(kinds))
    law = AlertLaw(
        labels=labels,
        details=details,
        incidents=len(cases),
        kinds=kinds,
        bias=tuple(map(float, bias)),
        weight=tuple(tuple(map(float, row)) for row in weights),
    )
    return law, converged


def _details_of(case: AlertCase) -> frozenset[AlertLabel]:
    return frozenset().union(*case.table.details, *case.absent.details)


def _vocabulary(
    cases: Sequence[AlertCase],
) -> tuple[tuple[AlertLabel, ...], dict[AlertLabel, int]]:
    where: dict[AlertLabel, set[str]] = {}
    labels: Counter[AlertLabel] = Counter()
    details: Counter[AlertLabel] = Counter()
    for case in cases:
        for name, of in zip(case.table.components, case.table.counts, strict=True):
            for label in of:
                where.setdefault(label, set()).add(name)
        labels.update(case.table.labels)
        details.update(_details_of(case))
    kept = tuple(
        label
        for label in sorted(where)
        if len(where[label]) >= FEWEST_COMPONENTS and labels[label] >= FEWEST_INCIDENTS
    )
    return kept, {label: details[label] for label in sorted(details)}


def _climb(
    readings: Sequence[tuple[Floats, int | None, int, float]], n_kinds: int
) -> tuple[Floats, Floats, bool]:
    """Weights [K, P] and biases [K] at the posterior's mode, and whether it was reached."""
    rows = np.concatenate([x for x, *_ in readings])
    n_features = rows.shape[1]
    starts = np.cumsum([0, *(len(x) for x, *_ in readings)])
    part = np.repeat(np.arange(len(readings)), np.diff(starts))
    log_prior = -np.log(np.diff(starts))[part]
    share = np.array([weight for *_, weight in readings])
    target = np.zeros((len(rows), n_kinds))
    for i, (_, root, kind, weight) in enumerate(readings):
        if root is not None:
            target[starts[i] + root, kind] = weight
    # Truths that are "none of these" have no row: its score is 0 in every reading.

    def value(x: Floats) -> tuple[float, Floats]:
        shared, own, bias = np.split(x, [n_features, n_features * (1 + n_kinds)])
        own = own.reshape(n_features, n_kinds)
        score = rows @ (shared[:, None] + own) + bias
        joint = score + log_prior[:, None]
        most = np.maximum(np.maximum.reduceat(joint.max(axis=1), starts[:-1]), 0.0)
        part_of = np.exp(joint - most[part][:, None])
        total = np.add.reduceat(part_of.sum(axis=1), starts[:-1]) + np.exp(-most)
        log_total = most + np.log(total)
        slope = target - part_of * (share / total)[part][:, None]
        by_weight = rows.T @ slope
        likelihood = (target * joint).sum() - share @ log_total
        prior = (
            SHARED_PRECISION * shared @ shared
            + KIND_PRECISION * (own**2).sum()
            + BIAS_PRECISION * bias @ bias
        )
        gradient = [
            by_weight.sum(axis=1) - SHARED_PRECISION * shared,
            (by_weight - KIND_PRECISION * own).ravel(),
            slope.sum(axis=0) - BIAS_PRECISION * bias,
        ]
        return 0.5 * float(prior) - float(likelihood), -np.concatenate(gradient)

    found = minimize(
        value,
        np.zeros(n_features * (1 + n_kinds) + n_kinds),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": MOST_STEPS},
    )
    shared, own, bias = np.split(found.x, [n_features, n_features * (1 + n_kinds)])
    return (shared[:, None] + own.reshape(n_features, n_kinds)).T, bias, bool(found.success)
