"""What every number of the evidence is: one row per component and family, to be read by people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayesrca.evidence.trace_evidence import TraceTest
from bayesrca.evidence.vitals import VITALS
from bayesrca.incident import Family

if TYPE_CHECKING:
    from bayesrca.evidence.evidence import Evidence, FamilyTable

Floats = NDArray[np.float64]

MEANS = "difference of means"
"""What the contrast of a vital is."""
SHARES = "difference of shares"
"""What the contrast of a count cell, and of a test of presence or order, is."""
TRACE = "trace"
"""Family of the rows of spans and log lines."""
TIMED = ("self time", "gap")
"""Names of the tests of times."""
_COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("component", "component", "<"),
    ("family", "family", "<"),
    ("signal", "signal", "<"),
    ("series", "series", ">"),
    ("contrast", "contrast", ">"),
    ("measure", "measure", "<"),
    ("scale", "scale", ">"),
    ("z", "z", ">"),
    ("season", "season", ">"),
    ("trend", "trend", ">"),
    ("log LR", "log_ratio", ">"),
    ("dose", "dose", ">"),
    ("unit", "unit", "<"),
    ("samples", "samples", ">"),
    ("seconds", "seconds", "<"),
)
"""Heading, attribute and alignment of each column of the text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceRow:
    """What one family says about one component in one footprint.

    Attributes:
        component: its name.
        family: the family; ``trace`` for what spans and log lines show.
        signal: the series; of several in a cell the one whose contrast is largest. Of traces the
            test with the largest ratio, what it is about, and how many instances it is compared
            with.
        series: how many series the cell has; of traces, how many places were tested.
        contrast: how far it moved, as ``measure`` says; of states, the rarest value seen.
        measure: what the contrast is.
        scale: its standard deviation when nothing is wrong (> 0); None for states.
        z: contrast in units of that scale; None for states.
        season: what the season would have added to the contrast and was taken out; 0 without one.
        trend: the same of the trend.
        log_ratio: log ratio of "root" (a vital: "at fault"; traces: "affected") to "quiet"; None if
            not given, but that of states and traces, which depends on no parameter.
        dose: excess work, signed; None where it is not defined.
        unit: unit of the dose, empty without one.
        samples: samples of the series in the footprint, or instances that a test is about; None
            where no series were read.
        seconds: start and end of the footprint.
    """

    component: str
    family: str
    signal: str
    series: int
    contrast: float
    measure: str
    scale: float | None
    z: float | None
    season: float
    trend: float
    log_ratio: float | None
    dose: float | None
    unit: str
    samples: int | None
    seconds: tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceTable:
    """Rows by component, then family; `str` aligns them as text.

    Attributes:
        rows: the rows.
        reference: what contrasts were taken against, in words.
    """

    rows: tuple[EvidenceRow, ...]
    reference: str

    def __str__(self) -> str:
        """Return aligned text: the reference, a heading and one line per row."""
        cells = [[heading for heading, _, _ in _COLUMNS]]
        cells += [[_text(getattr(row, name)) for _, name, _ in _COLUMNS] for row in self.rows]
        widths = [max(len(cell) for cell in column) for column in zip(*cells, strict=True)]
        lines = [
            "  ".join(
                f"{cell:{align}{width}}"
                for cell, (_, _, align), width in zip(line, _COLUMNS, widths, strict=True)
            ).rstrip()
            for line in cells
        ]
        return "\n".join([f"Contrasts are taken against {self.reference}.", *lines])


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, tuple):
        return f"{value[0]:.10g} - {value[1]:.10g}"
    return str(value)


def build_table(
    evidence: Evidence,
    families: Sequence[Family],
    footprint: int | None,
    log_ratios: tuple[Floats, Floats] | None,
) -> EvidenceTable:
    """Tabulate evidence whose ``families`` are these, see `Evidence.table`."""
    n = len(evidence.footprints)
    if footprint is not None and not -n <= footprint < n:
        msg = f"there is no footprint {footprint}: the evidence has {n}"
        raise IndexError(msg)
    rows = [*_family_rows(evidence, families, footprint, log_ratios)]
    rows += _vital_rows(evidence, footprint, log_ratios)
    rows += _state_rows(evidence, footprint)
    rows += _trace_rows(evidence)
    order = {name: i for i, name in enumerate(evidence.components)}
    rows.sort(key=lambda row: order[row.component])  # stable: families keep their order
    return EvidenceTable(rows=tuple(rows), reference=evidence.reference or "nothing that was read")


def _family_rows(
    evidence: Evidence,
    families: Sequence[Family],
    footprint: int | None,
    log_ratios: tuple[Floats, Floats] | None,
) -> Iterator[EvidenceRow]:
    for f, (family, table) in enumerate(zip(families, evidence.families, strict=True)):
        z = _standardised(table)
        number = np.bincount(table.series_component, minlength=len(z))
        for i in np.flatnonzero(np.isfinite(z).any(axis=1)).tolist():
            name = evidence.components[i]
            s = int(np.nanargmax(np.abs(z[i]))) if footprint is None else footprint
            if not np.isfinite(z[i, s]):
                continue
            excess = float(table.excess[i, s])
            dosed = bool(np.isfinite(excess))
            season, trend = _taken_out(evidence, name, table.signal[i], s)
            yield EvidenceRow(
                component=name,
                family=family.value,
                signal=table.signal[i],
                series=max(1, int(number[i])),
                contrast=float(table.contrast[i, s]),
                measure=table.measure[i],
                scale=float(table.scale[i, s]),
                z=float(z[i, s]),
                season=season,
                trend=trend,
                log_ratio=None if log_ratios is None else float(log_ratios[0][f, i, s]),
                dose=excess if dosed else None,
                unit=table.unit if dosed else "",
                samples=_number(table.samples, i, s),
                seconds=_seconds(evidence, s),
            )


