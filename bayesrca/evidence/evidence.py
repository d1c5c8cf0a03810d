"""Evidence: the arrays the likelihood reads, with enough beside them to explain every number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bayesrca.evidence.alarm_test import AlarmTest, compute_alarm_test
from bayesrca.evidence.alert_evidence import AlertEvidence
from bayesrca.evidence.counts import CountLaws
from bayesrca.evidence.onsets import OnsetTable
from bayesrca.evidence.prior import UNCONNECTED, UNTRACED
from bayesrca.evidence.seasonal import SeasonShare
from bayesrca.evidence.states import StateTable
from bayesrca.evidence.table import EvidenceTable, build_table
from bayesrca.evidence.trace_evidence import TraceEvidence
from bayesrca.evidence.vitals import VitalTable
from bayesrca.incident import Family

FAMILIES: tuple[Family, ...] = (Family.LATENCY, Family.ERRORS)
"""The families that can carry doses and the alarm, in the order of `Evidence.families`."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyTable:
    """Evidence of one family over n components, m continuous series and s footprints.

    NaN marks what is missing. A component's cell holds continuous series (``series_component``,
    ``z``) or counts (``log_*``), never both. Dose arrays are filled where excess work is defined.

    Attributes:
        edges: int64 [e, 2], pairs (from, to) along which a fault in this family travels.
        series_component: int64 [m], component of each continuous series.
        z: [m, s], contrasts in units of their null scale.
        log_quiet: [n, s], log probability of the count in the footprint under its usual quiet law;
            where there is no excess, that of none.
        log_wide: [n, s], the same under the wide quiet law.
        log_affected: [n, s], the same for an affected component.
        dose: [n, s], log of the (softly positive) excess work, see docs/concepts.md eq. 7.
        dose_noise: [n, s], standard deviation of the excess work when quiet, in its own unit.
        dose_jacobian: [n, s], d(dose)/d(z) for continuous cells.
        dose_low: [n, s], dose half a count below the observed one (-inf for one without excess);
            for continuous cells the dose at z = 2, beyond which untraced effects are compared.
        dose_high: [n, s], dose half a count above.
        contrast: [n, s], what a reader sees, as ``measure`` says.
        scale: [n, s], standard deviation of the contrast when quiet.
        excess: [n, s], excess work, signed: seconds times requests, or failed requests.
        signal: per component the name of the series read, empty where there is none.
        measure: per component what its contrast is (`OwnEvidence.measure`), empty where none is.
        unit: unit of ``excess``.
        counts: laws of the count cells, by component.
        samples: [n, s] samples in the footprint of the series read; None where none were read.
    """

    edges: NDArray[np.int64]
    series_component: NDArray[np.int64]
    z: Floats
    log_quiet: Floats
    log_wide: Floats
    log_affected: Floats
    dose: Floats
    dose_noise: Floats
    dose_jacobian: Floats
    dose_low: Floats
    dose_high: Floats
    contrast: Floats
    scale: Floats
    excess: Floats
    signal: tuple[str, ...]
    measure: tuple[str, ...]
    unit: str
    counts: Mapping[int, CountLaws] = field(default_factory=dict)
    samples: Floats | None = None

    @property
    def observed(self) -> NDArray[np.bool_]:
        """[n] whether the component reports this family in any footprint."""
        return ~np.isnan(self.contrast).all(axis=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Evidence of one incident.

    Attributes:
        components: names of the n components, in topology order.
        footprints: [s, 2] start and end in seconds of each interval the fault may have lasted.
        footprint_log_prior: [s] log prior of each, uniform over onset and length.
        target: index of the component that raised the alarm, or None.
        alarm_family: index into `FAMILIES` of the alarm, None exactly when the target is.
        alarm_in_vitals: whether the alarm was raised on a vital or a state of the target; the
            family is then that in which the fault would have reached it.
        families: one table per entry of `FAMILIES`.
        vitals: contrasts of load, saturation and generic series; it may hold none.
        states: novelty of states and of readings outside their range; it may hold none.
        root_log_factor: [n, s] log factor (<= 0) on a component being the root in a footprint, from
            what its own series cannot say: a component without a single request cannot have slowed
            or failed anybody's.
        demand: int64 [e, 2], pairs (from, to) along which demand travels.
        crash_log_ratio: [n, s] log density of a component's being silent in a footprint or not,
            when it crashed, less that when nothing is wrong; 0 where nothing is known.
        root_log_prior: [n] log prior weight of each component as a root, by its stated kind and by
            what was changed of it, and when.
        unconnected: bool [n], whether the graph has the target but no way from it to a component.
        request_rate: [n, s] requests per second in each footprint, NaN where they are not known.
        notes: what was absent, assumed or left out, one sentence each.
        reference: what contrasts are taken against, in words; empty where no series were read.
        seasons: what season and trend would have added to the contrasts of (component, series).
        untraced: bool [n], whether a component would have spans, has none and is in no traced call,
            where others have some; None where nothing is traced.
        traces: what spans, logs and changes say; None where the incident has none of them.
        onsets: when each component began to change; None where no series were read.
        alerts: what the alerts that fired say; None where nobody told of alerts.
    """

    components: tuple[str, ...]
    footprints: Floats
    footprint_log_prior: Floats
    target: int | None
    alarm_family: int | None
    alarm_in_vitals: bool = False
    families: tuple[FamilyTable, FamilyTable]
    vitals: VitalTable
    states: StateTable
    root_log_factor: Floats
    demand: NDArray[np.int64]
    crash_log_ratio: Floats
    root_log_prior: Floats
    unconnected: NDArray[np.bool_]
    request_rate: Floats
    notes: tuple[str, ...]
    reference: str = ""
    onsets: OnsetTable | None = None
    seasons: Mapping[tuple[str, str], SeasonShare] = field(default_factory=dict)
    untraced: NDArray[np.bool_] | None = None
    traces: TraceEvidence | None = None
    alerts: AlertEvidence | None = None

    @property
    def root_log_weight(self) -> Floats:
        """[n] log prior weight of each component as a root: by its kind, place and traces."""
        placed = self.root_log_prior + np.log(UNCONNECTED) * self.unconnected
        if self.untraced is None:
            return np.asarray(placed)
        return np.asarray(placed + np.log(UNTRACED) * self.untraced)

    @property
    def alarm(self) -> AlarmTest:
        """Whether anything here is anomalous at all; computed when asked for."""
        return compute_alarm_test(self)

    def table(
        self, footprint: int | None = None, *, log_ratios: tuple[Floats, Floats] | None = None
    ) -> EvidenceTable:
        """Return one row per component and family that says what was seen and how far it moved.

        Args:
            footprint: index of the footprint to show; None shows each cell where it moved most.
            log_ratios: as the likelihood computes them, log ratios of "root" to "quiet" of the
                families' cells, [f, n, s], and of "at fault" to "quiet" of the vitals, [m, s].

        Raises:
            IndexError: there is no such footprint.
        """
        return build_table(self, FAMILIES, footprint, log_ratios)
