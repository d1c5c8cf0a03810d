"""What every game has: named players, and a value for each coalition of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayesrca.errors import InvalidGameError

if TYPE_CHECKING:
    from bayesrca.kernels.games import NativeGame

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Players = int | Sequence[str] | None
"""Names of the players, their number (they are then called "0", "1", ...), or None where another
argument tells their number."""


class Game(ABC):
    """A cooperative game: a value for each coalition of its players.

    Build one of the subclasses. They check their arguments when built, hold read-only arrays and
    never change; `estimate_shapley` and `compute_shapley` share the value among the players.

    Attributes:
        players: names of the players, in the order of every array.
    """

    players: Players

    @abstractmethod
    def _build(self) -> NativeGame:
        """Build the game in the native core."""

    @cached_property
    def native(self) -> NativeGame:
        """The same game in the native core."""
        return self._build()

    @cached_property
    def player_names(self) -> tuple[str, ...]:
        """Names of the players."""
        return names_of(self.players, self.native.n_players)

    @property
    def n_players(self) -> int:
        """Number of players."""
        return self.native.n_players

    def compute_values(self, coalitions: ArrayLike) -> Floats:
        """Value of each coalition.

        Args:
            coalitions: bool [b, n], a row per coalition, True for its members.

        Returns:
            float64 [b], in the unit of the game's value.

        Raises:
            InvalidGameError: the matrix has another width, or the game is known by samples only.
        """
        return self.native.values(np.ascontiguousarray(coalitions, dtype=np.bool_))


def names_of(players: Players, n: int) -> tuple[str, ...]:
    """Names of n players.

    Raises:
        InvalidGameError: there are more or fewer names, or one appears twice.
    """
    if players is None or isinstance(players, int):
        if players is not None and players != n:
            msg = f"players: the arrays hold {n} players, not {players}"
            raise InvalidGameError(msg, field="players")
        return tuple(map(str, range(n)))
    names = tuple(map(str, players))
    if len(names) != n:
        msg = f"players: {len(names)} names for {n} players"
        raise InvalidGameError(msg, field="players")
    if len(set(names)) != n:
        twice = next(name for name in names if names.count(name) > 1)
        msg = f"players: {twice!r} is named twice"
        raise InvalidGameError(msg, field="players")
    return names


def floats(values: ArrayLike, field: str, *, ndim: int) -> Floats:
    """Read-only float64 array of the given number of dimensions.

    Raises:
        InvalidGameError: it holds no numbers or has other dimensions.
    """
    try:
        array = np.array(values, dtype=np.float64, order="C", ndmin=0)
    except (TypeError, ValueError):
        msg = f"{field}: must be an array of numbers"
        raise InvalidGameError(msg, field=field) from None
    if array.ndim != ndim:
        msg = f"{field}: needs {ndim} dimension{'s' if ndim > 1 else ''}, has {array.ndim}"
        raise InvalidGameError(msg, field=field)
    array.setflags(write=False)
    return array


def indices(values: ArrayLike | Iterable[object], field: str, players: Players) -> Indices:
    """Read-only int64 array of player indices, given by index or by name, of the same shape.

    Raises:
        InvalidGameError: a name is unknown, or an entry is neither a name nor a whole number.
    """
    array = np.asarray(values)
    if array.size == 0:
        array = array.astype(np.int64)
    elif array.dtype.kind in "UO":
        array = _by_name(np.asarray(values, dtype=object), field, players)
    elif array.dtype.kind not in "iu":
        msg = f"{field}: must hold names or indices of players"
        raise InvalidGameError(msg, field=field)
    out = np.array(array, dtype=np.int64, order="C")
    out.setflags(write=False)
    return out


def pairs(values: ArrayLike, field: str, players: Players) -> Indices:
    """Read-only int64 array [e, 2] of player indices; see `indices`."""
    out = indices(values, field, players)
    return out.reshape(0, 2) if out.size == 0 else out


def _by_name(array: NDArray[np.object_], field: str, players: Players) -> Indices:
    names = () if players is None or isinstance(players, int) else tuple(players)
    place = {name: i for i, name in enumerate(names)}
    out = np.empty(array.shape, dtype=np.int64)
    for at, entry in np.ndenumerate(array):
        if isinstance(entry, str):
            if entry not in place:
                remedy = "is no player" if names else "is a name, but players has none"
                msg = f"{field}: {entry!r} {remedy}"
                raise InvalidGameError(msg, field=field)
            out[at] = place[entry]
        elif isinstance(entry, int | np.integer) and not isinstance(entry, bool):
            out[at] = entry
        else:
            msg = f"{field}: must hold names or indices of players, got {entry!r}"
            raise InvalidGameError(msg, field=field)
    return out


def freeze(
    game: Game,
    *,
    links: str = "",
    vectors: tuple[str, ...] = (),
    matrices: tuple[str, ...] = (),
) -> None:
    """Replace a game's array-likes by read-only arrays and the target's name by its index.

    Raises:
        InvalidGameError: see `floats` and `indices`.
    """
    if links:
        object.__setattr__(game, links, pairs(getattr(game, links), links, game.players))
    for names, ndim in ((vectors, 1), (matrices, 2)):
        for name in names:
            object.__setattr__(game, name, floats(getattr(game, name), name, ndim=ndim))
    if hasattr(game, "target"):
        target = indices([game.target], "target", game.players)
        object.__setattr__(game, "target", int(target[0]))


def finish(game: Game) -> None:
    """Build the native game and the names now, so that their errors come from the constructor."""
    object.__setattr__(game, "players", game.player_names)
