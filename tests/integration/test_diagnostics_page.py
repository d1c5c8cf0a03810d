"""What docs/diagnostics.md shows works as it is written, on the file it says to write."""

from __future__ import annotations

import re
import warnings
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bayesrca.analysis import analyze
from bayesrca.config import Method, Settings
from bayesrca.ingest import load_incident
from bayesrca.model.parameters import PRIORS, unconstrained_prior
from bayesrca.posterior import diagnostics, limits
from tests.integration.kit import ROOT

pytestmark = pytest.mark.pymc
PAGE = (ROOT / "docs" / "diagnostics.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds examples/ and search_delay.nc; fewer draws than by default, enough to plot."""
    path = tmp_path_factory.mktemp("page")
    (path / "examples").symlink_to(ROOT / "examples")
    incident = load_incident(ROOT / "examples" / "search_delay")
    settings = Settings(method=Method.NUTS, draws=300, tune=500, retry_target_accept=0.9)
    tree = analyze(incident, seed=1, settings=settings).to_datatree()
    tree.to_netcdf(path / "search_delay.nc", engine="h5netcdf")
    return path


def test_every_snippet_runs_in_order(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    az: Any = import_module("arviz")
    if find_spec("matplotlib") is None:
        az.rcParams["plot.backend"] = "none"  # ArviZ's own: computes, draws nothing
    else:
        import_module("matplotlib").use("agg")
    names: dict[str, Any] = {}
    assert len(SNIPPETS) == 7
    for code in SNIPPETS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # plotting libraries' own
            exec(compile(code, "docs/diagnostics.md", "exec"), names)
    printed = capsys.readouterr().out
    assert "transmission[latency]" in printed
    assert "p_cause[PetSearch_AWS::ECS::Fargate]" in printed
    assert "screen 0." in printed
    assert "Without the telemetry of PetSearch_AWS::ECS::Fargate, " in printed
    assert "latency largest" in printed
    assert "largest change under another prior: 0.0" in printed
    (where,) = re.findall(r'`(tree\["posterior"\].*diverging.*?)`', PAGE)
    assert set(eval(where, names).data_vars) == set(PRIORS)


def test_the_table_of_groups_is_the_file(folder: Path) -> None:
    tree: Any = import_module("arviz").from_netcdf(folder / "search_delay.nc")
    for group in tree.children:
        assert f"| `{group}` |" in PAGE
    for name in (*tree["sample_stats"].data_vars, *tree["root_cause"].data_vars, *tree.attrs):
        assert f"`{name}`" in PAGE
    mean, _ = unconstrained_prior()
    assert f"the {len(PRIORS)} parameters" in PAGE
    assert f"{len(mean)} numbers a draw" in PAGE


def test_limits_are_the_codes_own() -> None:
    assert f"| < {limits.R_HAT_LIMIT} |" in PAGE
    assert f"| > {limits.ESS_LIMIT:.0f} |" in PAGE
    assert f"| < {limits.PARETO_K_LIMIT} |".replace("0.", ".") in PAGE
    assert f"| <= {limits.PRIOR_DISTANCE_LIMIT:.0f} |" in PAGE
    assert Settings().interval_mass == 0.89
    assert (Settings().target_accept, Settings().retry_target_accept) == (0.7, 0.98)
    assert np.isclose(diagnostics.WATCHED_PROBABILITY, 0.001)
