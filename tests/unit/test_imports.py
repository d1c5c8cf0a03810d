"""What is loaded when: the command line and the package stay light."""

from __future__ import annotations

import subprocess
import sys

import pytest

import bayesrca
from tests.integration.kit import ROOT

HEAVY = ("pymc", "pytensor", "nutpie", "numba", "arviz", "arviz_stats", "xarray", "scipy", "pandas")
NEVER = (*HEAVY, "pyarrow", "grpc", "rich.progress", "numpy.random")


def loaded_by(code: str) -> set[str]:
    """Modules a fresh interpreter holds after running `code`."""
    script = f"{code}\nimport sys\nsys.stderr.write('\\n'.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT, capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    return set(done.stderr.splitlines())


def test_import_bayesrca_loads_nothing_heavy() -> None:
    loaded = loaded_by("import bayesrca\nbayesrca.Settings, bayesrca.__version__, dir(bayesrca)")
    assert not loaded & {*NEVER, "numpy", "typer", "bayesrca.analysis"}


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom bayesrca.cli import main\n"
        "sys.argv = ['bayesrca', 'analyze', '--help']\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert stop.code == 0\n"
    )
    assert not loaded_by(code) & {*NEVER, "numpy"}


def test_incidents_load_neither_files_nor_models() -> None:
    assert not loaded_by("import bayesrca.incident") & {*HEAVY, "pyarrow", "grpc"}


def test_a_client_loads_no_model_and_no_pandas() -> None:
    assert not loaded_by("from bayesrca import Client; Client") & {*HEAVY, "pyarrow"}


def test_a_screen_loads_no_sampler() -> None:
    """Nor ArviZ: its import costs more than the analysis."""
    code = (
        "import bayesrca\n"
        "incident = bayesrca.load_incident('examples/search_delay')\n"
        "settings = bayesrca.Settings(method='screen', screen_scrambles=4, screen_points=8)\n"
        "bayesrca.analyze(incident, seed=1, settings=settings).to_dict()\n"
    )
    forbidden = {"pymc", "pytensor", "nutpie", "numba", "arviz", "arviz_stats", "xarray", "grpc"}
    assert not loaded_by(code) & forbidden


@pytest.mark.parametrize("name", bayesrca.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(bayesrca, name) is not None
    assert name in dir(bayesrca)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = bayesrca.nothing


def test_the_type_checkers_names_are_the_real_ones() -> None:
    homes = {name for names in bayesrca._HOMES.values() for name in names}
    loaded = {"__version__", "BayesRcaError", "BeyondWidth", "Method", "Settings"}
    assert homes | loaded == set(bayesrca.__all__)


def test_a_server_without_alerts_reads_no_telemetry() -> None:
    assert not loaded_by("import bayesrca.service.app") & {*HEAVY, "pyarrow", "httpx"}
