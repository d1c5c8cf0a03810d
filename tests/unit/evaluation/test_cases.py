"""Which folders are cases, and which labels they have."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bayesrca.errors import IncidentFormatError, InvalidSettingsError
from bayesrca.evaluation.cases import choose_cases, find_data_sets, read_labels


def add_case(path: Path, causes: object = ("c0",), fault: str | None = "slow") -> Path:
    path.mkdir(parents=True)
    labels = {
        "root_causes": [{"component": c} for c in causes] if isinstance(causes, tuple) else causes,
        "fault_type": fault,
    }
    (path / "truth.json").write_text(json.dumps(labels), encoding="utf-8")
    return path


@pytest.fixture
def sets(tmp_path: Path) -> Path:
    for name in ("shop/b", "shop/a", "shop/_normal/run", "shop/.hidden", "mill/x"):
        add_case(tmp_path / name)
    (tmp_path / "shop" / "LICENSE").write_text("free", encoding="utf-8")
    return tmp_path


def names(*paths: Path) -> dict[str, list[str]]:
    return {d.name: [c.name for c in d.cases] for d in find_data_sets(paths)}


def test_data_sets_cases_and_single_cases(sets: Path) -> None:
    both = {"mill": ["x"], "shop": ["a", "b"]}
    assert names(sets) == both
    assert names(sets / "shop") == {"shop": ["a", "b"]}
    assert names(sets / "shop" / "b") == {"shop": ["b"]}
    assert names(sets / "shop" / "b", sets / "shop") == {"shop": ["a", "b"]}
    assert names(sets / "shop" / ".." / "mill", sets) == both


def test_an_unlabelled_folder_is_a_case_too(tmp_path: Path) -> None:
    (tmp_path / "shop" / "a").mkdir(parents=True)
    (tmp_path / "shop" / "a" / "metrics.parquet").touch()
    assert names(tmp_path) == {"shop": ["a"]}


def test_no_case(tmp_path: Path) -> None:
    with pytest.raises(IncidentFormatError, match="does not exist"):
        names(tmp_path / "nowhere")
    with pytest.raises(IncidentFormatError, match="holds no case"):
        names(tmp_path)
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(IncidentFormatError, match="is not a folder"):
        names(file)


def test_two_data_sets_of_one_name(sets: Path) -> None:
    add_case(sets / "more" / "shop" / "c")
    with pytest.raises(IncidentFormatError, match="two data sets are named 'shop'"):
        names(sets, sets / "more")


def test_choosing(sets: Path) -> None:
    found = find_data_sets([sets])

    def chosen(*patterns: str, limit: int | None = None) -> dict[str, list[str]]:
        return {d.name: [c.name for c in d.cases] for d in choose_cases(found, patterns, limit)}

    assert chosen() == {"mill": ["x"], "shop": ["a", "b"]}
    assert chosen(limit=1) == {"mill": ["x"], "shop": ["a"]}
    assert chosen("a") == {"shop": ["a"]}
    assert chosen("shop/*", limit=5) == {"shop": ["a", "b"]}
    assert chosen("b", "x") == {"mill": ["x"], "shop": ["b"]}
    with pytest.raises(InvalidSettingsError, match="no case is named 'z'"):
        chosen("a", "z")


def test_labels(tmp_path: Path) -> None:
    labels = read_labels(add_case(tmp_path / "a", ("db", "cart", "db")))
    assert labels.truth == ("db", "cart")
    assert labels.fault == "slow"
    with pytest.raises(IncidentFormatError, match="names no root cause"):
        read_labels(add_case(tmp_path / "b", []))
    with pytest.raises(IncidentFormatError, match="root_causes"):
        read_labels(add_case(tmp_path / "c", 3))


def test_where_chooses_by_a_field_of_the_labels(tmp_path: Path) -> None:
    for name, fields in {"a": {"split": "test"}, "b": {"split": "train", "n": 3}, "c": {}}.items():
        (tmp_path / "set" / name).mkdir(parents=True)
        (tmp_path / "set" / name / "truth.json").write_text(json.dumps(fields))
    found = find_data_sets([tmp_path / "set"])

    def chosen(*where: str) -> list[str]:
        return [c.name for d in choose_cases(found, where=where) for c in d.cases]

    assert chosen("split=test") == ["a"]
    assert chosen("split=train", "n=3") == ["b"]
    with pytest.raises(InvalidSettingsError, match="no case has 'split' with the value 'dev'"):
        chosen("split=dev")
    with pytest.raises(InvalidSettingsError, match="takes KEY=VALUE"):
        chosen("split")
