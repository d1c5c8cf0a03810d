"""Code regions have probabilities of their own: parts of their component's."""

from __future__ import annotations

import numpy as np
import pytest
from rich.console import Console

from bayesrca.analysis import analyze
from bayesrca.config import Method, Settings
from bayesrca.posterior.result import Answer
from bayesrca.report.terminal import render
from tests.unit.evidence.trace_kit import Traces, incident, is_window
from tests.unit.posterior.synthetic import make_shop

SCREEN = Settings(method=Method.SCREEN)


def answer(*, faulty: bool) -> Answer:
    """`back` takes another way through its code in the window, or does not."""
    traces = Traces()
    for second in np.arange(1000.0, 1160.0):
        root = traces.span("front", "get", second, 12.0, kind=2)
        work = traces.span("back", "work", second + 0.002, 8.0, root, kind=2)
        traces.line("front", "got it", second + 0.001, root, code="Front#7")
        traces.line("back", "begin", second + 0.004, work, code="Work#10")
        if faulty and is_window(second):
            traces.line("back", "no such key", second + 0.005, work, code="Work#14", level=17)
        else:
            traces.line("back", "found", second + 0.005, work, code="Work#12")
    return analyze(incident(traces), seed=1, settings=SCREEN).answer


@pytest.fixture(scope="module")
def broken() -> Answer:
    return answer(faulty=True)


def test_the_place_that_changed_has_most_of_its_component(broken: Answer) -> None:
    best = broken.posterior.causes[0]
    assert best.component == "back"
    first = best.explains.regions[0]
    assert (first.region, first.change) == ("Work#12", "vanished")
    assert first.at_fault is not None
    assert first.at_fault.value > 0.5
    low, high = first.at_fault.interval
    assert low <= first.at_fault.value <= high
    assert first.at_fault.mcse <= best.probability.mcse


def test_places_never_hold_more_than_their_component(broken: Answer) -> None:
    seen = 0
    for found in (broken, answer(faulty=False)):
        for cause in found.posterior.causes:
            parts = [r.at_fault.value for r in cause.explains.regions if r.at_fault is not None]
            assert sum(parts) <= cause.probability.value * (1 + 1e-9)
            seen += len(parts)
            for r in cause.explains.regions:
                assert r.at_fault is not None
                whole = sum(parts) / sum(x.probability for x in cause.explains.regions)
                assert r.at_fault.value == pytest.approx(whole * r.probability)
    assert seen >= 6


def test_what_did_not_change_is_not_told_to_be_at_fault() -> None:
    calm = answer(faulty=False)
    for cause in calm.posterior.causes:
        for r in cause.explains.regions:
            assert r.at_fault is not None
            assert r.at_fault.value < 0.2


def test_the_report_names_the_place(broken: Answer, capsys: pytest.CaptureFixture[str]) -> None:
    Console(width=200).print(render(broken))
    shown = capsys.readouterr().out
    assert "at fault in its code: Work#12 vanished (" in shown


def test_without_spans_no_place_is_told() -> None:
    found = analyze(make_shop(), seed=2, settings=SCREEN).answer
    assert all(c.explains.regions == () for c in found.posterior.causes)
