"""Random small evidence: all kinds of cells, cyclic graphs, gaps, alarms, vitals, onsets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesrca.evidence import (
    VITALS,
    AlertEvidence,
    Evidence,
    FamilyTable,
    OnsetTable,
    StateTable,
    TraceEvidence,
    VitalTable,
)
from bayesrca.evidence.vitals import LARGEST_Z
from bayesrca.model.parameters import unconstrained_prior
from tests.oracle.constants import STATE

ARRAYS = (
    *("log_quiet", "log_wide", "log_affected", "contrast", "scale", "excess"),
    *("dose", "dose_noise", "dose_jacobian", "dose_low", "dose_high"),
)


def empty_table(
    n: int,
    s: int,
    edges: NDArray[np.int64] | None = None,
    **arrays: Any,  # noqa: ANN401
) -> FamilyTable:
    """A family nobody reports, with `arrays` in place of missing ones."""
    values: dict[str, Any] = {name: np.full((n, s), np.nan) for name in ARRAYS}
    values |= {
        "edges": np.zeros((0, 2), dtype=np.int64) if edges is None else edges,
        "series_component": np.zeros(0, dtype=np.int64),
        "z": np.zeros((0, s)),
        "signal": ("",) * n,
        "measure": ("",) * n,
        "unit": "",
    }
    return FamilyTable(**(values | arrays))


def make_evidence(
    tables: tuple[FamilyTable, FamilyTable],
    target: int | None = None,
    alarm_family: int | None = None,
    root_log_factor: NDArray[np.float64] | None = None,
    vitals: VitalTable | None = None,
) -> Evidence:
    """Evidence around two tables and perhaps vitals, with uniform footprints."""
    n, s = tables[0].dose.shape
    return Evidence(
        components=tuple(f"c{i}" for i in range(n)),
        footprints=np.stack([np.arange(s), np.arange(s) + 1.0], axis=1).astype(np.float64),
        footprint_log_prior=np.full(s, -np.log(s)),
        target=target,
        alarm_family=alarm_family,
        alarm_in_vitals=False,
        families=tables,
        vitals=VitalTable.empty(s) if vitals is None else vitals,
        states=StateTable.empty(s),
        root_log_factor=np.zeros((n, s)) if root_log_factor is None else root_log_factor,
        demand=np.zeros((0, 2), dtype=np.int64),
        crash_log_ratio=np.zeros((n, s)),
        root_log_prior=np.zeros(n),
        unconnected=np.zeros(n, dtype=bool),
        request_rate=np.full((n, s), np.nan),
        notes=(),
    )


def random_evidence(
    rng: np.random.Generator, *, max_components: int = 7, extreme: bool = False
) -> Evidence:
    """Evidence with at most `MAX_SWITCHES` edges and components per family.

    Extreme evidence has sharp doses, some many orders of magnitude apart.
    """
    n, s = int(rng.integers(2, max_components + 1)), int(rng.integers(1, 4))
    edges = _random_edges(rng, n)
    second = edges if rng.random() < 0.7 else _random_edges(rng, n)
    tables = (_random_table(rng, n, s, edges, extreme), _random_table(rng, n, s, second, extreme))
    target = int(rng.integers(n)) if rng.random() < 0.8 else None
    if target is not None and rng.random() < 0.2:  # nothing leads to the target, or from it
        tables = (_isolate(tables[0], target), _isolate(tables[1], target))
    silent = rng.random((n, s)) < 0.2
    evidence = make_evidence(
        tables,
        target=target,
        alarm_family=None if target is None else int(rng.integers(2)),
        root_log_factor=np.where(silent, -rng.uniform(0.0, 3.0, (n, s)), 0.0),
        vitals=_random_vitals(rng, n, s, extreme) if rng.random() < 0.8 else None,
    )
    return _with_more(rng, evidence)


def _with_more(rng: np.random.Generator, evidence: Evidence) -> Evidence:
    """States, onsets, demand, crashes, priors of roots, alarms in vitals: each now and then."""
    n, s = evidence.root_log_factor.shape
    demand = evidence.families[0].edges[:, ::-1] if rng.random() < 0.5 else _random_edges(rng, n)
    crashed = np.where(rng.random((n, s)) < 0.3, rng.uniform(-3.0, 3.0, (n, s)), 0.0)
    return replace(
        evidence,
        demand=demand if rng.random() < 0.8 else demand[:0],
        states=_random_states(rng, n, s) if rng.random() < 0.5 else evidence.states,
        onsets=_random_onsets(rng, n, s) if rng.random() < 0.6 else None,
        crash_log_ratio=crashed * (rng.random((n, 1)) < 0.5),
        root_log_prior=np.asarray(rng.integers(2) * rng.standard_normal(n)),
        unconnected=np.asarray(rng.random(n) < 0.2),
        alarm_in_vitals=evidence.target is not None and bool(rng.random() < 0.4),
        traces=random_traces(rng, n) if rng.random() < 0.6 else None,
        alerts=random_alerts(rng, n) if rng.random() < 0.4 else None,
    )


def random_alerts(rng: np.random.Generator, n: int) -> AlertEvidence:
    """Factors of some size; some components have none."""
    log_ratio = np.where(rng.random(n) < 0.2, 0.0, rng.uniform(-4.0, 8.0, n))
    fired = rng.integers(0, 3, n)
    return AlertEvidence(
        log_ratio=log_ratio,
        fired=fired,
        counted=np.ones(len(fired), dtype=np.bool_),
        told=int(fired.sum()),
        learned=False,
    )


def random_traces(rng: np.random.Generator, n: int) -> TraceEvidence:
    """Cells around a random graph of calls, with gaps."""
    edges = _random_edges(rng, n)

    def cells(length: int) -> NDArray[np.float64]:
        return np.where(rng.random(length) < 0.2, np.nan, rng.uniform(-6.0, 15.0, length))

    return replace(
        TraceEvidence.empty(n),
        own_pattern=cells(n),
        own_self_time=cells(n),
        edge_source=edges[:, 0],
        edge_target=edges[:, 1],
        edge_gap=cells(len(edges)),
        edge_terminal=cells(len(edges)),
        edge_order=cells(len(edges)),
        has_spans=rng.random(n) < 0.8,
    )


def _random_states(rng: np.random.Generator, n: int, s: int) -> StateTable:
    owners = np.sort(rng.choice(n, int(rng.integers(1, n + 3)))).astype(np.int64)
    shape = (len(owners), s)
    missing = np.where(rng.random(shape) < 0.2, np.nan, 0.0)
    fixed = {
        "log_fault": missing + rng.uniform(-2.0, 4.0, shape),
        "log_disturbed": missing + rng.uniform(-1.0, 2.0, shape),
    }
    return _states(owners, **fixed)


def _states(owners: NDArray[np.int64], **fixed: NDArray[np.float64]) -> StateTable:
    unread = np.full((len(owners), fixed["log_fault"].shape[1]), np.nan)
    return StateTable(
        component=owners,
        signal=tuple(f"state_{row}" for row in range(len(owners))),
        state=unread,
        visits=unread,
        units=np.ones(len(owners), dtype=np.int64),
        onset=unread[:, 0],
        **fixed,
    )


def _random_onsets(rng: np.random.Generator, n: int, s: int) -> OnsetTable:
    """Onsets of most components; footprints are one second apart."""
    time = np.where(rng.random(n) < 0.75, rng.uniform(0.0, s, n), np.nan)
    half = rng.uniform(0.01, 0.3, n)
    return OnsetTable(
        time=time, lower=time - half, upper=time + half, error=half, signal=("x",) * n
    )


def make_vitals(places: list[tuple[int, int]], z: NDArray[np.float64]) -> VitalTable:
    """Vitals with contrasts `z`, [m, s], at `places`: ascending pairs (component, family)."""
    index = np.array(places, dtype=np.int64).reshape(-1, 2)
    return VitalTable(
        component=index[:, 0].copy(),
        family=index[:, 1].copy(),
        z=z,
        contrast=0.1 * z,
        scale=np.where(np.isnan(z), np.nan, 0.1),
        signal=tuple(f"{VITALS[v].value}_{row}" for row, (_, v) in enumerate(places)),
    )


def random_theta(rng: np.random.Generator, width: float = 1.5) -> NDArray[np.float64]:
    """Unconstrained theta, within `width` prior standard deviations mostly."""
    mean, sd = unconstrained_prior()
    return mean + width * sd * rng.standard_normal(len(mean))


def permute(evidence: Evidence, order: NDArray[np.int64]) -> Evidence:
    """The same incident with its components listed in another order: new i is old ``order[i]``."""
    new = np.argsort(order)

    def table(t: FamilyTable) -> FamilyTable:
        return replace(
            t,
            edges=new[t.edges].reshape(-1, 2),
            series_component=new[t.series_component],
            **{name: getattr(t, name)[order] for name in ARRAYS},
        )

    return replace(
        evidence,
        components=tuple(evidence.components[i] for i in order),
        target=None if evidence.target is None else int(new[evidence.target]),
        families=(table(evidence.families[0]), table(evidence.families[1])),
        root_log_factor=evidence.root_log_factor[order],
        root_log_prior=evidence.root_log_prior[order],
        crash_log_ratio=evidence.crash_log_ratio[order],
        unconnected=evidence.unconnected[order],
        demand=new[evidence.demand].reshape(-1, 2),
        vitals=_permute_vitals(evidence.vitals, new),
        states=_permute_states(evidence.states, new),
        onsets=None if evidence.onsets is None else _permute_onsets(evidence.onsets, order),
        traces=None if evidence.traces is None else _permute_traces(evidence.traces, new, order),
        alerts=None
        if evidence.alerts is None
        else replace(
            evidence.alerts,
            log_ratio=evidence.alerts.log_ratio[order],
            fired=evidence.alerts.fired[order],
        ),
    )


def with_edges(evidence: Evidence, *edges: list[tuple[int, int]]) -> Evidence:
    """The same evidence on other graphs, one list of edges per family."""
    first, second = (
        replace(t, edges=np.array(e, dtype=np.int64).reshape(-1, 2))
        for t, e in zip(evidence.families, edges, strict=True)
    )
    return replace(evidence, families=(first, second))


def _permute_vitals(vitals: VitalTable, new: NDArray[np.int64]) -> VitalTable:
    component = new[vitals.component]
    rows = np.lexsort((vitals.family, component))
    places = list(zip(component[rows].tolist(), vitals.family[rows].tolist(), strict=True))
    return make_vitals(places, vitals.z[rows])


def _permute_states(states: StateTable, new: NDArray[np.int64]) -> StateTable:
    component = new[states.component]
    rows = np.argsort(component, kind="stable")
    fixed = {name: getattr(states, name)[rows] for name in ("log_fault", "log_disturbed")}
    return _states(component[rows], **fixed)


def _permute_onsets(onsets: OnsetTable, order: NDArray[np.int64]) -> OnsetTable:
    arrays = {name: getattr(onsets, name)[order] for name in ("time", "lower", "upper", "error")}
    return replace(onsets, **arrays)


def _permute_traces(
    traces: TraceEvidence, new: NDArray[np.int64], order: NDArray[np.int64]
) -> TraceEvidence:
    own = {name: getattr(traces, name)[order] for name in ("own_pattern", "own_self_time")}
    return replace(
        traces,
        **own,
        edge_source=new[traces.edge_source],
        edge_target=new[traces.edge_target],
        has_spans=traces.has_spans[order],
    )


def _random_vitals(rng: np.random.Generator, n: int, s: int, extreme: bool) -> VitalTable:
    """Cells of one to three series with gaps; some components report nothing, some everything."""
    places = []
    for i in range(n):
        reported = rng.choice([0.0, 0.4, 1.0], p=[0.25, 0.6, 0.15])
        for v in range(len(VITALS)):
            if v != STATE and rng.random() < reported:
                places += [(i, v)] * int(rng.choice([1, 2, 3], p=[0.6, 0.2, 0.2]))
    shape = (len(places), s)
    z = np.where(rng.random(shape) < 0.7, rng.standard_t(3, shape), rng.uniform(-25.0, 40.0, shape))
    z[rng.random(shape) < 0.1] = 0.0
    if extreme:
        far = rng.choice([-1.0, 1.0], shape) * LARGEST_Z
        z = np.where(rng.random(shape) < 0.1, far, z)
    return make_vitals(places, np.where(rng.random(shape) < 0.1, np.nan, z))


def _random_edges(rng: np.random.Generator, n: int) -> NDArray[np.int64]:
    pairs = [(a, b) for a in range(n) for b in range(n) if a != b]
    if rng.random() < 0.5:  # acyclic
        order = rng.permutation(n)
        pairs = [(a, b) for a, b in pairs if order[a] < order[b]]
    rng.shuffle(pairs)
    room = 16 - (n - 1)
    keep = min(room, len(pairs), int(rng.integers(0, 2 * n)))
    return np.array(pairs[:keep], dtype=np.int64).reshape(-1, 2)


def _isolate(table: FamilyTable, i: int) -> FamilyTable:
    return replace(table, edges=table.edges[(table.edges != i).all(axis=1)])


def _random_table(
    rng: np.random.Generator, n: int, s: int, edges: NDArray[np.int64], extreme: bool
) -> FamilyTable:
    arrays = {name: np.full((n, s), np.nan) for name in ARRAYS}
    owners: list[int] = []
    z: list[NDArray[np.float64]] = []

    def put(i: int, seen: NDArray[np.bool_], **values: NDArray[np.float64]) -> None:
        for name, row in values.items():
            arrays[name][i] = np.where(seen, row, np.nan)

    for i in range(n):
        seen = rng.random(s) < 0.9
        dose, noise = rng.uniform(-3.0, 4.0, s), rng.uniform(0.1, 2.0, s)
        if extreme and rng.random() < 0.5:
            dose = dose if rng.random() < 0.8 else rng.uniform(-40.0, 10.0, s)
            noise = 0.05 * np.exp(dose)
        kind = rng.choice(["missing", "count", "single", "several"], p=[0.15, 0.25, 0.4, 0.2])
        if kind == "count":
            law = rng.uniform(-12.0, -0.05, (3, s))
            put(i, seen, log_quiet=law[0], log_wide=law[1], log_affected=law[2])
            if rng.random() < 0.8:
                low = np.where(rng.random(s) < 0.3, -np.inf, dose - rng.uniform(0.1, 1.0, s))
                high = np.where(rng.random(s) < 0.2, np.inf, dose + rng.uniform(0.1, 1.0, s))
                put(i, seen, dose=dose, dose_noise=noise, dose_low=low, dose_high=high)
        elif kind == "single":
            owners.append(i)
            z.append(np.where(seen, rng.uniform(-3.0, 25.0, s), np.nan))
            if rng.random() < 0.8:
                put(
                    i,
                    seen & (rng.random(s) < 0.9),
                    dose=dose,
                    dose_noise=noise,
                    dose_jacobian=rng.uniform(0.1, 1.5, s),
                    dose_low=rng.uniform(-2.0, 3.0, s),
                )
        elif kind == "several":
            for _ in range(int(rng.integers(2, 4))):
                owners.append(i)
                z.append(np.where(rng.random(s) < 0.9, rng.uniform(-3.0, 25.0, s), np.nan))
    return empty_table(
        n,
        s,
        edges,
        series_component=np.array(owners, dtype=np.int64),
        z=np.array(z).reshape(-1, s),
        **arrays,
    )
