"""Sums past the width limit: estimated within their stated errors, or refused."""

from __future__ import annotations

import numpy as np
import pytest

from bayesrca.errors import GraphTooWideError
from bayesrca.evidence import Evidence, build_evidence
from bayesrca.kernels.propagation import KINDS, N_PARAMETERS, PreparedLikelihood
from bayesrca.model.parameters import unconstrained_prior
from tests.unit.posterior.synthetic import make_dense

NARROW, WIDE = 8, 20
Joints = dict[tuple[int, ...], tuple[float, float]]


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    return build_evidence(make_dense(), max_bins=2)


def prepare(evidence: Evidence, max_width: int, seed: int | None) -> PreparedLikelihood:
    return PreparedLikelihood(
        evidence,
        none_prior=0.05,
        max_width=max_width,
        estimate_seed=seed,
        max_causes=3,
        set_candidates=5,
        centre=unconstrained_prior()[0],
    )


def joints(likelihood: PreparedLikelihood) -> Joints:
    """Log joint of every hypothesis and its standard error, at the prior's centre."""
    theta, _ = unconstrained_prior()
    log_root, logp = likelihood.compute_root_log_posterior(theta[None])
    singles = [(h,) for h in range(likelihood.n_hypotheses - 1 - len(likelihood.sets))]
    # Sets are told apart from hypotheses of single causes by their length.
    names = [*singles, *likelihood.sets, ()]
    values = zip(log_root[0] + logp, likelihood.compute_sum_errors(theta), strict=True)
    return dict(zip(names, values, strict=True))


def test_estimates_agree_with_the_exact_sum_within_their_errors(evidence: Evidence) -> None:
    with prepare(evidence, WIDE, None) as likelihood:
        assert likelihood.width > NARROW
        assert likelihood.n_estimated == 0
        exact = joints(likelihood)
    assert all(error == 0.0 for _, error in exact.values())
    scores = []
    for seed in range(6):
        with prepare(evidence, NARROW, seed) as likelihood:
            assert likelihood.n_estimated > 0
            found = joints(likelihood)
        common = [name for name in found if name in exact]
        assert sum(len(name) > 1 for name in common) >= 3
        for name in common:
            if np.isneginf(exact[name][0]):  # nothing is traced, so no fault is one in code
                assert np.isneginf(found[name][0])
                continue
            off, error = found[name][0] - exact[name][0], found[name][1]
            # Exact sums still differ by rounding: they are added up in another order.
            assert abs(off) < 5 * error + 1e-9, (seed, name, off, error)
            if error > 1e-6:
                scores.append(off / error)
    assert len(scores) > 50
    # Fully correlated errors are assumed where draws are shared, so that they may be overstated.
    assert 0.2 < np.mean(np.square(scores)) < 2.5


def test_the_seed_decides_the_estimate(evidence: Evidence) -> None:
    results = []
    for seed in (7, 7, 8):
        with prepare(evidence, NARROW, seed) as likelihood:
            results.append(joints(likelihood))
    first = next(name for name, (_, error) in results[0].items() if error > 0)
    assert results[0] == results[1]
    assert results[0][first] != results[2][first]


def test_the_gradient_is_that_of_the_estimate(evidence: Evidence) -> None:
    theta, _ = unconstrained_prior()
    step = 1e-5
    with prepare(evidence, NARROW, 3) as likelihood:
        _, gradient = likelihood.compute_logp_grad(theta)
        around = np.stack([theta + x * step * e for e in np.eye(N_PARAMETERS) for x in (1, -1)])
        values = likelihood.compute_root_log_posterior(around)[1].reshape(-1, 2)
    differences = (values[:, 0] - values[:, 1]) / (2 * step)
    np.testing.assert_allclose(gradient, differences, rtol=2e-5, atol=2e-5)


def test_without_a_seed_the_graph_is_refused(evidence: Evidence) -> None:
    with pytest.raises(GraphTooWideError, match="stay open at once"):
        prepare(evidence, NARROW, None)


def test_a_seed_changes_nothing_where_sums_are_exact(evidence: Evidence) -> None:
    with prepare(evidence, WIDE, None) as refusing, prepare(evidence, WIDE, 5) as estimating:
        assert estimating.n_estimated == 0
        assert joints(refusing) == joints(estimating)
        assert refusing.n_hypotheses > len(KINDS) * len(evidence.components)
