"""What a screen of so many points costs and errs: `python benches/python/screen_error.py DIR...`

Each DIR is a folder of labelled incidents. Every incident is screened with 16, 32, 64 and 128
points in each of 16 scrambles, and once with 1,024, which the others are held against. Printed per
DIR and number of points, over incidents: the Monte Carlo error that is reported (the largest over
components, mean and worst incident), the largest difference from the long screen, the share of
incidents with k-hat < .7, and CPU seconds. No label is read.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bayesrca.config import Settings
from bayesrca.evaluation.cases import find_data_sets
from bayesrca.evidence import build_evidence
from bayesrca.ingest import load_incident
from bayesrca.model.prepare import prepare_likelihood
from bayesrca.model.screen import estimate_by_screen
from bayesrca.posterior.summary import compute_root_probabilities

POINTS = (16, 32, 64, 128)
LONG = 1024


def measure(folder: Path) -> NDArray[np.float64]:
    """Return [points, (mcse, difference, k-hat, CPU seconds)] of one incident."""
    settings = Settings()
    evidence = build_evidence(load_incident(folder), max_bins=settings.max_bins)
    rows = []
    with prepare_likelihood(evidence, settings, seed=0) as likelihood:
        for points in (LONG, *POINTS):
            begun = time.process_time()
            draws = estimate_by_screen(
                likelihood, seed=points, settings=Settings(screen_points=points)
            )
            spent = time.process_time() - begun
            found = compute_root_probabilities(draws, settings.interval_mass, likelihood.sets)
            assert draws.pareto_k is not None
            rows.append((found.values, found.mcse.max(), draws.pareto_k, spent))
    long = rows[0][0]
    return np.array([(e, np.abs(v - long).max(), k, t) for v, e, k, t in rows[1:]])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dirs", nargs="+", type=Path)
    print("points   mcse mean  worst   difference mean  worst   k-hat < .7   CPU-s")
    for data_set in find_data_sets(parser.parse_args().dirs):
        found = np.array([measure(case) for case in data_set.cases])
        print(f"{data_set.name}: {len(found)} incidents")
        for points, (e, d, k, t) in zip(POINTS, found.transpose(1, 2, 0), strict=True):
            print(
                f"{points:6d}   {e.mean():9.4f} {e.max():6.3f}   {d.mean():15.4f} {d.max():6.3f}"
                f"   {np.mean(k < 0.7):10.3f}   {t.mean():5.3f}"
            )


if __name__ == "__main__":
    main()
