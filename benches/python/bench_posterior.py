"""CPU cost of every step from an incident to its posterior.

Three ways to run it:

    python benches/python/bench_posterior.py [INCIDENT_DIR ...]    one table, medians of three
    python benches/python/bench_posterior.py --simulated 50 1000   the same, of incidents made up
    python -m pytest benches/python --benchmark-only               statistics by pytest-benchmark

`--single` weighs single causes only, `--no-nuts` leaves PyMC out, `--max-bins` sets how finely the
incident window is cut (2 bins give 3 footprints).

All times are CPU times of the whole process (every thread counts), so that a busy machine does not
change what they mean. The state of the sampler is printed beside its cost: a fast run that did not
converge is worth nothing. With `--benchmark-disable` everything runs once, on less work.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bayesrca.analysis import analyze
from bayesrca.config import Method, Settings
from bayesrca.evaluation.simulate_incident import simulate_incident
from bayesrca.evidence import VITALS, Evidence, build_evidence
from bayesrca.incident import Component, Incident, Signal, Statistic, TimeWindow, Topology
from bayesrca.ingest import load_incident
from bayesrca.kernels.propagation import PreparedLikelihood
from bayesrca.model import is_warm, warm
from bayesrca.model.draws import Draws
from bayesrca.model.parameters import unconstrained_prior
from bayesrca.model.prepare import prepare_likelihood
from bayesrca.model.screen import estimate_by_screen
from bayesrca.posterior.diagnostics import compute_diagnostics
from bayesrca.posterior.result import Diagnostics
from bayesrca.posterior.summary import compute_root_probabilities

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
DEFAULT = [
    EXAMPLES / name for name in ("search_delay", "search_errors", "search_delay_no_baseline")
]
SETTINGS = Settings(cores=2)
SMALL = Settings(chains=2, draws=20, tune=30, screen_scrambles=4, screen_points=8, cores=2)
Floats = NDArray[np.float64]
THETAS = 256
"""Thetas, spread as the prior is, over which the cost of one evaluation is averaged."""


def make_thetas(n: int = THETAS) -> Floats:
    mean, sd = unconstrained_prior()
    return np.asarray(mean + sd * np.random.default_rng(3).standard_normal((n, len(mean))))


def make_vitals(n: int = 50, samples: int = 600) -> Incident:
    """Components without latency or errors: noise in one series of every vital family each."""
    rng = np.random.default_rng(4)
    time = np.arange(samples, dtype=np.float64)
    onset = float(time[-samples // 10])
    components = tuple(Component(f"c{i}") for i in range(n))
    return Incident(
        "vitals",
        Topology(components, ()),
        tuple(
            Signal(c.name, family, family, Statistic.VALUE, time, values)
            for c in components
            for family, values in zip(VITALS, 5.0 + rng.random((len(VITALS), samples)), strict=True)
        ),
        baseline=TimeWindow(0.0, onset - 1.0),
        window=TimeWindow(onset, float(time[-1])),
    )


def prepare_only(evidence: Evidence, settings: Settings = SETTINGS) -> PreparedLikelihood:
    return prepare_likelihood(evidence, settings, seed=1)


def prepare(incident: Incident) -> PreparedLikelihood:
    return prepare_only(build_evidence(incident, max_bins=SETTINGS.max_bins))


def run_gradients(likelihood: PreparedLikelihood, thetas: Floats) -> None:
    for theta in thetas:
        likelihood.compute_logp_grad(theta)


def run_values(likelihood: PreparedLikelihood, thetas: Floats) -> None:
    """Root posteriors: the value without its gradient, as it is computed for every kept draw."""
    likelihood.compute_root_log_posterior(thetas, threads=1)


def run_nuts(likelihood: PreparedLikelihood, settings: Settings, seed: int = 1) -> Draws:
    from bayesrca.model.sampling import estimate_by_nuts

    draws = estimate_by_nuts(
        likelihood, seed=seed, settings=settings, target_accept=settings.target_accept
    )
    assert draws is not None
    return draws


def count_gradients(likelihood: PreparedLikelihood, settings: Settings, seed: int = 1) -> int:
    """Leapfrog steps of the very run `run_nuts` makes, warm-up included."""
    from bayesrca.model.compiled import compiled_for
    from bayesrca.model.sampling import sampler_options

    nutpie: Any = import_module("nutpie")
    tree = nutpie.sample(
        compiled_for(likelihood.handle),
        **sampler_options(settings, settings.target_accept),
        seed=seed,
        save_warmup=True,
        progress_bar=False,
    )
    groups = ("sample_stats", "warmup_sample_stats")
    return sum(int(tree[group]["n_steps"].sum()) for group in groups)


def diagnose(draws: Draws, likelihood: PreparedLikelihood, settings: Settings) -> Diagnostics:
    root = compute_root_probabilities(draws, settings.interval_mass, likelihood.sets)
    return compute_diagnostics(draws, root, reruns=0, max_width=likelihood.width)


# ---- pytest-benchmark

CPU = pytest.mark.benchmark(timer=time.process_time)


@pytest.fixture(scope="module")
def incident() -> Incident:
    return load_incident(DEFAULT[0])


@CPU
def test_evidence(benchmark: Any, incident: Incident) -> None:  # noqa: ANN401
    benchmark(build_evidence, incident)


@CPU
def test_evidence_of_vitals(benchmark: Any) -> None:  # noqa: ANN401
    benchmark(build_evidence, make_vitals())


@CPU
def test_prepare(benchmark: Any, incident: Incident) -> None:  # noqa: ANN401
    evidence = build_evidence(incident)

    benchmark(lambda: prepare_only(evidence).release())


@CPU
def test_logp_and_gradient_256_times(benchmark: Any, incident: Incident) -> None:  # noqa: ANN401
    with prepare(incident) as likelihood:
        benchmark(run_gradients, likelihood, make_thetas())


@CPU
def test_root_posterior_256_times(benchmark: Any, incident: Incident) -> None:  # noqa: ANN401
    with prepare(incident) as likelihood:
        benchmark(run_values, likelihood, make_thetas())


@CPU
def test_screen(benchmark: Any, incident: Incident) -> None:  # noqa: ANN401
    settings = SMALL if benchmark.disabled else SETTINGS
    with prepare(incident) as likelihood:
        draws = benchmark(estimate_by_screen, likelihood, seed=1, settings=settings)
        found = diagnose(draws, likelihood, settings)
    benchmark.extra_info.update(pareto_k=found.pareto_k, ess=found.ess)


@CPU
@pytest.mark.pymc
def test_nuts_warm(benchmark: Any, incident: Incident) -> None:  # noqa: ANN401
    warm()
    settings = SMALL if benchmark.disabled else SETTINGS
    with prepare(incident) as likelihood:
        draws = benchmark.pedantic(run_nuts, (likelihood, settings), rounds=3)
        found = diagnose(draws, likelihood, settings)
    benchmark.extra_info.update(
        r_hat=found.r_hat, ess=found.ess, divergences=found.divergences, healthy=found.healthy
    )
    assert benchmark.disabled or found.healthy, found.problems


# ---- the command


@dataclass(frozen=True)
class Cost:
    """Median CPU seconds of a call and what it returned last."""

    seconds: float
    result: Any


def cost_of(call: Callable[[], Any], repeats: int) -> Cost:
    spent = []
    result = None
    for _ in range(repeats):
        begun = time.process_time()
        result = call()
        spent.append(time.process_time() - begun)
    return Cost(median(spent), result)


def measure(incident: Incident, settings: Settings, repeats: int, *, nuts: bool) -> None:
    evidence = cost_of(lambda: build_evidence(incident, max_bins=settings.max_bins), repeats)
    prepared = cost_of(lambda: prepare_only(evidence.result, settings), 20)
    likelihood: PreparedLikelihood = prepared.result
    n, series = len(incident.topology), len(incident.signals)
    print(
        f"\n{incident.name}: {n} components, {series} series, "
        f"{len(evidence.result.footprints)} footprints, width {likelihood.width}, "
        f"{len(likelihood.sets)} sets"
    )
    thetas = make_thetas()
    gradient = cost_of(lambda: run_gradients(likelihood, thetas), repeats).seconds / THETAS
    value = cost_of(lambda: run_values(likelihood, thetas), repeats).seconds / THETAS
    screen = cost_of(lambda: estimate_by_screen(likelihood, seed=1, settings=settings), repeats)
    print(f"  evidence                {evidence.seconds * 1e3:9.1f} CPU ms")
    print(f"  prepare                 {prepared.seconds * 1e3:9.2f} CPU ms")
    print(f"  root posterior          {value * 1e6:9.1f} CPU us")
    print(
        f"  logp and gradient       {gradient * 1e6:9.1f} CPU us  ({gradient / value:.2f} values)"
    )
    found = diagnose(screen.result, likelihood, settings)
    print(
        f"  screen, {found.n_draws} draws      {screen.seconds * 1e3:9.1f} CPU ms  "
        f"({screen.seconds / gradient:.0f} gradients); k-hat {found.pareto_k:.2f}, "
        f"ESS {found.ess:.0f}"
    )
    if nuts:
        measure_nuts(likelihood, settings, repeats)
    by_screen = replace(settings, method=Method.SCREEN)
    whole = cost_of(lambda: analyze(incident, seed=1, settings=by_screen), repeats)
    print(f"  analyze by the screen   {whole.seconds * 1e3:9.1f} CPU ms, evidence to answer")
    likelihood.release()


def measure_nuts(likelihood: PreparedLikelihood, settings: Settings, repeats: int) -> None:
    spent = cost_of(lambda: run_nuts(likelihood, settings), repeats)
    draws: Draws = spent.result
    found = diagnose(draws, likelihood, settings)
    # What one call costs where the sampler is, not where the prior is.
    thetas = draws.thetas.reshape(found.n_draws, -1)[:: max(1, found.n_draws // THETAS)]
    gradient = cost_of(lambda: run_gradients(likelihood, thetas), repeats).seconds / len(thetas)
    value = cost_of(lambda: run_values(likelihood, thetas), repeats).seconds / len(thetas)
    gradients = count_gradients(likelihood, settings)
    share = (gradients * gradient + found.n_draws * value) / spent.seconds
    all_draws = settings.chains * (settings.draws + settings.tune)
    print(
        f"  NUTS {settings.chains} x ({settings.draws} + {settings.tune})    "
        f"{spent.seconds:9.2f} CPU s, warm; {gradients / all_draws:.1f} gradients a draw of "
        f"{gradient * 1e6:.0f} CPU us; likelihood calls {share:.0%} of it"
    )
    print(
        f"    R-hat {found.r_hat:.4f}, ESS {found.ess:.0f} "
        f"({found.ess / spent.seconds:.0f} a CPU s), {found.divergences} divergences: "
        f"{'healthy' if found.healthy else 'NOT HEALTHY: ' + '; '.join(found.problems)}"
    )


def measure_vitals(repeats: int) -> None:
    vitals = make_vitals()
    spent = cost_of(lambda: build_evidence(vitals), repeats)
    n, samples = len(vitals.topology), len(vitals.signals[0])
    print(
        f"evidence of {len(vitals.signals)} vitals, {n} components, {samples} samples: "
        f"{spent.seconds * 1e3:.1f} CPU ms"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="CPU cost of every step to the posterior.")
    parser.add_argument("incidents", nargs="*", type=Path, metavar="INCIDENT_DIR")
    parser.add_argument("--simulated", nargs="+", type=int, default=[], metavar="COMPONENTS")
    parser.add_argument("--single", action="store_true", help="weigh single causes only")
    parser.add_argument("--no-nuts", dest="nuts", action="store_false", help="leave NUTS out")
    parser.add_argument("--max-bins", type=int, default=SETTINGS.max_bins, metavar="BINS")
    parser.add_argument("--repeats", type=int, default=3, help="runs per step; medians are shown")
    parser.add_argument("--draws", type=int, default=SETTINGS.draws, help="kept, per chain")
    parser.add_argument("--tune", type=int, default=SETTINGS.tune, help="warm-up, per chain")
    options = parser.parse_args()
    if options.nuts:
        assert not is_warm()
        cold = cost_of(warm, 1)
        print(f"load PyMC and compile the model: {cold.seconds:.1f} CPU s, once per process")
    settings = replace(
        SETTINGS,
        draws=options.draws,
        tune=options.tune,
        max_bins=options.max_bins,
        max_causes=1 if options.single else SETTINGS.max_causes,
    )
    measure_vitals(options.repeats)
    made_up = [simulate_incident(components=n, seed=7)[0] for n in options.simulated]
    folders = options.incidents or ([] if made_up else DEFAULT)
    for incident in [*made_up, *map(load_incident, folders)]:
        measure(incident, settings, options.repeats, nuts=options.nuts)


if __name__ == "__main__":
    main()
