"""Tables: the estimators of a game side by side, the targets, the threads."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from benches.python.shapley_peers.measure import Row, Scaling, Time, Truth, engineering

SLACK = 1.3
"""A target counts as missed only when the ratio falls short by more than this factor."""
PERMUTATION = ("shap Permutation", "shapiq PermutationSamplingSV")
LOOSE, TIGHT = 0.05, 0.01


@dataclass(frozen=True)
class Target:
    """A ratio that bayesrca has to reach on one game."""

    game: str
    n: int
    what: str
    """``rate``: evaluations per second; ``time``: CPU seconds to 1% error."""
    peers: tuple[str, ...]
    """The best of these counts; empty for every Python peer."""
    ratio: float


TARGETS = [
    Target("G1", 50, "rate", PERMUTATION, 80),
    Target("G1", 50, "rate", ("shapley-numba",), 150),
    Target("G1", 50, "time", (), 50),
    Target("G1N", 200, "rate", ("shapley-numba",), 4),
    Target("G2", 50, "rate", PERMUTATION, 80),
    Target("G2", 50, "rate", ("shapley-numba",), 3.5),
    Target("G2", 50, "time", (), 5000),
    Target("G3", 50, "rate", PERMUTATION, 90),
    Target("G3", 50, "rate", ("shapley-numba",), 12),
    Target("G3", 50, "time", (), 100),
    Target("G4", 50, "rate", PERMUTATION, 300),
    Target("G4", 50, "rate", ("shapley-numba",), 9),
    Target("G4", 50, "time", (), 250),
]
LIVE_SECONDS = 0.01
"""CPU seconds in which the live-edge game with 50 players is to reach 1%."""


def print_game(rows: list[Row], truth: Truth, disagreements: int | None) -> None:
    first = rows[0]
    print(f"\n{first.game} n={first.n}: truth by {truth.source}", end="")
    print(f" (relative standard error {truth.error:.2%})" if truth.error else "", end="")
    if disagreements is not None:
        print(f"; {disagreements} of 256 coalitions differ between bayesrca and numpy", end="")
    print()
    head = ("estimator", "evals/s", "own", "to 5%", "to 1%", "evals/s x", "1% x", "last error")
    print("  {:<30} {:>8} {:>5} {:>9} {:>9} {:>10} {:>9}  {}".format(*head))
    ours = first.time_to(TIGHT)
    if truth.seconds is not None:
        spent = Time(truth.seconds, extrapolated=False)
        ratio = f"{truth.seconds / ours.seconds:.3g}"
        print(
            f"  {'bayesrca, exact':<30} {'':>8} {'':>5} {spent!s:>9} {spent!s:>9} {'':>10} ", end=""
        )
        print(f"{ratio:>9}  0")
    for row in rows:
        share = "" if math.isnan(row.own_share) else f"{row.own_share:.0%}"
        times = row.time_to(LOOSE), row.time_to(TIGHT)
        rate, slower = first.rate / row.rate, times[1].seconds / ours.seconds
        notes = "; seeds share a bias" if row.biased else ""
        if row.compile_seconds:
            notes += f"; compiled in {row.compile_seconds:.1f} s"
        print(f"  {row.estimator:<30} {thousands(row.rate):>8} {share:>5} ", end="")
        print(f"{times[0]!s:>9} {times[1]!s:>9} {rate:>10.3g} {slower:>9.3g}  ", end="")
        print(f"{row.points[-1].error:.2%}{notes}")


def thousands(rate: float) -> str:
    return f"{rate / 1e6:.3g}M" if rate >= 1e6 else f"{rate / 1e3:.3g}k"


@dataclass(frozen=True)
class Verdict:
    """A target beside what was measured."""

    target: Target
    against: str
    ratio: float
    extrapolated: bool

    @property
    def met(self) -> bool:
        return self.ratio >= self.target.ratio

    @property
    def failed(self) -> bool:
        return self.ratio * SLACK < self.target.ratio


def judge(rows: list[Row]) -> Iterator[Verdict]:
    """Compare with each target whose game and peers were measured."""
    for target in TARGETS:
        there = [r for r in rows if (r.game, r.n) == (target.game, target.n)]
        ours = [r for r in there if r.kind == "native"]
        peers = [
            r
            for r in there
            if (r.estimator in target.peers if target.peers else r.kind == "python")
            and not r.biased
        ]
        if not ours or not peers:
            continue
        if target.what == "rate":
            best = max(peers, key=lambda r: r.rate)
            yield Verdict(target, best.estimator, ours[0].rate / best.rate, extrapolated=False)
        else:
            best = min(peers, key=lambda r: r.time_to(TIGHT).seconds)
            theirs = best.time_to(TIGHT)
            mine = min((r.time_to(TIGHT) for r in ours), key=lambda t: t.seconds)
            guessed = theirs.extrapolated or mine.extrapolated
            yield Verdict(target, best.estimator, theirs.seconds / mine.seconds, guessed)


def print_targets(rows: list[Row], verdicts: list[Verdict]) -> None:
    print("\nTargets (bayesrca over the best of the peers named; 1.3x of slack before one fails)")
    for verdict in verdicts:
        target = verdict.target
        what = "evaluations/s" if target.what == "rate" else "CPU time to 1%"
        state = "met" if verdict.met else "MISSED" if verdict.failed else "within slack"
        ratio = f"{'~' if verdict.extrapolated else ''}{verdict.ratio:.3g}"
        print(
            f"  {target.game:<4} n={target.n:<4} {what:<15} v {verdict.against:<30} "
            f"wanted {target.ratio:>5g}  measured {ratio:>8}  {state}"
        )
    for row in rows:
        if (row.game, row.n, row.kind) == ("LIVE", 50, "native"):
            spent = row.time_to(TIGHT)
            state = "met" if spent.seconds <= LIVE_SECONDS else "missed (seconds never fail)"
            print(f"  LIVE n=50   CPU time to 1%  wanted {engineering(LIVE_SECONDS)}", end="")
            print(f"  measured {spent}  {state}")


def print_scaling(found: list[Scaling]) -> None:
    print("\nTwo threads of bayesrca against one: the same bits; wall times on a shared machine")
    for one in found:
        print(
            f"  {one.game:<4} n={one.n:<4} wall time {one.wall_ratio:.2f}x shorter, "
            f"CPU time {one.cpu_ratio:.2f}x"
        )
