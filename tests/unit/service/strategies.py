"""Random incidents and answers, as odd as the domain allows."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray

from bayesrca.attribution.shares import ComponentShare, ExcessAttribution
from bayesrca.config import LARGEST_SEED
from bayesrca.incident import (
    Alert,
    AlertKind,
    Component,
    ComponentKind,
    Edge,
    EdgeKind,
    Event,
    Family,
    Incident,
    Run,
    Signal,
    Statistic,
    Target,
    TimeWindow,
    Topology,
)
from bayesrca.posterior.result import (
    Affected,
    Alarm,
    Ambiguity,
    Answer,
    Cause,
    CauseSet,
    ChangeProbability,
    Changes,
    Diagnostics,
    Dose,
    ExplainedShare,
    Explanation,
    Level,
    NodeProbability,
    Onset,
    OwnEvidence,
    PathEdge,
    Probability,
    Region,
    RootCausePosterior,
)
from tests.oracle.tables import recordings

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
NAME = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
DOUBLE = st.floats(allow_nan=False, width=64)
FINITE = st.floats(allow_nan=False, allow_infinity=False, width=64)
COUNT = st.integers(0, 2**63 - 1)


@st.composite
def time_axes(draw: st.DrawFn) -> NDArray[np.float64]:
    times = draw(st.lists(FINITE, min_size=2, max_size=6, unique_by=lambda t: t + 0.0))
    return np.array(sorted(times))


@st.composite
def runs(draw: st.DrawFn, axes: list[NDArray[np.float64]]) -> tuple[Run, ...]:
    """Some of them on an axis of the incident's, all of components it may not have."""
    found = []
    for name in draw(st.lists(NAME, max_size=2, unique=True)):
        time = draw(st.sampled_from(axes) | time_axes())
        subjects = draw(st.lists(st.tuples(NAME, NAME), min_size=1, max_size=2, unique=True))
        signals = tuple(
            Signal(
                component,
                series,
                draw(st.sampled_from(Family)),
                draw(st.sampled_from(Statistic)),
                time,
                draw(npst.arrays(np.float64, len(time), elements=FINITE | st.just(np.nan))),
            )
            for component, series in subjects
        )
        tables = draw(recordings(tuple(draw(st.lists(NAME, min_size=1, max_size=2, unique=True)))))
        found.append(Run(name, signals, *tables))
    return tuple(found)


def alerts(names: list[str]) -> st.SearchStrategy[Alert]:
    owner, kinds = st.sampled_from(names), st.sampled_from([AlertKind.METRIC, AlertKind.LOG])
    time = st.none() | FINITE
    plain = st.builds(Alert, owner, NAME, kinds, TEXT, st.none(), time)
    return plain | st.builds(
        Alert, owner, NAME, st.just(AlertKind.CALL), TEXT, st.none() | owner, time
    )


@st.composite
def incidents(draw: st.DrawFn) -> Incident:
    names = draw(st.lists(NAME, min_size=2, max_size=5, unique=True))
    components = tuple(
        # A parent later in the list: no cycle.
        Component(
            name,
            draw(st.sampled_from(ComponentKind)),
            draw(st.sampled_from([None, *names[i + 1 :]])),
        )
        for i, name in enumerate(names)
    )
    pairs = st.tuples(st.sampled_from(names), st.sampled_from(names)).filter(lambda p: p[0] != p[1])
    kinds = st.sampled_from(EdgeKind)
    edges = tuple(
        draw(st.lists(st.builds(lambda p, k: Edge(p[0], p[1], k), pairs, kinds), max_size=5))
    )
    axes = draw(st.lists(time_axes(), min_size=1, max_size=3))
    subjects = draw(
        st.lists(
            st.tuples(st.sampled_from([*names, *edges]), NAME),
            min_size=1,
            max_size=6,
            unique=True,
        )
    )
    signals = []
    for subject, name in subjects:
        time = draw(st.sampled_from(axes))
        values = draw(npst.arrays(np.float64, len(time), elements=FINITE | st.just(np.nan)))
        signals.append(
            Signal(
                component=subject if isinstance(subject, str) else None,
                name=name,
                family=draw(st.sampled_from(Family)),
                statistic=draw(st.sampled_from(Statistic)),
                timestamps=time,
                values=values,
                unit=draw(TEXT),
                edge=subject if isinstance(subject, Edge) else None,
            )
        )
    time = signals[0].timestamps
    window = TimeWindow(float(time[0]), float(time[-1]))
    event = st.builds(Event, FINITE, NAME, st.sampled_from([None, *names]), TEXT, st.none() | NAME)
    targets = [None, *map(Target, names)]
    targets += [Target(s.component, s.name) for s in signals if s.component is not None]
    spans, logs = draw(recordings(tuple(names)))
    return Incident(
        name=draw(NAME),
        topology=Topology(components, edges),
        signals=tuple(signals),
        events=tuple(draw(st.lists(event, max_size=3))),
        baseline=draw(st.sampled_from([None, window])),
        window=draw(st.sampled_from([None, window])),
        target=draw(st.sampled_from(targets)),
        normal_runs=draw(runs(axes)),
        spans=spans,
        logs=logs,
        notes=draw(st.lists(NAME, max_size=2, unique=True).map(tuple)),
        alerts=draw(st.none() | st.lists(alerts(names), max_size=3).map(tuple)),
    )


