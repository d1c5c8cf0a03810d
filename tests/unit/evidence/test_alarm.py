import numpy as np
import pytest

from bayesrca.evidence import Evidence, build_evidence
from bayesrca.incident import Component, Edge, Family, Signal, Statistic, Topology
from bayesrca.kernels.propagation import PreparedLikelihood
from bayesrca.model.parameters import unconstrained_prior
from tests.unit.evidence.kit import INSIDE, incident, latency, noisy, series

GATEWAY = Topology((Component("gw"), Component("a"), Component("iso")), (Edge("gw", "a"),))


def error_share(component: str, during: float) -> Signal:
    values = np.where(INSIDE, during, 0.01)
    return series(component, values, Family.ERRORS, Statistic.ERROR_RATIO, unit="1")


def reduce(*signals: Signal, alarm: str | None = None) -> Evidence:
    return build_evidence(incident(*signals, topology=GATEWAY, target="gw", alarm=alarm))


def compute_log_roots(evidence: Evidence) -> dict[str, float]:
    """Log posterior odds of each component at the prior's centre, all kinds together."""
    with PreparedLikelihood(evidence, none_prior=0.05, max_width=14) as likelihood:
        joint = likelihood.compute_footprint_log_joint(unconstrained_prior()[0])
    by_component = joint[:-1].reshape(len(evidence.components), -1)
    each = np.logaddexp.reduce(by_component, axis=1)
    return dict(zip(evidence.components, each.tolist(), strict=True))


@pytest.mark.parametrize("kind", [0, 1])
def test_a_target_without_series_keeps_its_place_in_the_graph(kind: int) -> None:
    """Two components move alike; the one that can reach the target is the likelier cause."""
    if kind == 0:
        evidence = reduce(latency("a", noisy(1, 2)), latency("iso", noisy(1, 2)))
    else:
        evidence = reduce(error_share("a", 0.3), error_share("iso", 0.3))
    assert (evidence.target, evidence.alarm_family) == (0, kind)
    roots = compute_log_roots(evidence)
    assert roots["a"] > roots["iso"] + 1.0
    (note,) = (n for n in evidence.notes if n.startswith("The target 'gw'"))
    assert "place in the graph" in note
    assert ("latency", "errors")[kind] in note.split("taken to be in")[1]


def test_only_what_can_reach_the_target_decides_the_alarms_family() -> None:
    evidence = reduce(
        latency("a", noisy(1, 3)),
        latency("iso", noisy(1, 1)),
        error_share("a", 0.01),
        error_share("iso", 0.9),
    )
    assert evidence.alarm_family == 0


def test_a_target_nothing_reaches_is_taken_to_be_slow() -> None:
    evidence = build_evidence(
        incident(error_share("a", 0.5), topology=GATEWAY, target="iso", alarm=None)
    )
    assert (evidence.target, evidence.alarm_family) == (2, 0)
    assert any("does not connect the target 'iso'" in n for n in evidence.notes)


def test_an_alarm_on_a_vital_is_placed_where_the_target_moved() -> None:
    evidence = reduce(
        latency("gw", noisy(1, 2)),
        series("gw", 1.0, Family.CPU, Statistic.VALUE, name="busy"),
        alarm="busy",
    )
    assert (evidence.target, evidence.alarm_family) == (0, 0)
    assert evidence.alarm_in_vitals
    assert any(
        "is in cpu: the fault was taken to have reached the target in latency" in n
        for n in evidence.notes
    )
