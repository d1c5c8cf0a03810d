"""The same incident with some of its telemetry missing: structure stays, evidence goes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesrca.evidence.evidence import Evidence, FamilyTable, Floats

_CELLS = (
    *("log_quiet", "log_wide", "log_affected"),
    *("dose", "dose_noise", "dose_jacobian", "dose_low", "dose_high"),
    *("contrast", "scale", "excess"),
)


def without_components(evidence: Evidence, components: NDArray[np.bool_]) -> Evidence:
    """Treat everything the given components report as missing.

    Graph, target, alarm, prior weights and which vitals a component reports stay: they say what
    could be the cause before anything is measured, as does who calls whom and who has spans. A
    component's silence is measured, and goes; so does what is told of the calls it makes and gets.

    Args:
        evidence: the whole.
        components: [n] whose telemetry to leave out.
    """
    first, second = (_blank_table(table, components) for table in evidence.families)
    vitals, states, onsets = evidence.vitals, evidence.states, evidence.onsets
    gone = components[vitals.component]
    return replace(
        evidence,
        families=(first, second),
        vitals=replace(
            vitals,
            z=_blank(vitals.z, gone),
            contrast=_blank(vitals.contrast, gone),
            scale=_blank(vitals.scale, gone),
        ),
        states=replace(
            states,
            log_fault=_blank(states.log_fault, components[states.component]),
            log_disturbed=_blank(states.log_disturbed, components[states.component]),
            state=_blank(states.state, components[states.component]),
            visits=_blank(states.visits, components[states.component]),
        ),
        root_log_factor=np.where(components[:, None], 0.0, evidence.root_log_factor),
        crash_log_ratio=np.where(components[:, None], 0.0, evidence.crash_log_ratio),
        request_rate=_blank(evidence.request_rate, components),
        onsets=None if onsets is None else onsets.without(components),
        traces=None if evidence.traces is None else evidence.traces.without(components),
        alerts=None if evidence.alerts is None else evidence.alerts.without(components),
    )


def without_telemetry(evidence: Evidence) -> Evidence:
    """Leave nothing but the structure; its likelihood is 1, its posterior the prior."""
    return without_components(evidence, np.ones(len(evidence.components), dtype=np.bool_))


def has_telemetry(evidence: Evidence) -> NDArray[np.bool_]:
    """[n] whether anything of a component is measured in any footprint."""
    vitals = evidence.vitals
    seen = np.asarray((evidence.root_log_factor != 0.0).any(axis=1))
    seen |= (evidence.crash_log_ratio != 0.0).any(axis=1)
    for table in evidence.families:
        seen[table.series_component[~np.isnan(table.z).all(axis=1)]] = True
        seen |= ~np.isnan(table.log_quiet).all(axis=1)
    seen[vitals.component[~np.isnan(vitals.z).all(axis=1)]] = True
    states = evidence.states
    seen[states.component[~np.isnan(states.log_fault).all(axis=1)]] = True
    if evidence.alerts is not None:
        seen |= evidence.alerts.counted
    return seen if evidence.traces is None else seen | evidence.traces.measured


def _blank_table(table: FamilyTable, components: NDArray[np.bool_]) -> FamilyTable:
    cells: dict[str, Any] = {name: _blank(getattr(table, name), components) for name in _CELLS}
    return replace(table, z=_blank(table.z, components[table.series_component]), **cells)


def _blank(values: Floats, rows: NDArray[np.bool_]) -> Floats:
    return np.where(rows[:, None], np.nan, values)
