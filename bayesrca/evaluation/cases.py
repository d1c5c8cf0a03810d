"""Which folders are cases, and which of them belong together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from bayesrca.errors import IncidentFormatError, InvalidSettingsError
from bayesrca.ingest import load_truth
from bayesrca.ingest.truth import has_label

_MARKS = ("truth.json", "metrics.parquet")
"""A folder that holds one of these is a case."""


@dataclass(frozen=True, slots=True)
class DataSet:
    """Cases whose scores belong together.

    Attributes:
        name: name of the folder they are in.
        folder: that folder.
        cases: their folders, in the order of their names.
    """

    name: str
    folder: Path
    cases: tuple[Path, ...]


def find_data_sets(paths: Sequence[Path]) -> tuple[DataSet, ...]:
    """Find the labelled incidents that the paths mean.

    Each path is a case, a folder of cases (a data set) or a folder of data sets. Folders whose
    names start with ``_`` or ``.`` are no cases.

    Raises:
        IncidentFormatError: a path that is no folder or has no case in it, or two data sets of one
            name.
    """
    found: dict[Path, list[Path]] = {}
    for path in paths:
        for case in _find_cases(path):
            cases = found.setdefault(case.parent, [])
            if case not in cases:
                cases.append(case)
    names: dict[str, Path] = {}
    for folder in found:
        other = names.setdefault(folder.name, folder)
        if other != folder:
            msg = f"two data sets are named {folder.name!r}: {other} and {folder}; rename one"
            raise IncidentFormatError(msg)
    return tuple(DataSet(f.name, f, tuple(sorted(cases))) for f, cases in found.items())


def choose_cases(
    data_sets: Sequence[DataSet],
    patterns: Sequence[str] = (),
    limit: int | None = None,
    where: Sequence[str] = (),
) -> tuple[DataSet, ...]:
    """Keep the cases whose names match a pattern and whose labels hold, of each set the first few.

    Args:
        data_sets: what was found.
        patterns: shell patterns, for the name of a case or for ``dataset/case``; none keeps all.
        limit: most cases of each data set (>= 1), in the order of their names; None keeps all.
        where: ``KEY=VALUE``, of which all must hold: a field of a case's truth.json and its value,
            as JSON writes it or, of text, without quotes.

    Raises:
        InvalidSettingsError: a pattern that no case matches, or a field that none has so.
        IncidentFormatError: a truth.json that is not a JSON object.
    """
    chosen = list(data_sets)
    if patterns:
        for pattern in patterns:
            if not any(_matches(case, pattern) for d in data_sets for case in d.cases):
                msg = f"no case is named {pattern!r}; names are those of the folders"
                raise InvalidSettingsError(msg, field="case")
        for i, d in enumerate(chosen):
            kept = tuple(c for c in d.cases if any(_matches(c, p) for p in patterns))
            chosen[i] = replace(d, cases=kept)
    for condition in where:
        key, equals, value = condition.partition("=")
        if not (key and equals):
            msg = f"--where takes KEY=VALUE, such as split=test, got {condition!r}"
            raise InvalidSettingsError(msg, field="where")
        chosen = [
            replace(d, cases=tuple(c for c in d.cases if has_label(c, key, value))) for d in chosen
        ]
        if not any(d.cases for d in chosen):
            msg = f"no case has {key!r} with the value {value!r} in its truth.json"
            raise InvalidSettingsError(msg, field="where")
    return tuple(replace(d, cases=d.cases[:limit]) for d in chosen if d.cases)


@dataclass(frozen=True, slots=True)
class Labels:
    """What really happened, for scoring only.

    Attributes:
        truth: components that caused it, each once.
        fault: kind of fault in the source's own word, or None.
    """

    truth: tuple[str, ...]
    fault: str | None


def read_labels(case: Path) -> Labels:
    """Read the labels of a case.

    Raises:
        IncidentFormatError: the labels cannot be read or name no root cause.
    """
    truth = load_truth(case)
    if not truth.root_causes:
        msg = f"{case / 'truth.json'}: names no root cause, so an answer cannot be judged"
        raise IncidentFormatError(msg, field="root_causes")
    components = tuple(dict.fromkeys(component for component, _ in truth.root_causes))
    return Labels(components, truth.fault_type)


def _matches(case: Path, pattern: str) -> bool:
    return fnmatchcase(case.name, pattern) or fnmatchcase(
        f"{case.parent.name}/{case.name}", pattern
    )


def _find_cases(path: Path) -> list[Path]:
    folder = path.resolve()
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "does not exist"
        msg = f"{path}: {what}; give a folder of labelled incidents (docs/backtest.md)"
        raise IncidentFormatError(msg)
    if _is_case(folder):
        return [folder]
    inner = _folders_in(folder)
    cases = [f for f in inner if _is_case(f)]
    cases = cases or [c for f in inner for c in _folders_in(f) if _is_case(c)]
    if not cases:
        msg = (
            f"{path}: holds no case and no folder of cases; a case is a folder with "
            f"{' and '.join(_MARKS)} (docs/backtest.md)"
        )
        raise IncidentFormatError(msg)
    return cases


def _is_case(folder: Path) -> bool:
    return any((folder / mark).is_file() for mark in _MARKS)


def _folders_in(folder: Path) -> list[Path]:
    try:
        inner = sorted(folder.iterdir())
    except OSError as error:
        msg = f"{folder}: cannot be read ({error.strerror}); check its permissions"
        raise IncidentFormatError(msg) from None
    return [f for f in inner if not f.name.startswith(("_", ".")) and f.is_dir()]
