"""What alerts say: a log Bayes factor of every component as the cause against none of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from bayesrca.alert_law import AlertLaw
from bayesrca.evidence.alert_features import compute_alert_features
from bayesrca.evidence.alert_table import AlertTable, build_alert_table
from bayesrca.evidence.trace_laws import LARGEST_LOG_RATIO
from bayesrca.incident import Alert, Topology

Floats = NDArray[np.float64]

SHOWS = 0.5
"""Probability that a root shows the alert that tells it, where nothing was learned."""
KNOWN = 0.5
"""Least share of an incident's alerts whose labels a learned law must know to be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertEvidence:
    """Evidence of the alerts that fired, over n components.

    Attributes:
        log_ratio: [n] log Bayes factor of "this component is the cause" against "none of these".
        fired: [n] distinct alerts that stand at each component.
        counted: bool [n] components of which alerts tell; the others tell for themselves.
        told: number of distinct alerts, which may stand at two components each.
        learned: whether a law of labelled incidents was read, or the built-in one.
        notes: what was made of them, one sentence each.
    """

    log_ratio: Floats
    fired: NDArray[np.int64]
    counted: NDArray[np.bool_]
    told: int
    learned: bool
    notes: tuple[str, ...] = ()

    def without(self, components: NDArray[np.bool_]) -> AlertEvidence:
        """Tell nothing of these components [n]."""
        return replace(
            self,
            log_ratio=np.where(components, 0.0, self.log_ratio),
            counted=self.counted & ~components,
        )

    def spread(self, places: NDArray[np.int64], n: int) -> AlertEvidence:
        """Return it over n components, of which these are at the given places; no other counts."""
        log_ratio, fired = np.zeros(n), np.zeros(n, dtype=np.int64)
        counted = np.zeros(n, dtype=np.bool_)
        log_ratio[places], fired[places], counted[places] = self.log_ratio, self.fired, self.counted
        return replace(self, log_ratio=log_ratio, fired=fired, counted=counted)


def build_alert_evidence(
    alerts: tuple[Alert, ...], topology: Topology, law: AlertLaw | None
) -> AlertEvidence:
    """Weigh the alerts of an incident.

    Args:
        alerts: those that fired, in any order.
        topology: the components.
        law: what labelled incidents taught, or None.
    """
    table = build_alert_table(alerts, topology)
    fired = np.array([sum(of.values()) for of in table.counts], dtype=np.int64)
    notes = []
    if len(alerts) > table.told:
        notes.append(f"{len(alerts) - table.told} alerts are given twice and count once.")
    known = 0.0 if law is None else _known_share(table, law)
    learned = law is not None and table.told > 0 and known >= KNOWN
    log_ratio = np.zeros(len(topology))
    if law is not None and learned:
        log_ratio = compute_learned_log_ratio(table, law)
        notes.append(
            f"{table.told} alerts were read by what {law.incidents} labelled incidents taught, "
            f"which knows the labels of {known:.0%} of them."
        )
    elif table.told:
        log_ratio = compute_plain_log_ratio(table)
        why = (
            "no labelled incidents were learned from (bayesrca learn)"
            if law is None
            else f"the learned prior knows the labels of {known:.0%} of them"
        )
        notes.append(
            f"{table.told} alerts were read by the built-in law, which tells little: {why}."
        )
    return AlertEvidence(
        log_ratio=np.clip(log_ratio, -LARGEST_LOG_RATIO, LARGEST_LOG_RATIO),
        fired=fired,
        counted=np.ones(len(topology), dtype=np.bool_),
        told=table.told,
        learned=learned,
        notes=tuple(notes),
    )


def compute_plain_log_ratio(table: AlertTable) -> Floats:
    """[n] log Bayes factors where nothing was learned.

    Some label tells the root, unknown which: the mean over labels of the ratio of a root's rate to
    the label's own in this incident.
    """
    fired = table.matrix(table.labels) > 0
    rate = (fired.sum(axis=0) + 0.5) / (len(fired) + 1.0)
    ratio = np.where(fired, SHOWS / rate, (1.0 - SHOWS) / (1.0 - rate))
    return np.asarray(np.log(ratio.mean(axis=1)))


def compute_learned_log_ratio(table: AlertTable, law: AlertLaw) -> Floats:
    """[n] log Bayes factors by a learned law, its kinds of fault summed out."""
    features = compute_alert_features(table, law.labels, law.details, law.incidents)
    by_kind = features @ np.array(law.weight).T + np.array(law.bias)
    return np.asarray(logsumexp(by_kind, axis=1))


def _known_share(table: AlertTable, law: AlertLaw) -> float:
    """Share of what stands at components whose labels the law tells apart."""
    known, all_of = set(law.labels), sum((Counter(of) for of in table.counts), Counter())
    return sum(n for label, n in all_of.items() if label in known) / max(all_of.total(), 1)
