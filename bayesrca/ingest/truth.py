"""truth.json: the periods and the symptom for everybody, the labels for evaluation only."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bayesrca.errors import IncidentFormatError
from bayesrca.incident import Incident, Target, TimeWindow
from bayesrca.ingest._files import (
    expect_list,
    expect_object,
    expect_text,
    naming,
    read_json,
    reject,
    shorten,
)

FILE_NAME = "truth.json"


@dataclass(frozen=True, slots=True)
class Truth:
    """What really happened, to judge answers by. Never part of an `Incident`.

    Attributes:
        root_causes: (component, metric or None) pairs; empty when nobody labelled the incident.
        fault_type: the source's own word for the fault, or None.
    """

    root_causes: tuple[tuple[str, str | None], ...]
    fault_type: str | None = None


@dataclass(frozen=True, slots=True)
class Setting:
    """The unlabelled part of a truth file: what an analysis may know.

    Attributes:
        name: the incident's name, or None to take the folder's.
        baseline: the normal period, or None.
        window: the time in question, or None.
        target: where the incident was noticed, or None.
    """

    name: str | None = None
    baseline: TimeWindow | None = None
    window: TimeWindow | None = None
    target: Target | None = None


def read_setting(path: Path) -> Setting:
    """Read periods and target from a truth file, and nothing else; all None without a file.

    Raises:
        IncidentFormatError: the file is not JSON or one of these parts has the wrong shape.
        InvalidIncidentError: a period that is empty or not finite.
    """
    content = read_json(path)
    if content is None:
        return Setting()
    content = expect_object(path, content)
    name = content.get("name")
    with naming(path):
        return Setting(
            name=None if name is None else expect_text(path, name, "name"),
            baseline=_window(path, content, "normal_window"),
            window=_window(path, content, "abnormal_window"),
            target=_target(path, content.get("target")),
        )


def _window(path: Path, content: dict[str, Any], key: str) -> TimeWindow | None:
    value = content.get(key)
    if value is None:
        return None
    if not (isinstance(value, list) and len(value) == 2 and all(map(_is_number, value))):
        reject(
            path, f"{key} must be [start, end] in seconds or null, got {shorten(value)}", field=key
        )
    return TimeWindow(*value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _target(path: Path, value: object) -> Target | None:
    if value is None:
        return None
    content = expect_object(path, value, "target")
    component = expect_text(path, content.get("component"), "target.component")
    metric = content.get("metric")
    return Target(component, None if metric is None else expect_text(path, metric, "target.metric"))


def load_truth(path: str | Path) -> Truth:
    """Read the labels of an incident folder, for evaluation.

    Raises:
        IncidentFormatError: no truth.json in the folder, or labels of another shape.
    """
    file = Path(path) / FILE_NAME
    content = read_json(file)
    if content is None:
        msg = f"{file}: does not exist; without labels an answer cannot be judged"
        raise IncidentFormatError(msg)
    content = expect_object(file, content)
    causes = expect_list(file, content.get("root_causes"), "root_causes")
    fault_type = content.get("fault_type")
    return Truth(
        tuple(_root_cause(file, i, cause) for i, cause in enumerate(causes)),
        None if fault_type is None else expect_text(file, fault_type, "fault_type"),
    )


def has_label(case: Path, key: str, value: str) -> bool:
    """Whether a field of a case's truth.json has this value: its JSON, or its text.

    Raises:
        IncidentFormatError: the file is not a JSON object.
    """
    file = case / FILE_NAME
    content = read_json(file)
    if content is None:
        return False
    labels = expect_object(file, content)
    if key not in labels:
        return False
    found = labels[key]
    return value == (found if isinstance(found, str) else json.dumps(found))


def _root_cause(path: Path, i: int, value: object) -> tuple[str, str | None]:
    what = f"root_causes[{i}]"
    content = expect_object(path, value, what)
    component = expect_text(path, content.get("component"), f"{what}.component")
    metric = content.get("metric")
    return component, None if metric is None else expect_text(path, metric, f"{what}.metric")


def truth_to_json(
    incident: Incident, folder_name: str, labels: Truth | None = None
) -> dict[str, Any]:
    """Return the content of a truth file: periods and target, and labels where they are given."""
    target = incident.target
    labels = labels or Truth(())
    content: dict[str, Any] = {
        "root_causes": [{"component": c, "metric": metric} for c, metric in labels.root_causes],
        "fault_type": labels.fault_type,
        "anomaly_start": None,
        "normal_window": _window_to_json(incident.baseline),
        "abnormal_window": _window_to_json(incident.window),
        "target": target and {"component": target.component, "metric": target.signal},
    }
    if incident.name != folder_name:
        content["name"] = incident.name
    return content


def _window_to_json(window: TimeWindow | None) -> list[float] | None:
    return None if window is None else [window.start, window.end]
