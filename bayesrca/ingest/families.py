"""From the name of a metric to what it measures: ordered rules, the first that matches wins."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from bayesrca.errors import InvalidSettingsError
from bayesrca.incident import ComponentKind, Family, Statistic
from bayesrca.ingest import name_words
from bayesrca.ingest.family_table import DEFAULT_RULES
from bayesrca.ingest.rule import Reading, Rule

_RULE_KEYS = {"pattern", "family", "statistic", "unit", "kinds"}


@dataclass(frozen=True, slots=True)
class FamilyRules:
    """The caller's rules, tried in their order and before the defaults (docs/families.md).

    Attributes:
        rules: the caller's own rules; may be empty.
    """

    rules: tuple[Rule, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "rules", tuple(self.rules))

    @classmethod
    def from_toml(cls, path: str | Path) -> Self:
        """Read rules from the ``[[rule]]`` tables of a TOML file.

        Each table holds ``pattern`` and ``family``, and may hold ``statistic``, ``unit`` and
        ``kinds``.

        Raises:
            InvalidSettingsError: the file cannot be read, is not TOML or holds a wrong rule; the
                message names the file and the rule.
        """
        path = Path(path)
        try:
            content = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            msg = f"{path}: cannot be read ({error.strerror}); check the file and its permissions"
            raise InvalidSettingsError(msg) from None
        except (ValueError, RecursionError) as error:
            msg = f"{path}: is not TOML ({error})"
            raise InvalidSettingsError(msg) from None
        tables = content.get("rule", [])
        if set(content) - {"rule"} or not isinstance(tables, list):
            msg = f"{path}: must hold [[rule]] tables and nothing else"
            raise InvalidSettingsError(msg)
        return cls(tuple(_rule(path, i, table) for i, table in enumerate(tables)))

    def classify(self, name: str, kind: ComponentKind = ComponentKind.SERVICE) -> Reading:
        """Return what a metric of a component of this kind measures, by its name alone."""
        return self.classify_own(name, kind) or _first_match(DEFAULT_RULES, name, kind) or _UNKNOWN

    def classify_own(
        self, name: str, kind: ComponentKind = ComponentKind.SERVICE
    ) -> Reading | None:
        """Return what the caller's own rules say of a metric, None when none of them matches."""
        return _first_match(self.rules, name, kind)


_UNKNOWN = Reading(Family.GENERIC, Statistic.VALUE, "")


def _first_match(rules: tuple[Rule, ...], name: str, kind: ComponentKind) -> Reading | None:
    plain = name_words.to_plain(name)
    for rule in rules:
        if rule.matches(name, plain, kind):
            statistic = rule.statistic or name_words.infer_statistic(plain, rule.family)
            unit = rule.unit
            if unit is None:
                unit = name_words.infer_unit(plain, rule.family, statistic)
            return Reading(rule.family, statistic, unit)
    return None


def _rule(path: Path, i: int, table: object) -> Rule:
    where = f"{path}: rule {i + 1}"
    if not isinstance(table, dict):
        msg = f"{where} must be a table"
        raise InvalidSettingsError(msg, field=f"rule[{i}]")
    unknown = sorted(set(table) - _RULE_KEYS)
    missing = sorted({"pattern", "family"} - set(table))
    if unknown or missing:
        what = f"has unknown key {unknown[0]!r}" if unknown else f"lacks {missing[0]!r}"
        msg = f"{where} {what}; keys: {', '.join(sorted(_RULE_KEYS))}"
        raise InvalidSettingsError(msg, field=f"rule[{i}]")
    kinds = table.get("kinds", [])
    if not isinstance(kinds, list):
        msg = f"{where}: kinds must be an array, got {kinds!r}"
        raise InvalidSettingsError(msg, field=f"rule[{i}].kinds")
    try:
        return Rule(**{**table, "kinds": tuple(kinds)})
    except InvalidSettingsError as error:
        msg = f"{where}: {error}"
        raise InvalidSettingsError(msg, field=f"rule[{i}].{error.field}") from None
