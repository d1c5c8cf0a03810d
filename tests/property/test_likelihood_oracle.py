"""The native likelihood against brute force, and the laws it must obey."""

from dataclasses import replace

import numpy as np
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bayesrca.evidence import Evidence
from bayesrca.kernels.propagation import KINDS, PreparedLikelihood
from bayesrca.model.parameters import natural_values, unconstrained_prior
from tests.oracle.constants import (
    ERRORS,
    KIND_NUMBERS,
    LATENCY,
    RESOURCE,
    SIZES,
    UNREPORTED,
    UNSEEN,
)
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
from tests.oracle.likelihood import MODES, Answer, kind_prior, mode_prior, solve

Floats = NDArray[np.float64]
NONE_PRIOR = 0.05
SEEDS = st.integers(0, 2**32 - 1)
# The seed stands for a whole incident, so there is nothing for the shrinker to explain.
many = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
few = settings(max_examples=40, deadline=None)


def prepare(
    evidence: Evidence, none_prior: float = NONE_PRIOR, max_causes: int = 1
) -> PreparedLikelihood:
    return PreparedLikelihood(
        evidence,
        none_prior=none_prior,
        max_width=14,
        max_causes=max_causes,
        centre=unconstrained_prior()[0],
    )


def evaluate(likelihood: PreparedLikelihood, theta: Floats) -> Answer:
    log_root, logp = likelihood.compute_root_log_posterior(theta[None])
    joint = likelihood.compute_footprint_log_joint(theta)
    again, _ = likelihood.compute_logp_grad(theta)
    assert again == logp[0]
    return Answer(float(logp[0]), log_root[0], joint)


def run(evidence: Evidence, theta: Floats, none_prior: float = NONE_PRIOR) -> Answer:
    with prepare(evidence, none_prior) as likelihood:
        return evaluate(likelihood, theta)


def check(
    evidence: Evidence,
    theta: Floats,
    none_prior: float = NONE_PRIOR,
    tolerance: float = 1e-8,
    max_causes: int = 1,
) -> None:
    with prepare(evidence, none_prior, max_causes) as likelihood:
        core, sets = evaluate(likelihood, theta), likelihood.sets
    oracle = solve(evidence, natural_values(theta), none_prior, sets, max_causes)
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
@given(seed=SEEDS, max_causes=st.integers(2, 3))
def test_core_equals_brute_force_with_sets_of_causes(seed: int, max_causes: int) -> None:
    rng = np.random.default_rng(seed)
    evidence = random_evidence(rng, max_components=5, extreme=bool(rng.random() < 0.3))
    check(evidence, random_theta(rng), tolerance=1e-5, max_causes=max_causes)


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
    n_kinds = len(KINDS)
    hypotheses = (n_kinds * order[:, None] + np.arange(n_kinds)).ravel()
    hypotheses = np.append(hypotheses, n_kinds * len(order))
    np.testing.assert_allclose(other.logp, one.logp, rtol=1e-10)
    np.testing.assert_allclose(other.log_root, one.log_root[hypotheses], rtol=1e-9, atol=1e-9)


