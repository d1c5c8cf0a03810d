"""Evidence drawn from the model of docs/concepts.md: what simulation-based calibration needs.

One footprint and, unless more are asked for, one series per cell: there the model is generative,
exactly but for the law of delays, of which the likelihood has a density short of one inside the
window (eq. 16). Everything here is written from the equations and shares no code with the
likelihood.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesrca.evaluation.simulate_cells import Continuous, Count, random_cells
from bayesrca.evaluation.simulate_faults import Cells, Fault, FaultSpread
from bayesrca.evaluation.simulate_graph import draw_topology
from bayesrca.evaluation.simulate_onsets import draw_onsets, find_moved
from bayesrca.evaluation.simulate_traces import SimulatedTraces
from bayesrca.evaluation.simulate_vitals import SimulatedVitals
from bayesrca.evidence import FAMILIES, Evidence, FamilyTable
from bayesrca.incident import Family, Topology
from bayesrca.kernels.propagation import KINDS
from bayesrca.model.parameters import natural_values, unconstrained_prior

Floats = NDArray[np.float64]
Theta = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedTruth:
    """What simulated evidence was drawn from.

    Attributes:
        theta: [p] unconstrained parameters.
        causes: (component, kind) of every root, components ascending; empty for "none of these".
    """

    theta: Floats
    causes: tuple[tuple[int, str], ...]

    def hypothesis(self, n_components: int, sets: Sequence[tuple[int, ...]] = ()) -> int | None:
        """Column of the hypothesis in a posterior, None for a set that is not among `sets`.

        Args:
            n_components: components of the incident.
            sets: the candidate sets of several causes, in the order of their columns.
        """
        singles = len(KINDS) * n_components
        if not self.causes:
            return singles + len(sets)
        if len(self.causes) == 1:
            ((component, kind),) = self.causes
            return len(KINDS) * component + KINDS.index(kind)
        roots = tuple(component for component, _ in self.causes)
        return singles + list(sets).index(roots) if roots in sets else None


def simulate_evidence(
    topology: Topology | None = None,
    *,
    seed: int | Sequence[int],
    theta: Floats | None = None,
    prior: tuple[Floats, Floats] | None = None,
    none_prior: float = 0.05,
    causes: Sequence[float] = (1.0,),
    components: int | None = None,
    most_series: int = 1,
    correlation: float = 0.0,
    traced: float = 0.6,
) -> tuple[Evidence, SimulatedTruth]:
    """Draw the evidence of one incident, and what it was drawn from.

    One footprint. Components report latency, errors and vitals or not, with doses or without, at
    random; four incidents in five have a target.

    Args:
        topology: the system; None draws one (`bayesrca.evaluation.simulate_graph.draw_topology`).
        seed: the same seed gives the same evidence.
        theta: [p] unconstrained parameters; None draws them from the prior.
        prior: [p] means and [p] standard deviations; None takes the model's own.
        none_prior: probability of "none of these", in [0, 1].
        causes: probabilities of one, two, three ... roots, given that there is one.
        components: size of a system that is drawn; None draws it, from 8 to 60.
        most_series: most series in a cell, of vitals or without doses. The model is exact for one.
        correlation: of the noise of a cell's series, in [0, 1].
        traced: probability that the incident has spans, in [0, 1].

    Raises:
        ValueError: more causes than components.
    """
    rng = np.random.default_rng(seed)
    if theta is None:
        mean, sd = unconstrained_prior() if prior is None else prior
        theta = mean + sd * rng.standard_normal(len(mean))
    if topology is None:
        topology = draw_topology(rng, components=components)
    if len(causes) > len(topology):
        msg = f"{len(topology)} components cannot be {len(causes)} causes"
        raise ValueError(msg)
    vitals = SimulatedVitals(rng, len(topology), most=most_series, correlation=correlation)
    natural = natural_values(theta)
    cells = [
        random_cells(rng, len(topology), f, most=most_series, correlation=correlation)
        for f in range(len(FAMILIES))
    ]
    for f, family in enumerate(cells):
        for cell in family:
            if cell is not None:
                cell.prepare(natural, f)
    reports = [[cell is not None for cell in family] for family in cells]
    # Draws of its own: what else is simulated does not depend on whether anything is traced.
    (aside,) = rng.spawn(1)
    calls = topology.propagation_edges(Family.LOAD)
    traces = SimulatedTraces(aside, len(topology), calls, share=traced)
    spread = FaultSpread(rng, topology, natural, vitals, reports, traces=traces)
    faults = []
    if rng.random() >= none_prior:
        faults = spread.draw_causes(int(rng.choice(len(causes), p=causes)) + 1)
    return _draw(spread, cells, faults, topology.names), SimulatedTruth(
        theta=theta, causes=tuple((fault.root, fault.kind) for fault in faults)
    )


def _draw(
    spread: FaultSpread, cells: Sequence[Cells], faults: Sequence[Fault], names: tuple[str, ...]
) -> Evidence:
    """Draw everything that is seen, given the causes."""
    tables = []
    for f, family in enumerate(cells):
        spread.draw_family(family, f, [fault for fault in faults if fault.shows[f]])
        tables.append(_tabulate(family, spread.edges[f]))
    n = len(names)
    vitals, states, hit = spread.draw_vitals(faults)
    onsets = draw_onsets(
        spread.rng,
        find_moved(n, cells, vitals, states),
        spread.find_ways(faults, hit),
        unrelated=float(spread.theta["unrelated_delay"]),
    )
    return Evidence(
        components=names,
        footprints=np.array([[0.0, 1.0]]),
        footprint_log_prior=np.zeros(1),
        target=spread.target,
        alarm_family=spread.alarm,
        alarm_in_vitals=spread.alarm_in_vitals,
        families=(tables[0], tables[1]),
        vitals=vitals,
        states=states,
        root_log_factor=np.zeros((n, 1)),
        root_log_prior=spread.log_prior,
        unconnected=spread.unconnected,
        crash_log_ratio=spread.draw_silence(faults),
        demand=spread.demand,
        request_rate=np.full((n, 1), np.nan),
        onsets=onsets,
        traces=spread.draw_traces(faults),
        notes=(),
    )


_ARRAYS = (
    *("log_quiet", "log_wide", "log_affected", "contrast", "scale", "excess"),
    *("dose", "dose_noise", "dose_jacobian", "dose_low", "dose_high"),
)


def _tabulate(cells: Sequence[Continuous | Count | None], edges: NDArray[np.int64]) -> FamilyTable:
    n = len(cells)
    arrays: dict[str, Any] = {name: np.full((n, 1), np.nan) for name in _ARRAYS}
    for i, cell in enumerate(cells):
        if cell is not None:
            for name, value in cell.row().items():
                arrays[name][i, 0] = value
    series = [(i, z) for i, c in enumerate(cells) if isinstance(c, Continuous) for z in c.contrasts]
    return FamilyTable(
        edges=edges,
        series_component=np.array([i for i, _ in series], dtype=np.int64),
        z=np.array([[z] for _, z in series]).reshape(-1, 1),
        signal=("",) * n,
        measure=("",) * n,
        unit="",
        **arrays,
    )
