"""A user's own queries and label names, from TOML or JSON (docs/connectors.md)."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Collection
from enum import StrEnum
from pathlib import Path
from typing import Any, NoReturn

from bayesrca.errors import InvalidSettingsError
from bayesrca.incident import Family, Statistic
from bayesrca.ingest.connectors.mapping import Mapping, Rename
from bayesrca.ingest.connectors.prometheus import PrometheusPlan
from bayesrca.ingest.connectors.prometheus_queries import By, Merge, Query
from bayesrca.ingest.connectors.times import parse_duration

_KEYS = {"defaults", "rate_window", "labels", "rename", "query"}
_LABEL_KEYS = {"service", "workload"}
_QUERY_KEYS = {
    *("name", "expr", "family", "statistic", "unit"),
    *("metric", "by", "label", "component", "merge"),
}
_RENAME_KEYS = {"pattern", "component"}
_PLACE = re.compile(r"\$(component|window)")


def read_plan(
    path: Path, *, field: str = "prometheus_queries", unused: Collection[str] = ()
) -> PrometheusPlan:
    """Read a file of queries.

    Args:
        path: the file.
        field: the setting that names it, for messages.
        unused: keys that mean nothing to the source: refused rather than passed over.

    Raises:
        InvalidSettingsError: it cannot be read, is neither TOML nor JSON, or says something that
            cannot be; the message names the file and the place.
    """
    return _File(path, field, frozenset(unused)).plan()


class _File:
    def __init__(self, path: Path, field: str, unused: frozenset[str]) -> None:
        self._path, self._field, self._unused = path, field, unused
        try:
            text = path.read_text(encoding="utf-8")
            read = json.loads if path.suffix.lower() == ".json" else tomllib.loads
            self._content = self._table(read(text), "it", _KEYS - unused)
        except OSError as error:
            self._reject(f"cannot be read ({error.strerror})", "")
        except (ValueError, RecursionError) as error:
            self._reject(f"is neither TOML nor JSON ({error})", "")

    def plan(self) -> PrometheusPlan:
        defaults = self._content.get("defaults", True)
        if not isinstance(defaults, bool):
            self._reject("defaults must be true or false", "defaults")
        window = None
        if "rate_window" in self._content:
            text = self._text(self._content["rate_window"], "rate_window")
            try:
                window = parse_duration(text, "rate_window")
            except InvalidSettingsError as error:
                self._reject(str(error), "rate_window")
        return PrometheusPlan(
            queries=tuple(self._query(i, q) for i, q in enumerate(self._tables("query"))),
            defaults=defaults,
            rate_window=window,
            mapping=self._mapping(),
        )

    def _mapping(self) -> Mapping:
        labels = self._table(self._content.get("labels", {}), "labels", _LABEL_KEYS)
        chosen = {
            f"{key}_labels": tuple(
                self._text(v, f"labels.{key}") for v in self._list(labels[key], key)
            )
            for key in labels
        }
        renames = []
        for i, table in enumerate(self._tables("rename")):
            what = f"rename[{i}]"
            rule = self._table(table, what, _RENAME_KEYS)
            pattern, component = (
                self._text(rule.get(key), f"{what}.{key}") for key in ("pattern", "component")
            )
            try:
                compiled = re.compile(pattern)
                # Refused now rather than at the first value that matches.
                re.sub(f"(?:{pattern})|", component, "")
            except (re.error, IndexError, OverflowError, RecursionError) as error:
                self._reject(f"{what} is no regular expression and replacement ({error})", what)
            renames.append(Rename(compiled, component))
        return Mapping(renames=tuple(renames), **chosen)

    def _query(self, i: int, value: object) -> Query:
        what = f"query[{i}]"
        table = self._table(value, what, _QUERY_KEYS - self._unused)
        texts = {key: self._text(entry, f"{what}.{key}") for key, entry in table.items()}
        for key in ("name", "expr", "family"):
            if not texts.get(key):
                self._reject(f"{what} needs {key}", f"{what}.{key}")
        if "metric" in self._unused and _PLACE.search(texts["expr"]):
            self._reject(f"{what}: nothing stands for $component or $window here", f"{what}.expr")
        if "$component" in texts["expr"] and not (texts.get("label") or texts.get("metric")):
            self._reject(
                f"{what} uses $component: give the label it stands for, or the metric whose "
                "labels decide",
                f"{what}.label",
            )
        if "|" in texts.get("component", ""):
            self._reject(f"{what}.component contains a bar, which no folder can hold", what)
        words: dict[str, Any] = dict(texts)
        vocabularies: dict[str, type[StrEnum]] = {
            "family": Family,
            "statistic": Statistic,
            "by": By,
            "merge": Merge,
        }
        for key, vocabulary in vocabularies.items():
            if key in texts:
                words[key] = self._word(vocabulary, texts[key], f"{what}.{key}")
        words.setdefault("statistic", Statistic.VALUE)
        return Query(**words)

    def _word(self, vocabulary: type[StrEnum], text: str, what: str) -> StrEnum:
        if text not in [*vocabulary]:
            self._reject(f"{what} must be one of {', '.join(vocabulary)}, got {text!r}", what)
        return vocabulary(text)

    def _tables(self, key: str) -> list[Any]:
        return self._list(self._content.get(key, []), key)

    def _list(self, value: object, what: str) -> list[Any]:
        if not isinstance(value, list):
            self._reject(f"{what} must be an array", what)
        return value

    def _table(self, value: object, what: str, known: set[str]) -> dict[str, Any]:
        if not isinstance(value, dict):
            self._reject(f"{what} must be a table", what)
        for key in value:
            if key not in known:
                self._reject(
                    f"{what} has unknown key {key!r}; known: {', '.join(sorted(known))}", what
                )
        return value

    def _text(self, value: object, what: str) -> str:
        if not isinstance(value, str):
            self._reject(f"{what} must be text", what)
        try:
            value.encode()
        except UnicodeEncodeError:
            self._reject(f"{what} is not valid Unicode", what)
        return value

    def _reject(self, problem: str, field: str) -> NoReturn:
        msg = f"{self._path}: {problem}"
        raise InvalidSettingsError(msg, field=field or self._field)
