"""Incidents of which nothing is known but the alerts that fired."""

from __future__ import annotations

import numpy as np

from bayesrca.alert_law import AlertLaw
from bayesrca.evidence.alert_evidence import build_alert_evidence
from bayesrca.evidence.changes import compute_change_log_factor
from bayesrca.evidence.evidence import Evidence, FamilyTable
from bayesrca.evidence.prior import compute_root_log_prior
from bayesrca.evidence.states import StateTable
from bayesrca.evidence.trace_build import build_trace_evidence
from bayesrca.evidence.vitals import VitalTable
from bayesrca.incident import Alert, Incident, TimeWindow


def build_evidence_of_alerts(
    incident: Incident, alerts: tuple[Alert, ...], law: AlertLaw | None, notes: list[str]
) -> Evidence:
    """Reduce an incident without a series to what its alerts, log lines and changes say.

    There is one footprint: the window, or from the first alert to the last, or none that is known.
    No effect is measured that could travel along an edge, so that the graph plays no part, nor the
    target's place in it.

    Args:
        incident: what happened.
        alerts: what fired.
        law: what labelled incidents taught of alerts, or None.
        notes: what is known to be missing so far.
    """
    n = len(incident.topology)
    window = incident.window or _span_of(alerts)
    notes.append(
        "There is no series that is read and no span: causes are told by alerts alone, "
        "and where the target lies in the graph says nothing."
    )
    found = build_alert_evidence(alerts, incident.topology, law)
    notes.extend(found.notes)
    root_log_prior = compute_root_log_prior(incident.topology)
    traces = None
    if window is None:
        notes.append("No alert has a time and no window was given: when it happened is not known.")
    else:
        traces = build_trace_evidence(incident, window)
    if traces is not None:
        notes.extend(traces.notes)
        root_log_prior += compute_change_log_factor(traces.changes, n)
    ends = (0.0, 1.0) if window is None else (window.start, window.end)
    return Evidence(
        components=incident.topology.names,
        footprints=np.array([ends]),
        footprint_log_prior=np.zeros(1),
        target=None,
        alarm_family=None,
        families=(_silent_table(n), _silent_table(n)),
        vitals=VitalTable.empty(1),
        states=StateTable.empty(1),
        root_log_factor=np.zeros((n, 1)),
        demand=np.empty((0, 2), dtype=np.int64),
        crash_log_ratio=np.zeros((n, 1)),
        root_log_prior=root_log_prior,
        unconnected=np.zeros(n, dtype=np.bool_),
        request_rate=np.full((n, 1), np.nan),
        notes=tuple(notes),
        traces=traces,
        alerts=found,
    )


def _span_of(alerts: tuple[Alert, ...]) -> TimeWindow | None:
    """From the first alert to the last, None where no two times are known to differ."""
    times = [alert.time for alert in alerts if alert.time is not None]
    if not times or min(times) == max(times):
        return None
    return TimeWindow(min(times), max(times))


def _silent_table(n: int) -> FamilyTable:
    missing = np.full((n, 1), np.nan)
    return FamilyTable(
        edges=np.empty((0, 2), dtype=np.int64),
        series_component=np.empty(0, dtype=np.int64),
        z=np.empty((0, 1)),
        log_quiet=missing,
        log_wide=missing,
        log_affected=missing,
        dose=missing,
        dose_noise=missing,
        dose_jacobian=missing,
        dose_low=missing,
        dose_high=missing,
        contrast=missing,
        scale=missing,
        excess=missing,
        signal=("",) * n,
        measure=("",) * n,
        unit="",
    )
