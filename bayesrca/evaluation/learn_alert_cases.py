"""Which labelled incidents alerts can be learned from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bayesrca.alert_law import AlertLaw
from bayesrca.errors import BayesRcaError
from bayesrca.evaluation.cases import DataSet, read_labels
from bayesrca.evaluation.learn_alerts import (
    AlertCase,
    LearnedAlerts,
    learn_alerts,
    make_alert_case,
)
from bayesrca.evaluation.learn_gamma import FEWEST_ERRORS
from bayesrca.evidence.sources import is_read
from bayesrca.ingest import load_incident
from bayesrca.ingest.alerts_file import FILE_NAME, has_alerts
from bayesrca.ingest.folder import EVENTS, folder_name

UNNAMED = "unknown"
"""Kind of a fault that its labels do not name."""


def learn_alerts_of(
    data_sets: Sequence[DataSet], *, fewest_groups: int, seed: int, none_prior: float
) -> tuple[LearnedAlerts | None, dict[Path, AlertLaw]]:
    """Learn from the cases that tell of alerts alone; incidents with one cause teach.

    Cases that cannot be read are passed over: whoever reads them next says why.

    Args:
        data_sets: the cases.
        fewest_groups: distinct (data set, root causes, fault) that it takes.
        seed: divides groups into folds.
        none_prior: prior probability of "none of these".

    Returns:
        What was learned, and for each case with alerts, whatever else it tells, a law that had not
        seen its group; None and none where there are too few groups. No laws either where they
        gain less than two standard errors.
    """
    found: dict[Path, AlertCase] = {}
    groups: dict[Path, object] = {}
    for data_set in data_sets:
        for case in data_set.cases:
            try:
                read = _read(case, groups)
            except BayesRcaError:
                continue
            if read is not None:
                found[case] = read
    if len({case.group for case in found.values()}) < fewest_groups:
        return None, {}
    learned = learn_alerts(list(found.values()), seed=seed, none_prior=none_prior)
    if not is_used(learned):
        return learned, {}
    laws = {case.group: law for case, law in zip(found.values(), learned.held_out, strict=True)}
    return learned, {case: laws.get(group, learned.law) for case, group in groups.items()}


def is_used(learned: LearnedAlerts) -> bool:
    """Whether what was learned reached its mode and gains enough to be used."""
    return learned.converged and learned.gain > FEWEST_ERRORS * learned.gain_std_err


def _read(case: Path, groups: dict[Path, object]) -> AlertCase | None:
    """Return the alerts of a case that teaches; also note the group of one that has any."""
    if not has_alerts(case / FILE_NAME, case / EVENTS):
        return None
    labels, incident = read_labels(case), load_incident(case)
    groups[case] = group = (folder_name(case.parent), labels.truth, labels.fault)
    if not incident.alerts or len(labels.truth) != 1 or labels.truth[0] not in incident.topology:
        return None
    if any(is_read(s) for s in incident.signals) or incident.spans is not None:
        return None  # alerts repeat what is read there
    return make_alert_case(
        incident.alerts,
        incident.topology,
        labels.truth[0],
        kind=labels.fault or UNNAMED,
        group=group,
    )
