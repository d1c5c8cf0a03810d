"""Effects off every declared path: what a root's dose says about them (eq. 8)."""

import numpy as np
import pytest

from bayesrca.kernels.propagation import PreparedLikelihood
from bayesrca.model.parameters import unconstrained_prior
from tests.oracle.incidents import empty_table, make_evidence


def log_odds(root_dose: float) -> float:
    """Root 0 against "none", where 1 moved much, unconnected, by a dose of exp(6)."""
    table = empty_table(
        2,
        1,
        series_component=np.arange(2),
        z=np.array([[9.0], [9.0]]),
        dose=np.array([[root_dose], [6.0]]),
        dose_noise=np.array([[0.03 * np.exp(root_dose)], [0.05]]),
        dose_jacobian=np.array([[0.1], [0.1]]),
        dose_low=np.array([[0.0], [4.5]]),
    )
    evidence = make_evidence((table, empty_table(2, 1)))
    with PreparedLikelihood(evidence, none_prior=0.05, max_width=14) as likelihood:
        joint = likelihood.compute_footprint_log_joint(unconstrained_prior()[0])
    return float(joint[0, 0] - joint[-1, 0])


def test_a_root_of_a_larger_dose_explains_an_untraced_effect_better() -> None:
    assert log_odds(6.5) > log_odds(4.0) + 0.5


@pytest.mark.parametrize("root_dose", [2.0, 0.0, -3.0])
def test_a_root_too_small_to_be_the_cause_never_gains_by_being_smaller(root_dose: float) -> None:
    assert log_odds(root_dose) < log_odds(4.0) + 0.01
