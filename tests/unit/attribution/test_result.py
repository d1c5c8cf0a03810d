"""What an estimate shows: table, labelled arrays, picture, words."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.patches import Rectangle

from bayesrca.attribution import (
    CallTreeGame,
    InteractionGame,
    ShapleyEstimate,
    compute_interactions,
    compute_shapley,
    estimate_shapley,
)
from bayesrca.errors import InvalidSettingsError
from tests.oracle.games import call_tree_case, tail_case

mpl.use("agg")


@pytest.fixture
def estimate() -> ShapleyEstimate:
    arguments = call_tree_case(np.random.default_rng(1), 30).arguments
    names = tuple(f"span {i}" for i in range(30))
    return estimate_shapley(CallTreeGame(**arguments, players=names), budget=6000, seed=1)


def test_the_table_has_a_row_per_player_largest_first(estimate: ShapleyEstimate) -> None:
    table = estimate.table()
    assert list(table.columns) == ["value", "std_err", "low", "high", "share"]
    assert sorted(table.index) == sorted(estimate.players)
    assert (np.diff(table["value"].abs()) <= 0).all()
    place = estimate.players.index(table.index[0])
    assert table["value"].iloc[0] == estimate.values[place]
    assert table["share"].sum() == pytest.approx(1.0)


def test_the_dataset_is_labelled(estimate: ShapleyEstimate) -> None:
    data = estimate.to_dataset()
    assert list(data["player"].values) == list(estimate.players)
    assert float(data["values"].sel(player="span 3")) == estimate.values[3]
    assert data.attrs["rule"] == estimate.rule
    assert data.attrs["seed"] == 1


def test_a_sum_of_zero_has_no_shares() -> None:
    for single in ([1.0, -1.0], [0.1, 0.2, -0.3]):
        table = compute_shapley(InteractionGame(single=single)).table()
        assert table["share"].isna().all()


def test_the_dataset_can_be_written(estimate: ShapleyEstimate, tmp_path: Path) -> None:
    path = tmp_path / "shapley.nc"
    estimate.to_dataset().to_netcdf(path, engine="h5netcdf")
    exact = compute_shapley(InteractionGame(single=[1.0, 2.0])).to_dataset()
    exact.to_netcdf(tmp_path / "exact.nc", engine="h5netcdf")
    assert path.stat().st_size > 0


def test_results_are_read_only(estimate: ShapleyEstimate) -> None:
    with pytest.raises(ValueError, match="read-only"):
        estimate.values[0] = 1.0
    with pytest.raises(InvalidSettingsError, match="n_players"):
        estimate.plot(n_players=0)


def test_the_inner_error_has_a_column_where_there_is_one() -> None:
    from bayesrca.attribution import SampledTailGame

    case = tail_case(np.random.default_rng(2), 6, nonlinear=False)
    assert "inner_std_err" in compute_shapley(SampledTailGame(**case.arguments)).table()


def test_the_picture_shows_bars_intervals_and_the_rest(estimate: ShapleyEstimate) -> None:
    axes = estimate.plot(n_players=5)
    labels = [text.get_text() for text in axes.get_yticklabels()]
    assert labels[:5] == list(estimate.table().index[:5])
    assert labels[5] == "25 others together"
    widths = [bar.get_width() for bar in axes.patches if isinstance(bar, Rectangle)]
    assert sum(widths) == pytest.approx(estimate.values.sum())
    assert "95% intervals" in axes.get_title(loc="left")
    exact = compute_shapley(InteractionGame(single=[1.0, 2.0]))
    _, mine = plt.subplots()
    assert exact.plot(ax=mine) is mine
    assert mine.get_title(loc="left") == "Exact by closed form"
    plt.close("all")


def test_words(estimate: ShapleyEstimate) -> None:
    words = repr(estimate)
    assert "30 players" in words
    assert estimate.table().index[0] in words
    assert "converged by sobol_scrambles_t_interval" in words


def test_interactions_are_labelled() -> None:
    game = InteractionGame(
        single=[1.0, 1.0, 1.0], pair=[[0, 2.0, 0], [2.0, 0, -3.0], [0, -3.0, 0]],
        players=("a", "b", "c"),
    )  # fmt: skip
    found = compute_interactions(game)
    table = found.table()
    assert table.iloc[0].tolist() == ["b", "c", -3.0]
    assert float(found.to_array().sel(player="a", other="b")) == 2.0
    assert "3 pairs" in repr(found)
