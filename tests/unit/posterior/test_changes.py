"""Changes and code regions of an answer, from an incident whose cause is known."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bayesrca.analysis import analyze
from bayesrca.config import Method, Settings
from bayesrca.incident import Event
from bayesrca.posterior.result import Answer
from tests.unit.evidence.test_span_series import START, outage

SCREEN = Settings(method=Method.SCREEN)


def answer(*events: Event) -> Answer:
    incident = replace(outage(slow="c"), events=events)
    return analyze(incident, seed=1, settings=SCREEN).answer


def test_the_change_of_the_slow_component_just_before_comes_first() -> None:
    found = answer(
        Event(START + 10.0, "commit", None, "message: build faster", "abc"),
        Event(START + 470.0, "deploy", "cart", "version 2", "abc"),
        Event(START + 471.0, "deploy", "db", "version 9", "def"),
        Event(START + 100.0, "flag", "cart", "colours", "blue"),
        Event(START + 500.0, "alert", "shop", "too slow"),
    ).changes
    assert found is not None
    best = found.ranking[0]
    assert (best.id, best.kind, best.component, best.time) == ("abc", "deploy", "cart", START + 470)
    assert best.text == "message: build faster\nversion 2"
    assert {c.id for c in found.ranking} == {"abc", "def", "blue"}
    assert best.probability > 0.5
    assert sum(c.probability for c in found.ranking) + found.none == pytest.approx(1.0)
    assert [c.probability for c in found.ranking] == sorted(
        (c.probability for c in found.ranking), reverse=True
    )


def test_a_change_of_what_is_not_at_fault_is_less_probable() -> None:
    near = answer(Event(START + 470.0, "deploy", "cart", "", "a")).changes
    other = answer(Event(START + 470.0, "deploy", "db", "", "a")).changes
    assert near is not None
    assert other is not None
    assert other.none > 2.0 * near.none


def test_an_incident_without_changes_has_none() -> None:
    assert answer(Event(START + 500.0, "alert", "shop", "too slow")).changes is None
