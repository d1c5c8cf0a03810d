"""What is read off a component's alerts: which fired, on whom else, and how usual they are.

Nothing here knows a component's name: a feature is about labels, about counts, about how the
component differs from other instances of the same thing and about who calls it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from bayesrca.alert_law import AlertLabel
from bayesrca.evidence.alert_table import CALLS, LOG, METRIC, AlertTable

Floats = NDArray[np.float64]

SHARE_SCALE = 5.0
"""Weights have one prior scale: a share of all alerts is in units of a fifth."""


def compute_alert_features(
    table: AlertTable,
    labels: tuple[AlertLabel, ...],
    details: Mapping[AlertLabel, int],
    incidents: int,
) -> Floats:
    """Features [n, P] of each component's being the cause; P follows from the labels alone.

    Args:
        table: the incident's alerts.
        labels: labels that are told apart, L of them; others count in totals only.
        details: in how many incidents each operation and log template fired.
        incidents: how many incidents that is of.
    """
    counts = table.matrix(labels)
    fired = (counts > 0).astype(np.float64)
    counted = [j for j, (place, _, _) in enumerate(labels) if place != METRIC]
    own = np.concatenate(
        [
            fired,
            np.log(np.maximum(counts[:, counted], 1.0)),
            np.log1p(_surprise(table, details, incidents)),
            np.log1p(fired.sum(axis=1, keepdims=True)),
        ],
        axis=1,
    )
    # The rate of a label in this very incident: what fires everywhere points at nobody.
    rate = (fired.sum(axis=0) + 0.5) / (len(fired) + 1.0)
    peers = _mean_over(table.instances, own)
    replicated = table.instances.any(axis=1, keepdims=True)
    metrics = fired[:, [j for j, (place, _, _) in enumerate(labels) if place == METRIC]]
    return np.concatenate(
        [
            own,
            -0.5 * fired * np.log(rate),
            -(1.0 - fired) * np.log1p(-rate),
            np.maximum(own - peers, 0.0) * replicated,
            np.maximum(peers - own, 0.0) * replicated,
            0.5 * _mean_over(table.calls, metrics),
            0.5 * _mean_over(table.calls.T, metrics),
            _totals(table),
        ],
        axis=1,
    )


def count_alert_features(labels: tuple[AlertLabel, ...]) -> int:
    """P, the number of features that labels give rise to."""
    metrics = sum(place == METRIC for place, _, _ in labels)
    own = 2 * len(labels) - metrics + 3
    return 3 * own + 2 * len(labels) + 2 * metrics + 6


def _surprise(table: AlertTable, details: Mapping[AlertLabel, int], incidents: int) -> Floats:
    """[n, 2] sum of -log rate over a component's log templates, and over operations of its calls.

    A rate is that of the alert over all incidents, whatever their cause.
    """
    out = np.zeros((len(table.components), 2))
    for i, of in enumerate(table.details):
        for label in sorted(of):  # sums must not depend on the order of a set
            rate = (details.get(label, 0) + 0.5) / (incidents + 1.0)
            out[i, 0 if label[0] == LOG else 1] -= np.log(rate)
    return out


def _mean_over(who: NDArray[np.bool_], values: Floats) -> Floats:
    """[n, .] mean of the values of those whom each component's row names, 0 for nobody."""
    weight = who.astype(np.float64)
    return np.asarray(weight @ values / np.maximum(weight.sum(axis=1, keepdims=True), 1.0))


def _totals(table: AlertTable) -> Floats:
    """[n, 6] how many alerts a component has, against all others, and of how many callers."""

    def total(places: tuple[str, ...]) -> Floats:
        rows = ((c for (place, _, _), c in of.items() if place in places) for of in table.counts)
        return np.array([float(sum(row)) for row in rows])

    columns = []
    for count in (total((METRIC,)), total(CALLS[:3])):
        size = np.log1p(count)
        columns += [size - size.mean(), SHARE_SCALE * count / max(count.sum(), 1.0)]
    columns += [np.log1p(table.calls.sum(axis=axis)) for axis in (0, 1)]
    return np.stack(columns, axis=1)
