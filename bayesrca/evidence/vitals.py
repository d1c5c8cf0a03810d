"""Vitals: how far load, saturation and generic series moved, as signed standardised contrasts."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayesrca.evidence.batch import Batch, build_batches
from bayesrca.evidence.blocks import compute_block_contrasts, compute_levels, lift_levels
from bayesrca.evidence.copies import find_copies, find_twins
from bayesrca.evidence.frame import Frame
from bayesrca.evidence.remarks import Remark, Remarks
from bayesrca.incident import Family, Incident, Signal

if TYPE_CHECKING:
    from bayesrca.evidence.seasonal import Seasonal

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

VITALS: tuple[Family, ...] = (
    Family.LOAD,
    Family.CPU,
    Family.MEMORY,
    Family.DISK,
    Family.NETWORK,
    Family.GENERIC,
    Family.HOST,
    Family.STATE,
    Family.EGRESS,
)
"""Families of a `VitalTable`, in the order of its ``family``."""
_PLACE: dict[Family, int] = {f: i for i, f in enumerate(VITALS) if f is not Family.STATE}
_PLACE[Family.AVAILABILITY] = VITALS.index(Family.GENERIC)
_ARRAYS = ("z", "contrast", "scale", "samples")
LARGEST_Z = 3000.0
"""Size at which a standardised contrast is cut: beyond it no density tells two apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VitalTable:
    """Contrasts of m series in s footprints, ordered by component, then by family.

    A cell is the series of one component and family. NaN marks a footprint in which a series, or
    what it is compared with, has no sample; every series has a value in one footprint at least.

    Attributes:
        component: int64 [m], component of each series.
        family: int64 [m], its family, an index into `VITALS`.
        z: [m, s], signed contrast in units of its null scale, at most `LARGEST_Z` in size.
        contrast: [m, s], change of the mean, in the series' own unit.
        scale: [m, s], standard deviation of such a change when nothing is wrong (> 0).
        signal: name of each series.
        unit: unit of each series, empty where it is unknown; None where none were read.
        samples: [m, s] samples in the footprint; None where none were read.
    """

    component: Ints
    family: Ints
    z: Floats
    contrast: Floats
    scale: Floats
    signal: tuple[str, ...]
    unit: tuple[str, ...] | None = None
    samples: Floats | None = None

    @classmethod
    def empty(cls, n_footprints: int) -> VitalTable:
        """Return a table without a series."""
        index, values = np.zeros(0, dtype=np.int64), np.zeros((0, n_footprints))
        return cls(
            component=index,
            family=index,
            z=values,
            contrast=values,
            scale=values,
            signal=(),
        )


def is_vital(signal: Signal) -> bool:
    """Whether a series is read as a vital."""
    return signal.component is not None and signal.family in _PLACE


def build_vitals(
    incident: Incident,
    frame: Frame,
    remarks: Remarks,
    states: Container[tuple[str, str]] = frozenset(),
    seasonal: Seasonal | None = None,
) -> VitalTable:
    """Contrast every load, saturation and generic series of a component with its reference.

    Args:
        incident: whose series.
        frame: its time.
        remarks: receives what was assumed or left out.
        states: component and name of the series that are read as states instead.
        seasonal: those of the series that have a season.
    """
    index = {name: i for i, name in enumerate(incident.topology.names)}
    signals = [
        s for s in incident.signals if is_vital(s) and (str(s.component), s.name) not in states
    ]
    if seasonal is not None:
        signals = seasonal.of(signals)
    cell = np.array(
        [index[str(s.component)] * len(VITALS) + _PLACE[s.family] for s in signals], dtype=np.int64
    )
    batches = build_batches(frame, signals)
    levels = _lifted_levels(batches, signals)
    s = len(frame.first)
    arrays = {name: np.full((len(signals), s), np.nan) for name in _ARRAYS}
    kept = []
    for whole, level in zip(batches, levels, strict=True):
        copies = find_copies(whole, cell[whole.position])
        _remark(remarks, Remark.COPY, signals, whole.position[copies])
        batch = whole.take(np.flatnonzero(~copies)) if copies.any() else whole
        kept.append(batch)
        found = compute_block_contrasts(frame, batch, level[~copies])
        arrays["z"][batch.position] = found.value / found.scale
        arrays["contrast"][batch.position] = batch.unscale(found.value)
        arrays["scale"][batch.position] = batch.unscale(found.scale)
        arrays["samples"][batch.position] = found.samples
        if frame.baseline is not None:
            bare = batch.position[found.default_scale]
            _remark(remarks, Remark.DEFAULT_SCALE, signals, bare)
    _remark(remarks, Remark.TWIN, signals, find_twins(kept, cell % len(VITALS)))
    return _tabulate(signals, cell, arrays, remarks)


def _remark(
    remarks: Remarks, remark: Remark, signals: Sequence[Signal], positions: Ints | list[int]
) -> None:
    for i in positions:
        remarks.add(remark, signals[i].label)


def _lifted_levels(batches: list[Batch], signals: Sequence[Signal]) -> list[Floats]:
    """Level against which a change of each series is judged, by batch, in scaled units.

    A component has one series of a name, so that all others of that name belong to its peers.
    """
    if not batches:
        return []
    levels = [compute_levels(batch) for batch in batches]
    own = np.concatenate([b.unscale(level) for b, level in zip(batches, levels, strict=True)])
    position = np.concatenate([batch.position for batch in batches])
    names: dict[str, int] = {}
    name = np.array([names.setdefault(signals[i].name, len(names)) for i in position])
    peers = np.split(_median_of_others(own, name), np.cumsum([len(level) for level in levels])[:-1])
    return [lift_levels(*each) for each in zip(batches, levels, peers, strict=True)]


def _median_of_others(values: Floats, group: Ints) -> Floats:
    """[n] median of the other values of each value's group; NaN in a group of one or at a NaN."""
    out = np.full(len(values), np.nan)
    order = np.lexsort((values, group))
    order = order[~np.isnan(values[order])]
    ordered, groups = values[order], group[order]
    _, start, inverse, size = np.unique(
        groups, return_index=True, return_inverse=True, return_counts=True
    )
    first, others = start[inverse], size[inverse] - 1
    rank = np.arange(len(order)) - first
    some = others > 0
    # Where the value itself comes before the middle of the others, that lies one further on.
    middle = [
        m + (m >= rank) for m in (np.maximum(others - 1, 0) // 2, np.minimum(others // 2, others))
    ]
    low, high = (ordered[np.where(some, first + m, first)] for m in middle)
    out[order[some]] = (low / 2 + high / 2)[some]
    return out


def _tabulate(
    signals: Sequence[Signal], cell: Ints, arrays: dict[str, Floats], remarks: Remarks
) -> VitalTable:
    order = np.argsort(cell, kind="stable")
    order = order[~np.isnan(arrays["z"][order]).all(axis=1)]
    z, contrast, scale, samples = (arrays[name][order] for name in _ARRAYS)
    cut = (np.abs(z) > LARGEST_Z).any(axis=1)
    _remark(remarks, Remark.LARGEST, signals, order[cut])
    return VitalTable(
        component=cell[order] // len(VITALS),
        family=cell[order] % len(VITALS),
        z=np.clip(z, -LARGEST_Z, LARGEST_Z),
        contrast=contrast,
        scale=np.where(np.isnan(contrast), np.nan, scale),
        signal=tuple(signals[i].name for i in order),
        unit=tuple(signals[i].unit for i in order),
        samples=samples,
    )