@few
@given(seed=SEEDS)
def test_weighing_sets_moves_all_single_causes_alike(seed: int) -> None:
    rng = np.random.default_rng(seed)
    evidence, theta = random_evidence(rng, max_components=5), random_theta(rng)
    n = len(evidence.components)
    with prepare(evidence, max_causes=2) as likelihood:
        pairs, sets = evaluate(likelihood, theta), likelihood.sets
    alone = run(evidence, theta)
    singles = n * len(KINDS)
    possible = np.isfinite(alone.log_joint[:singles])  # no fault in code where nothing was traced
    change = (pairs.log_joint[:singles])[possible] - (alone.log_joint[:singles])[possible]
    np.testing.assert_allclose(change, np.log(SIZES[0] / sum(SIZES[:2])), rtol=1e-10)
    np.testing.assert_allclose(pairs.log_joint[-1], alone.log_joint[-1], rtol=1e-12)
    order = rng.permutation(n)
    with prepare(permute(evidence, order), max_causes=2) as likelihood:
        other, renamed = evaluate(likelihood, theta), likelihood.sets
    old = [tuple(sorted(order[list(members)].tolist())) for members in renamed]
    assert sorted(old) == sorted(sets)
    at = [singles + sets.index(members) for members in old]
    found = other.log_root[singles : singles + len(sets)]
    np.testing.assert_allclose(found, pairs.log_root[at], rtol=1e-8, atol=1e-8)


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
        crash_log_ratio=np.vstack([evidence.crash_log_ratio, np.zeros((1, s))]),
        root_log_prior=np.append(evidence.root_log_prior, 0.0),
        unconnected=np.append(evidence.unconnected, False),
        onsets=None,
        traces=None,
        alerts=None,
    )
    evidence = replace(evidence, onsets=None, traces=None, alerts=None)
    one, other = run(evidence, theta), run(wider, theta)
    # Every old (root, kind) loses the same factor; "none of these" keeps its joint.
    possible = np.isfinite(one.log_joint[: len(KINDS) * n])  # no fault in code: nothing was traced
    change = other.log_joint[: len(KINDS) * n][possible]
    change = change - one.log_joint[: len(KINDS) * n][possible]
    np.testing.assert_allclose(change, change[0], rtol=1e-10, atol=1e-10)
    assert change[0] < 0
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
    p = np.exp(answer.log_root[:-1]).reshape(3, len(KINDS))
    np.testing.assert_allclose(np.exp(answer.log_root[-1]), NONE_PRIOR, rtol=1e-10)
    # A component that cannot reach the target pays for the alarm it leaves unexplained.
    miss = natural["unexplained_alarm"]
    shown = np.array(
        [sum(mode_prior(natural, c, m) for m in MODES if m[alarm]) for c in KIND_NUMBERS]
    )
    explained = shown + (1 - shown) * miss
    own = [LATENCY, ERRORS, RESOURCE]  # whose weight does not depend on who calls whom
    np.testing.assert_allclose(p[0, own], p[1, own], rtol=1e-10)
    np.testing.assert_allclose(p[2, own] / p[0, own], (miss / explained)[own], rtol=1e-9)
    kinds = np.array([kind_prior(natural, c) for c in own])
    expected = kinds * [UNSEEN, UNSEEN, UNREPORTED] * explained[own]
    np.testing.assert_allclose(p[0, own] / p[0, own].sum(), expected / expected.sum(), rtol=1e-9)


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
    resource = np.exp(answer.log_root[:-1]).reshape(n, len(KINDS))[:, RESOURCE]
    assert resource[0] > resource[1]


@few
@given(seed=SEEDS)
def test_without_telemetry_a_number_of_causes_has_its_prior(seed: int) -> None:
    """All sets are weighed here, so that those of one size add up to the prior of the size."""
    rng = np.random.default_rng(seed)
    table = empty_table(3, 2, np.array([[0, 1], [1, 2]]))
    target = int(rng.integers(3))
    evidence = make_evidence((table, table), target=target, alarm_family=int(rng.integers(2)))
    evidence = replace(evidence, root_log_prior=rng.normal(0.0, 0.5, 3))
    with prepare(evidence, max_causes=3) as likelihood:
        assume(len(likelihood.sets) == 4)
        answer = evaluate(likelihood, random_theta(rng))
    p = np.exp(answer.log_root)
    singles = 3 * len(KINDS)
    by_size = [p[:singles].sum(), p[singles : singles + 3].sum(), p[singles + 3]]
    np.testing.assert_allclose(by_size, (1 - NONE_PRIOR) * np.array(SIZES), rtol=1e-10)
    assert abs(answer.logp) < 1e-10


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
    kinds = len(KINDS)
    assert np.logaddexp.reduce(after[:kinds]) < np.logaddexp.reduce(before[:kinds])
