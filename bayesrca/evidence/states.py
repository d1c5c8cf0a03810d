"""States: whether a component did what it hardly ever does when nothing is wrong.

The unit of evidence is a recording, not a sample: a state that lasts shows in many samples at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayesrca.evidence.frame import Frame
from bayesrca.evidence.novelty import Novelty, compare_nothing, compare_range, compare_states
from bayesrca.incident import Family, Incident, Signal, Statistic

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MOST_STATES = 8
"""Distinct values up to which readings without a declared family are states, not a range."""
LEAST_UNITS = 5
"""Recordings from which on they, and not the baseline's level, are what readings compare with."""
LEAST_DISCRETE, MOST_STILL = 10, 0.1
"""A recording keeps changes only if it holds so many discrete series and, of them, at most this
share never changes: where everything is recorded, most discrete series rest."""
_FAMILIES = (Family.STATE, Family.AVAILABILITY, Family.GENERIC)

Key = tuple[str, str]
"""Component and name of a series."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StateTable:
    """What m series say by their states or ranges in s footprints, ordered by component.

    NaN marks a footprint in which a series has no sample.

    Attributes:
        component: int64 [m], component of each series.
        signal: name of each series; empty for a component of which no recording holds any.
        log_fault: [m, s], log density of what was seen when the component is at fault, less that
            when it is quiet.
        log_disturbed: [m, s], the same for a component that a fault elsewhere reached.
        state: [m, s], the rarest value seen; NaN where the series is absent.
        visits: [m, s], recordings that hold this value (or reach so far, for a range).
        units: int64 [m], recordings it was compared with.
        onset: [m], second at which the rarest value of the window was first seen, NaN where it is
            none that is rare.
    """

    component: Ints
    signal: tuple[str, ...]
    log_fault: Floats
    log_disturbed: Floats
    state: Floats
    visits: Floats
    units: Ints
    onset: Floats

    @classmethod
    def empty(cls, n_footprints: int) -> StateTable:
        """Return a table without a series."""
        index, values = np.zeros(0, dtype=np.int64), np.zeros((0, n_footprints))
        return cls(
            component=index,
            signal=(),
            log_fault=values,
            log_disturbed=values,
            state=values,
            visits=values,
            units=index,
            onset=np.zeros(0),
        )


def build_states(
    incident: Incident, frame: Frame, notes: list[str]
) -> tuple[StateTable, frozenset[Key]]:
    """Compare readings with the states and ranges of fault-free recordings.

    Read are series of the family ``state``, and plain readings of the families ``availability`` and
    ``generic`` where there are at least `LEAST_UNITS` recordings; nothing else reads these then.
    Recordings are the incident's normal runs and its own baseline.

    Args:
        incident: whose series.
        frame: its time.
        notes: receives how many series were read so, and what was taken not to have changed.

    Returns:
        The table, and the series of the incident that were read.
    """
    library = _Library(incident, frame)
    index = {name: i for i, name in enumerate(incident.topology.names)}
    rows: list[tuple[int, str, Novelty]] = []
    for signal in incident.signals:
        novelty = library.compare(signal)
        if novelty is not None:
            rows.append((index[str(signal.component)], signal.name, novelty))
    read = frozenset((incident.topology.names[i], name) for i, name, _ in rows)
    if library.keeps_changes:
        absent = [(index[c], name, n) for (c, name), n in library.absent()]
        rows += absent
        _note_absent(len({i for i, _, _ in absent}), notes)
    if read and library.runs:
        notes.append(
            f"{len(read)} series were compared with the states and ranges of "
            f"{len(library.runs)} normal runs, not with the baseline's level."
        )
    return _tabulate(rows, len(frame.first)), read


class _Library:
    """Fault-free recordings of an incident's series."""

    def __init__(self, incident: Incident, frame: Frame) -> None:
        self.incident, self.frame = incident, frame
        self.runs: list[dict[Key, Signal]] = [
            {(str(s.component), s.name): s for s in run.signals}
            for run in incident.normal_runs
            if run.signals  # a recording of spans and logs only says nothing of series
        ]
        self.own = {(str(s.component), s.name): s for s in incident.signals if _is_reading(s)}
        self.keeps_changes = len(self.runs) >= LEAST_UNITS and _keeps_changes(self.own.values())

    def compare(self, signal: Signal) -> Novelty | None:
        """Return how new the window of a series is, None if it is not read as states."""
        if not _is_reading(signal):
            return None
        declared = signal.family is Family.STATE
        if not declared and len(self.runs) + 1 < LEAST_UNITS:
            return None
        units, absent = self._units((str(signal.component), signal.name), signal)
        bins = self.frame.bin_of(signal)
        seen = (bins >= 0) & ~np.isnan(signal.values)
        if not units or not seen.any() or not (declared or len(units) + absent >= LEAST_UNITS):
            return None
        values = signal.values[seen]
        compare = compare_states if declared or _is_discrete([values, *units]) else compare_range
        return compare(
            units,
            absent,
            values,
            signal.timestamps[seen],
            np.where(self.frame.inside[:, bins[seen]], 1.0, np.nan),
        )

    def absent(self) -> Iterable[tuple[Key, Novelty]]:
        """Yield series of declared components that the incident does not hold, as unchanged.

        Components without any series in any recording count as one such series without a name.
        """
        known = dict.fromkeys(
            key for run in self.runs for key, signal in run.items() if _is_reading(signal)
        )
        owners = {str(s.component) for s in self.incident.signals} | {c for c, _ in known}
        bare = [(name, "") for name in self.incident.topology.names if name not in owners]
        held = {(str(s.component), s.name) for s in self.incident.signals}
        # The incident's own normal period is one of them.
        novelty = compare_nothing(len(self.runs) + 1, len(self.frame.first))
        for key in [*known, *bare]:
            if key not in held and key[0] in self.incident.topology:
                yield key, novelty

    def _units(self, key: Key, signal: Signal) -> tuple[list[Floats], int]:
        """Samples of a series in each recording that holds it, and how many rested unrecorded.

        A recording without the series says something only if it would have kept every change.
        """
        found = [run[key].values for run in self.runs if key in run]
        missing = len(self.runs) - len(found) if self.keeps_changes else 0
        found.append(signal.values[self.frame.baseline_mask(signal)])
        return [kept for values in found if (kept := values[~np.isnan(values)]).size], missing


