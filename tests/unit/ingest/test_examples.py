from pathlib import Path

import numpy as np
import pytest

from bayesrca.incident import EdgeKind, Family
from bayesrca.ingest import FamilyRules, load_incident, load_truth, save_incident

EXAMPLES = Path(__file__).parents[3] / "examples"
FOLDERS = sorted(path.parent for path in EXAMPLES.glob("*/metrics.parquet"))


def test_there_are_examples() -> None:
    assert len(FOLDERS) >= 3


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_example_loads(folder: Path, tmp_path: Path) -> None:
    incident = load_incident(folder)
    assert incident.name == folder.name
    assert {edge.kind for edge in incident.topology.edges} == {EdgeKind.CALLS}
    assert incident.window is not None
    inside = incident.window.contains(incident.signals[0].timestamps)
    assert inside.sum() == 5
    if incident.baseline is not None:
        normal = incident.baseline.contains(incident.signals[0].timestamps) & ~inside
        assert normal.sum() >= 200
    assert incident.target is not None
    (alarmed,) = (
        signal
        for signal in incident.signals_of(incident.target.component)
        if signal.name == incident.target.signal
    )
    assert alarmed.family in (Family.LATENCY, Family.ERRORS)
    assert np.isfinite(alarmed.values[inside]).any()
    for cause, _ in load_truth(folder).root_causes:
        assert cause in incident.topology
    assert load_incident(save_incident(incident, tmp_path / folder.name)) == incident
    assert sum(file.stat().st_size for file in folder.iterdir()) < 310_000


def test_example_rules_load() -> None:
    assert FamilyRules.from_toml(EXAMPLES / "family_rules.toml").rules


def test_licence_is_beside_the_examples() -> None:
    licence = (EXAMPLES / "LICENSE-petshop").read_text(encoding="utf-8")
    assert licence.startswith("Attribution 4.0 International")
    assert "CC-BY-4.0" in (EXAMPLES / "README.md").read_text(encoding="utf-8")
