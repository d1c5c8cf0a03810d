"""Changes that begin some time into the window: laws, and the same by enumeration."""

from __future__ import annotations

from itertools import product
from math import comb

import numpy as np
import pytest
from scipy import integrate, stats

from bayesrca.evidence.trace_build import build_trace_evidence
from bayesrca.evidence.trace_laws import log_changed_count, log_risen_count
from bayesrca.evidence.trace_onset import AT_ONCE, compare_parts
from tests.unit.evidence.trace_kit import WINDOW, Traces, incident

REFERENCE = (np.array([[54.0]]), np.array([[298.0]]))
TRUST = np.array([0.3])


def ratio(present: list[int], instances: list[int]) -> float:
    found = compare_parts(
        np.array([present]), np.array([instances]), REFERENCE, TRUST, log_changed_count
    )
    return float(found.log_ratio[0])


def quiet_order(k: int, n: int) -> float:
    """Probability of one order of k among n at an unknown quiet share, by quadrature."""
    share, worth = 54.5 / 299.0, 298.0
    total = 0.0
    for s, w in ((2000.0, 0.6), (30.0, 0.3), (4.0, 0.1)):
        precision = 1.0 / (1.0 / s + 1.0 / (worth + 1.0))
        law = stats.beta(share * precision, (1.0 - share) * precision)
        total += (
            w
            * integrate.quad(
                lambda p, law=law: law.pdf(p) * p**k * (1.0 - p) ** (n - k),
                0.0,
                1.0,
                points=[0.1, 0.2],
            )[0]
        )
    return total


def changed_order(k: int, n: int) -> float:
    free = stats.betabinom(n, 0.5, 0.5).pmf(k)
    flipped = stats.betabinom(n, 0.1, 10.0).pmf(n - k)  # mostly absent before
    return 0.5 * (free + flipped) / comb(n, k)


def test_a_change_from_some_bound_on_is_weighed_as_by_hand() -> None:
    present, instances = [4, 0, 1, 0], [9, 8, 3, 7]
    k, n = sum(present), sum(instances)
    by_hand = AT_ONCE * changed_order(k, n)
    for bound in (1, 2, 3):
        a, m = sum(present[:bound]), sum(instances[:bound])
        by_hand += (1 - AT_ONCE) / 3 * quiet_order(a, m) * changed_order(k - a, n - m)
    assert ratio(present, instances) == pytest.approx(np.log(by_hand / quiet_order(k, n)), rel=1e-4)


@pytest.mark.parametrize("law", [log_changed_count, log_risen_count])
@pytest.mark.parametrize("instances", [(3, 2, 4, 3), (0, 5, 0, 2), (6, 0, 0, 0), (4, 3, 0, 1)])
def test_bayes_factors_have_mean_one_when_quiet(law: object, instances: tuple[int, ...]) -> None:
    counts = np.array(list(product(*(range(n + 1) for n in instances))))
    each = np.tile(instances, (len(counts), 1))
    reference = tuple(np.tile(x, (len(counts), 1)) for x in REFERENCE)
    found = compare_parts(counts, each, reference, TRUST, law)  # type: ignore[arg-type]
    quiet = [
        quiet_order(int(row.sum()), sum(instances))
        * np.prod([comb(n, int(k)) for k, n in zip(row, instances, strict=True)])
        for row in counts
    ]
    assert np.sum(quiet) == pytest.approx(1.0, rel=1e-4)
    assert np.dot(quiet, np.exp(found.log_ratio)) == pytest.approx(1.0, rel=1e-4)


def test_what_ends_within_the_window_is_told_and_from_when() -> None:
    told = compare_parts(
        np.array([[13, 0, 0, 0], [13, 12, 11, 13]]),
        np.full((2, 4), 70),
        (np.tile(REFERENCE[0], (2, 1)), np.tile(REFERENCE[1], (2, 1))),
        TRUST,
        log_changed_count,
    )
    assert told.log_ratio[0] > 6.0
    assert told.log_ratio[1] < -0.5
    assert (told.k[0], told.n[0]) == (0.0, 210.0)
    # Without the parts it is a share that has become rarer, which hardly tells.
    assert ratio([13], [280]) < told.log_ratio[0] - 4.0


def test_a_bound_that_nothing_follows_has_no_weight() -> None:
    assert ratio([2, 3, 0, 0], [9, 8, 0, 0]) == pytest.approx(ratio([2, 3], [9, 8]))
    assert ratio([2, 3, 0, 1], [9, 8, 0, 1]) == pytest.approx(ratio([2, 4], [9, 9]))
    assert ratio([5, 0, 0, 0], [17, 0, 0, 0]) == pytest.approx(ratio([5], [17]))


def test_a_fault_that_takes_hold_late_is_found_in_its_spans() -> None:
    traces = Traces()
    for second in range(1000, 1160):
        top = traces.span("front", "get", float(second), 9.0)
        if second < 1125 and second % 3 == 0:
            traces.span("front", "rarely", second + 0.001, 1.0, top)
    evidence = build_trace_evidence(incident(traces), WINDOW)
    assert evidence is not None
    (row,) = (t for t in evidence.tests if t.name == "pattern")
    assert evidence.own_pattern[0] > 2.0
    assert row.change == "vanished"
    assert row.n < 40  # since it began
