"""The gradient of the log likelihood against central differences, and what the doors refuse."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayesrca.errors import GraphTooWideError, InvalidEvidenceError, KernelError
from bayesrca.evidence import Evidence
from bayesrca.kernels import propagation
from bayesrca.kernels.propagation import N_PARAMETERS, PreparedLikelihood
from bayesrca.model.parameters import PRIORS, natural_values, unconstrained_prior
from tests.oracle.incidents import empty_table, make_evidence, random_evidence, random_theta


def prepare(evidence: Evidence, max_causes: int = 1) -> PreparedLikelihood:
    return PreparedLikelihood(
        evidence,
        none_prior=0.05,
        max_width=14,
        max_causes=max_causes,
        centre=unconstrained_prior()[0],
    )


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), max_causes=st.integers(1, 3))
def test_gradient_matches_central_differences(seed: int, max_causes: int) -> None:
    rng = np.random.default_rng(seed)
    theta = random_theta(rng, width=1.0)
    step = 1e-5
    with prepare(random_evidence(rng), max_causes) as likelihood:
        logp, gradient = likelihood.compute_logp_grad(theta)
        around = np.stack([theta + x * step * e for e in np.eye(N_PARAMETERS) for x in (1, -1)])
        values = likelihood.compute_root_log_posterior(around)[1].reshape(-1, 2)
    differences = (values[:, 0] - values[:, 1]) / (2 * step)
    # Differencing loses 1e-16 |logp| / step; the core leaves out joints below 1e-8 of the total.
    tolerance = 2e-6 * (1 + np.abs(differences)) + 1e-9 * abs(logp)
    assert (np.abs(gradient - differences) < tolerance).all(), gradient - differences


def test_the_layout_of_theta_is_the_priors() -> None:
    names = [(name, len(prior.centre)) for name, prior in PRIORS.items()]
    assert [(name, length) for name, length, _ in propagation.PARAMETER_LAYOUT] == names
    mean, sd = unconstrained_prior()
    assert mean.shape == sd.shape == (N_PARAMETERS,)
    for name, value in natural_values(mean).items():
        np.testing.assert_allclose(np.atleast_1d(value), PRIORS[name].centre, rtol=1e-12)


def test_wild_theta_gives_a_number() -> None:
    rng = np.random.default_rng(3)
    evidence = random_evidence(rng)
    with prepare(evidence) as likelihood:
        for size in (30.0, 300.0, 1e6):
            for _ in range(20):
                theta = np.array(size * rng.choice([-1.0, 1.0], N_PARAMETERS), dtype=np.float64)
                logp, gradient = likelihood.compute_logp_grad(theta)
                assert not np.isnan(logp)
                assert not np.isnan(gradient).any()


def test_far_contrasts_and_doses_give_a_number() -> None:
    """Contrasts of a million null scales and doses apart by hundreds of orders of magnitude."""
    z = np.array([[1e6], [-1e6], [0.0], [3.0]])
    dose = np.array([[300.0], [-300.0], [0.0], [5.0]])
    table = empty_table(
        4,
        1,
        np.array([[0, 1], [1, 2], [2, 0], [3, 1]]),
        series_component=np.arange(4),
        z=z,
        dose=dose,
        dose_noise=np.full((4, 1), 1e-3),
        dose_jacobian=np.full((4, 1), 0.1),
        dose_low=np.full((4, 1), -2.0),
    )
    evidence = make_evidence((table, empty_table(4, 1)), target=2, alarm_family=0)
    with prepare(evidence) as likelihood:
        logp, gradient = likelihood.compute_logp_grad(unconstrained_prior()[0])
        log_root, _ = likelihood.compute_root_log_posterior(unconstrained_prior()[0][None])
    assert np.isfinite(logp)
    assert np.isfinite(gradient).all()
    np.testing.assert_allclose(np.logaddexp.reduce(log_root[0]), 0.0, atol=1e-12)


def test_released_and_invented_handles_are_refused() -> None:
    theta = unconstrained_prior()[0]
    evidence = random_evidence(np.random.default_rng(0))
    with prepare(evidence) as likelihood:
        handle = likelihood.handle
        propagation.compute_logp_grad(handle, theta)
    for bad in (handle, 0, -1, 2**31 - 1, 2**62):
        with pytest.raises(KernelError, match="unknown or released"):
            propagation.compute_logp_grad(bad, theta)
    with pytest.raises(KernelError):
        likelihood.compute_logp_grad(theta)
    likelihood.release()  # harmless when repeated
    with prepare(evidence) as other:  # the slot is used again, the old number is not
        assert other.handle != handle
        with pytest.raises(KernelError):
            propagation.compute_logp_grad(handle, theta)


@pytest.mark.parametrize("theta", [np.zeros(3), np.full(N_PARAMETERS, np.nan), np.zeros(0)])
def test_bad_theta_is_refused(theta: np.ndarray) -> None:
    with (
        prepare(random_evidence(np.random.default_rng(0))) as likelihood,
        pytest.raises(InvalidEvidenceError, match="theta"),
    ):
        likelihood.compute_logp_grad(theta)


@pytest.mark.parametrize("none_prior", [0.0, 1.0, -0.1, float("nan")])
def test_the_prior_of_none_is_a_probability(none_prior: float) -> None:
    evidence = random_evidence(np.random.default_rng(0))
    with pytest.raises(InvalidEvidenceError, match="none_prior"):
        PreparedLikelihood(evidence, none_prior=none_prior, max_width=14)


def test_a_clique_is_refused_by_the_name_of_a_component() -> None:
    edges = np.array([(a, b) for a in range(12) for b in range(12) if a != b])
    table = empty_table(12, 1, edges)
    with pytest.raises(GraphTooWideError, match=r"'c0'.*11 components") as caught:
        prepare(make_evidence((table, empty_table(12, 1))))
    # No width would help: the core takes 8 members of one knot of cycles, whatever the setting.
    assert "11 components call each other in cycles, the limit is 8" in str(caught.value)
    assert "leave out edges" in str(caught.value)
    assert "max_width" not in str(caught.value)


def test_a_wide_graph_without_cycles_is_refused_with_the_settings_name() -> None:
    edges = np.array([(a, b) for a in range(12) for b in range(a + 1, 12)])
    evidence = make_evidence((empty_table(12, 1, edges), empty_table(12, 1)))
    for max_width in (4, 8):
        with pytest.raises(GraphTooWideError, match="stay open at once") as caught:
            PreparedLikelihood(evidence, none_prior=0.05, max_width=max_width)
        assert "raise max_width (--max-width)" in str(caught.value)
        assert f"the limit is {max_width}" in str(caught.value)


def test_bad_arrays_are_refused_by_name() -> None:
    evidence = make_evidence((empty_table(2, 1), empty_table(2, 1)))
    good = evidence.families[0]
    one = np.ones((2, 1))
    cases = {
        "log_quiet": replace(good, log_quiet=one, log_wide=-one, log_affected=-one),
        "edges": replace(good, edges=np.array([[0, 2]])),
        "series_component": replace(good, series_component=np.array([2]), z=np.zeros((1, 1))),
        "z": replace(good, series_component=np.array([0]), z=np.array([[np.inf]])),
        "dose": replace(good, dose=one),
    }
    for name, table in cases.items():
        with pytest.raises(InvalidEvidenceError, match=name):
            prepare(replace(evidence, families=(table, good)))
    with pytest.raises(InvalidEvidenceError, match="root_log_factor"):
        prepare(replace(evidence, root_log_factor=one))
    with pytest.raises(InvalidEvidenceError, match="target"):
        prepare(replace(evidence, target=0))


def test_own_ratios_are_the_root_law_over_the_quiet_law() -> None:
    evidence = random_evidence(np.random.default_rng(12))
    theta = unconstrained_prior()[0]
    with prepare(evidence) as likelihood:
        ratios = likelihood.compute_own_log_ratios(theta)
    assert ratios.shape == (2, *evidence.root_log_factor.shape)
    for f, table in enumerate(evidence.families):
        empty = np.isnan(table.log_quiet).all(axis=1)
        empty[table.series_component] = False
        assert (ratios[f][empty] == 0.0).all()
