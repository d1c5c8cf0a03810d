import numpy as np
import pytest

from bayesrca.evidence import build_evidence
from bayesrca.incident import Component, ComponentKind, Edge, EdgeKind, Incident, Topology
from tests.unit.evidence.kit import incident, latency, noisy

CAUSES = EdgeKind.CAUSES


def system(target: str | None = "bell") -> Incident:
    """A chain that leads to the bell, a second effect of its cause, and a pair beside them."""
    topology = Topology(
        (
            Component("front"),
            Component("bell", ComponentKind.ALARM),
            Component("lamp"),
            Component("cloud", ComponentKind.EXTERNAL),
            Component("fan"),
            Component("alone"),
        ),
        (
            Edge("front", "bell", CAUSES),
            Edge("front", "lamp", CAUSES),
            Edge("cloud", "fan", CAUSES),
        ),
    )
    return incident(latency("front", noisy(1, 2)), topology=topology, target=target)


def test_kinds_that_are_stated_weigh() -> None:
    weight = np.exp(build_evidence(system()).root_log_prior)
    assert weight == pytest.approx([1.0, 0.05, 1.0, 0.35, 1.0, 1.0])


def test_whom_no_chain_of_edges_joins_with_the_target() -> None:
    assert build_evidence(system()).unconnected.tolist() == [False] * 3 + [True] * 3


@pytest.mark.parametrize("target", [None, "alone"])
def test_without_edges_at_the_target_nobody_is_unconnected(target: str | None) -> None:
    assert not build_evidence(system(target)).unconnected.any()
