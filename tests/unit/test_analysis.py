"""From an incident to its answer, by the screen."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from bayesrca.analysis import Analysis, Progress, analyze, library_versions
from bayesrca.config import LARGEST_SEED, BeyondWidth, Method, Settings
from bayesrca.errors import (
    GraphTooWideError,
    InvalidSettingsError,
    NoEvidenceError,
)
from bayesrca.incident import (
    Component,
    Edge,
    Family,
    Incident,
    Signal,
    Statistic,
    Target,
    TimeWindow,
    Topology,
)
from bayesrca.ingest import load_incident
from bayesrca.model.draws import Draws
from bayesrca.model.screen import estimate_by_screen
from bayesrca.posterior.document import answer_document
from bayesrca.posterior.result import Answer
from tests.integration.kit import ROOT
from tests.unit.posterior.synthetic import make_dense, make_incident, make_shop

SCREEN = Settings(method=Method.SCREEN)
CULPRIT = "PetSearch_AWS::ECS::Fargate"


UNLISTED = 5e-4
"""More than all sets together hold that are left out, each for holding less than 1e-6."""


def screen(incident: Incident, seed: int = 1, **changes: object) -> Analysis:
    settings = dataclasses.replace(SCREEN, **changes)  # type: ignore[arg-type]
    return analyze(incident, seed=seed, settings=settings)


def example(name: str) -> Incident:
    return load_incident(ROOT / "examples" / name)


def without_timings(answer: Answer) -> Answer:
    return dataclasses.replace(answer, timings={})


def probabilities(answer: Answer) -> dict[str, float]:
    return {c.component: c.probability.value for c in answer.posterior.causes}


def exclusive_mass(answer: Answer) -> float:
    """Probability of every component alone, every listed set of several, and none of these."""
    posterior = answer.posterior
    several = [s.probability.value for s in posterior.sets if len(s.components) > 1]
    return sum(c.only.value for c in posterior.causes) + sum(several) + posterior.none.value


def check_sane(answer: Answer, incident: Incident) -> None:
    values = probabilities(answer)
    assert set(values) == set(incident.topology.names)
    assert exclusive_mass(answer) == pytest.approx(1.0, abs=UNLISTED)
    for cause in answer.posterior.causes:
        within = sum(
            s.probability.value
            for s in answer.posterior.sets
            if cause.component in s.components and len(s.components) > 1
        )
        assert cause.probability.value == pytest.approx(cause.only.value + within, abs=UNLISTED)
    assert all(math.isfinite(v) and 0 <= v <= 1 for v in values.values())


class TestExamples:
    @pytest.mark.parametrize("name", ["search_delay", "search_errors"])
    def test_the_injected_component_comes_first(self, name: str) -> None:
        answer = screen(example(name)).answer
        assert answer.posterior.causes[0].component == CULPRIT
        assert answer.posterior.causes[0].probability.value > 0.5
        assert answer.healthy
        assert answer.method == "screen"

    def test_kinds_of_fault_are_told_apart(self) -> None:
        kinds = [
            screen(example(n)).answer.posterior.causes[0].kind
            for n in ("search_delay", "search_errors")
        ]
        assert kinds == ["latency", "errors"]

    def test_without_a_baseline_it_answers_and_says_so(self) -> None:
        incident = example("search_delay_no_baseline")
        answer = screen(incident).answer
        check_sane(answer, incident)
        assert any("No baseline window was given" in note for note in answer.notes)


class TestReproduction:
    def test_same_seed_same_bits_for_any_cores(self) -> None:
        incident = example("search_delay")
        first, *others = (screen(incident, cores=cores) for cores in (1, 1, 2, 5))
        for other in others:
            assert without_timings(other.answer) == without_timings(first.answer)
            assert repr(without_timings(other.answer)) == repr(without_timings(first.answer))
            for part in ("thetas", "log_weights", "log_root", "log_likelihood"):
                assert_array_equal(getattr(other.draws, part), getattr(first.draws, part))

    def test_the_incidents_name_and_path_change_no_number(self) -> None:
        incident = make_shop()
        renamed = dataclasses.replace(incident, name="another")
        ours, theirs = screen(incident).answer, screen(renamed).answer
        assert theirs.posterior == ours.posterior

    def test_other_seeds_differ_by_their_errors(self) -> None:
        incident = example("search_delay")
        runs = [screen(incident, seed=seed).root for seed in range(12)]
        assert len({r.values.tobytes() for r in runs}) == 12
        centre = np.mean([r.values for r in runs], axis=0)
        z = np.array([(r.values - centre) / r.mcse for r in runs])
        assert np.sqrt(np.mean(z**2)) < 1.6
        assert np.abs(z).max() < 7  # 540 values of t with 15 degrees of freedom

    def test_the_seed_is_in_the_answer(self) -> None:
        assert screen(make_shop(), seed=LARGEST_SEED).answer.seed == LARGEST_SEED

    @pytest.mark.parametrize("seed", [-1, LARGEST_SEED + 1, 1.0, True, "1", None])
    def test_seeds_out_of_range(self, seed: int) -> None:
        with pytest.raises(InvalidSettingsError, match="seed must be a whole number") as caught:
            screen(make_shop(), seed=seed)
        assert caught.value.field == "seed"

    def test_versions_of_everything_that_shapes_a_number(self) -> None:
        versions = library_versions()
        assert {"bayesrca", "python", "numpy", "pymc", "nutpie", "numba"} <= set(versions)
        assert screen(make_shop()).answer.versions == versions
        assert versions["numpy"] == np.__version__


class TestProgress:
    def test_reports_rise_within_each_step_and_steps_come_in_order(self) -> None:
        reports: list[Progress] = []
        analyze(make_shop(), seed=1, settings=SCREEN, progress=reports.append)
        steps = list(dict.fromkeys(r.step for r in reports))
        assert steps == ["evidence", "screen", "diagnose", "explain"]
        for step in steps:
            done = [r.done for r in reports if r.step == step]
            assert done == sorted(done)
            assert (done[0], done[-1]) == (0.0, 1.0)

    def test_timings_name_the_same_steps(self) -> None:
        timings = screen(make_shop()).answer.timings
        assert list(timings) == ["evidence", "screen", "diagnose", "explain"]
        assert all(t >= 0 for t in timings.values())


class TestScreenAgain:
    """A screen whose first weights are too uneven is drawn once more, with more points."""

    @pytest.fixture
    def uneven(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[float], list[int]]:
        asked: list[int] = []

        def arrange(k: float) -> list[int]:
            def estimate(*args: object, settings: Settings, **others: object) -> Draws:
                asked.append(settings.screen_points)
                draws = estimate_by_screen(*args, settings=settings, **others)  # type: ignore[arg-type]
                return dataclasses.replace(draws, pareto_k=k)

            monkeypatch.setattr("bayesrca.analysis.estimate_by_screen", estimate)
            return asked

        return arrange

    @pytest.mark.parametrize(
        ("k", "points", "healthy"), [(0.69, [32], True), (0.7, [32, 128], False)]
    )
    def test_at_the_limit(
        self, uneven: Callable[[float], list[int]], k: float, points: list[int], healthy: bool
    ) -> None:
        asked = uneven(k)
        found = screen(example("search_delay")).answer.diagnostics
        assert asked == points
        assert (found.reruns, found.healthy) == (len(points) - 1, healthy)
        assert found.n_draws == 16 * points[-1]

    def test_what_somebody_chose_to_be_long_is_not_made_longer(
        self, uneven: Callable[[float], list[int]]
    ) -> None:
        asked = uneven(0.9)
        screen(example("search_delay"), screen_scrambles=4, screen_points=1 << 13, max_causes=1)
        assert asked == [1 << 13]


class TestWhatIsAbsent:
    def notes(self, incident: Incident) -> str:
        answer = screen(incident).answer
        check_sane(answer, incident)
        return "\n".join(answer.notes)

    def test_a_complete_incident_needs_no_note(self) -> None:
        complete = make_incident(("a", "b"), (("a", "b"),), slow=("a", "b"), target="a")
        assert self.notes(complete) == ""

    def test_baseline(self) -> None:
        incident = dataclasses.replace(make_shop(), baseline=None)
        assert "No baseline window was given" in self.notes(incident)

    def test_window(self) -> None:
        incident = dataclasses.replace(make_shop(), window=None, baseline=None)
        assert "No incident window was given" in self.notes(incident)

    def test_target(self) -> None:
        incident = dataclasses.replace(make_shop(), target=None)
        assert "No target was given" in self.notes(incident)

    def test_all_three(self) -> None:
        incident = dataclasses.replace(make_shop(), target=None, window=None, baseline=None)
        said = self.notes(incident)
        for what in ("baseline window", "incident window", "target"):
            assert f"No {what} was given" in said

    def test_a_baseline_at_another_time(self) -> None:
        incident = make_shop()
        shifted = dataclasses.replace(incident, baseline=TimeWindow(0.0, 600.0))
        assert "recorded at another time" in self.notes(shifted)

    def test_series_of_components(self) -> None:
        assert "1 of 5 components have no usable" in self.notes(make_shop())
        assert "hosts/dark" in self.notes(make_shop())

    def test_an_isolated_target(self) -> None:
        incident = make_incident(
            ("front", "cart", "store"),
            (("cart", "store"),),
            slow=("front", "cart", "store"),
            target="front",
        )
        assert "does not connect the target 'front'" in self.notes(incident)

    def test_a_target_without_series(self) -> None:
        incident = make_incident(
            ("front", "cart"), (("front", "cart"),), slow=("cart",), silent=("front",),
            target="front", alarm=None,
        )  # fmt: skip
        assert "The target 'front' has no usable latency or error series" in self.notes(incident)

    def test_the_alarms_series(self) -> None:
        incident = dataclasses.replace(make_shop(), target=Target("front"))
        assert "The alarm's series was not named" in self.notes(incident)


def ring(n: int, chords: Sequence[tuple[int, int]] = ()) -> Incident:
    names = [f"s{i}" for i in range(n)]
    calls = [(names[i], names[(i + 1) % n]) for i in range(n)]
    calls += [(names[a], names[b]) for a, b in chords]
    return make_incident(names, calls, slow=names[:3], target="s0")


class TestGraphs:
    def test_no_edges_at_all(self) -> None:
        incident = make_incident(("a", "b", "c"), (), slow=("b",), target="b")
        answer = screen(incident).answer
        assert answer.posterior.causes[0].component == "b"

    def test_one_component(self) -> None:
        incident = make_incident(("only",), (), slow=("only",), target="only")
        answer = screen(incident).answer
        check_sane(answer, incident)
        assert answer.posterior.causes[0].probability.value > answer.posterior.none.value

    def test_a_cycle_of_two(self) -> None:
        incident = make_incident(("a", "b"), (("a", "b"), ("b", "a")), slow=("a", "b"), target="a")
        check_sane(screen(incident).answer, incident)

    @pytest.mark.parametrize("n", [3, 8, 10, 40])
    def test_a_ring_of_any_size_is_answered(self, n: int) -> None:
        incident = ring(n)
        answer = screen(incident).answer
        check_sane(answer, incident)
        assert answer.posterior.causes[0].component == "s2"

    def test_a_ring_of_ten_with_a_chord_is_answered(self) -> None:
        incident = ring(10, ((0, 5),))
        check_sane(screen(incident).answer, incident)

    @pytest.mark.parametrize("chords", [((0, 5), (7, 2)), ((9, 4), (3, 8), (6, 1))])
    def test_a_tangled_ring_of_ten_is_answered_or_refused_by_name(
        self, chords: tuple[tuple[int, int], ...]
    ) -> None:
        incident = ring(10, chords)
        try:
            check_sane(screen(incident).answer, incident)
        except GraphTooWideError as error:
            assert any(f"'{name}'" in str(error) for name in incident.topology.names)

    def test_too_dense_a_graph_names_the_place(self) -> None:
        names = [f"svc {i}" for i in range(30)]
        calls = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
        incident = make_incident(names, calls, slow=names[:4], target=names[0])
        with pytest.raises(GraphTooWideError, match="too densely connected") as caught:
            screen(incident, beyond_width=BeyondWidth.REFUSE)
        assert any(f"'{name}'" in str(caught.value) for name in names)
        assert "max_width" in str(caught.value)
        assert caught.value.field == "topology.edges"

    def test_a_dense_graph_is_answered_by_estimated_sums(self) -> None:
        incident = make_dense(18, 9)
        few: dict[str, Any] = {"screen_scrambles": 4, "screen_points": 8, "max_causes": 1}
        exact = screen(incident, max_width=14, **few).answer
        answer = screen(incident, max_width=3, **few).answer
        check_sane(answer, incident)
        whole, found = exact.diagnostics, answer.diagnostics
        assert (whole.estimated_sets, whole.sum_error) == (0, 0.0)
        assert whole.max_width > 3 >= found.max_width
        assert found.estimated_sets > 0
        assert 0.0 < found.sum_error < 0.5
        assert answer.healthy
        assert not any("were estimated" in note for note in exact.notes)
        assert sum("were estimated" in note for note in answer.notes) == 1
        document = answer_document(answer)["diagnostics"]
        assert document["estimated_sets"] == found.estimated_sets
        assert document["sum_error"] == found.sum_error
        estimates = {c.component: c.probability for c in answer.posterior.causes}
        for cause in exact.posterior.causes:
            p, q = cause.probability, estimates[cause.component]
            room = math.expm1(4 * found.sum_error) * p.value * (1 - p.value)
            assert abs(p.value - q.value) < room + 4 * math.hypot(p.mcse, q.mcse) + 1e-3

    def test_a_chain_of_three_hundred(self) -> None:
        names = [f"s{i}" for i in range(300)]
        calls = [(names[i], names[i + 1]) for i in range(299)]
        incident = make_incident(names, calls, slow=names[:6], target="s0")
        # Three hundred ancestors of the target, each a possible root: 27 ms a gradient.
        answer = screen(incident, screen_scrambles=4, screen_points=8).answer
        check_sane(answer, incident)
        assert answer.posterior.causes[0].component == "s5"

    def test_a_tree_of_three_hundred(self) -> None:
        names = [f"s{i}" for i in range(300)]
        calls = [(names[(i - 1) // 3], names[i]) for i in range(1, 300)]
        slow = ["s0", "s2", "s7", "s23"]
        incident = make_incident(names, calls, slow=slow, target="s0")
        answer = screen(incident).answer
        check_sane(answer, incident)
        assert answer.posterior.causes[0].component == "s23"

    def test_odd_names_are_opaque(self) -> None:
        names = ("a::b", "c/d;e f", "ünï|x", "[red]")
        incident = make_incident(names, ((names[0], names[1]),), slow=names[:2], target=names[0])
        check_sane(screen(incident).answer, incident)


class TestNoEvidence:
    def one_series(self, values: Sequence[float], family: Family) -> Incident:
        time = np.arange(len(values), dtype=float) * 60
        series = Signal("a", "x", family, Statistic.MEAN, time, np.array(values), "s")
        return Incident(
            name="empty",
            topology=Topology((Component("a"), Component("b")), (Edge("a", "b"),)),
            signals=(series,),
            baseline=TimeWindow(0.0, 240.0),
            window=TimeWindow(300.0, 540.0),
            target=Target("a"),
        )

    def test_a_series_of_nan(self) -> None:
        with pytest.raises(NoEvidenceError, match="no series that is read has a sample"):
            screen(self.one_series([math.nan] * 10, Family.LATENCY))

    def test_a_window_without_samples(self) -> None:
        with pytest.raises(NoEvidenceError, match="widen the window"):
            screen(self.one_series([1.0] * 5 + [math.nan] * 5, Family.LATENCY))

    def test_a_state_that_lasts_still_answers(self) -> None:
        incident = self.one_series([1.0] * 10, Family.STATE)
        check_sane(screen(incident).answer, incident)

    def test_a_baseline_of_nan_still_answers(self) -> None:
        incident = self.one_series([math.nan] * 5 + [1.0, 1.1, 1.0, 5.0, 5.2], Family.LATENCY)
        try:
            check_sane(screen(incident).answer, incident)
        except NoEvidenceError as error:
            assert "baseline" in str(error)

    @pytest.mark.parametrize("value", [0.0, 1.0, -1.0, 1e300, 1e-300])
    def test_constant_series_of_any_size_answer(self, value: float) -> None:
        incident = self.one_series([value] * 10, Family.LATENCY)
        try:
            check_sane(screen(incident).answer, incident)
        except NoEvidenceError as error:
            assert value <= 0  # the logarithm of nothing
            assert "latency" in str(error)

    def test_constant_series_that_jumps(self) -> None:
        incident = self.one_series([1.0] * 5 + [100.0] * 5, Family.LATENCY)
        answer = screen(incident).answer
        check_sane(answer, incident)
        assert answer.posterior.causes[0].component == "a"
