"""Gates and the clustered interval of their precision."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from bayesrca.evaluation.gates import compute_clustered_interval, compute_gate, find_fired
from tests.unit.evaluation.kit import make_outcome, make_prediction

trials = st.lists(st.tuples(st.booleans(), st.integers(0, 12)), max_size=60)


def test_a_gate_fires_on_the_best_component_of_a_healthy_answer() -> None:
    assert find_fired(make_prediction([0.1, 0.85]), 0.8) == "c1"
    assert find_fired(make_prediction([0.1, 0.8]), 0.8) == "c1"
    assert find_fired(make_prediction([0.1, 0.79]), 0.8) is None
    assert find_fired(make_prediction([0.1, 0.99], healthy=False), 0.8) is None
    assert find_fired(make_prediction([0.1, 0.99], anomalous=False), 0.8) is None
    assert find_fired(make_prediction([0.05], none=0.95), 0.8) is None
    assert find_fired(make_prediction([]), 0.8) is None
    assert find_fired(None, 0.8) is None


def test_coverage_and_precision() -> None:
    outcomes = [
        make_outcome([0.95, 0.05], ["c0"]),
        make_outcome([0.95, 0.05], ["c1"]),
        make_outcome([0.6, 0.4], ["c0"]),
        make_outcome(None, ["c0"]),
    ]
    gate = compute_gate(outcomes, 0.9)
    assert (gate.n, gate.right) == (2, 1)
    assert gate.coverage == 0.5
    assert gate.precision == 0.5
    assert gate.interval is None
    idle = compute_gate(outcomes, 0.99)
    assert (idle.n, idle.coverage, idle.precision, idle.interval) == (0, 0.0, None, None)
    assert compute_gate([], 0.9).coverage is None


def test_clusters_are_root_causes_with_a_fault() -> None:
    """Six repeats of one fault are one cluster, six faults are six."""
    repeats = [make_outcome([0.95], ["c0"]) for _ in range(6)]
    assert compute_gate(repeats, 0.9).interval is None
    faults = [make_outcome([0.95], ["c0"], fault=f"f{i}") for i in range(6)]
    assert compute_gate(faults, 0.9).interval is not None
    assert compute_gate(faults[:5], 0.9).interval is None


@given(trials)
def test_an_interval_holds_its_estimate(drawn: list[tuple[bool, int]]) -> None:
    hits, clusters = [h for h, _ in drawn], [c for _, c in drawn]
    interval = compute_clustered_interval(hits, clusters)
    assert (interval is None) == (len(set(clusters)) < 6)
    if interval is not None:
        low, high = interval
        assert 0.0 <= low <= np.mean(hits) + 1e-12
        assert np.mean(hits) - 1e-12 <= high <= 1.0
        mirrored = compute_clustered_interval([not h for h in hits], clusters)
        assert mirrored == pytest.approx((1 - high, 1 - low), abs=1e-9)


@given(trials)
def test_never_narrower_than_without_clusters(drawn: list[tuple[bool, int]]) -> None:
    hits, clusters = [h for h, _ in drawn], [c for _, c in drawn]
    interval = compute_clustered_interval(hits, clusters)
    if interval is not None:
        plain = binomtest(sum(hits), len(hits)).proportion_ci(0.95, "exact")
        assert interval[1] - interval[0] >= plain.high - plain.low - 1e-9


def test_clusters_of_one_that_agree_are_plain_trials() -> None:
    low, high = compute_clustered_interval([True] * 12, range(12)) or (0, 0)
    plain = binomtest(12, 12).proportion_ci(0.95, "exact")
    assert (low, high) == pytest.approx((plain.low, plain.high))


def test_copies_say_nothing_new() -> None:
    """Every trial five times over, in the cluster of its first."""
    once = compute_clustered_interval([True] * 8, range(8))
    copied = compute_clustered_interval([True] * 40, [i // 5 for i in range(40)])
    assert copied == pytest.approx(once)


@pytest.mark.parametrize("precision", [0.5, 0.8, 0.95])
@pytest.mark.parametrize("correlation", [0.0, 0.4, 0.95])
@pytest.mark.parametrize("n_clusters", [6, 20])
def test_coverage(precision: float, correlation: float, n_clusters: int) -> None:
    """Beta-binomial clusters of one to five trials: at least 95% of intervals hold the truth."""
    rng = np.random.default_rng(11)
    runs, held = 400, 0
    for _ in range(runs):
        sizes = rng.integers(1, 6, n_clusters)
        rates = np.full(n_clusters, precision)
        if correlation:
            strength = (1 - correlation) / correlation
            rates = rng.beta(precision * strength, (1 - precision) * strength, n_clusters)
        clusters = np.repeat(np.arange(n_clusters), sizes)
        hits = rng.random(len(clusters)) < rates[clusters]
        interval = compute_clustered_interval(hits.tolist(), clusters.tolist())
        assert interval is not None
        held += interval[0] <= precision <= interval[1]
    # Two standard errors of the simulation below 95%.
    assert held / runs >= 0.95 - 2 * np.sqrt(0.95 * 0.05 / runs)
