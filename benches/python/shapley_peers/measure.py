"""Measuring: truth, budgets, interleaved runs, CPU seconds to an error."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from itertools import accumulate, pairwise
from statistics import median
from typing import Any

import numpy as np

from benches.python.shapley_peers import games
from benches.python.shapley_peers.estimators import Estimator, Sample, build_native
from benches.python.shapley_peers.games import Floats, Game

TRUTH_SEED = 1_000_000
GROWTH = 4
"""Each budget is that many times the one before."""
ENUMERABLE = 20
ENOUGH_SEEDS = 6
"""Fewer cannot tell a bias from bad luck."""
ROOM = 2.0
"""Errors below this many standard errors of the truth are not read."""


@dataclass(frozen=True)
class Truth:
    """What errors are measured against.

    Attributes:
        values: Shapley values [n].
        error: standard error, relative to the root mean square of the values; 0 where exact.
        source: how it was found.
        seconds: CPU seconds of an exact answer by bayesrca, None where there is none.
    """

    values: Floats
    error: float
    source: str
    seconds: float | None = None


@dataclass(frozen=True)
class Point:
    """An estimator at one budget: medians over the seeds, and the error over all of them."""

    budget: int
    evaluations: float
    seconds: float
    least_seconds: float
    inside: float
    error: float
    """Root mean square over players and seeds, relative to that of the Shapley values; the truth's
    own error is taken out."""
    bias: float
    """The same of the mean over the seeds."""
    readable: bool


@dataclass(frozen=True)
class Time:
    """CPU seconds to an error."""

    seconds: float
    extrapolated: bool

    def __str__(self) -> str:
        return f"{'~' if self.extrapolated else ''}{engineering(self.seconds)}"


@dataclass
class Row:
    """An estimator on one game."""

    game: str
    n: int
    estimator: str
    kind: str
    compile_seconds: float
    repeats: int
    points: list[Point] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Evaluations per CPU second at the largest budget."""
        return self.points[-1].evaluations / self.points[-1].seconds

    @property
    def own_share(self) -> float:
        """Part of the CPU time spent outside the value function; NaN where it is compiled in."""
        return 1.0 - self.points[-1].inside / self.points[-1].seconds

    @property
    def biased(self) -> bool:
        """The mean over the seeds is hardly better than one seed: more budget would not help."""
        if self.repeats < ENOUGH_SEEDS:
            return False
        readable = [p for p in self.points if p.readable]
        return bool(readable) and readable[-1].bias > 0.8 * readable[-1].error

    def time_to(self, error: float) -> Time:
        return time_to(error, [p for p in self.points if p.readable] or self.points[:1])


