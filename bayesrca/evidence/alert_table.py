"""An incident's alerts as counts: which labels fired how often on each component."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayesrca.alert_law import AlertLabel
from bayesrca.incident import Alert, AlertKind, Topology

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

METRIC, LOG = "metric", "log"
CALLS = SELF, OUT, IN, ENTRY = "calls to itself", "calls made", "calls served", "calls from outside"
"""Places of a label: an alert on calls from A to B stands at both, where B serves and A makes."""

_ORDINAL = re.compile(r"^(.+)-(?:[0-9]+|[0-9a-f]{6,10}-[a-z0-9]{5})$")
"""A name that ends as orchestrators number the instances of one thing: ``web-0``, and
``web-6d4cf56db6-x7k2p``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertTable:
    """Alerts of one incident over n components.

    Attributes:
        components: their names.
        counts: per component how many distinct alerts each label stands for. Labels of calls and
            logs hold no name here: which operation or template it was is in ``details``.
        details: per component its labels of calls and logs, with names.
        calls: bool [n, n], whether an alert is about calls from the first to the second.
        instances: bool [n, n], whether two components are instances of one thing.
        told: number of distinct alerts.
    """

    components: tuple[str, ...]
    counts: tuple[Mapping[AlertLabel, int], ...]
    details: tuple[frozenset[AlertLabel], ...]
    calls: Bools
    instances: Bools
    told: int

    @property
    def labels(self) -> tuple[AlertLabel, ...]:
        """All labels that fired, in order."""
        return tuple(sorted({label for of in self.counts for label in of}))

    def matrix(self, labels: Sequence[AlertLabel]) -> Floats:
        """[n, labels] counts; labels that are not asked for are left out."""
        column = {label: j for j, label in enumerate(labels)}
        out = np.zeros((len(self.components), len(labels)))
        for i, of in enumerate(self.counts):
            for label, count in of.items():
                if label in column:
                    out[i, column[label]] = count
        return out


def build_alert_table(alerts: Sequence[Alert], topology: Topology) -> AlertTable:
    """Count alerts; the order in which they come, their times and repeats do not matter."""
    n = len(topology)
    counts: list[dict[AlertLabel, int]] = [{} for _ in range(n)]
    details: list[set[AlertLabel]] = [set() for _ in range(n)]
    calls = np.zeros((n, n), dtype=np.bool_)
    distinct = {(a.component, a.kind, a.name, a.change, a.caller) for a in alerts}
    for component, kind, name, change, caller in distinct:
        at = topology.index(component)
        places = [(at, METRIC if kind is AlertKind.METRIC else LOG)]
        if kind is AlertKind.CALL:
            places = [(at, ENTRY)]
            if caller == component:
                places = [(at, SELF)]
            elif caller is not None:
                by = topology.index(caller)
                calls[by, at] = True
                places = [(at, IN), (by, OUT)]
        for i, place in places:
            label = (place, name if place == METRIC else "", change if place != LOG else "")
            counts[i][label] = counts[i].get(label, 0) + 1
            if place != METRIC:
                details[i].add((place, name, change))
    return AlertTable(
        components=topology.names,
        counts=tuple(counts),
        details=tuple(map(frozenset, details)),
        calls=calls,
        instances=find_instances(topology),
        told=len(distinct),
    )


def find_instances(topology: Topology) -> Bools:
    """[n, n] which components are instances of one thing, such as replicas of a service.

    Those of one kind and name but for the number that an orchestrator gives, under one parent.
    """
    groups: dict[object, list[int]] = {}
    for i, c in enumerate(topology.components):
        match = _ORDINAL.match(c.name)
        if match is not None:
            groups.setdefault((match[1], c.kind, c.parent), []).append(i)
    out = np.zeros((len(topology), len(topology)), dtype=np.bool_)
    for group in groups.values():
        out[np.ix_(group, group)] = True
    np.fill_diagonal(out, val=False)
    return out
