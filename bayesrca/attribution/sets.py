"""Games given by effects, by a function of coalitions, or by a model of tabular features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayesrca.attribution.game import (
    Floats,
    Game,
    Players,
    checked_players,
    coalition_matrix,
    finish,
    freeze,
    indices,
)
from bayesrca.errors import InvalidGameError
from bayesrca.kernels.games import NativeGame, build_game, build_python_game

Coalitions = NDArray[np.bool_]

_CELLS_PER_CALL = 1 << 22
"""Most numbers one call of a tabular game's model gets, unless one coalition needs more."""


@dataclass(frozen=True, eq=False, kw_only=True)
class InteractionGame(Game):
    """Single, pairwise and triple effects: ``v(S)`` is the sum of the effects inside S.

    Shapley values and interactions are formulas: each effect is shared equally by its players
    (Grabisch & Roubens 1999).

    Attributes:
        single: float [n], effect of each player alone.
        pair: float [n, n], symmetric effects of pairs, the diagonal ignored; None for none.
        triples: int [t, 3] or names, three different players each; None for none.
        triple_effects: float [t], effects of the triples.
        constant: value of the empty coalition.
        players: names of the players; None numbers them.

    Raises:
        InvalidGameError: a wrong shape, an unknown name, a value that is not finite, an asymmetric
            ``pair`` or a repeated player.
    """

    single: ArrayLike
    pair: ArrayLike | None = None
    triples: ArrayLike | None = None
    triple_effects: ArrayLike | None = None
    constant: float = 0.0
    players: Players = None

    def __post_init__(self) -> None:
        n = np.size(np.asarray(self.single))
        if self.pair is None:
            object.__setattr__(self, "pair", np.zeros((n, n)))
        triples = indices(() if self.triples is None else self.triples, "triples", self.players)
        if triples.size == 0:
            triples = triples.reshape(0, 3)
        if triples.ndim != 2:
            msg = "triples: needs 2 dimensions, a row of three players per triple"
            raise InvalidGameError(msg, field="triples")
        object.__setattr__(self, "triples", triples)
        if self.triple_effects is None:
            object.__setattr__(self, "triple_effects", np.zeros(0))
        freeze(self, vectors=("single", "triple_effects"), matrices=("pair",))
        finish(self)

    def _build(self) -> NativeGame:
        return build_game(
            "interaction",
            constant=float(self.constant),
            single=self.single,
            pair=self.pair,
            triples=self.triples,
            triple_effects=self.triple_effects,
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class BatchGame(Game):
    """A game given by a Python function that values many coalitions at once.

    The function is called on the thread that asks for the estimate, with a fresh matrix of a few
    hundred coalitions and more at a time, never with one coalition per call. It must be
    deterministic: the same coalition, the same value. What it raises reaches the caller as it is.

    Attributes:
        value: function from bool [b, n], a row per coalition, to float [b].
        players: names of the players or their number (>= 1).

    Raises:
        InvalidGameError: no players, or ``value`` cannot be called.
    """

    value: Callable[[Coalitions], ArrayLike]
    players: Players

    def __post_init__(self) -> None:
        _check_callable(self.value, "value")
        freeze(self)
        finish(self)

    def _build(self) -> NativeGame:
        # Not a method of this object, which holds the native game: no cycle of references.
        return build_python_game(_count(self.players), partial(_batch_values, self.value))

    def compute_values(self, coalitions: ArrayLike) -> Floats:
        """Value of each coalition, float64 [b], for bool [b, n]."""
        return _batch_values(self.value, coalition_matrix(coalitions, self.n_players))


@dataclass(frozen=True, eq=False, kw_only=True)
class TabularGame(Game):
    """Feature attribution of a model's output: absent features take the values of background rows.

    ``v(S)`` is the mean over background rows b of the model at the instance's features S and b's
    other features, the interventional value function of Štrumbelj & Kononenko (2014), Lundberg &
    Lee (2017) and Janzing, Minorics & Blöbaum (2020). The finite number of background rows is an
    error of its own, reported as ``inner_std_err``.

    Attributes:
        predict: function from float [r, n], a row per point, to float [r]; called with at most
            4 million numbers (or one coalition's background rows) at a time.
        instance: float [n], the point that is explained.
        background: float [m, n], rows that stand for usual inputs (m >= 1).
        players: names of the features; None numbers them.

    Raises:
        InvalidGameError: a wrong shape, no background row, a value that is not finite, or
            ``predict`` cannot be called.
    """

    predict: Callable[[Floats], ArrayLike]
    instance: ArrayLike
    background: ArrayLike
    players: Players = None

    def __post_init__(self) -> None:
        _check_callable(self.predict, "predict")
        freeze(self, vectors=("instance",), matrices=("background",))
        instance, background = self._arrays()
        if background.shape[1] != len(instance) or background.size == 0:
            msg = (
                f"background: needs at least one row of {len(instance)} features, "
                f"has shape {background.shape}"
            )
            raise InvalidGameError(msg, field="background")
        for name, array in (("instance", instance), ("background", background)):
            if not np.isfinite(array).all():
                msg = f"{name}: values must be finite"
                raise InvalidGameError(msg, field=name)
        finish(self)

    def _build(self) -> NativeGame:
        instance, background = self._arrays()
        samples = partial(_tabular_samples, self.predict, instance, background)
        values = partial(_mean_samples, samples)
        m = len(background)
        if m < 2:
            return build_python_game(len(instance), values)
        return build_python_game(len(instance), values, samples=samples, n_samples=m)

    def compute_values(self, coalitions: ArrayLike) -> Floats:
        """Value of each coalition, float64 [b], for bool [b, n]."""
        return self.compute_samples(coalitions).mean(axis=1)

    def compute_samples(self, coalitions: ArrayLike) -> Floats:
        """Model output of each coalition with each background row, float64 [b, m]."""
        instance, background = self._arrays()
        members = coalition_matrix(coalitions, len(instance))
        return _tabular_samples(self.predict, instance, background, members)

    def _arrays(self) -> tuple[Floats, Floats]:
        return (
            np.asarray(self.instance, dtype=np.float64),
            np.asarray(self.background, dtype=np.float64),
        )


def _batch_values(value: Callable[[Coalitions], ArrayLike], coalitions: Coalitions) -> Floats:
    return _checked_values(value(coalitions), coalitions, "value")


def _mean_samples(samples: Callable[[Coalitions], Floats], coalitions: Coalitions) -> Floats:
    return samples(coalitions).mean(axis=1)


def _tabular_samples(
    predict: Callable[[Floats], ArrayLike],
    instance: Floats,
    background: Floats,
    members: Coalitions,
) -> Floats:
    m, n = background.shape
    out = np.empty((len(members), m))
    step = max(1, _CELLS_PER_CALL // (m * n))
    for start in range(0, len(members), step):
        part = members[start : start + step]
        points = np.where(part[:, None, :], instance, background).reshape(-1, n)
        values = _checked_values(predict(points), part, "predict", per_coalition=m)
        out[start : start + step] = values.reshape(-1, m)
    return out


def _check_callable(function: object, field: str) -> None:
    if not callable(function):
        msg = f"{field}: must be a function, got {type(function).__name__}"
        raise InvalidGameError(msg, field=field)


def _count(players: Players) -> int:
    checked = checked_players(players)
    if checked is None:
        msg = "players: give names or a number"
        raise InvalidGameError(msg, field="players")
    n = checked if isinstance(checked, int) else len(checked)
    if n < 1:
        msg = "players: a game needs at least one"
        raise InvalidGameError(msg, field="players")
    return n


def _checked_values(
    raw: ArrayLike, coalitions: Coalitions, field: str, *, per_coalition: int = 1
) -> Floats:
    """Values as contiguous float64 [b * per_coalition].

    Raises:
        InvalidGameError: they are no numbers, not one per coalition, or not finite.
    """
    try:
        if np.iscomplexobj(raw):
            raise TypeError  # NumPy would drop the imaginary part
        values = np.ascontiguousarray(raw, dtype=np.float64)
    except (TypeError, ValueError):
        msg = f"{field}: must return an array of numbers, returned {type(raw).__name__}"
        raise InvalidGameError(msg, field=field) from None
    rows = len(coalitions) * per_coalition
    if values.shape != (rows,):
        msg = f"{field}: must return shape ({rows},), one value per row, returned {np.shape(raw)}"
        raise InvalidGameError(msg, field=field)
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        members = np.flatnonzero(coalitions[bad[0] // per_coalition]).tolist()
        shown = f"{members[:8]}{' ...' if len(members) > 8 else ''}"
        msg = f"{field}: returned {values[bad[0]]} for the coalition of players {shown}"
        raise InvalidGameError(msg, field=field)
    return values
