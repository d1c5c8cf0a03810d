"""Incident -> Evidence: which series speak for which component, and what they say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bayesrca.alert_law import AlertLaw
from bayesrca.errors import NoEvidenceError
from bayesrca.evidence.alarm import place_alarm
from bayesrca.evidence.alert_evidence import AlertEvidence, build_alert_evidence
from bayesrca.evidence.alert_incident import build_evidence_of_alerts
from bayesrca.evidence.changes import compute_change_log_factor
from bayesrca.evidence.counts import CountLaws, compute_count_laws
from bayesrca.evidence.doses import Dose, compute_failure_dose, compute_time_dose
from bayesrca.evidence.evidence import Evidence, FamilyTable
from bayesrca.evidence.frame import Frame, build_frame
from bayesrca.evidence.onsets import find_onsets
from bayesrca.evidence.presence import compute_crash_ratio
from bayesrca.evidence.prior import compute_root_log_prior, find_unconnected, find_untraced
from bayesrca.evidence.remarks import Remark, Remarks, shorten
from bayesrca.evidence.requests import (
    align_requests,
    check_counts,
    compute_request_rate,
    compute_silence,
)
from bayesrca.evidence.seasonal import find_seasonal, note_seasonal
from bayesrca.evidence.series import Contrast, Transform, compute_contrast
from bayesrca.evidence.sources import Sources, is_read, note_unread
from bayesrca.evidence.span_series import with_series_of_spans
from bayesrca.evidence.states import build_states
from bayesrca.evidence.table import SHARES
from bayesrca.evidence.trace_build import build_trace_evidence
from bayesrca.evidence.units import is_time, read_failure_share
from bayesrca.evidence.vitals import build_vitals
from bayesrca.incident import Family, Incident, Signal, Statistic
from bayesrca.incident.selection import hide_components

Floats = NDArray[np.float64]
MEASURES = {
    Transform.LOG: "log ratio",
    Transform.SHARE: "arcsine of root",
    Transform.ROOT: "root of rate",
}
"""What a contrast under each transform is."""
STILL = {"log_quiet": 0.98, "log_wide": 0.25, "log_affected": 0.5}
"""Probability that a series which has stood still goes on doing so, by law: all but certain when
quiet; even when affected, for half of such series are blind to what fails (concepts.md)."""
_RATIOS = (Statistic.SUCCESS_RATIO, Statistic.ERROR_RATIO)


def build_evidence(
    incident: Incident, *, max_bins: int = 5, alert_law: AlertLaw | None = None
) -> Evidence:
    """Reduce an incident's telemetry to the arrays of the likelihood.

    Args:
        incident: what happened.
        max_bins: bins into which the window is cut to place onset and end (2 to 12).
        alert_law: what labelled incidents taught of alerts, or None.

    Raises:
        NoEvidenceError: no series that is read has a usable sample in the window.
        InvalidIncidentError: a ratio that is no share, or counts beyond what can be counted.
    """
    notes = list(incident.notes)
    if not any(is_read(s) for s in incident.signals):
        incident = with_series_of_spans(incident, notes)
    used = tuple(s for s in incident.signals if is_read(s))
    if not used and incident.alerts is not None and incident.spans is None:
        note_unread(incident.signals, notes)
        return build_evidence_of_alerts(incident, incident.alerts, alert_law, notes)
    if not used:
        found = ", ".join(sorted({s.family.value for s in incident.signals})) or "none"
        msg = (
            f"no series of a family that is read belongs to a component (families found: {found});"
            " this version reads no series of edges; map metric names to families with --families"
        )
        raise NoEvidenceError(msg, field="signals")
    note_unread(incident.signals, notes)
    for table in (incident.spans, incident.logs):
        notes.extend(() if table is None else table.notes)
    frame = build_frame(incident, used, max_bins, notes)
    seasonal = find_seasonal(frame, used)
    sources = Sources(incident, seasonal)
    tables = (
        _Table(incident, sources, frame, Family.LATENCY).fill(_fill_latency),
        _Table(incident, sources, frame, Family.ERRORS).fill(_fill_errors),
    )
    states, read = build_states(incident, frame, notes)
    vitals = build_vitals(incident, frame, sources.remarks, read, seasonal)
    observed = tables[0].observed | tables[1].observed
    observed[vitals.component] = True
    observed[states.component] = True
    if not observed.any():
        msg = (
            "every series of a family that is read, from latency to generic, is missing in the "
            "incident window or has nothing to be compared with; widen the window or give a "
            "baseline"
        )
        raise NoEvidenceError(msg, field="window")
    _note_unobserved(incident, observed, notes)
    note_seasonal(seasonal, notes)
    notes.extend(sources.remarks.sentences())
    target, alarm, in_vitals = place_alarm(incident, tables, notes)
    traces = build_trace_evidence(incident, frame.window)
    root_log_prior = compute_root_log_prior(incident.topology)
    if traces is not None:
        notes.extend(traces.notes)
        root_log_prior += compute_change_log_factor(traces.changes, len(root_log_prior))
        observed = observed | traces.measured
    alerts = _alerts_of_unobserved(incident, observed, alert_law, notes)
    n_footprints = len(frame.first)
    requests = [sources.requests(c) for c in incident.topology.names]
    return Evidence(
        components=incident.topology.names,
        footprints=frame.footprints,
        footprint_log_prior=np.full(n_footprints, -np.log(n_footprints)),
        target=target,
        alarm_family=alarm,
        alarm_in_vitals=in_vitals,
        families=tables,
        vitals=vitals,
        states=states,
        root_log_factor=np.stack([compute_silence(frame, r) for r in requests]),
        demand=incident.topology.propagation_edges(Family.LOAD),
        crash_log_ratio=compute_crash_ratio(incident, frame, requests),
        root_log_prior=root_log_prior,
        unconnected=find_unconnected(incident),
        request_rate=np.stack([compute_request_rate(frame, r) for r in requests]),
        notes=tuple(notes),
        reference=frame.reference,
        seasons=seasonal.shares,
        untraced=find_untraced(incident.topology, traces),
        traces=traces,
        alerts=alerts,
        onsets=find_onsets(
            incident.topology.names,
            seasonal.of(incident.signals),
            frame,
            tables=tables,
            vitals=vitals,
            states=states,
        ),
    )


class _Table:
    """A family's table under construction."""

    def __init__(self, incident: Incident, sources: Sources, frame: Frame, family: Family) -> None:
        self.incident, self.sources, self.frame, self.family = incident, sources, frame, family
        n, s = len(incident.topology), len(frame.first)
        self.arrays = {
            name: np.full((n, s), np.nan)
            for name in [
                "log_quiet",
                "log_wide",
                "log_affected",
                "dose",
                "dose_noise",
                "dose_jacobian",
                "dose_low",
                "dose_high",
                "contrast",
                "scale",
                "excess",
                "samples",
            ]
        }
        self.series: list[tuple[int, Floats]] = []
        self.signal = [""] * n
        self.measure = [""] * n
        self.units: set[str] = set()
        self.counts: dict[int, CountLaws] = {}

    def fill(self, one: Callable[[_Table, int, str], None]) -> FamilyTable:
        for i, name in enumerate(self.incident.topology.names):
            before = len(self.series)
            one(self, i, name)
            self._settle(i, before)
        s = len(self.frame.first)
        unit = next(iter(self.units)) if len(self.units) == 1 else ""
        return FamilyTable(
            edges=self.incident.topology.propagation_edges(self.family),
            series_component=np.array([i for i, _ in self.series], dtype=np.int64),
            z=np.array([z for _, z in self.series], dtype=np.float64).reshape(-1, s),
            signal=tuple(self.signal),
            measure=tuple(self.measure),
            unit=unit,
            counts=self.counts,
            **self.arrays,
        )

    def add_series(self, i: int, signal: Signal, contrast: Contrast, transform: Transform) -> None:
        z = contrast.value / contrast.scale
        if np.isnan(z).all():
            return
        if self.frame.baseline is not None and contrast.default_scale:
            self.sources.remarks.add(Remark.DEFAULT_SCALE, signal.label)
        self.series.append((i, z))
        if not self.signal[i]:
            self.signal[i] = signal.name
            self.measure[i] = MEASURES[transform]
            self.arrays["contrast"][i] = contrast.value
            self.arrays["scale"][i] = contrast.scale
            self.arrays["samples"][i] = contrast.samples

    def _settle(self, i: int, before: int) -> None:
        """Read component i as "it did not move" where all its series stood still throughout.

        They are those added since there were ``before`` of them.

        A contrast of exactly zero is no draw from a density: many of them would leave the noise
        that everybody shares no width at all.
        """
        rows = [z for _, z in self.series[before:]]
        if not rows or not np.isnan(self.arrays["dose"][i]).all():
            return
        if any(np.any(z[~np.isnan(z)]) for z in rows):
            return
        del self.series[before:]
        seen = ~np.isnan(rows).all(axis=0)
        for name, probability in STILL.items():
            self.arrays[name][i] = np.where(seen, np.log(probability), np.nan)

    def add_dose(self, i: int, dose: Dose) -> None:
        for name, values in (
            ("dose", dose.log),
            ("dose_noise", dose.noise),
            ("dose_jacobian", dose.jacobian),
            ("dose_low", dose.low),
            ("dose_high", dose.high),
            ("excess", dose.excess),
        ):
            self.arrays[name][i] = values


