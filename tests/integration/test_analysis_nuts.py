"""The full posterior: NUTS on the PyMC model, by way of `analyze`."""

from __future__ import annotations

import dataclasses
import math
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from bayesrca.analysis import Analysis, Progress, analyze
from bayesrca.config import Method, Settings
from bayesrca.errors import CancelledError
from bayesrca.incident import Incident
from bayesrca.ingest import load_incident
from bayesrca.model import is_warm, warm
from bayesrca.model.parameters import PRIORS
from tests.integration.kit import ROOT
from tests.unit.posterior.synthetic import make_shop

pytestmark = pytest.mark.pymc

NUTS = Settings(method=Method.NUTS)
SHORT = Settings(method=Method.NUTS, chains=2, draws=30, tune=60)
CULPRIT = "PetSearch_AWS::ECS::Fargate"


@pytest.fixture(scope="session")
def delay() -> Incident:
    return load_incident(ROOT / "examples" / "search_delay")


@pytest.fixture(scope="session")
def sampled(delay: Incident) -> tuple[Analysis, list[Progress]]:
    """The full posterior with default settings, and what was reported on the way."""
    warm()
    reports: list[Progress] = []
    return analyze(delay, seed=1, settings=NUTS, progress=reports.append), reports


def values(analysis: Analysis) -> dict[str, float]:
    return {c.component: c.probability.value for c in analysis.answer.posterior.causes}


def check_sane(analysis: Analysis) -> None:
    posterior = analysis.answer.posterior
    total = sum(c.only.value for c in posterior.causes) + posterior.none.value
    total += sum(s.probability.value for s in posterior.sets if len(s.components) > 1)
    assert total == pytest.approx(1.0, abs=5e-4)  # sets below 1e-6 are not listed


class TestFullPosterior:
    def test_it_passes_every_gate(self, sampled: tuple[Analysis, list[Progress]]) -> None:
        answer = sampled[0].answer
        d = answer.diagnostics
        assert answer.method == "nuts"
        assert answer.healthy, d.problems
        assert d.r_hat is not None
        assert d.r_hat < 1.01
        assert d.ess > 400
        assert d.divergences == 0
        assert d.reruns == 0
        assert (d.n_chains, d.n_draws) == (4, 4000)
        assert d.e_bfmi is not None
        assert d.e_bfmi > 0.3
        assert answer.posterior.causes[0].component == CULPRIT

    def test_both_speeds_agree_within_their_errors(
        self, delay: Incident, sampled: tuple[Analysis, list[Progress]]
    ) -> None:
        fast = analyze(delay, seed=1, settings=Settings(method=Method.SCREEN)).root
        full = sampled[0].root
        allowed = 4 * np.hypot(fast.mcse, full.mcse) + 1e-3
        assert (np.abs(fast.values - full.values) <= allowed).all()
        assert_allclose(fast.intervals, full.intervals, atol=0.1)  # tails of a few hundred draws

    def test_progress_rises_and_ends_at_one(self, sampled: tuple[Analysis, list[Progress]]) -> None:
        reports = sampled[1]
        assert list(dict.fromkeys(r.step for r in reports)) == [
            "evidence", "nuts", "diagnose", "explain",
        ]  # fmt: skip
        done = [r.done for r in reports if r.step == "nuts"]
        assert done == sorted(done)
        assert (done[0], done[-1]) == (0.0, 1.0)
        assert len(done) > 4
        assert all(0 <= d <= 1 for d in done)

    def test_the_tree_is_arvizs(
        self, sampled: tuple[Analysis, list[Progress]], tmp_path: Path
    ) -> None:
        az: Any = import_module("arviz")
        path = tmp_path / "full.nc"
        sampled[0].to_datatree().to_netcdf(path, engine="h5netcdf")
        tree: Any = az.from_netcdf(path)
        table = az.summary(tree, round_to="none")
        assert {str(i).split("[")[0] for i in table.index} == set(PRIORS)
        assert float(table["r_hat"].max()) < 1.01
        d = sampled[0].answer.diagnostics
        lowest = min(float(table["ess_bulk"].min()), float(table["ess_tail"].min()))
        assert lowest >= 0.8 * d.ess  # ours also looks at the probabilities
        assert int(tree["sample_stats"]["diverging"].sum()) == d.divergences
        means = tree["root_cause"]["p_cause"].mean(("chain", "draw")).values
        assert_allclose(means, sampled[0].root.values[:-1], rtol=1e-9)

    def test_draws_stay_where_the_prior_lets_them(
        self, sampled: tuple[Analysis, list[Progress]]
    ) -> None:
        draws = sampled[0].draws
        assert np.isfinite(draws.thetas).all()
        assert np.isfinite(draws.log_likelihood).all()
        assert_allclose(np.exp(draws.log_root).sum(-1), 1.0, rtol=1e-9)


