"""The native likelihood against brute force, and the laws it must obey."""

from dataclasses import replace

import numpy as np
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bayesrca.evidence import Evidence
from bayesrca.kernels.propagation import PreparedLikelihood
from bayesrca.model.parameters import natural_values
from tests.oracle.incidents import (
    ARRAYS,
    empty_table,
    make_evidence,
    make_vitals,
    permute,
    random_evidence,
    random_theta,
    with_edges,
)
from tests.oracle.likelihood import RESOURCE, RESOURCE_SHOWS, Answer, solve
from tests.oracle.vitals import UNREPORTED

Floats = NDArray[np.float64]
NONE_PRIOR = 0.05
SEEDS = st.integers(0, 2**32 - 1)
# The seed stands for a whole incident, so there is nothing for the shrinker to explain.
many = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
few = settings(max_examples=40, deadline=None)


def run(evidence: Evidence, theta: Floats, none_prior: float = NONE_PRIOR) -> Answer:
    with PreparedLikelihood(evidence, none_prior=none_prior, max_width=14) as likelihood:
        log_root, logp = likelihood.compute_root_log_posterior(theta[None])
        joint = likelihood.compute_footprint_log_joint(theta)
        again, _ = likelihood.compute_logp_grad(theta)
    assert again == logp[0]
    return Answer(float(logp[0]), log_root[0], joint)


def check(
    evidence: Evidence, theta: Floats, none_prior: float = NONE_PRIOR, tolerance: float = 1e-8
) -> None:
    core = run(evidence, theta, none_prior)
    oracle = solve(evidence, natural_values(theta), none_prior)
    np.testing.assert_allclose(core.logp, oracle.logp, rtol=1e-9, atol=tolerance / 10)
    # The core takes the tail of a partial dose as a difference of two normal distribution
    # functions, good to 1e-16 of their size; conditioned on exceeding a threshold that is 1e-8.
    np.testing.assert_allclose(core.log_root, oracle.log_root, rtol=1e-9, atol=tolerance)
    np.testing.assert_allclose(core.log_joint, oracle.log_joint, rtol=1e-9, atol=tolerance)


@many
@given(seed=SEEDS, none_prior=st.sampled_from([1e-6, 0.05, 0.5]))
def test_core_equals_brute_force(seed: int, none_prior: float) -> None:
    rng = np.random.default_rng(seed)
    check(random_evidence(rng), random_theta(rng), none_prior)


@many
@given(seed=SEEDS)
def test_core_equals_brute_force_on_extreme_doses(seed: int) -> None:
    rng = np.random.default_rng(seed)
    # Partial doses near the limit of resolution (probability 1e-9) keep six digits.
    check(random_evidence(rng, extreme=True), random_theta(rng), tolerance=1e-5)


@few
@given(seed=SEEDS)
def test_core_equals_brute_force_far_from_the_prior(seed: int) -> None:
    rng = np.random.default_rng(seed)
    check(random_evidence(rng, max_components=5), random_theta(rng, width=4.0))


@few
@given(seed=SEEDS, length=st.integers(2, 6), chords=st.integers(0, 3))
def test_core_equals_brute_force_on_rings(seed: int, length: int, chords: int) -> None:
    rng = np.random.default_rng(seed)
    base = random_evidence(rng)
    n = len(base.components)
    assume(n > length)  # the ring is entered from outside, so that its blocks are whole
    ring = [(i, (i + 1) % length) for i in range(length)] + [(length, 0)]
    extra = [(int(a), int(b)) for a, b in rng.integers(0, length, (chords, 2)) if a != b]
    edges = sorted({*ring, *extra})
    check(with_edges(base, edges, edges[::2]), random_theta(rng))


@few
@given(seed=SEEDS)
def test_the_order_of_components_is_a_name(seed: int) -> None:
    rng = np.random.default_rng(seed)
    evidence, theta = random_evidence(rng), random_theta(rng)
    order = rng.permutation(len(evidence.components))
    one, other = run(evidence, theta), run(permute(evidence, order), theta)
    hypotheses = np.append((3 * order[:, None] + [0, 1, 2]).ravel(), 3 * len(order))
    np.testing.assert_allclose(other.logp, one.logp, rtol=1e-10)
    np.testing.assert_allclose(other.log_root, one.log_root[hypotheses], rtol=1e-9, atol=1e-9)


