"""One rule from a metric's name to what it measures."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum

from bayesrca.errors import InvalidSettingsError
from bayesrca.incident import ComponentKind, Family, Statistic


@dataclass(frozen=True, slots=True)
class Reading:
    """What a metric's name says.

    Attributes:
        family: what the series measures.
        statistic: how its values summarise their intervals.
        unit: unit the name states, empty when it states none, and None for a ratio of which the
            name does not say whether it is plain (``1``) or in percent (``%``): the data decide.
    """

    family: Family
    statistic: Statistic
    unit: str | None


@dataclass(frozen=True, slots=True)
class Rule:
    """Metrics whose name matches a pattern belong to a family.

    Attributes:
        pattern: regular expression, searched without regard to case in the name as written and in
            its plain form (`bayesrca.ingest.name_words.to_plain`):
            ``PodServerLatencyP95(s)`` is also ``_pod_server_latency_p95_s_``.
        family: what such a metric measures.
        statistic: how it summarises its interval; None to infer it from the name.
        unit: its unit; None to infer it from the name.
        kinds: kinds of component the rule is meant for; empty for all.

    Raises:
        InvalidSettingsError: a pattern that is not a regular expression, or an unknown word.
    """

    pattern: str
    family: Family
    statistic: Statistic | None = None
    unit: str | None = None
    kinds: tuple[ComponentKind, ...] = ()
    _compiled: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        try:
            compiled = re.compile(self.pattern, re.IGNORECASE)
        except (re.error, TypeError, OverflowError, RecursionError) as error:
            msg = f"pattern {self.pattern!r:.80} is not a regular expression: {error}"
            raise InvalidSettingsError(msg, field="pattern") from None
        _check_unit(self.unit, self.pattern)
        kinds = tuple(_member(ComponentKind, kind, "kinds") for kind in self.kinds)
        object.__setattr__(self, "_compiled", compiled)
        object.__setattr__(self, "family", _member(Family, self.family, "family"))
        object.__setattr__(self, "kinds", kinds)
        if self.statistic is not None:
            statistic = _member(Statistic, self.statistic, "statistic")
            object.__setattr__(self, "statistic", statistic)

    def matches(self, name: str, plain: str, kind: ComponentKind) -> bool:
        """Whether a metric of a component of this kind falls under the rule."""
        if self.kinds and kind not in self.kinds:
            return False
        return bool(self._compiled.search(name) or self._compiled.search(plain))


def _check_unit(unit: object, pattern: str) -> None:
    if unit is not None and not isinstance(unit, str):
        msg = f"unit of pattern {pattern!r} must be text, got {unit!r}"
        raise InvalidSettingsError(msg, field="unit")


def _member[E: StrEnum](vocabulary: type[E], value: object, what: str) -> E:
    try:
        return vocabulary(str(value))
    except ValueError:
        msg = f"{what} must be one of {', '.join(vocabulary)}; got {value!r}"
        raise InvalidSettingsError(msg, field=what) from None