class TestReproduction:
    @pytest.mark.filterwarnings("ignore:Found chain dimension")
    def test_same_seed_same_bits_for_any_cores(self, delay: Incident) -> None:
        first, other = (
            analyze(delay, seed=5, settings=dataclasses.replace(SHORT, cores=cores))
            for cores in (1, 2)
        )
        for part in ("thetas", "log_root", "log_likelihood"):
            assert_array_equal(getattr(other.draws, part), getattr(first.draws, part))
        ours, theirs = (dataclasses.replace(a.answer, timings={}) for a in (first, other))
        assert repr(theirs) == repr(ours)

    def test_other_seeds_are_other_draws(self, delay: Incident) -> None:
        a, b = (analyze(delay, seed=seed, settings=SHORT) for seed in (5, 6))
        assert not np.isin(a.draws.thetas, b.draws.thetas).any()


class TestRerun:
    def test_a_failed_gate_means_exactly_one_rerun(self, delay: Incident) -> None:
        """Sixty draws cannot have an effective sample size of four hundred."""
        reports: list[Progress] = []
        analysis = analyze(delay, seed=2, settings=SHORT, progress=reports.append)
        d = analysis.answer.diagnostics
        assert d.reruns == 1
        assert not d.healthy
        assert any("effective sample size" in p for p in d.problems)
        assert d.n_draws == 60
        assert [r.done for r in reports if r.step == "diagnose"] == [0.0, 1.0, 0.0, 1.0]
        check_sane(analysis)

    @pytest.mark.parametrize("method", ["nuts", "auto"])
    def test_one_draw_after_one_of_warm_up_is_an_unhealthy_answer(self, method: str) -> None:
        settings = Settings(method=Method(method), chains=1, draws=1, tune=1)
        analysis = analyze(make_shop(), seed=1, settings=settings)
        d = analysis.answer.diagnostics
        assert (d.healthy, d.r_hat, d.ess, d.e_bfmi) == (False, math.inf, 0.0, None)
        assert math.isfinite(analysis.answer.posterior.none.mcse)
        assert all(math.isfinite(c.probability.mcse) for c in analysis.answer.posterior.causes)
        check_sane(analysis)

    @pytest.mark.parametrize(("chains", "draws"), [(1, 1), (1, 3), (2, 2), (4, 3)])
    @pytest.mark.filterwarnings("ignore:Found chain dimension")
    def test_too_few_draws_to_diagnose_are_an_unhealthy_answer(
        self, chains: int, draws: int
    ) -> None:
        settings = Settings(method=Method.NUTS, chains=chains, draws=draws, tune=20)
        analysis = analyze(make_shop(), seed=1, settings=settings)
        assert not analysis.answer.healthy
        assert analysis.answer.diagnostics.problems
        check_sane(analysis)


class TestStopping:
    def test_cancelled_while_sampling(self, delay: Incident) -> None:
        warm()
        asked: list[float] = []
        begun = time.monotonic()

        def cancelled() -> bool:
            if time.monotonic() - begun < 1.0:
                return False
            asked.append(time.monotonic())
            return True

        settings = dataclasses.replace(NUTS, draws=100_000)
        with pytest.raises(CancelledError, match="while sampling"):
            analyze(delay, seed=1, settings=settings, cancelled=cancelled)
        assert time.monotonic() - asked[0] < 2.0
        after = analyze(delay, seed=5, settings=SHORT)
        check_sane(after)
        again = analyze(delay, seed=5, settings=SHORT)
        assert_array_equal(after.draws.thetas, again.draws.thetas)

    def test_nuts_past_its_deadline_names_the_remedy(self, delay: Incident) -> None:
        warm()
        settings = dataclasses.replace(NUTS, draws=100_000, deadline=1.0)
        begun = time.monotonic()
        with pytest.raises(CancelledError, match="--method auto") as caught:
            analyze(delay, seed=1, settings=settings)
        assert caught.value.field == "deadline"
        assert time.monotonic() - begun < 4.0

    def test_auto_refines_when_there_is_time(self, delay: Incident) -> None:
        warm()
        assert is_warm()
        settings = dataclasses.replace(SHORT, method=Method.AUTO, deadline=300.0)
        answer = analyze(delay, seed=1, settings=settings).answer
        assert answer.method == "nuts"
        assert answer.notes == analyze(delay, seed=1, settings=SHORT).answer.notes

    def test_auto_falls_back_when_there_is_not(self, delay: Incident) -> None:
        warm()
        settings = Settings(method=Method.AUTO, draws=100_000, deadline=2.0)
        answer = analyze(delay, seed=1, settings=settings).answer
        assert answer.method == "screen"
        assert any("screen's answer" in note for note in answer.notes)

    def test_auto_falls_back_when_sampling_took_longer_than_expected(
        self, delay: Incident, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        warm()
        monkeypatch.setattr("bayesrca.analysis._GRADIENTS_PER_DRAW", 1e-6)
        settings = Settings(method=Method.AUTO, draws=100_000, deadline=2.0)
        begun = time.monotonic()
        answer = analyze(delay, seed=1, settings=settings).answer
        assert time.monotonic() - begun < 4.0
        assert answer.method == "screen"
        (note,) = (n for n in answer.notes if "did not finish within the deadline" in n)
        assert math.isfinite(answer.posterior.none.value)
        assert note.endswith("this is the screen's answer.")
