"""Is anything anomalous at all? Asked before causes are ranked (docs/concepts.md, "Alarm test")."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtr

from bayesrca.evidence.states import StateTable
from bayesrca.evidence.vitals import VITALS, VitalTable

if TYPE_CHECKING:
    from bayesrca.evidence.alert_evidence import AlertEvidence
    from bayesrca.evidence.evidence import Evidence, FamilyTable
    from bayesrca.evidence.trace_evidence import TraceEvidence

Floats = NDArray[np.float64]

CALM = 0.2
"""Level of the test, shared by its looks: at the target, at all series, at all spans (Bonferroni).

It is lenient because the mistakes differ: a real incident called calm is lost, a normal window that
is ranked has every other gate ahead."""
TAIL_WEIGHT, TAIL_WIDTH = 0.02, 3.0
"""Weight and width of the wide part of the reference quiet law, at noise scale 1."""
VITAL_SCALE, VITAL_INDEX = 0.9, 2.5
"""Reference quiet law of vitals."""
TRACE_WEAK, TRACE_STRONG = (0.05, 0.07), 0.002
"""Rates of small changes of times and of patterns, and of large ones, for no reason, at their
priors' centres."""
TRACE_POWERS = (0.5, 1.5, 3.0)
"""Standard deviations by which a comparison may tell a change."""
SMALLEST_P = 1e-300
FIRED = 0.05
"""P that an alert stands for: how often the rule behind it fires for nothing is not known, and few
rules that fire more often than this are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmTest:
    """Whether an incident's telemetry moved more than normal telemetry does.

    The p are tails of the model's quiet laws and as good as these: they serve the threshold `CALM`
    and are no exact error rates (docs/calibration.md has the measured ones).

    Attributes:
        target_p: p of the target in the alarm's family (in all its families where it does not
            report that one), in (0, 1]; None without a target or where it reports nothing.
        incident_p: p of all components and families together, in (0, 1]; of their series, or of
            spans and logs where that is less.
        anomalous: whether one is at most its share of `CALM`, divided by the number of looks.
        text: the same in a sentence.
    """

    target_p: float | None
    incident_p: float
    anomalous: bool
    text: str


def compute_alarm_test(evidence: Evidence) -> AlarmTest:
    """Test the target, and the whole incident, against normal variation.

    A cell (component, family) takes the harmonic mean of the two-sided tail probabilities of its
    series over all footprints (Wilson 2019); the incident takes Simes' combination of all cells.
    An alert on a component that has nothing else to tell counts as `FIRED`. Series that are
    compared with whole recordings add the number of them that did what no
    recording did. Spans and logs are a look of their own.

    Args:
        evidence: the incident's evidence.
    """
    cells = compute_cell_p_values(evidence)
    target_p = None
    if evidence.target is not None:
        states = _state_cells(evidence.states, len(cells))
        own = np.append(cells[evidence.target], states[evidence.target])
        family = evidence.alarm_family
        if family is not None and np.isfinite(own[family]):
            own = own[[family]]
        if np.isfinite(own).any():
            target_p = float(_harmonic_mean(own[None], np.isfinite(own)[None])[0])
    incident_p = _simes(cells[np.isfinite(cells)])
    if np.isfinite(evidence.states.visits).any():
        # Bonferroni: series of either sort may tell, unknown which.
        incident_p = min(1.0, 2.0 * min(incident_p, _count_p(evidence.states)))
    looks = [incident_p] if target_p is None else [incident_p, target_p]
    if (traces := compute_trace_p_values(evidence.traces)).size:
        looks.append(_simes(traces))
        incident_p = min(incident_p, looks[-1])
    if _has_fired(evidence):
        looks.append(FIRED)
        incident_p = min(incident_p, FIRED)
    threshold = CALM / len(looks)
    anomalous = min(looks) <= threshold
    return AlarmTest(
        target_p=target_p,
        incident_p=incident_p,
        anomalous=anomalous,
        text=_sentence(evidence, target_p, incident_p, threshold, anomalous=anomalous),
    )


def compute_cell_p_values(evidence: Evidence) -> Floats:
    """[n, families + vital families] p of each cell, NaN where nothing was observed."""
    n = len(evidence.components)
    families = [_family_cells(table, n) for table in evidence.families]
    return np.concatenate([np.stack(families, axis=1), _vital_cells(evidence.vitals, n)], axis=1)


def _family_cells(table: FamilyTable, n: int) -> Floats:
    out = _cells(_student_tail(table.z), table.series_component, n)
    counted = np.flatnonzero(~np.isnan(table.log_quiet).all(axis=1))
    with np.errstate(invalid="ignore"):
        z = table.contrast[counted] / table.scale[counted]
    p = _student_tail(z)
    out[counted] = _harmonic_mean(p, np.isfinite(p))
    return out


def _vital_cells(vitals: VitalTable, n: int) -> Floats:
    p = (1.0 + np.abs(vitals.z) / VITAL_SCALE) ** -VITAL_INDEX
    k = len(VITALS)
    return _cells(p, vitals.component * k + vitals.family, n * k).reshape(n, k)


def compute_trace_p_values(traces: TraceEvidence | None) -> Floats:
    """P of every cell of spans and logs that tells of a change, under the quiet law of eq. 21.

    All but the order of errors, which tells what a change is due to and not whether there is one.

    Where nothing changed a log Bayes factor of L or more has a probability of exp(-L) at most
    (Markov's inequality: the factor's mean is one); after a small change, with the law halfway,
    that of a normal variable around 0; a large change, however rare, explains any L.

    Args:
        traces: what spans and logs say, or None.
    """
    if traces is None:
        return np.empty(0)
    times = np.concatenate([traces.own_self_time, traces.edge_gap])
    patterns = np.concatenate([traces.own_pattern, traces.edge_terminal])
    told = np.concatenate([times, patterns])
    weak = np.repeat(TRACE_WEAK, (len(times), len(patterns)))[np.isfinite(told)]
    told = told[np.isfinite(told)]
    small = np.mean([ndtr(-told / d) for d in TRACE_POWERS], axis=0)
    nothing = np.exp(-np.maximum(told, 0.0))
    usual = (1.0 - weak) * nothing + weak * small
    return np.asarray(np.minimum(1.0, TRACE_STRONG + (1.0 - TRACE_STRONG) * usual))


def _state_p_values(states: StateTable) -> Floats:
    """[m, s] share of the recordings, this one included, that show what was seen here."""
    return np.asarray((1.0 + states.visits) / (1.0 + states.units[:, None]))


def _state_cells(states: StateTable, n: int) -> Floats:
    """[n] p of each component's states, NaN where it has none."""
    return _cells(_state_p_values(states), states.component, n)


