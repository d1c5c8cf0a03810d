"""A prior file reaches every number: the screen's, NUTS' and the server's."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bayesrca.analysis import analyze
from bayesrca.client import Client
from bayesrca.config import LearnedPrior, Method, Settings
from bayesrca.incident import Incident
from bayesrca.ingest import load_incident
from bayesrca.model.parameters import unconstrained_prior
from bayesrca.model.prior_file import describe_parameters, encode_prior, load_prior
from tests.integration.kit import ROOT, Server

MEAN, SD = unconstrained_prior()
# Far from the built-in prior and so narrow that no incident moves it.
ELSEWHERE, NARROW = MEAN + 0.8 * SD, np.full(len(SD), 1e-3)


@pytest.fixture(scope="module")
def incident() -> Incident:
    return load_incident(ROOT / "examples" / "search_delay")


def write_prior(folder: Path, gamma: float = 1.0) -> Path:
    path = folder / "fleet.json"
    content = {
        "parameters": describe_parameters(ELSEWHERE, NARROW),
        "gamma": {"value": gamma},
        "provenance": {"incidents": 30, "groups": 12},
    }
    path.write_bytes(encode_prior(content))
    return path


def make_prior(folder: Path, gamma: float = 1.0) -> LearnedPrior:
    return load_prior(write_prior(folder, gamma))


def test_the_screen_uses_it_and_the_answer_names_it(incident: Incident, tmp_path: Path) -> None:
    prior = make_prior(tmp_path)
    analysis = analyze(incident, seed=1, settings=Settings(method=Method.SCREEN, prior=prior))
    mean = np.einsum("cd,cdp->p", analysis.draws.weights, analysis.draws.thetas)
    np.testing.assert_allclose(mean, ELSEWHERE, atol=4e-3)
    # The prior's distances are those of the prior in use.
    assert analysis.answer.healthy, analysis.answer.diagnostics.problems
    assert analysis.answer.versions["prior"] == prior.label
    assert any(
        prior.label in note and "30 incidents in 12 groups" in note
        for note in analysis.answer.notes
    )
    plain = analyze(incident, seed=1, settings=Settings(method=Method.SCREEN)).answer
    assert "prior" not in plain.versions
    assert not any("prior" in note for note in plain.notes)


def test_gamma_flattens_the_answer(incident: Incident, tmp_path: Path) -> None:
    def largest(gamma: float) -> float:
        prior = make_prior(tmp_path, gamma)
        settings = Settings(method=Method.SCREEN, prior=prior, max_causes=1)
        answer = analyze(incident, seed=1, settings=settings).answer
        values = [c.probability.value for c in answer.posterior.causes]
        assert sum(values) + answer.posterior.none.value == pytest.approx(1.0)
        assert any("gamma" in note for note in answer.notes) == (gamma < 1)
        return max(values)

    assert largest(0.3) < largest(0.6) < largest(1.0)


@pytest.mark.pymc
def test_nuts_uses_it_without_compiling_again(incident: Incident, tmp_path: Path) -> None:
    from bayesrca.model import compiled

    settings = Settings(method=Method.NUTS, chains=2, draws=40, tune=200)
    analyze(incident, seed=1, settings=settings)
    before = compiled._compiled
    prior = make_prior(tmp_path)
    draws = analyze(incident, seed=1, settings=dataclasses.replace(settings, prior=prior)).draws
    assert compiled._compiled is before
    np.testing.assert_allclose(draws.thetas.mean(axis=(0, 1)), ELSEWHERE, atol=1e-3)
    np.testing.assert_allclose(draws.thetas.std(axis=(0, 1)).mean(), 1e-3, rtol=0.2)
    # The next analysis has the built-in prior again.
    back = analyze(incident, seed=1, settings=settings).draws
    assert back.thetas.std(axis=(0, 1)).min() > 0.05


@pytest.mark.grpc
def test_a_server_uses_it_for_every_analysis(incident: Incident, tmp_path: Path) -> None:
    path = write_prior(tmp_path)
    settings = Settings(method=Method.SCREEN)
    local = analyze(
        incident, seed=5, settings=dataclasses.replace(settings, prior=load_prior(path))
    )
    with (
        Server("--no-warm", f"--prior={path}", analyzer="") as server,
        Client(server.until_ready().address, timeout=120) as client,
    ):
        served = client.analyze(incident, seed=5, settings=settings)
    assert dataclasses.replace(served, timings={}) == dataclasses.replace(local.answer, timings={})


@pytest.mark.grpc
def test_a_server_does_not_start_with_a_broken_one(tmp_path: Path) -> None:
    path = write_prior(tmp_path)
    path.write_bytes(path.read_bytes().replace(b'"groups": 12', b'"groups": 13'))
    command = [sys.executable, "-m", "bayesrca.service", "--port", "0", f"--prior={path}"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode != 0
    assert "hash does not match" in done.stderr
