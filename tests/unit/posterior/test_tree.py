"""The draws as ArviZ reads them."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose, assert_array_equal

from bayesrca.analysis import Analysis, analyze
from bayesrca.config import Method, Settings
from bayesrca.model.log_prior import compute_log_prior
from bayesrca.model.parameters import PRIORS, natural_values
from bayesrca.posterior.summary import compute_root_probabilities
from bayesrca.posterior.tree import build_tree
from tests.unit.posterior.synthetic import make_draws, make_shop


@pytest.fixture(scope="module")
def screened() -> Analysis:
    return analyze(make_shop(), seed=6, settings=Settings(method=Method.SCREEN))


def test_summary_of_the_posterior_names_every_parameter(screened: Analysis) -> None:
    summary: Any = import_module("arviz_stats").summary
    table = summary(screened.to_datatree(), round_to="none")
    assert {str(i).split("[")[0] for i in table.index} == set(PRIORS)
    assert np.isfinite(table["mean"].astype(float)).all()


def test_resampled_means_agree_with_the_weighted_ones(screened: Analysis) -> None:
    tree: Any = screened.to_datatree()
    draws, root = screened.draws, screened.root
    probabilities = tree["root_cause"]["p_cause"].mean(("chain", "draw"))
    error = root.by_draw.std(axis=(0, 1)) / np.sqrt(root.by_draw[..., 0].size)
    # Systematic resampling adds less noise than as many independent draws.
    assert_allclose(probabilities, root.values[:-1], atol=4 * error.max())
    for name, values in natural_values(draws.thetas).items():
        weights = draws.weights.reshape(draws.weights.shape + (1,) * (values.ndim - 2))
        weighted = (weights * values).sum(axis=(0, 1))
        spread = values.std(axis=(0, 1)).max() / np.sqrt(draws.weights.size)
        resampled = tree["posterior"][name].mean(("chain", "draw"))
        assert_allclose(resampled, weighted, atol=4 * spread, err_msg=name)


def test_posterior_and_root_cause_are_resampled_together(screened: Analysis) -> None:
    """A row of one belongs to the same row of the other."""
    tree: Any = screened.to_datatree()
    theta = natural_values(screened.draws.thetas)["full_dose_target"].ravel()
    p = screened.root.by_draw[..., 0].ravel()
    pairs = set(zip(theta.tolist(), p.tolist(), strict=True))
    got = zip(
        tree["posterior"]["full_dose_target"].values.ravel().tolist(),
        tree["root_cause"]["p_cause"].values[..., 0].ravel().tolist(),
        strict=True,
    )
    assert set(got) <= pairs


def test_importance_holds_the_weighted_draws(screened: Analysis) -> None:
    importance = screened.to_datatree()["importance"]
    assert dict(importance.sizes) == {"chain": 16, "draw": 32, "family": 2}
    assert_array_equal(importance["log_weight"], screened.draws.log_weights)
    assert set(importance.data_vars) == {*PRIORS, "log_weight"}


def test_resampling_follows_the_seed(screened: Analysis) -> None:
    assert screened.to_datatree().identical(screened.to_datatree())
    other: Any = build_tree(screened.draws, screened.root, screened.components, {}, seed=7)
    assert not other["posterior"].equals(screened.to_datatree()["posterior"])


def test_sets_are_told_by_the_positions_of_their_components() -> None:
    draws = make_draws(1, components=3, sets=2)
    root = compute_root_probabilities(draws, 0.89, ((0, 2), (0, 1, 2)))
    tree: Any = build_tree(draws, root, ["a+b", "c", "d"], {}, seed=1)
    found = tree["root_cause"]
    assert found["set"].values.tolist() == ["0+2", "0+1+2"]
    assert_array_equal(found["p_set"].values, root.sets_by_draw)
    assert_array_equal(found["p_only"].values, root.only_by_draw)
    total = found["p_only"].sum("component") + found["p_set"].sum("set") + found["p_none"]
    assert_allclose(total.values, 1.0, rtol=1e-12)


def test_nuts_draws_are_kept_as_they_are() -> None:
    draws = make_draws(1)
    root = compute_root_probabilities(draws, 0.89)
    tree: Any = build_tree(draws, root, ["a|b", "c d", "e"], {"incident": "x"}, seed=1)
    groups = {"posterior", "root_cause", "log_prior", "log_likelihood", "sample_stats"}
    assert set(tree.children) == groups
    assert_array_equal(tree["log_likelihood"]["theta"].values, draws.log_likelihood)
    assert_array_equal(
        tree["log_prior"]["noise_scale"].values,
        compute_log_prior(draws.thetas, draws.prior)[..., :2],
    )
    assert_allclose(tree["posterior"]["noise_scale"].values, np.exp(draws.thetas[..., :2]))
    assert_array_equal(tree["root_cause"]["p_cause"].values, root.by_draw[..., :-1])
    assert_array_equal(tree["root_cause"]["p_none"].values, root.by_draw[..., -1])
    assert_array_equal(tree["sample_stats"]["energy"].values, draws.sample_stats["energy"])
    assert tree["root_cause"]["component"].values.tolist() == ["a|b", "c d", "e"]


def test_it_survives_a_file(screened: Analysis, tmp_path: Path) -> None:
    path = tmp_path / "draws.nc"
    tree: Any = screened.to_datatree()
    tree.to_netcdf(path, engine="h5netcdf")
    with xr.open_datatree(path, engine="h5netcdf") as opened:
        back: Any = opened
        for group in ("posterior", "root_cause", "importance"):
            assert back[group].to_dataset().equals(tree[group].to_dataset())
        assert back.attrs["incident"] == "made up"
        assert back.attrs["method"] == "screen"
        assert back.attrs["seed"] == "6"
        assert back.attrs["healthy"] == 1
        assert json.loads(back.attrs["versions"]) == screened.answer.versions
        assert tuple(json.loads(back.attrs["notes"])) == screened.answer.notes
