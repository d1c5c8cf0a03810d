"""Cancellation and deadlines of an analysis by the screen."""

from __future__ import annotations

import dataclasses
import sys
import time
from typing import Any

import pytest

from bayesrca.analysis import Progress, analyze
from bayesrca.config import Method, Settings
from bayesrca.errors import CancelledError
from bayesrca.kernels.propagation import PreparedLikelihood
from bayesrca.model import prepare
from tests.unit.posterior.synthetic import make_shop
from tests.unit.test_analysis import SCREEN, check_sane, example, screen, without_timings


class TestStopping:
    def test_cancelled_before_it_began(self) -> None:
        with pytest.raises(CancelledError, match="cancelled"):
            analyze(make_shop(), seed=1, settings=SCREEN, cancelled=lambda: True)

    def test_cancelled_during_the_screen(self) -> None:
        told: list[Progress] = []
        polls = iter([False])  # the one before it begins
        with pytest.raises(CancelledError):
            analyze(
                example("search_delay"),
                seed=1,
                settings=dataclasses.replace(SCREEN, screen_points=4096),
                progress=told.append,
                cancelled=lambda: bool(told) and told[-1].step == "screen" and next(polls, True),
            )
        assert (told[-1].step, told[-1].done) == ("screen", 0.0)
        check_sane(screen(make_shop()).answer, make_shop())

    @pytest.mark.parametrize("step", ["evidence", "screen", "diagnose", "explain"])
    def test_a_step_is_not_begun_once_cancelled(self, step: str) -> None:
        told: list[Progress] = []
        with pytest.raises(CancelledError):
            analyze(
                make_shop(),
                seed=1,
                settings=SCREEN,
                progress=told.append,
                cancelled=lambda: bool(told) and told[-1].step == step,
            )
        assert (told[-1].step, told[-1].done) == (step, 0.0)

    def test_never_cancelled_changes_nothing(self) -> None:
        told = analyze(make_shop(), seed=1, settings=SCREEN, cancelled=lambda: False)
        assert without_timings(told.answer) == without_timings(screen(make_shop()).answer)

    def test_auto_without_time_answers_by_the_screen_and_loads_no_sampler(self) -> None:
        before = "pymc" in sys.modules
        settings = Settings(method=Method.AUTO, deadline=10.0, draws=1_000_000)
        answer = analyze(make_shop(), seed=1, settings=settings).answer
        assert answer.method == "screen"
        assert any(
            "before the deadline" in note and "screen's answer" in note for note in answer.notes
        )
        assert ("pymc" in sys.modules) == before
        plain = screen(make_shop()).answer
        assert answer.posterior == plain.posterior

    @pytest.mark.parametrize("method", Method)
    def test_a_deadline_before_any_answer_names_itself_and_the_remedy(self, method: Method) -> None:
        settings = Settings(method=method, deadline=0.001)
        with pytest.raises(CancelledError, match=r"deadline of 0\.001 s .* more time") as caught:
            analyze(make_shop(), seed=1, settings=settings)
        assert caught.value.field == "deadline"

    @pytest.mark.parametrize("method", [Method.SCREEN, Method.AUTO])
    def test_a_deadline_bounds_the_screen(self, method: Method) -> None:
        incident = example("search_delay")
        screen(incident)
        settings = Settings(
            method=method, deadline=1.0, screen_scrambles=64, screen_points=1 << 12, cores=1
        )
        begun = time.monotonic()
        with pytest.raises(CancelledError, match="before there was any answer") as caught:
            analyze(incident, seed=1, settings=settings)
        assert time.monotonic() - begun < 3.0
        assert caught.value.field == "deadline"

    def test_a_deadline_bounds_the_preparation(self, monkeypatch: pytest.MonkeyPatch) -> None:
        whole = PreparedLikelihood

        def slow(*args: Any, **options: Any) -> PreparedLikelihood:  # noqa: ANN401
            time.sleep(0.6)
            return whole(*args, **options)

        monkeypatch.setattr(prepare, "PreparedLikelihood", slow)
        steps: list[str] = []
        settings = dataclasses.replace(SCREEN, deadline=0.5)
        with pytest.raises(CancelledError, match="deadline"):
            analyze(make_shop(), seed=1, settings=settings, progress=lambda r: steps.append(r.step))
        assert set(steps) == {"evidence"}

    def test_auto_with_too_little_time_says_how_much_it_needs(self) -> None:
        settings = Settings(method=Method.AUTO, deadline=2.0, draws=1_000_000)
        answer = analyze(example("search_delay"), seed=1, settings=settings).answer
        (note,) = (n for n in answer.notes if "would need about" in n)
        assert float(note.split("about ")[1].split(" s")[0]) > 100
