"""What simulation-based calibration came to, as a table: python -m tests.statistical.report."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator

import numpy as np

from bayesrca.model.parameters import parameter_names
from tests.statistical.calibration import (
    N_DRAWS,
    STATISTICS,
    Replicates,
    envelope,
    reliability,
    run,
    uniformity,
)


def main() -> None:
    """Run the replicates asked for and print ranks and reliability."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--replicates", type=int, default=200)
    parser.add_argument("--sizes", type=int, nargs=2, default=(8, 60), help="components")
    parser.add_argument("--series", type=int, default=1, help="most series of a cell")
    parser.add_argument("--correlation", type=float, default=0.0, help="of a cell's series")
    parser.add_argument(
        "--causes", type=float, nargs="+", default=(1.0,), help="prior of one, two, three causes"
    )
    parser.add_argument("--points", type=int, default=64, help="draws of the screen, by scramble")
    given = parser.parse_args()
    begun = time.process_time()
    replicates = run(
        given.seed,
        given.replicates,
        points=given.points,
        sizes=tuple(given.sizes),
        most=given.series,
        correlation=given.correlation,
        causes=tuple(np.array(given.causes) / sum(given.causes)),
    )
    spent = (time.process_time() - begun) / given.replicates
    left_out = sum(not isinstance(truth, int) for truth in replicates.truth)
    lines = [
        f"{given.replicates} replicates, {spent:.3f} CPU seconds each",
        f"Pareto k-hat below .7: {(replicates.pareto_k < 0.7).mean():.3f}",
        f"true sets that were not weighed: {left_out}",
        "",
        *tell_ranks(replicates),
        "",
        *tell_reliability(replicates),
    ]
    sys.stdout.write("\n".join(lines) + "\n")


def tell_ranks(replicates: Replicates) -> Iterator[str]:
    """Mean rank and p-value of uniform ranks of every parameter and of the log likelihood."""
    p = uniformity(replicates.ranks)
    limit = 0.01 / len(p)
    yield f"ranks: smallest p {p.min():.4f}; outside the joint 99% band below {limit:.5f}"
    for name, ranks, one in zip(
        (*parameter_names(), "log likelihood"), replicates.ranks.T, p, strict=True
    ):
        mark = "  outside" if one < limit else ""
        yield f"  {name:30} mean rank {ranks.mean() / N_DRAWS:.3f}  p {one:.4f}{mark}"


def tell_reliability(replicates: Replicates) -> Iterator[str]:
    """What was observed, what was stated, and the simultaneous 99% envelope."""
    observed, expected = reliability(replicates)
    found = envelope(observed, expected)
    yield f"reliability: p {found.p:.4f} of the simultaneous envelope; outside below .01"
    rows = zip(STATISTICS, observed, expected.mean(axis=0), found.low, found.high, strict=True)
    for name, seen, stated, low, high in rows:
        mark = "" if low <= seen <= high else "  outside"
        yield f"  {name:24} {seen:9.1f}  stated {stated:9.1f}  {low:9.1f} to {high:9.1f}{mark}"


if __name__ == "__main__":
    main()
