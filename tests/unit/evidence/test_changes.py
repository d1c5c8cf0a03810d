"""Changes as causes: what they give to some components they take from others."""

from __future__ import annotations

import numpy as np
import pytest

from bayesrca.errors import InvalidEvidenceError
from bayesrca.evidence.changes import (
    compute_change_log_factor,
    compute_change_log_odds,
    find_changes,
)
from bayesrca.evidence.trace_evidence import Change, TraceTest
from bayesrca.incident import Event
from bayesrca.posterior.changes import compute_change_posterior
from tests.unit.evidence.trace_kit import WINDOW, Traces, incident

EVEN = np.ones(3)


def change(
    age: float, component: int = 0, weight: float = 1.0, *, mentions: bool = False
) -> Change:
    return Change(event=0, component=component, age=age, weight=weight, mentions=mentions)


def found(*events: Event, tests: tuple[TraceTest, ...] = ()) -> tuple[Change, ...]:
    traces = Traces()
    traces.span("front", "get", 1110.0, 5.0)
    return find_changes(incident(traces, events=events, baseline=None), WINDOW, tests)


def test_a_commit_and_its_deployment_are_one_change() -> None:
    changes = found(
        Event(500.0, "commit", None, "message: build faster", "abc"),
        Event(1040.0, "deploy", "back", "version 2", "abc"),
        Event(1090.0, "alert", "front", "too slow"),
        Event(900.0, "commit", None, "message: other", "def"),
    )
    assert [(c.event, c.rows, c.component, c.age) for c in changes] == [
        (1, (0, 1), 1, 60.0),
        (3, (3,), -1, 200.0),
    ]
    assert changes[0].weight == 1.0 > changes[1].weight  # nothing was seen to apply the other


def test_commits_count_in_full_where_no_deployment_is_on_record() -> None:
    code, words = found(
        Event(900.0, "commit", None, "message: fix rounding", "a"),
        Event(950.0, "commit", None, "message: docs: fix a typo", "b"),
    )
    assert code.weight == 1.0
    assert words.weight < 0.1


def test_a_change_mentions_what_a_loud_test_is_about() -> None:
    test = TraceTest(
        component=1,
        callee=-1,
        name="pattern",
        subject="ERROR ChargeService#30",
        region="ChargeService#30",
        change="new",
        n=9,
        n0=9,
        contrast=1.0,
        scale=0.1,
        log_ratio=5.0,
    )
    event = Event(1000.0, "deploy", "back", "files_changed: services/payment/charge.go")
    assert found(event, tests=(test,))[0].mentions
    assert not found(event)[0].mentions


def test_a_change_shortly_before_is_likelier_than_one_long_before_or_after() -> None:
    ages = (60.0, 3000.0, 9000.0, -600.0)
    odds = compute_change_log_odds([change(age) for age in ages])
    assert list(np.argsort(-odds)) == [0, 1, 2, 3]
    alone = compute_change_log_odds([change(1e9)])
    assert alone[0] < -5.0
    assert compute_change_log_odds([]).shape == (0,)


def test_factors_of_the_prior_have_mean_one() -> None:
    changes = [change(5.0, 1), change(900.0, 2), change(40.0, -1)]
    factor = np.exp(compute_change_log_factor(changes, 4))
    assert factor.mean() == pytest.approx(1.0)
    assert factor[1] > factor[2] > factor[0] == factor[3]
    assert compute_change_log_factor([], 4) == pytest.approx(np.zeros(4))


def test_telemetry_decides_between_changes_made_at_once() -> None:
    changes = [change(30.0, 0), change(30.0, 1)]
    posterior = compute_change_posterior(changes, np.array([0.1, 0.8, 0.1]), EVEN)
    assert posterior.none + posterior.probability.sum() == pytest.approx(1.0)
    ratio = (0.8 * 3 * 0.8 + 0.2) / (0.8 * 3 * 0.1 + 0.2)
    assert posterior.probability[1] == pytest.approx(ratio * posterior.probability[0])
    assert posterior.ranking[0] is changes[1]
    quiet = compute_change_posterior([], np.array([0.1, 0.8, 0.1]), EVEN)
    assert (quiet.none, quiet.ranking) == (1.0, ())


def test_a_prior_that_leans_on_changes_is_not_counted_twice() -> None:
    changes = [change(30.0, 1), change(7000.0, 0)]
    likelihood = np.array([0.2, 0.5, 0.3])
    boosted = np.exp(compute_change_log_factor(changes, 3))
    plain = compute_change_posterior(changes, likelihood, EVEN)
    leaning = likelihood * boosted
    again = compute_change_posterior(changes, leaning / leaning.sum(), boosted)
    assert again.none == pytest.approx(plain.none)
    assert again.probability == pytest.approx(plain.probability)


def test_with_no_component_left_time_alone_decides() -> None:
    changes = [change(5.0, 1), change(900.0, 0)]
    posterior = compute_change_posterior(changes, np.zeros(3), EVEN)
    odds = np.exp(compute_change_log_odds(changes))
    assert posterior.probability == pytest.approx(odds / (1.0 + odds.sum()))


@pytest.mark.parametrize(
    ("probability", "prior", "field"),
    [
        (np.ones(2), EVEN, "prior"),
        (EVEN, np.zeros(3), "prior"),
        (np.array([0.1, 1.2, 0.0]), EVEN, "probability"),
        (np.array([0.1, np.nan, 0.0]), EVEN, "probability"),
    ],
)
def test_bad_numbers_are_named(probability: np.ndarray, prior: np.ndarray, field: str) -> None:
    with pytest.raises(InvalidEvidenceError) as raised:
        compute_change_posterior([change(5.0)], probability, prior)
    assert raised.value.field == field
