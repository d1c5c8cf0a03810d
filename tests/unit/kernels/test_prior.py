"""Where nothing is seen the posterior is the prior."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bayesrca import _core
from bayesrca.evaluation.simulate import simulate_evidence
from bayesrca.evidence import VITALS, Evidence, VitalTable
from bayesrca.evidence.states import StateTable
from bayesrca.incident import Component, Edge, Family, Topology
from bayesrca.kernels.propagation import KINDS, PreparedLikelihood
from bayesrca.model.parameters import unconstrained_prior
from bayesrca.model.tempering import sum_kinds
from tests.oracle.incidents import empty_table, make_vitals


def unseen(*, some: bool = False, joined: bool = True) -> Evidence:
    """Of three components none reports anything, or one a memory series without a sample."""
    names = ("a", "b", "c")
    edges = (Edge("b", "a"), Edge("c", "b")) if joined else ()
    topology = Topology(tuple(map(Component, names)), edges)
    table = empty_table(3, 1, topology.propagation_edges(Family.LATENCY))
    memory = make_vitals([(0, VITALS.index(Family.MEMORY))], np.array([[np.nan]]))
    return replace(
        simulate_evidence(topology, seed=0)[0],
        families=(table, table),
        vitals=memory if some else VitalTable.empty(1),
        states=StateTable.empty(1),
        crash_log_ratio=np.zeros((3, 1)),
        root_log_prior=np.zeros(3),
        unconnected=np.zeros(3, dtype=bool),
        target=None,
        alarm_family=None,
        alarm_in_vitals=False,
        onsets=None,
        traces=None,
        alerts=None,
    )


@pytest.mark.parametrize("some", [False, True])
def test_nothing_seen_changes_nothing(some: bool) -> None:
    evidence = unseen(some=some)
    theta, _ = unconstrained_prior()
    with PreparedLikelihood(evidence, none_prior=0.05, max_width=8) as likelihood:
        log_root, _ = likelihood.compute_root_log_posterior(theta[None])
    p = np.exp(log_root[0])
    assert p[-1] == pytest.approx(0.05)
    resource = p[:-1].reshape(3, len(KINDS))[:, KINDS.index("resource")]
    # A component that would have shown it is the likelier cause.
    assert resource[0] / resource[1] == pytest.approx(1 / 0.35 if some else 1.0)


@pytest.mark.parametrize("max_causes", [1, 2, 3])
def test_outcomes_have_their_prior_where_nothing_is_seen(max_causes: int) -> None:
    evidence = replace(unseen(joined=False), root_log_prior=np.log([0.05, 0.35, 1.0]))
    theta, _ = unconstrained_prior()
    with PreparedLikelihood(
        evidence, none_prior=0.05, max_width=8, max_causes=max_causes, centre=theta
    ) as likelihood:
        log_root, _ = likelihood.compute_root_log_posterior(theta[None])
        prior = np.exp(likelihood.compute_outcome_log_prior())
        assert len(likelihood.sets) == (0, 3, 4)[max_causes - 1]
    np.testing.assert_allclose(np.exp(sum_kinds(log_root[0], 3)), prior, rtol=1e-9)
    assert prior.sum() == pytest.approx(1.0)


def test_the_core_has_the_families_in_the_same_order() -> None:
    assert [family.value for family in VITALS] == _core.vital_families()