def _fill_latency(table: _Table, i: int, name: str) -> None:
    """Mean latency with its dose where it exists, else every other latency series."""
    signals = table.sources.latencies(name)
    requests = table.sources.requests(name)
    for signal in (s for s in signals if s.statistic is Statistic.MEAN):
        weights = align_requests(requests, signal, table.sources.remarks)
        contrast = compute_contrast(table.frame, signal, Transform.LOG, weights)
        table.add_series(i, signal, contrast, Transform.LOG)
        if table.signal[i]:
            if weights is not None:
                _add_time(table, i, signal, contrast)
            return
    for signal in signals:
        contrast = compute_contrast(table.frame, signal, Transform.LOG)
        table.add_series(i, signal, contrast, Transform.LOG)


def _add_time(table: _Table, i: int, signal: Signal, contrast: Contrast) -> None:
    seconds = table.sources.seconds[signal.unit]
    if seconds is None:
        table.sources.remarks.add(Remark.UNKNOWN_UNIT, str(signal.component))
        return
    share = table.sources.season(signal)
    if share is not None:  # work in excess of what the hour would have cost
        expected = contrast.reference * np.exp(share.season + share.trend)
        contrast = replace(contrast, reference=expected)
    table.add_dose(i, compute_time_dose(contrast, seconds))
    table.units.add("s" if is_time(signal.unit) else "")


