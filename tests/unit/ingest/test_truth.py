import json
from collections.abc import Callable
from pathlib import Path

import pytest

from bayesrca.errors import IncidentFormatError
from bayesrca.ingest import Truth, load_incident, load_truth, save_incident

MakeFolder = Callable[..., Path]

SECRET = "back-did-it"
LABELS: dict[str, object] = {
    "root_causes": [{"component": SECRET, "metric": None}, {"component": "x", "metric": SECRET}],
    "fault_type": SECRET,
    "anomaly_start": 123456.789,
    "command": SECRET,
    "note": SECRET,
    SECRET: SECRET,
}
SETTING: dict[str, object] = {
    "normal_window": [0, 60],
    "abnormal_window": [120, 180],
    "target": {"component": "front", "metric": "latency_avg", "reason": SECRET},
}


def test_labels_are_read_for_evaluation(make_folder: MakeFolder) -> None:
    truth = load_truth(make_folder(truth={**LABELS, **SETTING}))
    assert truth == Truth(((SECRET, None), ("x", SECRET)), SECRET)


def test_labels_never_reach_the_incident(make_folder: MakeFolder, tmp_path: Path) -> None:
    folder = make_folder(truth={**LABELS, **SETTING})
    labelled = load_incident(folder)
    assert SECRET not in repr(labelled)
    assert "123456" not in repr(labelled)
    (folder / "truth.json").write_text(json.dumps(SETTING))
    assert load_incident(folder) == labelled
    saved = save_incident(labelled, tmp_path / "saved")
    for file in saved.iterdir():
        assert SECRET.encode() not in file.read_bytes()
    assert load_truth(saved) == Truth(())


@pytest.mark.parametrize("labels", ["not a list", [1], [{"component": 3}], {"a": "b"}, None])
def test_broken_labels_do_not_hinder_an_analysis(make_folder: MakeFolder, labels: object) -> None:
    folder = make_folder(truth={**SETTING, "root_causes": labels})
    assert load_incident(folder).target is not None
    with pytest.raises(IncidentFormatError, match=r"truth.json: root_causes"):
        load_truth(folder)


def test_labels_need_a_file(make_folder: MakeFolder) -> None:
    with pytest.raises(IncidentFormatError, match=r"truth.json: does not exist"):
        load_truth(make_folder())


def test_labels_need_no_metrics(make_folder: MakeFolder) -> None:
    assert load_truth(make_folder(None, truth={"root_causes": []})) == Truth(())
