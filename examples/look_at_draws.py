"""Look at one analysis as a statistician does: chains, ranks, predictive checks, sensitivity.

    python examples/look_at_draws.py plots

writes its figures into the folder named and prints the tables. Plots need a backend:
pip install "arviz-plots[matplotlib]". About two CPU minutes, most of them for compiling and NUTS.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import arviz as az
import matplotlib as mpl

import bayesrca
from bayesrca.evaluation.predictive import estimate_predictive

HERE = Path(__file__).parent
PARAMETERS = ["noise_scale", "transmission", "dose_spread", "full_dose_target"]
LARGE: Any = {"figure_kwargs": {"figsize": (12, 7)}}


def main(folder: Path) -> None:
    """Analyse the example incident and look at it from every side."""
    mpl.use("agg")
    folder.mkdir(parents=True, exist_ok=True)
    incident = bayesrca.load_incident(HERE / "search_delay")
    analysis = bayesrca.analyze(incident, seed=1, settings=bayesrca.Settings(method="nuts"))
    look_at_chains(analysis, folder)
    check_predictions(analysis, folder)
    tell_what_it_rests_on(analysis)


def look_at_chains(analysis: bayesrca.Analysis, folder: Path) -> None:
    """Do the chains agree, and how does the posterior differ from the prior?"""
    tree = analysis.to_datatree()
    print(az.summary(tree, var_names=PARAMETERS))
    az.plot_trace_dist(tree, var_names=PARAMETERS).savefig(folder / "trace.png")
    az.plot_rank(tree, var_names=PARAMETERS, **LARGE).savefig(folder / "rank.png")
    az.plot_energy(tree).savefig(folder / "energy.png")


def check_predictions(analysis: bayesrca.Analysis, folder: Path) -> None:
    """Would the model, having seen the incident, make another like it?"""
    check = estimate_predictive(analysis, seed=2, draws=400)
    for s in check.statistics:
        low, middle, high = s.replicated
        print(
            f"{s.part:10} {s.group:8} {s.name:14} observed {s.observed:7.2f}, replicates "
            f"{middle:7.2f} ({low:.2f} to {high:.2f}), p = {s.p_value:.2f}"
        )
    tree = check.to_datatree()
    for part in ("prior", "posterior"):
        plot = az.plot_ppc_dist(tree, group=f"{part}_predictive", kind="ecdf", num_samples=60)
        plot.savefig(folder / f"{part}_predictive.png")
    plot = az.plot_prior_posterior(tree, var_names=PARAMETERS, **LARGE)
    plot.savefig(folder / "prior_posterior.png")


def tell_what_it_rests_on(analysis: bayesrca.Analysis) -> None:
    """Whose telemetry, and how much prior?"""
    influence = analysis.estimate_influence(seed=3)
    for one in influence.left_out[:5]:
        print(f"{one.change:.2f} {influence.describe(one)}")
    sensitivity = analysis.compute_sensitivity()
    for row in sensitivity.rows[:6]:
        print(f"{row.name}: prior {row.prior:.2f}, likelihood {row.likelihood:.2f}")
    print(f"largest change under a prior of power .8 or 1.25: {sensitivity.largest_shift:.3f}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "plots"))
