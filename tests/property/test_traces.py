"""Laws of what spans and logs say in the native likelihood."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from bayesrca.evidence import Evidence, TraceEvidence
from bayesrca.kernels.propagation import KINDS, PreparedLikelihood
from bayesrca.model.parameters import natural_values, parameter_names, unconstrained_prior
from tests.oracle.constants import CODE
from tests.oracle.incidents import (
    empty_table,
    make_evidence,
    random_evidence,
    random_theta,
    random_traces,
)
from tests.oracle.traces import Traces, quiet_density_ratio, reference

Floats = NDArray[np.float64]
SEEDS = st.integers(0, 2**32 - 1)
few = settings(max_examples=30, deadline=None)
EDGES = ((0, 1), (1, 2), (1, 3), (0, 4), (2, 3))
CELLS = {
    "own_pattern": 5,
    "own_self_time": 5,
    "edge_gap": len(EDGES),
    "edge_terminal": len(EDGES),
    "edge_order": len(EDGES),
}


def prepare(evidence: Evidence, max_causes: int = 1) -> PreparedLikelihood:
    return PreparedLikelihood(
        evidence,
        none_prior=0.05,
        max_width=14,
        max_causes=max_causes,
        centre=unconstrained_prior()[0],
    )


def traced(**cells: dict[int, float]) -> Evidence:
    """Five components that call each other, nothing measured but these cells."""
    table = empty_table(5, 1)
    arrays: dict[str, Any] = {name: np.full(length, np.nan) for name, length in CELLS.items()}
    for name, values in cells.items():
        for at, value in values.items():
            arrays[name][at] = value
    edges = np.array(EDGES, dtype=np.int64)
    traces = replace(
        TraceEvidence.empty(5),
        edge_source=edges[:, 0].copy(),
        edge_target=edges[:, 1].copy(),
        has_spans=np.ones(5, dtype=np.bool_),
        **arrays,
    )
    return replace(make_evidence((table, table)), traces=traces)


def log_joint(evidence: Evidence, theta: Floats, max_causes: int = 1) -> Floats:
    with prepare(evidence, max_causes) as likelihood:
        return likelihood.compute_footprint_log_joint(theta)[:, 0]


@pytest.mark.parametrize(
    "places",
    [
        (("own_pattern", 0), ("edge_order", 0)),  # a caller's change and its order, seen from 1
        (("edge_terminal", 1), ("edge_terminal", 2)),  # cut short at exactly one of two
        (("edge_gap", 2), ("edge_terminal", 4)),
        (("own_pattern", 0), ("own_self_time", 1)),
    ],
)
def test_no_hypothesis_gains_on_average_when_all_is_quiet(
    places: tuple[tuple[str, int], ...],
) -> None:
    """Under the quiet law every factor has mean one, alone and in sets of causes."""
    theta = random_theta(np.random.default_rng(3), width=0.5)
    natural = natural_values(theta)
    names = {"own_pattern": "pattern", "own_self_time": "self", "edge_gap": "gap"}
    grid = np.linspace(-20.0, 20.0, 161)
    weights = []
    for name, _ in places:
        family = names.get(name, "terminal")
        law = [quiet_density_ratio(natural, family, v) for v in grid] * np.exp(reference(-1, grid))
        assert np.trapezoid(law, grid) == pytest.approx(1.0, abs=1e-6)
        weights.append(law * (grid[1] - grid[0]))
    # What can be told at all is part of the prior: of every component something is in any case,
    # and component 3 has a timed call.
    timed: dict[str, dict[int, float]] = {
        "edge_gap": {4: -1.0},
        "own_pattern": {1: -1.0},
        "own_self_time": {0: -1.0, 2: 0.5, 3: -1.0, 4: 1.0},
    }
    with prepare(traced(**timed), 2) as likelihood:
        sets = likelihood.sets
        base = likelihood.compute_footprint_log_joint(theta)[:, 0]
    mean = np.zeros_like(base)
    for at in product(range(len(grid)), repeat=len(places)):
        weight = float(np.prod([w[j] for w, j in zip(weights, at, strict=True)]))
        if weight < 1e-9:
            continue
        cells = {name: dict(values) for name, values in timed.items()}
        for (name, i), j in zip(places, at, strict=True):
            cells.setdefault(name, {})[i] = float(grid[j])
        with prepare(traced(**cells), 2) as likelihood:
            assert likelihood.sets == sets
            mean += weight * np.exp(likelihood.compute_footprint_log_joint(theta)[:, 0] - base)
    np.testing.assert_allclose(mean, 1.0, atol=2e-3)  # what the grid leaves out


@few
@given(seed=SEEDS)
def test_nothing_traced_changes_no_bit(seed: int) -> None:
    rng = np.random.default_rng(seed)
    evidence, theta = replace(random_evidence(rng), traces=None), random_theta(rng)
    n = len(evidence.components)
    spans = np.ones(n, dtype=np.bool_)  # there are spans, but nothing to compare them with
    empty = replace(evidence, traces=replace(TraceEvidence.empty(n), has_spans=spans))
    with prepare(evidence) as one, prepare(empty) as other:
        assert one.compute_logp_grad(theta)[0] == other.compute_logp_grad(theta)[0]
        without, _ = one.compute_root_log_posterior(theta[None])
        with_nothing, _ = other.compute_root_log_posterior(theta[None])
    assert without.tobytes() == with_nothing.tobytes()
    by_kind = without[0, :-1].reshape(-1, len(KINDS))
    assert np.isneginf(by_kind[:, CODE]).all()
    assert np.isfinite(np.delete(by_kind, CODE, axis=1)).all()


@few
@given(many=st.integers(5, 40))
def test_many_changes_elsewhere_make_each_worth_less(many: int) -> None:
    """The more components change for no reason, the less a change says of any of them."""
    theta = unconstrained_prior()[0]
    n = many + 1
    table = empty_table(n, 1)

    def posterior(changed: float) -> float:
        traces = replace(
            TraceEvidence.empty(n),
            own_pattern=np.append(6.0, np.full(many, changed)),
            has_spans=np.ones(n, dtype=np.bool_),
        )
        rates = np.linspace(-4.0, 4.0, 9)
        out, weight = [], []
        mean, sd = unconstrained_prior()
        names = parameter_names()
        weak, strong = names.index("trace_weak[errors]"), names.index("trace_strong[errors]")
        with prepare(replace(make_evidence((table, table)), traces=traces)) as likelihood:
            for a, b in product(rates, rates):
                at = theta.copy()
                at[weak], at[strong] = mean[weak] + a * sd[weak], mean[strong] + b * sd[strong]
                log_root, logp = likelihood.compute_root_log_posterior(at[None])
                # The share of the first component among all causes of like telemetry and "none".
                first = np.logaddexp.reduce(log_root[0, : len(KINDS)])
                out.append(first - log_root[0, -1])
                weight.append(logp[0] - 0.5 * (a**2 + b**2))
        w = np.exp(np.array(weight) - max(weight))
        return float(np.log(np.average(np.exp(out), weights=w)))

    assert posterior(6.0) < posterior(-5.0)


@few
@given(seed=SEEDS)
def test_a_change_that_follows_failed_calls_counts_for_the_called(seed: int) -> None:
    """The same changes, told to follow failed calls or not to: lesson of directed error flow."""
    theta = random_theta(np.random.default_rng(seed), width=0.5)
    n = len(KINDS)

    def share_of_called(order: float) -> float:
        joint = log_joint(traced(own_pattern={0: 8.0, 1: 6.0}, edge_order={0: order}), theta)
        caller, called = (np.logaddexp.reduce(joint[i * n : (i + 1) * n]) for i in (0, 1))
        return float(called - caller)

    assert share_of_called(-4.0) < share_of_called(0.0) < share_of_called(4.0)


def test_a_slow_way_is_a_link_fault() -> None:
    theta = unconstrained_prior()[0]
    joint = log_joint(traced(edge_gap={0: 12.0}, own_pattern=dict.fromkeys(range(5), -3.0)), theta)
    best = int(joint.argmax())
    assert (best // len(KINDS), KINDS[best % len(KINDS)]) == (1, "link")


@few
@given(seed=SEEDS)
def test_traces_without_a_component_tell_nothing_of_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    traces = random_traces(rng, 6)
    gone = rng.random(6) < 0.5
    left = traces.without(gone)
    assert np.isnan(left.own_pattern[gone]).all()
    assert not left.measured[gone].any()
    around = gone[traces.edge_source] | gone[traces.edge_target]
    assert np.isnan(left.edge_gap[around]).all()
    np.testing.assert_array_equal(left.edge_order[~around], traces.edge_order[~around])
    np.testing.assert_array_equal(left.has_spans, traces.has_spans)


def test_the_halfway_law_lies_between() -> None:
    half = stats.norm.pdf(12.0, -4.5, 3.0) ** 0.5 * stats.norm.pdf(12.0, 4.5, 3.0) ** 0.5
    # There only the most powerful of the three tests reaches.
    assert np.log(half) + 9 / 8 - np.log(3) == pytest.approx(reference(0, 12.0), abs=1e-6)


@few
@given(seed=SEEDS)
def test_who_shows_a_fault_in_own_patterns_is_as_enumerated(seed: int) -> None:
    rng = np.random.default_rng(seed)
    evidence = random_evidence(rng)
    evidence = replace(evidence, traces=random_traces(rng, len(evidence.components)))
    theta = random_theta(rng)
    with prepare(evidence) as likelihood:
        shown = likelihood.compute_own_patterns_shown(theta)
    oracle = Traces(evidence, natural_values(theta))
    for root, kind in np.ndindex(*shown.shape):
        expected = oracle.pattern_shown(root, kind)
        assert shown[root, kind] == pytest.approx(expected, rel=1e-9, nan_ok=True)