@few
@given(seed=SEEDS)
def test_an_isolated_unobserved_component_takes_only_its_prior_share(seed: int) -> None:
    rng = np.random.default_rng(seed)
    evidence, theta = random_evidence(rng), random_theta(rng)
    n, s = evidence.root_log_factor.shape
    more = tuple(
        empty_table(
            n + 1,
            s,
            t.edges,
            series_component=t.series_component,
            z=t.z,
            **{name: np.vstack([getattr(t, name), np.full((1, s), np.nan)]) for name in ARRAYS},
        )
        for t in evidence.families
    )
    wider = replace(
        evidence,
        components=(*evidence.components, "isolated"),
        families=(more[0], more[1]),
        root_log_factor=np.vstack([evidence.root_log_factor, np.zeros((1, s))]),
    )
    one, other = run(evidence, theta), run(wider, theta)
    # Every old (root, kind) loses the same factor; "none of these" keeps its joint.
    change = other.log_joint[: 3 * n] - one.log_joint[: 3 * n]
    np.testing.assert_allclose(change, change[0, 0], rtol=1e-10, atol=1e-10)
    assert change[0, 0] < 0
    np.testing.assert_allclose(other.log_joint[-1], one.log_joint[-1], rtol=1e-12, atol=1e-12)


@few
@given(seed=SEEDS, threads=st.integers(2, 4))
def test_threads_change_no_bit(seed: int, threads: int) -> None:
    rng = np.random.default_rng(seed)
    evidence = random_evidence(rng)
    thetas = np.stack([random_theta(rng) for _ in range(9)])
    with PreparedLikelihood(evidence, none_prior=NONE_PRIOR, max_width=14) as likelihood:
        one = likelihood.compute_root_log_posterior(thetas, threads=1)
        several = likelihood.compute_root_log_posterior(thetas, threads=threads)
    assert one[0].tobytes() == several[0].tobytes()
    assert one[1].tobytes() == several[1].tobytes()


@few
@given(seed=SEEDS)
def test_repeated_edges_count_once(seed: int) -> None:
    rng = np.random.default_rng(seed)
    evidence, theta = random_evidence(rng), random_theta(rng)
    twice = [[*map(tuple, t.edges), *map(tuple, t.edges[::-1])] for t in evidence.families]
    one, other = run(evidence, theta), run(with_edges(evidence, *twice), theta)
    assert one.logp == other.logp
    assert one.log_root.tobytes() == other.log_root.tobytes()


@few
@given(seed=SEEDS, alarm=st.integers(0, 1))
def test_without_telemetry_the_posterior_is_the_prior(seed: int, alarm: int) -> None:
    rng = np.random.default_rng(seed)
    theta = random_theta(rng)
    natural = natural_values(theta)
    # 0 reaches the target 1, 2 does not.
    tables = tuple(empty_table(3, 1, np.array([[0, 1], [1, 2]])) for _ in range(2))
    answer = run(make_evidence((tables[0], tables[1]), target=1, alarm_family=alarm), theta)
    p = np.exp(answer.log_root[:-1]).reshape(3, 3)
    np.testing.assert_allclose(np.exp(answer.log_root[-1]), NONE_PRIOR, rtol=1e-10)
    np.testing.assert_allclose(p[0], p[1], rtol=1e-10)
    # A component that cannot reach the target pays for the alarm it leaves unexplained.
    cross, miss = natural["cross_family"], natural["unexplained_alarm"]
    shows = np.where(np.arange(2) == alarm, 1.0, cross)
    shows = np.append(shows, RESOURCE_SHOWS[alarm])
    explained = shows + (1 - shows) * miss
    np.testing.assert_allclose(p[2] / p[0], miss / explained, rtol=1e-9)
    kinds = np.array([1 - natural["error_kind"], natural["error_kind"]])
    expected = np.append((1 - RESOURCE) * kinds, RESOURCE * UNREPORTED) * explained
    np.testing.assert_allclose(p[0] / p[0].sum(), expected / expected.sum(), rtol=1e-9)


@few
@given(seed=SEEDS)
def test_vitals_without_a_sample_leave_the_prior(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, s = int(rng.integers(2, 6)), int(rng.integers(1, 4))
    edges = np.array([[0, 1]])
    places = [(0, v) for v in range(6)] + [(1, 1), (1, 1), (1, 4)]
    evidence = make_evidence(
        (empty_table(n, s, edges), empty_table(n, s, edges)),
        vitals=make_vitals(places, np.full((len(places), s), np.nan)),
    )
    answer = run(evidence, random_theta(rng))
    np.testing.assert_allclose(np.exp(answer.log_root[-1]), NONE_PRIOR, rtol=1e-10)
    # A family that is reported is likelier to be known for its faults than one that is not.
    resource = np.exp(answer.log_root[:-1]).reshape(n, 3)[:, 2]
    assert resource[0] > resource[1]


@few
@given(seed=SEEDS)
def test_cutting_the_way_to_the_target_lowers_the_prior(seed: int) -> None:
    rng = np.random.default_rng(seed)
    theta = random_theta(rng)
    n, s = int(rng.integers(2, 6)), int(rng.integers(1, 4))
    silent = make_evidence(
        (empty_table(n, s, np.array([[0, 1]])), empty_table(n, s, np.array([[0, 1]]))),
        target=1,
        alarm_family=0,
    )
    before = run(silent, theta).log_root
    after = run(with_edges(silent, [], []), theta).log_root
    assert np.logaddexp.reduce(after[:3]) < np.logaddexp.reduce(before[:3])
