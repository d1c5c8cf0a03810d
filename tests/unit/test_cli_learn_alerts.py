"""From folders of alerts to a prior file that reads alerts."""

import json
from pathlib import Path

import numpy as np

from bayesrca.incident import Alert, Component, Incident, Topology
from bayesrca.ingest import save_incident
from bayesrca.ingest.truth import Truth
from bayesrca.model.prior_file import load_prior
from tests.unit.test_cli_learn import Run, run  # noqa: F401  (a fixture)

NAMES = tuple(f"c{i}" for i in range(8))


def make_cases(folder: Path) -> Path:
    """Incidents in which cpu fires at the cause and at one other, and disk at the cause only."""
    rng = np.random.default_rng(0)
    topology = Topology(tuple(map(Component, NAMES)))
    for i in range(24):
        root, other = rng.choice(8, 2, replace=False)
        fired = [Alert(NAMES[root], "disk"), Alert(NAMES[root], "cpu"), Alert(NAMES[other], "cpu")]
        labels = Truth(((NAMES[root], None),), f"fault {i % 2}")
        save_incident(
            Incident(f"i{i}", topology, (), alerts=tuple(fired)), folder / f"i{i}", labels=labels
        )
    return folder


def test_what_is_learned_is_written_read_and_used(run: Run, tmp_path: Path) -> None:  # noqa: F811
    folder, file = make_cases(tmp_path / "shop"), tmp_path / "prior.json"
    code, out, err = run("learn", folder, "--output", file)
    assert code == 0, err
    assert "Alerts: 2 labels told apart, 2 kinds of fault, from 24 incidents" in out
    document = json.loads(file.read_text())
    held_out = document["provenance"]["held_out"]["alerts"]
    assert held_out["after"] > held_out["before"]
    assert held_out["converged"]
    assert 0.0 <= held_out["fires_without"] < 0.5
    law = load_prior(file).alerts
    assert law is not None
    assert law.labels == (("metric", "cpu", ""), ("metric", "disk", ""))
    assert [list(row) for row in law.weight] == document["alerts"]["weight"]
    assert not any(name in file.read_text().partition('"provenance"')[0] for name in NAMES)

    code, out, _ = run("analyze", folder / "i0", "--method", "screen", "--prior", file, "--json")
    assert code == 0
    answer = json.loads(out)
    truth = json.loads((folder / "i0" / "truth.json").read_text())["root_causes"][0]["component"]
    assert answer["causes"][0]["component"] == truth
    assert any("what 24 labelled incidents taught" in note for note in answer["notes"])
    code, out, _ = run("backtest", folder, "--prior", file, "--where", "fault_type=fault 1")
    assert code == 0
    assert "12" in out