def _fill_errors(table: _Table, i: int, name: str) -> None:
    """Failure counts with their dose where requests are known, else shares or rates."""
    signals = table.sources.of(name, Family.ERRORS)
    requests, remarks = table.sources.requests(name), table.sources.remarks
    if requests is not None and requests.statistic is Statistic.COUNT:
        for signal in signals:
            found = _count_laws(table.frame, signal, requests, remarks)
            if found is not None:
                _add_counts(table, i, signal, *found)
                return
    for signal in signals:
        if signal.statistic in _RATIOS:
            shares = Signal(
                component=name,
                name=signal.name,
                family=Family.ERRORS,
                statistic=Statistic.ERROR_RATIO,
                timestamps=signal.timestamps,
                values=read_failure_share(signal, remarks),
            )
            weights = align_requests(requests, signal, remarks)
            contrast = compute_contrast(table.frame, shares, Transform.SHARE, weights)
            table.add_series(i, signal, contrast, Transform.SHARE)
        else:
            contrast = compute_contrast(table.frame, signal, Transform.ROOT)
            table.add_series(i, signal, contrast, Transform.ROOT)


def _add_counts(table: _Table, i: int, signal: Signal, laws: CountLaws, samples: Floats) -> None:
    table.signal[i] = signal.name
    table.measure[i] = SHARES
    table.counts[i] = laws
    table.arrays["log_quiet"][i] = laws.log_quiet
    table.arrays["log_wide"][i] = laws.log_wide
    table.arrays["log_affected"][i] = laws.log_affected
    table.arrays["contrast"][i] = laws.failed / laws.requests - laws.reference
    table.arrays["samples"][i] = samples
    table.arrays["scale"][i] = (
        np.sqrt(2.0 * laws.requests * laws.reference * (1 - laws.reference) + 0.5) / laws.requests
    )
    table.add_dose(i, compute_failure_dose(laws))
    table.units.add("failed requests")


def _count_laws(
    frame: Frame, signal: Signal, requests: Signal, remarks: Remarks
) -> tuple[CountLaws, Floats] | None:
    """Count laws of an error series and its samples by footprint; None if none is in the window."""
    n = align_requests(requests, signal, remarks)
    if n is None:
        return None
    if signal.statistic in _RATIOS:
        failed = np.round(n * read_failure_share(signal, remarks))
    elif signal.statistic is Statistic.COUNT:
        check_counts(signal, signal.values)
        failed = np.round(signal.values)
    else:
        return None
    # A share of no requests is reported as missing: no request is no evidence.
    good = ~np.isnan(n) & ~np.isnan(failed) & (n > 0)
    k = np.clip(np.where(good, failed, 0.0), 0.0, None)
    n = np.maximum(np.where(good, np.round(n), 0.0), k)
    bins = frame.bin_of(signal)
    keep = bins >= 0
    if not (keep & good).any():
        return None

    def per_bin(values: Floats) -> Floats:
        return np.bincount(bins[keep], values[keep], minlength=frame.n_bins)

    normal = frame.baseline_mask(signal) & good
    laws = compute_count_laws(frame, per_bin(k), per_bin(n), k[normal], n[normal])
    return laws, per_bin(good.astype(np.float64)) @ frame.inside.T


def _alerts_of_unobserved(
    incident: Incident,
    observed: NDArray[np.bool_],
    law: AlertLaw | None,
    notes: list[str],
) -> AlertEvidence | None:
    """What alerts add: on a component with telemetry they only repeat what that says."""
    if incident.alerts is None:
        return None
    topology, n = incident.topology, len(incident.topology)
    seen = {name for name, measured in zip(topology.names, observed, strict=True) if measured}
    kept = tuple(a for a in incident.alerts if a.component not in seen and a.caller not in seen)
    if len(kept) < len(incident.alerts):
        notes.append(
            f"{len(incident.alerts) - len(kept)} alerts are about components whose series or spans "
            "are read, which they repeat, and were not counted."
        )
    if not kept:
        return None
    found = build_alert_evidence(kept, hide_components(topology, seen), law)
    notes.extend(found.notes)
    return found.spread(np.flatnonzero(~observed), n)


def _note_unobserved(incident: Incident, observed: NDArray[np.bool_], notes: list[str]) -> None:
    missing = [n for n, seen in zip(incident.topology.names, observed, strict=True) if not seen]
    if missing:
        notes.append(
            f"{len(missing)} of {len(observed)} components have no usable series in the window and "
            f"cannot be ruled out by their own telemetry: {shorten(missing)}."
        )
