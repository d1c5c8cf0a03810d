"""What every game has: named players, and a value for each coalition of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from operator import index
from typing import TYPE_CHECKING, Any, SupportsIndex

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

    def __getstate__(self) -> dict[str, object]:
        """Everything but the native game, which is built anew where it is unpickled."""
        return {name: value for name, value in self.__dict__.items() if name != "native"}

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
            coalitions: bool (or 0 and 1) [b, n], a row per coalition, True for its members.

        Returns:
            float64 [b], in the unit of the game's value.

        Raises:
            InvalidGameError: no such matrix, or the game is known by sampled worlds only.
        """
        return self.native.values(coalition_matrix(coalitions, self.n_players))


def coalition_matrix(coalitions: ArrayLike, n: int) -> NDArray[np.bool_]:
    """Coalitions as bool [b, n].

    Raises:
        InvalidGameError: another shape, or an entry that is neither truth value nor 0 or 1.
    """
    matrix = _array(coalitions, "coalitions")
    if matrix.ndim != 2 or matrix.shape[1] != n:
        msg = f"coalitions: needs shape [b, {n}], has {matrix.shape}"
        raise InvalidGameError(msg, field="coalitions")
    if matrix.dtype.kind != "b" and not np.isin(matrix, (0, 1)).all():
        msg = "coalitions: an entry says whether a player is a member: true or false, 1 or 0"
        raise InvalidGameError(msg, field="coalitions")
    return np.ascontiguousarray(matrix, dtype=np.bool_)


def checked_players(players: object) -> int | tuple[str, ...] | None:
    """Players as a number, as names, or None.

    Raises:
        InvalidGameError: anything else, or a name that appears twice.
    """
    if players is None:
        return None
    if not isinstance(players, bool) and isinstance(players, SupportsIndex):
        return index(players)
    if isinstance(players, str | bytes | set | frozenset | dict) or not isinstance(
        players, Iterable
    ):
        msg = f"players: must be names in order, or their number, got {players!r}"
        raise InvalidGameError(msg, field="players")
    names = tuple(players)
    for name in names:
        if not isinstance(name, str):
            msg = f"players: a name must be text, got {name!r}"
            raise InvalidGameError(msg, field="players")
    if len(set(names)) != len(names):
        twice = Counter(names).most_common(1)[0][0]
        msg = f"players: {twice!r} is named twice"
        raise InvalidGameError(msg, field="players")
    return names


def names_of(players: Players, n: int) -> tuple[str, ...]:
    """Names of n players.

    Raises:
        InvalidGameError: there are more or fewer names; see also `checked_players`.
    """
    checked = checked_players(players)
    if checked is None:
        return tuple(map(str, range(n)))
    if isinstance(checked, int):
        if checked != n:
            msg = f"players: the arrays hold {n} players, not {checked}"
            raise InvalidGameError(msg, field="players")
        return tuple(map(str, range(n)))
    if len(checked) != n:
        msg = f"players: {len(checked)} names for {n} players"
        raise InvalidGameError(msg, field="players")
    return checked


def floats(values: ArrayLike, field: str, *, ndim: int) -> Floats:
    """Read-only float64 array of the given number of dimensions.

    Raises:
        InvalidGameError: it holds no numbers or has other dimensions.
    """
    try:
        array = np.array(values, dtype=np.float64, order="C")
    except (TypeError, ValueError, OverflowError):
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
    array = _array(values, field)
    if array.size == 0:
        array = array.astype(np.int64)
    elif array.dtype.kind in "UO":
        array = _by_name(_array(values, field, dtype=object), field, players)
    elif array.dtype.kind not in "iu":
        msg = f"{field}: must hold names or indices of players"
        raise InvalidGameError(msg, field=field)
    out = np.array(array, dtype=np.int64, order="C")
    out.setflags(write=False)
    return out


def pairs(values: ArrayLike, field: str, players: Players) -> Indices:
    """Read-only int64 array [e, 2] of player indices; see `indices`.

    Raises:
        InvalidGameError: another shape; see also `indices`.
    """
    out = indices(values, field, players)
    if out.size == 0:
        return out.reshape(0, 2)
    if out.ndim != 2 or out.shape[1] != 2:
        msg = f"{field}: needs shape [e, 2], a row of two players per edge, has {out.shape}"
        raise InvalidGameError(msg, field=field)
    return out


def _array(values: object, field: str, dtype: type | None = None) -> NDArray[Any]:
    try:
        return np.asarray(values, dtype=dtype)
    except (TypeError, ValueError, OverflowError):
        msg = f"{field}: rows of different lengths, or no array at all"
        raise InvalidGameError(msg, field=field) from None


def _by_name(array: NDArray[np.object_], field: str, players: Players) -> Indices:
    checked = checked_players(players)
    names = checked if isinstance(checked, tuple) else ()
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
            if abs(int(entry)) >= 2**63:
                msg = f"{field}: {entry} is no player"
                raise InvalidGameError(msg, field=field)
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
    """Replace array-likes by read-only arrays, the target's name by its index, names by a tuple.

    Raises:
        InvalidGameError: see `floats` and `indices`.
    """
    object.__setattr__(game, "players", checked_players(game.players))
    if links:
        object.__setattr__(game, links, pairs(getattr(game, links), links, game.players))
    for names, ndim in ((vectors, 1), (matrices, 2)):
        for name in names:
            object.__setattr__(game, name, floats(getattr(game, name), name, ndim=ndim))
    if hasattr(game, "target"):
        target = indices(game.target, "target", game.players)
        if target.ndim != 0:
            msg = f"target: must be one player, got {game.target!r}"
            raise InvalidGameError(msg, field="target")
        object.__setattr__(game, "target", int(target))


def finish(game: Game) -> None:
    """Build the native game and the names now, so that their errors come from the constructor."""
    object.__setattr__(game, "players", game.player_names)
