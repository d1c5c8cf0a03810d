"""Shapley values of a game: exact where possible, Monte Carlo with honest errors elsewhere."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from operator import index
from typing import Literal, NoReturn, SupportsFloat, SupportsIndex

from bayesrca.attribution.game import Game
from bayesrca.attribution.result import ShapleyEstimate, ShapleyInteractions
from bayesrca.errors import InvalidGameError, InvalidSettingsError
from bayesrca.kernels import shapley as kernel

Method = Literal["automatic", "sampled", "leverage"]

CONFIDENCE = 0.95
"""Coverage that half-widths aim at where nobody says."""
_LARGEST_SEED = 2**64 - 1
_WORDS = {
    "method": ("automatic", "sampled", "leverage"),
    "tolerance_kind": ("relative", "absolute"),
    "guarantee": ("asymptotic", "bernstein"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapleyProgress:
    """One report from a running estimation.

    Attributes:
        n_evaluations: evaluations so far.
        planned: evaluations at which it ends at the latest; None when only a tolerance ends it.
        half_width: widest half-width so far, infinite before there are two units.
        target: half-width at which it stops; None without a tolerance.
    """

    n_evaluations: int
    planned: int | None
    half_width: float
    target: float | None


def estimate_shapley(
    game: Game,
    *,
    tolerance: float | None = None,
    budget: SupportsIndex | None = None,
    seed: SupportsIndex,
    threads: SupportsIndex | None = None,
    tolerance_kind: Literal["relative", "absolute"] = "relative",
    confidence: float = CONFIDENCE,
    method: Method = "automatic",
    guarantee: Literal["asymptotic", "bernstein"] = "asymptotic",
    deadline: float | None = None,
    progress: Callable[[ShapleyProgress], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> ShapleyEstimate:
    """Estimate Shapley values from random orders of the players (Castro, Gómez & Tejada 2009).

    A *tolerance* draws independent pairs of an order and its reverse until an asymptotic confidence
    sequence over all players at once (Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas 2024;
    Bonferroni; at least 64 pairs) is narrow enough. A *budget* is spent on 16 independent scrambles
    of a Sobol sequence of orders with their reverses (Mitchell, Cooper, Frank & Holmes 2022), whose
    spread is the error. Neither means a budget of 16 x 64 orders; both, whichever stops first.
    Where a formula holds, or all coalitions cost no more than sampling would, the exact values are
    returned and say so. The same seed gives the same bits for any number of threads.

    Args:
        game: whose value to share.
        tolerance: half-width (> 0) at which to stop, see ``tolerance_kind``.
        budget: most evaluations of the game (>= one per player; for a live-edge game, worlds,
            >= 64).
        seed: 0 to 2^64 - 1.
        threads: threads to use; None takes all cores this process may use. A function of a
            `BatchGame` or `TabularGame` is always called on the calling thread.
        tolerance_kind: ``relative`` to the root mean square of the values of the players that
            matter, or ``absolute`` in the unit of the game's value.
        confidence: coverage of the half-widths, in (0, 1).
        method: ``automatic`` as said above, and on a budget for a game that Python values, a
            regression where that promises the smaller error; ``sampled`` always walks along orders;
            ``leverage`` fits the regression, on a budget: weighted least squares over coalitions
            sampled by leverage (Musco & Witter 2025), or over all of them where the budget pays for
            that. A live-edge game is always sampled by worlds.
        guarantee: what the half-widths promise: ``asymptotic``, honest for many
            units, or ``bernstein``, a bound for any number of them (Maurer & Pontil 2009), several
            times as wide, for games whose values have a known range (noisy-OR, live edges, call
            trees).
        deadline: seconds (> 0) after which what there is is returned, with its errors and
            ``converged`` False. The clock is read between blocks of work; the first one (some
            hundred evaluations, 64 pairs of orders) is always done.
        progress: told every few milliseconds where the estimation is.
        cancelled: polled every few milliseconds; True stops the work.

    Raises:
        InvalidGameError: the game is none, or its function returned what no game has.
        InvalidSettingsError: an argument is outside its range, or the budget is less than one walk.
        KernelError: a value, or a difference of two, is beyond what a double holds.
        CancelledError: ``cancelled`` returned True.
        Exception: what the game's function, ``progress`` or ``cancelled`` raised, unchanged.
    """
    _check_game(game)
    checked = checked_seed(seed)
    _check_words(method=method, tolerance_kind=tolerance_kind, guarantee=guarantee)
    _check_positive("tolerance", tolerance)
    _check_positive("deadline", deadline)
    if not 0.0 < confidence < 1.0:
        _refuse("confidence", f"must be in (0, 1), got {confidence!r}")
    raw = kernel.estimate_shapley(
        game.native,
        seed=checked,
        tolerance=tolerance,
        relative=tolerance_kind == "relative",
        budget=None if budget is None else whole("budget", budget, 1, _LARGEST_SEED),
        confidence=confidence,
        method=method,
        guarantee=guarantee,
        threads=_threads(threads),
        deadline=deadline,
        progress=_report(progress),
        cancelled=cancelled,
    )
    return _labelled(game, raw, confidence, checked)


def compute_shapley(
    game: Game,
    *,
    threads: int | None = None,
    progress: Callable[[ShapleyProgress], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> ShapleyEstimate:
    """Compute exact Shapley values: by a formula where one holds, else over all coalitions.

    Args:
        game: whose value to share; without a formula, at most 22 of its players may matter.
        threads: threads to use; None takes all cores this process may use.
        progress: told every few milliseconds how many coalitions are valued.
        cancelled: polled every few milliseconds; True stops the work.

    Raises:
        InvalidGameError: too many players to enumerate, a live-edge game (known by sampled worlds
            only), or a function that returned what no game has.
        CancelledError: ``cancelled`` returned True.
        Exception: what the game's function, ``progress`` or ``cancelled`` raised, unchanged.
    """
    _check_game(game)
    raw = kernel.compute_shapley(
        game.native, threads=_threads(threads), progress=_report(progress), cancelled=cancelled
    )
    return _labelled(game, raw, CONFIDENCE, None)


def compute_interactions(
    game: Game,
    *,
    threads: int | None = None,
    progress: Callable[[ShapleyProgress], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> ShapleyInteractions:
    """Compute exact pairwise Shapley interaction indices (Grabisch & Roubens 1999).

    ``I_ij`` is the mean, over orders of the players with i and j as one, of
    ``v(S+i+j) - v(S+i) - v(S+j) + v(S)``: by a formula where one holds, else over all coalitions.

    Args:
        game: whose value is shared; without a formula, at most 22 of its players may matter.
        threads: threads to use; None takes all cores this process may use.
        progress: told every few milliseconds how many coalitions are valued.
        cancelled: polled every few milliseconds; True stops the work.

    Raises:
        InvalidGameError: as `compute_shapley`.
        CancelledError: ``cancelled`` returned True.
    """
    _check_game(game)
    values = kernel.compute_interactions(
        game.native, threads=_threads(threads), progress=_report(progress), cancelled=cancelled
    )
    return ShapleyInteractions(players=game.player_names, values=values)


def _labelled(
    game: Game, raw: kernel.NativeEstimate, confidence: float, seed: int | None
) -> ShapleyEstimate:
    numbers = {name: getattr(raw, name) for name in kernel.NativeEstimate.__dataclass_fields__}
    return ShapleyEstimate(players=game.player_names, confidence=confidence, seed=seed, **numbers)


def _report(progress: Callable[[ShapleyProgress], None] | None) -> kernel.Report | None:
    if progress is None:
        return None

    def tell(done: int, planned: int | None, half_width: float, target: float | None) -> None:
        progress(
            ShapleyProgress(
                n_evaluations=done, planned=planned, half_width=half_width, target=target
            )
        )

    return tell


def _check_game(game: object) -> None:
    if not isinstance(game, Game):
        msg = f"game: must be one of bayesrca.attribution's games, got {type(game).__name__}"
        raise InvalidGameError(msg, field="game")


def checked_seed(seed: object) -> int:
    """Return a seed of the native core.

    Raises:
        InvalidSettingsError: it is no whole number from 0 to 2^64 - 1.
    """
    return whole("seed", seed, 0, _LARGEST_SEED)


def whole(name: str, value: object, low: int, high: int) -> int:
    """Return a whole number within a range.

    Raises:
        InvalidSettingsError: it is none, or outside.
    """
    if isinstance(value, bool) or not isinstance(value, SupportsIndex):
        _refuse(name, f"must be a whole number, got {value!r}")
    number = index(value)
    if not low <= number <= high:
        _refuse(name, f"must be from {low} to {high}, got {number}")
    return number


def _check_words(**words: str) -> None:
    for name, value in words.items():
        if value not in _WORDS[name]:
            _refuse(name, f"must be one of {', '.join(_WORDS[name])}, got {value!r}")


def _check_positive(name: str, value: object) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, SupportsFloat):
        _refuse(name, f"must be a number, got {value!r}")
    if not 0.0 < float(value) < math.inf:
        _refuse(name, f"must be positive and finite, got {value!r}")


def _refuse(field: str, what: str) -> NoReturn:
    msg = f"{field}: {what}"
    raise InvalidSettingsError(msg, field=field)


def _threads(threads: object) -> int:
    if threads is None:
        try:
            return len(os.sched_getaffinity(0))
        except AttributeError:  # not on Linux
            return os.cpu_count() or 1
    return whole("threads", threads, 1, 1024)
