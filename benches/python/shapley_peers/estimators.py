"""bayesrca and its peers behind one door: a budget of evaluations and a seed in, values out.

Peers are looked up when they are asked for, so that none is needed to import this module. Python
peers get the game's numpy function; the wrapper around it counts coalitions and CPU time.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benches.python.shapley_peers import games
from benches.python.shapley_peers.games import Floats, Game

Run = Callable[[int, int], Floats]
"""Shapley values from a budget of evaluations and a seed."""


class Counted:
    """A game's numpy function for a peer: counts coalitions and the CPU seconds spent inside."""

    def __init__(self, game: Game) -> None:
        self.game = game
        self.evaluations = 0
        self.seconds = 0.0

    def __call__(self, coalitions: NDArray[Any]) -> Floats:
        begun = time.process_time()
        rows = games.rows_of(self.game.n, coalitions)
        values = self.game.value(rows)
        self.evaluations += len(rows)
        self.seconds += time.process_time() - begun
        return values

    def single(self, coalition: NDArray[Any]) -> float:
        return float(self(coalition)[0])


@dataclass(frozen=True)
class Sample:
    """One run of an estimator."""

    values: Floats
    evaluations: int
    seconds: float
    """CPU seconds of the whole process."""
    inside: float
    """CPU seconds inside the value function; NaN where it is compiled into the estimator."""


@dataclass
class Estimator:
    """An estimator that is ready to play one game.

    Attributes:
        name: what the tables call it.
        kind: ``native`` (bayesrca), ``batch`` (bayesrca on the numpy function), ``python`` (a peer
            on it) or ``jit``.
        step: what budgets are raised to, in evaluations.
        run: the estimator.
        evaluations: total evaluations so far, counted where values are computed.
        inside: total CPU seconds inside a numpy value function.
        compile_seconds: CPU seconds of compilation before the first run.
    """

    name: str
    kind: str
    step: int
    run: Run
    evaluations: Callable[[], int]
    inside: Callable[[], float] = lambda: float("nan")
    compile_seconds: float = 0.0

    def sample(self, budget: int, seed: int) -> Sample:
        evaluations, inside = self.evaluations(), self.inside()
        begun = time.process_time()
        values = self.run(max(budget, self.step), seed)
        spent = time.process_time() - begun
        return Sample(
            np.asarray(values, dtype=np.float64),
            self.evaluations() - evaluations,
            spent,
            self.inside() - inside,
        )


# ---- bayesrca


def build_native(game: Game) -> Any:  # noqa: ANN401
    """The same arrays as a game of bayesrca."""
    api: Any = import_module("bayesrca.attribution")
    if isinstance(game, games.TailGame):
        arrays: dict[str, Any] = {
            "edges": game.edges,
            "weights": game.weights,
            "target": game.n - 1,
            "observed_noise": game.observed,
            "baseline_noise": game.baseline,
        }
        if isinstance(game, games.G1):
            return api.SampledTailGame(**arrays)
        return api.NonlinearTailGame(slope=np.full(game.n, games.SLOPE), **arrays)
    if isinstance(game, games.NoisyOr):
        kind = api.NoisyOrGame if isinstance(game, games.G2) else api.LiveEdgeGame
        return kind(
            edges=game.edges,
            transmission=game.q,
            target=game.n - 1,
            leak=game.leak,
            activation=game.activation,
        )
    if isinstance(game, games.G3):
        return api.InteractionGame(
            single=game.single,
            pair=game.pair,
            triples=game.triples,
            triple_effects=game.triple,
        )
    assert isinstance(game, games.G4)
    return api.CallTreeGame(
        parent=game.parent, stage=game.stage, baseline=game.usual, observed=game.observed
    )


def bayesrca(game: Game, method: str = "sampled") -> Estimator:
    """The native game, one thread."""
    api: Any = import_module("bayesrca.attribution")
    native, spent = build_native(game), [0]

    def run(budget: int, seed: int) -> Floats:
        found = api.estimate_shapley(native, budget=budget, seed=seed, threads=1, method=method)
        spent[0] += found.n_evaluations
        return np.asarray(found.values)

    name = "bayesrca" if method == "sampled" else f"bayesrca {method}"
    step = 64 if isinstance(game, games.LIVE) else least_budget(game, method)
    return Estimator(name, "native", step, run, lambda: spent[0])


def least_budget(game: Game, method: str) -> int:
    """A pair of orders, or what the regression asks for."""
    return 8 * game.n if method == "leverage" else 2 * game.n


def bayesrca_batch(game: Game, method: str = "sampled") -> Estimator:
    """bayesrca's estimators on the numpy function that the peers get."""
    api: Any = import_module("bayesrca.attribution")
    counted = Counted(game)
    batch = api.BatchGame(value=counted, players=game.n)

    def run(budget: int, seed: int) -> Floats:
        found = api.estimate_shapley(batch, budget=budget, seed=seed, threads=1, method=method)
        return np.asarray(found.values)

    name = "bayesrca, numpy v" if method == "sampled" else f"bayesrca {method}, numpy v"
    out = of_numpy(name, counted, run)
    out.kind, out.step = "batch", least_budget(game, method)
    return out


# ---- peers


def of_numpy(name: str, counted: Counted, run: Run) -> Estimator:
    step = 2 * counted.game.n + 2
    return Estimator(
        name, "python", step, run, lambda: counted.evaluations, lambda: counted.seconds
    )


