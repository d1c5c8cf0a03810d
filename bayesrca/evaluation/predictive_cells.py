"""Cells of an analysed incident, from which other evidence of the same shape can be drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from bayesrca.evaluation.simulate_cells import (
    LARGE,
    Continuous,
    Count,
    Theta,
    inverse_log_softplus,
)
from bayesrca.evaluation.simulate_faults import LAWS as FAULT_LAWS
from bayesrca.evaluation.simulate_faults import Fault, FaultSpread
from bayesrca.evaluation.simulate_traces import OWN, SimulatedTraces
from bayesrca.evaluation.simulate_vitals import LAWS, SimulatedVitals
from bayesrca.evidence import VITALS, Evidence, FamilyTable, TraceEvidence
from bayesrca.evidence.counts import (
    EFFECT_LOG_MEDIAN,
    EFFECT_LOG_SD,
    EFFECT_PRECISION,
    WIDE,
    CountLaws,
)
from bayesrca.incident import Family, Topology

Floats = NDArray[np.float64]


class GivenSeries(Continuous):
    """The series of one cell in one footprint, with the null scale and dose noise they have.

    Of several, all are quiet or one of them responds, unknown which: what the mean of their ratios
    says. The model takes their noise to be independent here.

    Args:
        rows: rows of the family's series.
        scale: null scale of the contrast, NaN where the cell has no dose.
        noise: standard deviation of the excess work when quiet, NaN where the cell has no dose.
        log_at_large: log dose at z = 2, NaN where the cell has no dose.
    """

    def __init__(
        self, rows: NDArray[np.int64], scale: float, noise: float, log_at_large: float
    ) -> None:
        self.rows, self.scale, self.noise = rows, scale, noise
        self.has_dose = bool(np.isfinite(noise))
        if self.has_dose:
            at_large = inverse_log_softplus(log_at_large - np.log(noise))
            self.dose_scale = float(np.expm1(LARGE * scale) / at_large)
        self.z = 0.0
        self.values = np.zeros(len(rows))

    def draw_quiet(self, rng: np.random.Generator) -> None:
        """Draw every series when nothing is wrong (eq. 3)."""
        for j in range(len(self.values)):
            super().draw_quiet(rng)
            self.values[j] = self.z

    def _effect(self, rng: np.random.Generator, median: float) -> None:
        super()._effect(rng, median)
        self.values[rng.integers(len(self.values))] = self.z

    def set_dose(self, y: float) -> None:
        """Set z so that the log dose is y."""
        super().set_dose(y)
        self.values[0] = self.z


class GivenCount(Count):
    """Failures among the requests of one component in one footprint (eq. 10).

    Args:
        laws: what is known of the component.
        s: the footprint.
    """

    def __init__(self, laws: CountLaws, s: int) -> None:
        self.n = int(laws.requests[s])
        self.share = float(laws.reference[s])
        weights, self.a, self.b = laws.usual[:, :, s]
        self.weights = weights / weights.sum()
        self.noise = float(np.sqrt(2.0 * self.n * self.share * (1.0 - self.share) + 0.5))
        self.k = 0

    def prepare(self, theta: Theta, f: int) -> None:
        """Set the laws of family f at theta."""
        self.tail = theta["tail_weight"][f]

    def draw_quiet(self, rng: np.random.Generator) -> None:
        """Draw the count when nothing is wrong."""
        j = rng.choice(len(self.weights), p=self.weights)
        law = WIDE if rng.random() < self.tail else (self.a[j], self.b[j])
        self.k = int(rng.binomial(self.n, rng.beta(*law)))

    def draw_effect(self, rng: np.random.Generator) -> None:
        """Draw the count under a fault, affected and root alike."""
        rise = np.exp(EFFECT_LOG_MEDIAN + EFFECT_LOG_SD * rng.standard_normal())
        p = np.clip(expit(logit(self.share) + rise), 1e-9, 1.0 - 1e-9)
        share = rng.beta(EFFECT_PRECISION * p, EFFECT_PRECISION * (1.0 - p))
        self.k = int(rng.binomial(self.n, share))

    draw_root = draw_effect

    @property
    def excess(self) -> float:
        """Excess failures over their noise: what z is to a continuous series."""
        return (self.k - self.n * self.share) / self.noise

    @property
    def dose(self) -> float:
        """Log dose y; without an excess, that of the most failures that are none."""
        most = np.ceil(self.n * self.share) - 1.0
        x = max(self.excess, (most - self.n * self.share) / self.noise)
        soft = x if x < -30.0 else np.log(np.logaddexp(0.0, x))
        return float(np.log(self.noise) + soft)

    def set_dose(self, y: float) -> None:
        """Set the count whose interval of doses holds y."""
        t = y - np.log(self.noise)
        if t > np.log(self.n + 1.0):  # more than all can fail
            self.k = self.n
            return
        x = t if t < -30.0 else np.exp(t) + np.log(-np.expm1(-np.exp(t)))
        k = np.ceil(self.n * self.share + self.noise * x - 0.5)
        self.k = int(np.clip(k, 0, self.n))


class GivenVitals(SimulatedVitals):
    """The vitals that the components of an analysed incident report."""

    def __init__(self, rng: np.random.Generator, evidence: Evidence) -> None:
        self.rng, self.n, self.correlation = rng, len(evidence.components), 0.0
        counts = np.zeros((self.n, len(VITALS)), dtype=np.int64)
        np.add.at(counts, (evidence.vitals.component, evidence.vitals.family), 1)
        counts[evidence.states.component, VITALS.index(Family.STATE)] = 1
        self.series = [{v: int(c) for v, c in enumerate(row) if c} for row in counts]
        reported = counts.any(axis=0)
        prior = np.array([LAWS[f].at_fault for f in VITALS]) * reported
        self.at_fault = prior / max(prior.sum(), 1e-300)
        self.load = VITALS.index(Family.LOAD)
        self.load_known = bool(reported[self.load])


class GivenTraces(SimulatedTraces):
    """Which components and calls of an analysed incident were traced; they are not drawn again."""

    def __init__(self, rng: np.random.Generator, traces: TraceEvidence) -> None:
        self.rng, self.n, self.traced = rng, len(traces.has_spans), True
        own = zip(OWN, (traces.own_pattern, traces.own_self_time), strict=True)
        self.known = {(name, int(i)) for name, row in own for i in np.flatnonzero(~np.isnan(row))}
        self.known |= {("edge_gap", int(e)) for e in np.flatnonzero(~np.isnan(traces.edge_gap))}
        self.known |= {
            ("edge_terminal", int(e)) for e in np.flatnonzero(~np.isnan(traces.edge_terminal))
        }
        pairs = zip(traces.edge_source, traces.edge_target, strict=True)
        self.calls = [(int(a), int(b)) for a, b in pairs]
        self.timed = set(traces.edge_target[~np.isnan(traces.edge_gap)].tolist())


class GivenSpread(FaultSpread):
    """How faults that are given spread in an analysed incident."""

    def __init__(
        self, rng: np.random.Generator, topology: Topology, theta: Theta, evidence: Evidence
    ) -> None:
        reports = [_has_cell(table).tolist() for table in evidence.families]
        traces = None if evidence.traces is None else GivenTraces(rng, evidence.traces)
        vitals = GivenVitals(rng, evidence)
        super().__init__(rng, topology, theta, vitals, reports, traces=traces)
        self.target = evidence.target
        self.alarm, self.alarm_in_vitals = evidence.alarm_family, evidence.alarm_in_vitals
        self.hears = (evidence.crash_log_ratio != 0.0).any(axis=1)
        self.log_prior, self.unconnected = evidence.root_log_prior, evidence.unconnected

    def draw_single(self, root: int, kind: str) -> list[Fault]:
        """A fault of this kind; where it shows from the prior given it (eq. 2)."""
        return self._accept(lambda: [self._draw_modes(root, kind)])

    def draw_set(self, roots: Sequence[int]) -> list[Fault]:
        """Faults at all of these; their kinds, and where they show, from the prior."""
        kinds = [kind for kind, law in FAULT_LAWS.items() if law.in_sets]
        weights = [np.array([self._weight(i, kind) for kind in kinds]) for i in roots]

        def propose() -> list[Fault]:
            drawn = [self.rng.choice(len(kinds), p=w / w.sum()) for w in weights]
            return [self._draw_modes(i, kinds[int(k)]) for i, k in zip(roots, drawn, strict=True)]

        return self._accept(propose)

    def _accept(self, propose: Callable[[], list[Fault]]) -> list[Fault]:
        while True:
            faults = propose()
            explained = self.alarm is None or any(self._explains(f) for f in faults)
            if explained or self.rng.random() < self.theta["unexplained_alarm"]:
                return faults


def _has_cell(table: FamilyTable) -> NDArray[np.bool_]:
    """[n] whether the likelihood reads a cell of the component."""
    out = ~np.isnan(table.log_quiet).all(axis=1)
    out[table.series_component] = True
    return out


def given_cells(table: FamilyTable, s: int) -> list[GivenSeries | GivenCount | None]:
    """Cells of all components in footprint s; None where nothing is drawn.

    A cell that stands still has a probability and no density, and is not drawn.
    """
    cells: list[GivenSeries | GivenCount | None] = []
    for i in range(len(table.dose)):
        rows = np.flatnonzero((table.series_component == i) & ~np.isnan(table.z[:, s]))
        laws = table.counts.get(i)
        if laws is not None and np.isfinite(laws.failed[s]):
            cells.append(GivenCount(laws, s))
        elif rows.size:
            has_dose = np.isfinite(table.dose[i, s])
            noise = float(table.dose_noise[i, s]) if has_dose else np.nan
            low = float(table.dose_low[i, s])
            cells.append(GivenSeries(rows, float(table.scale[i, s]), noise, low))
        else:
            cells.append(None)
    return cells
