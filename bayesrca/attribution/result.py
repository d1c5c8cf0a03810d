"""Shapley values with their errors, labelled, as a table and as a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame
    from xarray import DataArray, Dataset

Floats = NDArray[np.float64]

RULES = {
    "closed_form": "a formula for this kind of game",
    "enumeration": "all coalitions of the players that matter",
    "antithetic_pairs_confidence_sequence": (
        "independent pairs of an order and its reverse; asymptotic confidence sequence over all "
        "players at once (Waudby-Smith et al. 2024, Bonferroni)"
    ),
    "antithetic_pairs_t_interval": (
        "independent pairs of an order and its reverse; t-interval per player"
    ),
    "antithetic_pairs_t_interval_above_256_players": (
        "as antithetic_pairs_t_interval, because the Sobol sequence has 256 dimensions"
    ),
    "antithetic_pairs_empirical_bernstein": (
        "independent pairs of an order and its reverse; empirical Bernstein bound (Maurer & Pontil "
        "2009) over all players and looks at once"
    ),
    "worlds_empirical_bernstein": (
        "sampled worlds of live edges, 64 at a time; empirical Bernstein bound over all players "
        "and looks at once"
    ),
    "single_walk_no_error": "a single order of the players, from which no error can be told",
    "sobol_scrambles_t_interval": (
        "independent scrambles of a Sobol sequence of orders with their reverses; t-interval over "
        "scrambles per player"
    ),
    "worlds_confidence_sequence": (
        "sampled worlds of live edges, 64 at a time; asymptotic confidence sequence over all "
        "players at once"
    ),
    "leverage_jackknife": (
        "weighted least squares over pairs of a coalition and its complement sampled by leverage "
        "(Musco & Witter 2025); t-interval per player from a delete-a-group jackknife"
    ),
    "worlds_t_interval": "sampled worlds of live edges, 64 at a time; t-interval per player",
}
"""What each ``rule`` of an estimate means."""


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class ShapleyEstimate:
    """Shapley values (Shapley 1953) of a game, each with its errors.

    Attributes:
        players: names of the n players, the order of every array.
        values: float64 [n], in the unit of the game's value. Null players have exactly 0.
        std_err: float64 [n], standard error over sampled orders or worlds (outer noise); 0 where
            exact, infinite where a single order was sampled.
        half_width: float64 [n], half-widths of the intervals at ``confidence``: for all players and
            all stopping times at once under a confidence sequence, for one player at a time under a
            t-interval; 0 where exact.
        inner_std_err: float64 [n], standard error that stems from the game's own samples (the
            baseline samples of a tail, the background rows of a table) and that more evaluations do
            not reduce; None where the game is no average over samples.
        confidence: coverage the half-widths aim at, in (0, 1).
        n_evaluations: evaluations of the game (worlds, for a live-edge game).
        n_surrogate_evaluations: evaluations of the cheap game that moves with it, where a control
            variate was used.
        n_units: independent sampling units (pairs, scrambles, words of 64 worlds); 0 where exact.
        converged: the tolerance was met; without one, the budget was spent in full; True where
            exact.
        baseline: value of the empty coalition.
        grand: value of the coalition of all players.
        rule: how the values and their errors came about, a key of `RULES`.
        exact: whether the values are exact up to rounding.
        seed: the seed that reproduces every bit; None where nothing was sampled by request.
    """

    players: tuple[str, ...]
    values: Floats
    std_err: Floats
    half_width: Floats
    inner_std_err: Floats | None
    confidence: float
    n_evaluations: int
    n_surrogate_evaluations: int
    n_units: int
    converged: bool
    baseline: float
    grand: float
    rule: str
    exact: bool
    seed: int | None

    @property
    def efficiency_gap(self) -> float:
        """Sum of the values minus what the coalition of all players adds to the empty one.

        Rounding only, for the unbiased estimators here: a small gap does not show that the single
        values are right.
        """
        return float(self.values.sum() - (self.grand - self.baseline))

    @property
    def total_std_err(self) -> Floats:
        """float64 [n], both noises together: root of the sum of their squares."""
        if self.inner_std_err is None:
            return self.std_err
        return np.hypot(self.std_err, self.inner_std_err)

    def to_dataset(self) -> Dataset:
        """Return the arrays with their coordinate ``player``, the numbers as attributes."""
        from xarray import Dataset  # noqa: PLC0415  costs more than most estimates

        arrays = {"values": self.values, "std_err": self.std_err, "half_width": self.half_width}
        if self.inner_std_err is not None:
            arrays["inner_std_err"] = self.inner_std_err
        numbers = (
            "confidence", "n_evaluations", "n_surrogate_evaluations", "n_units", "converged",
            "baseline", "grand", "rule", "exact", "seed",
        )  # fmt: skip
        return Dataset(
            {name: ("player", array) for name, array in arrays.items()},
            coords={"player": list(self.players)},
            attrs={name: getattr(self, name) for name in numbers},
        )

    def table(self) -> DataFrame:
        """Return one row per player, the largest absolute value first.

        Columns: ``value``, ``std_err``, ``low`` and ``high`` (value minus and plus half-width),
        ``share`` (of the sum of the values; NaN where that is 0) and ``inner_std_err`` where the
        game has one.
        """
        from pandas import DataFrame, Index  # noqa: PLC0415  costs more than most estimates

        total = self.values.sum()
        share = self.values / total if total != 0.0 else np.full(len(self.values), np.nan)
        columns = {
            "value": self.values,
            "std_err": self.std_err,
            "low": self.values - self.half_width,
            "high": self.values + self.half_width,
            "share": share,
        }
        if self.inner_std_err is not None:
            columns["inner_std_err"] = self.inner_std_err
        frame = DataFrame(columns, index=Index(list(self.players), name="player"))
        return frame.iloc[self._by_size()]

    def plot(self, *, n_players: int = 15, ax: Axes | None = None) -> Axes:
        """Draw the values with their intervals, the largest first.

        Args:
            n_players: most players to draw (>= 1); the rest share one bar.
            ax: where to draw; None makes a figure.

        Returns:
            The axes, for titles and saving (``.figure.savefig``).
        """
        from bayesrca.attribution.plot import draw_estimate  # noqa: PLC0415  loads matplotlib

        return draw_estimate(self, self._by_size(), n_players=n_players, ax=ax)

    def _by_size(self) -> NDArray[np.intp]:
        return np.argsort(-np.abs(self.values), kind="stable")

    def __repr__(self) -> str:
        how = "exact" if self.exact else ("converged" if self.converged else "not converged")
        top = ", ".join(
            f"{self.players[i]} {self.values[i]:.4g} ± {self.half_width[i]:.2g}"
            for i in self._by_size()[:3]
        )
        more = ", ..." if len(self.players) > 3 else ""
        return (
            f"<ShapleyEstimate of {len(self.players)} players: {top}{more}; {how} by {self.rule}, "
            f"{self.n_evaluations} evaluations>"
        )


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class ShapleyInteractions:
    """Pairwise Shapley interaction indices (Grabisch & Roubens 1999), exact.

    Positive where two players together do more than each alone, negative where they stand in for
    each other.

    Attributes:
        players: names of the n players.
        values: float64 [n, n], symmetric, 0 on the diagonal, in the unit of the game's value.
    """

    players: tuple[str, ...]
    values: Floats

    def to_array(self) -> DataArray:
        """Return the matrix with coordinates ``player`` and ``other``."""
        from xarray import DataArray  # noqa: PLC0415  costs more than most computations

        names = list(self.players)
        return DataArray(self.values, coords={"player": names, "other": names})

    def table(self) -> DataFrame:
        """Return one row per pair, the largest absolute index first."""
        from pandas import DataFrame  # noqa: PLC0415  costs more than most computations

        i, j = np.triu_indices(len(self.players), k=1)
        order = np.argsort(-np.abs(self.values[i, j]), kind="stable")
        names = np.array(self.players, dtype=object)
        i, j = i[order], j[order]
        return DataFrame({"player": names[i], "other": names[j], "value": self.values[i, j]})

    def __repr__(self) -> str:
        n = len(self.players)
        return f"<ShapleyInteractions of {n} players, {n * (n - 1) // 2} pairs>"
