"""Which labelled incidents alerts can be learned from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bayesrca.alert_law import AlertLaw
from bayesrca.errors import BayesRcaError
from bayesrca.evaluation.cases import DataSet, read_labels
from bayesrca.evaluation.learn_alerts import AlertCase, LearnedAlerts, learn_alerts
from bayesrca.evaluation.learn_gamma import FEWEST_ERRORS
from bayesrca.evidence.alert_table import build_alert_table
from bayesrca.ingest import load_incident
from bayesrca.ingest.alerts_file import FILE_NAME, has_alerts
from bayesrca.ingest.folder import EVENTS, folder_name

UNNAMED = "unknown"
"""Kind of a fault that its labels do not name."""


def learn_alerts_of(
    data_sets: Sequence[DataSet], *, fewest_groups: int, seed: int
) -> tuple[LearnedAlerts | None, dict[Path, AlertLaw]]:
    """Learn from the cases that tell of alerts; incidents with one cause teach.

    Cases that cannot be read are passed over: whoever reads them next says why.

    Args:
        data_sets: the cases.
        fewest_groups: distinct (data set, root causes, fault) that it takes.
        seed: divides groups into folds.

    Returns:
        What was learned, and for each case a law that had not seen its group; None and none where
        there are too few groups. No laws either where they gain less than two standard errors.
    """
    found: dict[Path, AlertCase] = {}
    for data_set in data_sets:
        for case in data_set.cases:
            try:
                read = _read(case)
            except BayesRcaError:
                continue
            if read is not None:
                found[case] = read
    if len({case.group for case in found.values()}) < fewest_groups:
        return None, {}
    learned = learn_alerts(list(found.values()), seed=seed)
    if not is_used(learned):
        return learned, {}
    return learned, dict(zip(found, learned.held_out, strict=True))


def is_used(learned: LearnedAlerts) -> bool:
    """Whether what was learned gains enough to be used."""
    return learned.gain > FEWEST_ERRORS * learned.gain_std_err


def _read(case: Path) -> AlertCase | None:
    if not has_alerts(case / FILE_NAME, case / EVENTS):
        return None
    labels, incident = read_labels(case), load_incident(case)
    if not incident.alerts or len(labels.truth) != 1 or labels.truth[0] not in incident.topology:
        return None
    if incident.signals or incident.spans is not None:
        return None  # alerts repeat what is read there
    return AlertCase(
        table=build_alert_table(incident.alerts, incident.topology),
        root=incident.topology.index(labels.truth[0]),
        kind=labels.fault or UNNAMED,
        group=(folder_name(case.parent), labels.truth, labels.fault),
    )