PROBABILITY = st.builds(Probability, value=DOUBLE, mcse=DOUBLE, interval=st.tuples(DOUBLE, DOUBLE))
OWN = st.builds(
    OwnEvidence,
    family=TEXT,
    signal=TEXT,
    measure=TEXT,
    contrast=DOUBLE,
    scale=DOUBLE,
    log_bayes_factor=DOUBLE,
)
DOSE = st.builds(Dose, family=TEXT, unit=TEXT, cause=DOUBLE, target=DOUBLE)
EXPLAINED = st.builds(
    ExplainedShare, family=TEXT, value=DOUBLE, interval=st.tuples(DOUBLE, DOUBLE), ratio=DOUBLE
)
PATH_EDGE = st.builds(PathEdge, source=TEXT, target=TEXT, family=TEXT, probability=DOUBLE)
AFFECTED = st.builds(Affected, component=TEXT, probability=DOUBLE)
EXPLANATION = st.builds(
    Explanation,
    own=st.lists(OWN, max_size=2).map(tuple),
    dose=st.none() | DOSE,
    explained_share=st.none() | EXPLAINED,
    path=st.lists(TEXT, max_size=3).map(tuple),
    edges=st.lists(PATH_EDGE, max_size=2).map(tuple),
    affected=st.lists(AFFECTED, max_size=2).map(tuple),
    reaches_target=st.none() | st.booleans(),
    footprint=st.tuples(DOUBLE, DOUBLE),
    text=TEXT,
    regions=st.lists(
        st.builds(
            Region,
            region=TEXT,
            change=TEXT,
            probability=DOUBLE,
            at_fault=st.none() | PROBABILITY,
        ),
        max_size=2,
    ).map(tuple),
)
CAUSE = st.builds(
    Cause,
    component=TEXT,
    kind=TEXT,
    kinds=st.dictionaries(TEXT, DOUBLE, max_size=3),
    probability=PROBABILITY,
    only=PROBABILITY,
    explains=EXPLANATION,
)
NAMES = st.lists(TEXT, max_size=3).map(tuple)
AMBIGUITY = st.builds(
    Ambiguity,
    entropy=DOUBLE,
    effective=DOUBLE,
    credible=st.lists(NAMES, max_size=3).map(tuple),
    credible_mass=DOUBLE,
    word=TEXT,
    text=TEXT,
)
LEVEL = st.builds(
    Level,
    kind=st.sampled_from(ComponentKind).map(str),
    nodes=st.lists(
        st.builds(NodeProbability, component=TEXT, probability=PROBABILITY), max_size=2
    ).map(tuple),
)
POSTERIOR = st.builds(
    RootCausePosterior,
    causes=st.lists(CAUSE, max_size=3).map(tuple),
    none=PROBABILITY,
    sets=st.lists(st.builds(CauseSet, components=NAMES, probability=PROBABILITY), max_size=3).map(
        tuple
    ),
    ambiguity=AMBIGUITY,
    levels=st.lists(LEVEL, max_size=2).map(tuple),
)
DIAGNOSTICS = st.builds(
    Diagnostics,
    healthy=st.booleans(),
    problems=st.lists(TEXT, max_size=2).map(tuple),
    n_draws=COUNT,
    n_chains=COUNT,
    r_hat=st.none() | DOUBLE,
    ess=DOUBLE,
    divergences=st.none() | COUNT,
    e_bfmi=st.none() | DOUBLE,
    pareto_k=st.none() | DOUBLE,
    reruns=COUNT,
    max_width=COUNT,
    estimated_sets=COUNT,
    sum_error=DOUBLE,
)
SHARE = st.builds(
    ComponentShare,
    component=TEXT,
    value=DOUBLE,
    value_std_err=DOUBLE,
    share=DOUBLE,
    share_std_err=DOUBLE,
    observed=st.booleans(),
)
ATTRIBUTION = st.builds(
    ExcessAttribution,
    family=TEXT,
    unit=TEXT,
    footprint=st.tuples(DOUBLE, DOUBLE),
    target=TEXT,
    excess=DOUBLE,
    excess_std_err=DOUBLE,
    shares=st.lists(SHARE, max_size=3).map(tuple),
    rule=TEXT,
    n_resamples=COUNT,
    seed=st.integers(0, 2**64 - 1),
)
ALARM = st.builds(
    Alarm, target_p=st.none() | DOUBLE, incident_p=DOUBLE, anomalous=st.booleans(), text=TEXT
)
ONSET = st.builds(
    Onset, component=TEXT, signal=TEXT, time=DOUBLE, lower=DOUBLE, upper=DOUBLE, rank=COUNT
)
CHANGE = st.builds(
    ChangeProbability,
    id=st.none() | TEXT,
    kind=TEXT,
    component=st.none() | TEXT,
    time=DOUBLE,
    text=TEXT,
    probability=DOUBLE,
)
CHANGES = st.builds(Changes, none=DOUBLE, ranking=st.lists(CHANGE, max_size=2).map(tuple))
ANSWERS = st.builds(
    Answer,
    incident=TEXT,
    method=st.sampled_from(["screen", "nuts"]),
    interval_mass=DOUBLE,
    posterior=POSTERIOR,
    diagnostics=DIAGNOSTICS,
    attribution=st.none() | ATTRIBUTION,
    alarm=ALARM,
    onsets=st.lists(ONSET, max_size=3).map(tuple),
    notes=st.lists(TEXT, max_size=2).map(tuple),
    seed=st.integers(0, LARGEST_SEED),
    versions=st.dictionaries(TEXT, TEXT, max_size=3),
    timings=st.dictionaries(TEXT, DOUBLE, max_size=3),
    changes=st.none() | CHANGES,
)