def engineering(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size or unit == "us":
            return f"{seconds / size:.3g} {unit}"
    raise AssertionError


def time_to(error: float, points: list[Point]) -> Time:
    """Interpolate between two points, log by log; beyond the last one time goes as error^-2.

    Where the smallest budget is good enough already, it is what one has to spend. A larger budget
    that took less time (the cost is then mostly the call) bounds the time of a smaller one.
    """
    least = list(accumulate(reversed([p.seconds for p in points]), min))[::-1]
    known = [(t, max(p.error, 1e-15)) for t, p in zip(least, points, strict=True)]
    if known[0][1] <= error:
        return Time(known[0][0], extrapolated=False)
    for (t0, e0), (t1, e1) in pairwise(known):
        if e1 <= error < e0:
            part = math.log(e0 / error) / math.log(e0 / e1)
            return Time(t0 * (t1 / t0) ** part, extrapolated=False)
    seconds, last = known[-1]
    return Time(seconds * (last / error) ** 2, extrapolated=True)


def rms(values: Floats) -> float:
    return float(np.sqrt(np.mean(values**2)))


def find_truth(game: Game, seconds: float, threads: int) -> Truth:
    """By formula, by enumeration, or by a long run of bayesrca with independent scrambles."""
    api: Any = import_module("bayesrca.attribution")
    native = build_native(game)
    exact: Any = None
    if isinstance(game, games.G3) or (game.n <= ENUMERABLE and not isinstance(game, games.LIVE)):
        spent: list[float] = []
        while not spent or (len(spent) < 5 and sum(spent) < seconds / 5):
            begun = time.process_time()
            exact = api.compute_shapley(native, threads=1)
            spent.append(time.process_time() - begun)
        if isinstance(game, games.G3):
            return Truth(game.shapley, 0.0, "formula", median(spent))
        return Truth(np.asarray(exact.values), 0.0, f"all 2^{game.n} coalitions", median(spent))

    def run(budget: int) -> Any:  # noqa: ANN401
        return api.estimate_shapley(
            native, budget=budget, seed=TRUTH_SEED, threads=threads, method="sampled"
        )

    # A short run tells what the time affords.
    budget, spent_last = 64 * game.n, 0.0
    while spent_last < seconds / 50:
        budget *= 4
        begun = time.process_time()
        found = run(budget)
        spent_last = time.process_time() - begun
    found = run(int(budget * seconds / spent_last))
    values = np.asarray(found.values)
    error = rms(np.asarray(found.std_err)) / rms(values)
    return Truth(values, error, f"{found.n_evaluations:,} evaluations")


def explore(estimator: Estimator, seconds: float) -> list[int]:
    """Budgets from the least one up to about `seconds` of CPU a run; also warms everything up.

    They end early where an estimator has valued all coalitions.
    """
    estimator.sample(estimator.step, 0)
    budgets, last = [estimator.step], estimator.sample(estimator.step, 0)
    # The inner error of bayesrca's sampled games costs the same at any budget.
    fixed = last.seconds if estimator.kind == "native" else 0.0
    while (last.seconds - fixed) * GROWTH < 1.5 * seconds:
        budget = budgets[-1] * GROWTH
        sample = estimator.sample(budget, 0)
        if sample.evaluations < 1.5 * last.evaluations:
            break
        budgets.append(budget)
        last = sample
    return budgets


def summarise(budget: int, samples: list[Sample], truth: Truth) -> Point:
    scale = rms(truth.values)
    errors = np.array([s.values - truth.values for s in samples]) / scale
    squared = rms(errors) ** 2 - truth.error**2
    return Point(
        budget=budget,
        evaluations=median(s.evaluations for s in samples),
        seconds=median(s.seconds for s in samples),
        least_seconds=min(s.seconds for s in samples),
        inside=median(s.inside for s in samples),
        error=math.sqrt(max(squared, 0.0)),
        bias=math.sqrt(max(rms(errors.mean(axis=0)) ** 2 - truth.error**2, 0.0)),
        readable=rms(errors) > ROOM * truth.error,
    )


def measure_game(
    game: Game,
    estimators: list[Estimator],
    truth: Truth,
    *,
    repeats: int,
    seconds: float,
    say: Callable[[str], None],
) -> list[Row]:
    """Run every estimator at every budget once a round, a seed a round."""
    budgets, samples = [], []
    for estimator in estimators:
        budgets.append(explore(estimator, seconds))
        samples.append([list[Sample]() for _ in budgets[-1]])
    for seed in range(1, repeats + 1):
        say(f"{game.name} n={game.n}: round {seed} of {repeats}")
        for estimator, asked, done in zip(estimators, budgets, samples, strict=True):
            for budget, found in zip(asked, done, strict=True):
                found.append(estimator.sample(budget, seed))
    rows = []
    for estimator, asked, done in zip(estimators, budgets, samples, strict=True):
        row = Row(
            game.name, game.n, estimator.name, estimator.kind, estimator.compile_seconds, repeats
        )
        row.points = [summarise(b, s, truth) for b, s in zip(asked, done, strict=True)]
        rows.append(row)
    return rows


def count_disagreements(game: Game, coalitions: int = 256) -> int | None:
    """Random coalitions whose value in bayesrca is not that of the numpy function."""
    if isinstance(game, games.LIVE):
        return None
    rng = np.random.default_rng(0)
    members = rng.random((coalitions, game.n)) < rng.random((coalitions, 1))
    native = np.asarray(build_native(game).compute_values(members))
    difference = np.abs(native - game.value(members))
    return int(np.sum(difference > 1e-9 * max(1.0, float(np.abs(native).max()))))


@dataclass(frozen=True)
class Scaling:
    """One thread against two, the same estimate."""

    game: str
    n: int
    wall_ratio: float
    cpu_ratio: float


def measure_scaling(game: Game, seconds: float, repeats: int) -> Scaling:
    """Alternate one and two threads on a run of about `seconds`; the bits must be the same."""
    api: Any = import_module("bayesrca.attribution")
    native = build_native(game)

    def run(budget: int, threads: int) -> tuple[Any, float, float]:
        wall, cpu = time.perf_counter(), time.process_time()
        found = api.estimate_shapley(
            native, budget=budget, seed=1, threads=threads, method="sampled"
        )
        return found, time.perf_counter() - wall, time.process_time() - cpu

    budget = 64 * game.n
    while (short := run(budget, 1)[2]) < seconds / 20:
        budget *= 4
    budget = int(budget * seconds / short)
    walls, cpus = [], []
    for _ in range(repeats):
        one, two = run(budget, 1), run(budget, 2)
        if not (
            np.array_equal(one[0].values, two[0].values)
            and np.array_equal(one[0].std_err, two[0].std_err)
        ):
            msg = f"{game.name}: one and two threads differ"
            raise AssertionError(msg)
        walls.append((one[1], two[1]))
        cpus.append(two[2] / one[2])
    # The least wall times are those that others on the machine disturbed least.
    one_wall, two_wall = (min(column) for column in zip(*walls, strict=True))
    return Scaling(game.name, game.n, one_wall / two_wall, median(cpus))