def _count_p(states: StateTable) -> float:
    """P of so many series that did what no recording did.

    With the exchangeable rate 1 / (1 + recordings) for each, the expected number is their sum. The
    number has a geometric law of that mean, a Poisson law whose rate is itself exponential: series
    of one recording depend on each other, and recordings differ.
    """
    seen = np.isfinite(states.visits).any(axis=1)
    visits = np.where(np.isfinite(states.visits), states.visits, np.inf)[seen]
    new = np.count_nonzero(visits.min(axis=1) == 0)
    usual = float(np.sum(1.0 / (1.0 + states.units[seen])))
    return float((usual / (1.0 + usual)) ** new)


def _student_tail(z: Floats) -> Floats:
    """Two-sided tail probability under the reference quiet law of latency and errors."""
    size = -np.abs(z)
    narrow, wide = stdtr(4.0, size), stdtr(4.0, size / TAIL_WIDTH)
    return np.asarray(2.0 * ((1.0 - TAIL_WEIGHT) * narrow + TAIL_WEIGHT * wide))


def _cells(p: Floats, cell: NDArray[np.int64], n: int) -> Floats:
    """Harmonic means of rows [m, s] by cell: [n], NaN for a cell without a value."""
    seen = np.isfinite(p)
    inverse = np.where(seen, 1.0 / np.maximum(p, SMALLEST_P), 0.0).sum(axis=1)
    number = np.bincount(cell, seen.sum(axis=1), minlength=n)
    total = np.bincount(cell, inverse, minlength=n)
    return np.where(number > 0, number / np.where(number > 0, total, 1.0), np.nan)


def _harmonic_mean(p: Floats, seen: NDArray[np.bool_]) -> Floats:
    """[m] harmonic mean of each row's seen values, NaN where there is none."""
    p = np.where(seen, p, np.nan)
    return _cells(p, np.arange(len(p)), len(p))


def _simes(p: Floats) -> float:
    """Simes (1986): the least of ``m p_(k) / k``, valid under positive dependence; 1 for no p."""
    ordered = np.sort(p)
    ranks = np.arange(1, len(p) + 1)
    return float(np.min(len(p) * ordered / ranks, initial=1.0))


def _has_fired(evidence: Evidence) -> bool:
    """Whether an alert fired on a component that nothing else is told of."""
    alerts = evidence.alerts
    return alerts is not None and bool(np.any(alerts.counted & (alerts.fired > 0)))


def _sentence(
    evidence: Evidence,
    target_p: float | None,
    incident_p: float,
    threshold: float,
    *,
    anomalous: bool,
) -> str:
    what = f"all telemetry together p = {incident_p:.2g}"
    if target_p is not None and evidence.target is not None:
        name = evidence.components[evidence.target]
        what = f"the target {name!r} has p = {target_p:.2g}, {what}"
    if evidence.alerts is not None and evidence.onsets is None and evidence.traces is None:
        return _sentence_of_alerts(evidence.alerts, incident_p, anomalous=anomalous)
    if anomalous:
        return f"Something here is anomalous: {what}."
    return f"Nothing here is anomalous: {what}, none at most {threshold:g}, so it may be chance."


def _sentence_of_alerts(alerts: AlertEvidence, p: float, *, anomalous: bool) -> str:
    if not alerts.told:
        return "Nothing here is anomalous: no alert fired, and there is nothing else to tell."
    places = np.count_nonzero(alerts.fired)
    what = (
        f"{alerts.told} alert{'' if alerts.told == 1 else 's'} fired on {places} "
        f"component{'' if places == 1 else 's'}"
    )
    verdict = "Something" if anomalous else "Nothing"
    return f"{verdict} here is anomalous: {what} (p = {p:.2g})."
