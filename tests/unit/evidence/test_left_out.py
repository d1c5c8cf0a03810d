"""Evidence without a component's telemetry says what an incident without it would."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from bayesrca.evidence import Evidence, build_evidence
from bayesrca.evidence.left_out import has_telemetry, without_components, without_telemetry
from bayesrca.incident import Family
from bayesrca.kernels.propagation import KINDS, PreparedLikelihood
from bayesrca.model.parameters import unconstrained_prior
from tests.oracle.incidents import random_evidence
from tests.unit.posterior.synthetic import make_shop


def evaluate(evidence: Evidence, theta: np.ndarray) -> tuple[np.ndarray, float]:
    with PreparedLikelihood(evidence, none_prior=0.15, max_width=14) as likelihood:
        log_root, log_likelihood = likelihood.compute_root_log_posterior(theta[None])
    return log_root[0], float(log_likelihood[0])


@pytest.mark.parametrize("seed", range(30))
def test_nothing_measured_is_a_likelihood_of_one(seed: int) -> None:
    """Fails when evidence of a new sort is not left out."""
    rng = np.random.default_rng(seed)
    evidence = random_evidence(rng)
    mean, sd = unconstrained_prior()
    theta = mean + sd * rng.standard_normal(len(mean))
    empty = without_telemetry(evidence)
    log_root, log_likelihood = evaluate(empty, theta)
    assert log_likelihood == pytest.approx(0.0, abs=1e-9)
    assert np.exp(log_root[-1]) == pytest.approx(0.15)
    assert not has_telemetry(empty).any()
    assert evaluate(evidence, theta)[1] != pytest.approx(0.0, abs=1e-3)


@pytest.mark.parametrize("seed", range(10))
def test_one_by_one_is_all(seed: int) -> None:
    evidence = random_evidence(np.random.default_rng(seed))
    n = len(evidence.components)
    step = evidence
    for i in range(n):
        step = without_components(step, np.arange(n) == i)
    whole = without_telemetry(evidence)
    assert_array_equal(step.root_log_factor, whole.root_log_factor)
    assert_array_equal(step.vitals.z, whole.vitals.z)
    for one, other in zip(step.families, whole.families, strict=True):
        assert_array_equal(one.dose, other.dose)
        assert_array_equal(one.z, other.z)


def test_it_is_what_an_incident_without_the_series_gives() -> None:
    incident = make_shop()
    evidence = build_evidence(incident)
    i = evidence.components.index("cart")
    # Without its latency, and so without doses; its requests stay, they are a vital of their own.
    fewer = build_evidence(
        replace(
            incident,
            signals=tuple(
                s
                for s in incident.signals
                if not (s.component == "cart" and s.family is Family.LATENCY)
            ),
        )
    )
    gone = without_components(evidence, np.arange(len(evidence.components)) == i)
    vitals_too = without_components(fewer, np.arange(len(evidence.components)) == i)
    mean, _ = unconstrained_prior()
    log_root, log_likelihood = evaluate(gone, mean)
    expected_root, expected = evaluate(vitals_too, mean)
    # What is known not to be reported lowers the prior of its kinds at the component itself.
    others = np.ones(len(log_root), dtype=np.bool_)
    others[[*range(i * len(KINDS), (i + 1) * len(KINDS)), -1]] = False
    others &= np.isfinite(log_root)  # nothing is traced here, so no fault is one in code
    gap = log_root[others] - expected_root[others]
    assert_allclose(gap, gap[0], atol=1e-9)
    assert abs(gap[0]) < 0.1
    assert log_likelihood == pytest.approx(expected, abs=0.1)
    assert log_likelihood != pytest.approx(evaluate(evidence, mean)[1], abs=0.5)
    assert has_telemetry(evidence).tolist() == [True, True, True, True, False]
    assert has_telemetry(gone).tolist() == [True, False, True, True, False]
