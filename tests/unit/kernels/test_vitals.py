"""Vitals at the kernel: what it refuses, what it reports, and limits of the likelihood."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bayesrca import _core
from bayesrca.errors import InvalidEvidenceError
from bayesrca.evidence import VITALS, Evidence, OnsetTable, VitalTable
from bayesrca.kernels.propagation import KINDS, N_PARAMETERS, PreparedLikelihood
from bayesrca.model.parameters import natural_values, unconstrained_prior
from tests.oracle.incidents import (
    empty_table,
    make_evidence,
    make_vitals,
    random_evidence,
    random_theta,
)
from tests.oracle.vitals import Vitals

MEAN, SD = unconstrained_prior()
CPU, MEMORY, DISK = 1, 2, 3


def only_vitals(vitals: VitalTable, n: int = 3) -> Evidence:
    """A chain 0 -> 1 -> 2 that reports nothing but vitals, noticed nowhere."""
    s = vitals.z.shape[1]
    edges = np.array([(i, i + 1) for i in range(n - 1)], dtype=np.int64).reshape(-1, 2)
    return make_evidence((empty_table(n, s, edges), empty_table(n, s, edges)), vitals=vitals)


def prepare(evidence: Evidence) -> PreparedLikelihood:
    return PreparedLikelihood(evidence, none_prior=0.05, max_width=14)


def roots(evidence: Evidence, theta: NDArray[np.float64] = MEAN) -> NDArray[np.float64]:
    """Probability [n, kind] of every component and kind of fault."""
    with prepare(evidence) as likelihood:
        log_root, _ = likelihood.compute_root_log_posterior(theta[None])
    return np.exp(log_root[0, :-1]).reshape(-1, len(KINDS))


GOOD = make_vitals([(0, CPU), (0, MEMORY), (2, CPU)], np.zeros((3, 2)))
BAD: tuple[tuple[str, dict[str, Any]], ...] = (
    ("does not exist", {"component": np.array([0, 0, 3])}),
    ("does not exist", {"component": np.array([0, 0, -1])}),
    ("does not exist", {"family": np.array([CPU, len(VITALS), CPU])}),
    ("does not exist", {"family": np.array([-1, MEMORY, CPU])}),
    ("a family and 2 contrasts for each of 3 series", {"family": np.array([CPU, MEMORY])}),
    ("2 contrasts for each of 3 series", {"z": np.zeros((2, 2))}),
    ("2 contrasts for each of 3 series", {"z": np.zeros((3, 3))}),
    ("NaN or at most 1e9", {"z": np.array([[0, 1], [np.inf, 0], [0, 0]])}),
    ("NaN or at most 1e9", {"z": np.array([[0, 1], [0, 0], [-1e10, 0]])}),
)


@pytest.mark.parametrize(("match", "changes"), BAD)
def test_bad_vitals_are_refused(match: str, changes: dict[str, Any]) -> None:
    evidence = only_vitals(GOOD)
    prepare(evidence).release()
    with pytest.raises(InvalidEvidenceError, match=f"^vitals.*{match}"):
        prepare(replace(evidence, vitals=replace(GOOD, **changes)))


def test_the_door_wants_contiguous_numbers_of_the_right_type() -> None:
    index, z = np.zeros(3, dtype=np.int64), np.zeros((3, 2))

    def make(**changes: Any) -> None:  # noqa: ANN401
        good: dict[str, Any] = {
            **{"component": index, "family": index, "z": z, "log_fault": z, "log_disturbed": z},
            **{"demand": np.zeros((0, 2), dtype=np.int64), "window": 1.0},
            **{"onset": np.zeros(0), "onset_error": np.zeros(0)},
        }
        _core.VitalEvidence(**(good | changes))

    make()
    for name in ("z", "log_fault", "log_disturbed"):
        with pytest.raises(InvalidEvidenceError, match=f"{name} must be C-contiguous"):
            make(**{name: np.asfortranarray(z)})
        for bad in (z.astype(np.float32), z[0]):
            with pytest.raises(TypeError):
                make(**{name: bad})
    for name in ("component", "family", "demand"):
        with pytest.raises(TypeError):
            make(**{name: index.astype(np.float64)})


def test_the_order_of_series_is_none() -> None:
    table = make_vitals([(0, CPU), (0, MEMORY), (2, CPU)], np.array([[9.0], [2.0], [0.5]]))
    rows = np.array([2, 0, 1])
    other = replace(
        table, component=table.component[rows], family=table.family[rows], z=table.z[rows]
    )
    ratios = []
    for vitals in (table, other):
        with prepare(only_vitals(vitals)) as likelihood:
            ratios.append(likelihood.compute_vital_log_ratios(MEAN))
    np.testing.assert_array_equal(ratios[1], ratios[0][rows])
    np.testing.assert_array_equal(roots(only_vitals(other)), roots(only_vitals(table)))


BAD_ONSETS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("positive errors", {"lower": np.array([1.0, 1.0, 1.0])}),
    ("needs 3 finite or missing times", {"time": np.array([1.0, 2.0])}),
    ("needs 3 finite or missing times", {"time": np.array([1.0, np.inf, 2.0])}),
)


@pytest.mark.parametrize(("match", "changes"), BAD_ONSETS)
def test_bad_onsets_are_refused(match: str, changes: dict[str, Any]) -> None:
    one = np.ones(3)
    good = OnsetTable(time=one, lower=0.5 * one, upper=one, error=one, signal=("",) * 3)
    prepare(replace(only_vitals(GOOD), onsets=good)).release()
    with pytest.raises(InvalidEvidenceError, match=match):
        prepare(replace(only_vitals(GOOD), onsets=replace(good, **changes)))


@pytest.mark.parametrize("size", [3.0, 3000.0, 1e9])
def test_wild_theta_and_far_contrasts_give_numbers(size: float) -> None:
    rng = np.random.default_rng(8)
    z = np.array(size * rng.choice([-1.0, 0.0, 1e-12, 1.0], (18, 2)), dtype=np.float64)
    evidence = only_vitals(make_vitals([(i, v) for i in range(3) for v in range(6)], z))
    with prepare(evidence) as likelihood:
        for far in (0.0, 30.0, 300.0, 1e6):
            for _ in range(20):
                theta = MEAN + far * rng.choice([-1.0, 1.0], N_PARAMETERS)
                logp, gradient = likelihood.compute_logp_grad(theta)
                assert not np.isnan(logp)
                assert not np.isnan(gradient).any()
                log_root, _ = likelihood.compute_root_log_posterior(theta[None])
                assert not np.isnan(log_root).any()


def test_the_component_whose_memory_moved_has_a_resource_fault_of_its_memory() -> None:
    places = [(i, v) for i in range(3) for v in (CPU, MEMORY, DISK)]
    z = np.full((9, 1), 0.3)
    z[places.index((1, MEMORY))] = 40.0
    evidence = only_vitals(make_vitals(places, z))
    p = roots(evidence)
    assert p.sum(axis=1).argmax() == 1
    assert p[1].argmax() == KINDS.index("resource")
    with prepare(evidence) as likelihood:
        at_fault = likelihood.compute_families_at_fault(MEAN)
        ratios = likelihood.compute_vital_log_ratios(MEAN)
    assert at_fault.shape == (3, len(VITALS), 1)
    assert at_fault[1, :, 0].argmax() == MEMORY
    assert ratios[:, 0].argmax() == places.index((1, MEMORY))


def test_which_way_it_moved_matters_where_the_families_say_so() -> None:
    def at(z: float) -> float:
        table = make_vitals([(0, CPU), (1, CPU)], np.array([[z], [0.2]]))
        return float(roots(only_vitals(table))[0, KINDS.index("resource")])

    assert at(15.0) > at(-15.0)


def test_one_of_many_series_is_worth_less_than_one_alone() -> None:
    def at(*z: float) -> float:
        rows = [[x] for x in (*z, 0.2)]
        table = make_vitals([(0, CPU)] * len(z) + [(1, CPU)], np.array(rows))
        return float(roots(only_vitals(table))[0].sum())

    assert at(15.0) > at(15.0, 0.3, 0.3) > at(0.3, 0.3, 0.3)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_families_at_fault_are_those_of_the_equations(seed: int) -> None:
    rng = np.random.default_rng(seed)
    evidence, theta = random_evidence(rng), random_theta(rng)
    with prepare(evidence) as likelihood:
        found = likelihood.compute_families_at_fault(theta)
    oracle = Vitals(evidence, natural_values(theta))
    n, s = evidence.root_log_factor.shape
    joint = np.array([[oracle.at_fault_joint(i, k) for k in range(s)] for i in range(n)])
    total = joint.sum(axis=-1, keepdims=True)  # 0 where nobody reports any family
    expected = (joint / np.where(total > 0, total, 1.0)).transpose(0, 2, 1)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_series_that_stand_still_tell_nothing_of_the_scale(seed: int) -> None:
    """However many there are, theta's likelihood has no pole and no slope in the quiet law."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 5))
    places = [(i, v) for i in range(n) for v in range(6)]
    evidence = only_vitals(make_vitals(places, np.zeros((len(places), 2))), n=n)
    theta = random_theta(rng)
    names = ["vital_scale", "vital_index", "vital_effect_size"]
    with prepare(evidence) as likelihood:
        _, gradient = likelihood.compute_logp_grad(theta)
        where = [_core_index(name) for name in names]
    np.testing.assert_allclose(gradient[where], 0.0, atol=1e-12)


def _core_index(name: str) -> int:
    start = 0
    for other, length, _ in _core.parameter_layout():
        if other == name:
            return int(start)
        start += length
    raise KeyError(name)


def test_a_component_that_reports_nothing_pays_nothing_for_it() -> None:
    """Without a sample anywhere, p(none) is its prior whatever is reported by whom."""
    for places in ([], [(0, CPU)], [(0, v) for v in range(6)] + [(2, MEMORY)]):
        evidence = only_vitals(make_vitals(places, np.full((len(places), 2), np.nan)))
        assert roots(evidence).sum() == pytest.approx(0.95, rel=1e-12)