def _vital_rows(
    evidence: Evidence, footprint: int | None, log_ratios: tuple[Floats, Floats] | None
) -> Iterator[EvidenceRow]:
    table = evidence.vitals
    size = np.where(np.isfinite(table.z), np.abs(table.z), -1.0)
    if footprint is not None:
        size = size[:, [footprint]]
    cell = table.component * len(VITALS) + table.family
    _, start, number = np.unique(cell, return_index=True, return_counts=True)
    for first, m in zip(
        start.tolist(), number.tolist(), strict=True
    ):  # rows of a cell are adjacent
        of_cell = size[first : first + m]
        if of_cell.max() < 0:
            continue
        row, column = (int(x) for x in np.unravel_index(of_cell.argmax(), of_cell.shape))
        row, s = first + row, column if footprint is None else footprint
        unit = table.unit[row] if table.unit is not None else ""
        name = evidence.components[table.component[row]]
        season, trend = _taken_out(evidence, name, table.signal[row], s)
        yield EvidenceRow(
            component=name,
            family=VITALS[table.family[row]].value,
            signal=table.signal[row],
            series=m,
            contrast=float(table.contrast[row, s]),
            measure=f"{MEANS} ({unit})" if unit else MEANS,
            scale=float(table.scale[row, s]),
            z=float(table.z[row, s]),
            season=season,
            trend=trend,
            log_ratio=None if log_ratios is None else float(log_ratios[1][row, s]),
            dose=None,
            unit="",
            samples=_number(table.samples, row, s),
            seconds=_seconds(evidence, s),
        )


def _state_rows(evidence: Evidence, footprint: int | None) -> Iterator[EvidenceRow]:
    """Of each component the series whose states speak loudest for a fault."""
    table = evidence.states
    seen = np.isfinite(table.log_fault) & np.isfinite(table.visits)
    size = np.where(seen, table.log_fault, -np.inf)
    if footprint is not None:
        size = size[:, [footprint]]
    for i in np.unique(table.component).tolist():
        rows = np.flatnonzero(table.component == i)
        best, column = np.unravel_index(size[rows].argmax(), size[rows].shape)
        row, s = int(rows[best]), int(column) if footprint is None else footprint
        if not seen[row, s]:
            continue
        yield EvidenceRow(
            component=evidence.components[i],
            family=Family.STATE.value,
            signal=table.signal[row],
            series=len(rows),
            contrast=float(table.state[row, s]),
            measure=f"value in {table.visits[row, s]:.0f} of {table.units[row]} recordings",
            scale=None,
            z=None,
            season=0.0,
            trend=0.0,
            log_ratio=float(table.log_fault[row, s]),
            dose=None,
            unit="",
            samples=None,
            seconds=_seconds(evidence, s),
        )


def _trace_rows(evidence: Evidence) -> Iterator[EvidenceRow]:
    """Of each component and called component the loudest test of each sort; over the window."""
    found: dict[tuple[int, int, str], list[TraceTest]] = {}
    for test in () if evidence.traces is None else evidence.traces.tests:
        found.setdefault((test.component, test.callee, test.name), []).append(test)
    for (component, callee, name), tests in found.items():
        loudest = max(tests, key=lambda t: t.log_ratio)
        towards = f" to {evidence.components[callee]}" if callee >= 0 else ""
        subject = f": {loudest.subject}" if loudest.subject else ""
        yield EvidenceRow(
            component=evidence.components[component],
            family=TRACE,
            signal=f"{name}{towards}{subject} ({loudest.change}, before: {loudest.n0})",
            series=len(tests),
            contrast=loudest.contrast,
            measure="log ratio" if name in TIMED else SHARES,
            scale=loudest.scale,
            z=loudest.contrast / loudest.scale,
            season=0.0,
            trend=0.0,
            log_ratio=loudest.log_ratio,
            dose=None,
            unit="",
            samples=loudest.n,
            seconds=(
                float(evidence.footprints[:, 0].min()),
                float(evidence.footprints[:, 1].max()),
            ),
        )


def _taken_out(evidence: Evidence, component: str, signal: str, s: int) -> tuple[float, float]:
    """What season and trend would have added to the contrast of a series."""
    share = evidence.seasons.get((component, signal))
    return (0.0, 0.0) if share is None else (float(share.season[s]), float(share.trend[s]))


def _standardised(table: FamilyTable) -> Floats:
    with np.errstate(invalid="ignore"):
        return np.asarray(table.contrast / table.scale)


def _number(samples: Floats | None, row: int, s: int) -> int | None:
    return None if samples is None else int(samples[row, s])


def _seconds(evidence: Evidence, s: int) -> tuple[float, float]:
    start, end = evidence.footprints[s]
    return float(start), float(end)