def _is_reading(signal: Signal) -> bool:
    return (
        signal.component is not None
        and signal.family in _FAMILIES
        and (signal.family is Family.STATE or signal.statistic is Statistic.VALUE)
    )


def _is_discrete(parts: Sequence[Floats]) -> bool:
    """Whether the parts together hold few distinct values."""
    return len(np.unique(np.concatenate([np.unique(part) for part in parts]))) <= MOST_STATES


def _keeps_changes(signals: Iterable[Signal]) -> bool:
    distinct = [len(np.unique(s.values[~np.isnan(s.values)])) for s in signals]
    discrete = [n for n in distinct if 1 <= n <= MOST_STATES]
    return len(discrete) >= LEAST_DISCRETE and discrete.count(1) <= MOST_STILL * len(discrete)


def _note_absent(n: int, notes: list[str]) -> None:
    if n:
        notes.append(
            "The recording seems to keep changes only (hardly any of its discrete series rests): "
            f"{n} components without some or all of their series were taken not to have changed."
        )


def _tabulate(rows: list[tuple[int, str, Novelty]], n_footprints: int) -> StateTable:
    if not rows:
        return StateTable.empty(n_footprints)
    rows = sorted(rows, key=lambda row: row[0])
    novelties = [novelty for _, _, novelty in rows]
    return StateTable(
        component=np.array([i for i, _, _ in rows], dtype=np.int64),
        signal=tuple(name for _, name, _ in rows),
        log_fault=np.stack([n.log_fault for n in novelties]),
        log_disturbed=np.stack([n.log_disturbed for n in novelties]),
        state=np.stack([n.state for n in novelties]),
        visits=np.stack([n.visits for n in novelties]),
        units=np.array([n.units for n in novelties], dtype=np.int64),
        onset=np.array([n.onset for n in novelties]),
    )