def shap_permutation(game: Game) -> Estimator:
    shap, n, counted = import_module("shap"), game.n, Counted(game)

    def run(budget: int, seed: int) -> Floats:
        # Its results are those of the global generator's state: the seed is set by the constructor.
        explain = shap.explainers.Permutation(counted, np.zeros((1, n)), seed=seed)
        walk = 2 * n + 1
        effort = max(walk, budget)
        found = explain(np.ones((1, n)), max_evals=effort, batch_size=walk, silent=True)
        return np.asarray(found.values[0])

    return of_numpy("shap Permutation", counted, run)


def shap_kernel(game: Game) -> Estimator:
    shap, n, counted = import_module("shap"), game.n, Counted(game)

    def run(budget: int, seed: int) -> Floats:
        explain = shap.KernelExplainer(counted, np.zeros((1, n)), seed=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return np.asarray(
                explain.shap_values(np.ones(n), nsamples=budget, l1_reg=False, silent=True)
            )

    return of_numpy("shap Kernel", counted, run)


def shapiq_of(kind: str) -> Callable[[Game], Estimator]:
    def build(game: Game) -> Estimator:
        shapiq, counted = import_module("shapiq"), Counted(game)

        def run(budget: int, seed: int) -> Floats:
            approximator = getattr(shapiq.approximator, kind)(n=game.n, random_state=seed)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = approximator.approximate(budget, counted)
            return np.asarray(found.get_n_order_values(1))

        return of_numpy(f"shapiq {kind}", counted, run)

    return build


def lightshap_permutation(game: Game) -> Estimator:
    lightshap, n, counted = import_module("lightshap"), game.n, Counted(game)

    def run(budget: int, seed: int) -> Floats:
        # 2n coalitions are valued once, then 2(n - 3) in every iteration.
        iterations = max(1, (budget - 2 * n - 2) // (2 * (n - 3)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = lightshap.explain_any(
                counted,
                np.ones((1, n)),
                np.zeros((1, n)),
                method="permutation",
                how="sampling",
                max_iter=iterations,
                tol=0.0,
                random_state=seed,
                verbose=False,
            )
        return np.asarray(found.shap_values).reshape(-1)

    return of_numpy("lightshap permutation", counted, run)


def dowhy_permutation(game: Game) -> Estimator:
    shapley, counted = import_module("dowhy.gcm.shapley"), Counted(game)
    set_random_seed = import_module("dowhy.gcm.util.general").set_random_seed
    import_module("dowhy.gcm.config").disable_progress_bars()

    def run(budget: int, seed: int) -> Floats:
        set_random_seed(seed)
        # It remembers coalitions that come up again, so it may value fewer than this.
        config = shapley.ShapleyConfig(
            approximation_method=shapley.ShapleyApproximationMethods.PERMUTATION,
            num_permutations=max(1, budget // game.n),
            n_jobs=1,
        )
        return np.asarray(shapley.estimate_shapley_values(counted.single, game.n, config))

    return of_numpy("dowhy PERMUTATION", counted, run)


def shapley_numba(game: Game) -> Estimator:
    begun = time.process_time()
    walk = import_module("shapley_numba.shapley").shapley_perm_mc
    jitted = import_module("benches.python.shapley_peers.jitted").jitted_game(game)
    walk(jitted, game.n, paths=2, seed=0)
    spent = time.process_time() - begun

    def run(budget: int, seed: int) -> Floats:
        paths = max(2, budget // game.n // 2 * 2)
        return np.asarray(walk(jitted, game.n, paths=paths, seed=seed))

    def evaluations() -> int:
        return int(jitted.jitted_game.evaluations)

    out = Estimator("shapley-numba", "jit", 2 * game.n, run, evaluations)
    out.compile_seconds = spent
    return out


def numpy_worlds(game: Game) -> Estimator:
    assert isinstance(game, games.LIVE)
    spent = [0]

    def run(budget: int, seed: int) -> Floats:
        spent[0] += budget
        return game.worlds(budget, seed)

    return Estimator("numpy worlds", "python", 64, run, lambda: spent[0])


PEERS: dict[str, tuple[str, Callable[[Game], Estimator]]] = {
    "shap-permutation": ("shap", shap_permutation),
    "shap-kernel": ("shap", shap_kernel),
    "shapiq-permutation": ("shapiq", shapiq_of("PermutationSamplingSV")),
    "shapiq-leverage": ("shapiq", shapiq_of("LeverageSHAP")),
    "shapiq-kernel": ("shapiq", shapiq_of("KernelSHAP")),
    "lightshap": ("lightshap", lightshap_permutation),
    "dowhy": ("dowhy", dowhy_permutation),
    "shapley-numba": ("shapley-numba", shapley_numba),
}
"""For each peer the distribution it is in, and what prepares it."""


def installed(name: str) -> str | None:
    """The version of a peer's distribution, None when it is not there."""
    try:
        return version(PEERS[name][0])
    except PackageNotFoundError:
        return None


def prepare(game: Game, peers: list[str]) -> list[Estimator]:
    """bayesrca first, then the peers that are installed."""
    if isinstance(game, games.LIVE):
        return [bayesrca(game), numpy_worlds(game)]
    methods = ("sampled", "leverage")
    out = [build(game, method) for build in (bayesrca, bayesrca_batch) for method in methods]
    return out + [PEERS[name][1](game) for name in peers if installed(name)]
