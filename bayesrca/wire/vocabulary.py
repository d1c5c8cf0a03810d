"""Words of the domain and the numbers that stand for them on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Protocol

from bayesrca.api.v1 import answer_pb2, incident_pb2
from bayesrca.config import BeyondWidth, Method
from bayesrca.errors import BayesRcaError, InvalidIncidentError, InvalidSettingsError
from bayesrca.incident import AlertKind, ComponentKind, EdgeKind, Family, Statistic


class _WireEnum(Protocol):
    def Value(self, name: str) -> int: ...  # noqa: N802  (protobuf's name)


class Vocabulary[E: StrEnum]:
    """A two-way table between a `StrEnum` and a protobuf enum.

    Args:
        words: the domain's enum; every member must have a value on the wire.
        wire: the protobuf enum.
        prefix: what its value names start with, e.g. ``EDGE_KIND``.
        default: what "unspecified" (0) means, or None when it is refused.
        error: class raised for a number that stands for nothing.
    """

    def __init__(
        self,
        words: type[E],
        wire: _WireEnum,
        prefix: str,
        *,
        default: E | None = None,
        error: type[BayesRcaError] = InvalidIncidentError,
    ) -> None:
        self._numbers: Mapping[E, int] = {w: wire.Value(f"{prefix}_{w.name}") for w in words}
        self._words: dict[int, E] = {number: word for word, number in self._numbers.items()}
        self._prefix = prefix
        self._error = error
        if default is not None:
            self._words[0] = default

    def number(self, word: E) -> Any:  # noqa: ANN401
        """Return the number that stands for a word.

        `Any`, because protobuf's type stubs give every enum an integer type of its own.
        """
        return self._numbers[word]

    def word(self, number: int, field: str) -> E:
        """Return the word a number stands for.

        Raises:
            BayesRcaError: unknown or refused number; the class is the constructor's ``error``.
        """
        try:
            return self._words[number]
        except KeyError:
            what = "is not set" if number == 0 else f"is {number}, which stands for nothing here"
            known = ", ".join(f"{self._prefix}_{word.name}" for word in self._numbers)
            msg = f"{field} {what}; it must be one of {known}"
            raise self._error(msg, field=field) from None


def word_of[E: StrEnum](words: type[E], value: str, field: str) -> E:
    """Return a word of an enum by its value.

    Raises:
        InvalidSettingsError: there is no such word.
    """
    try:
        return words(value)
    except ValueError:
        msg = f"{field} must be one of {', '.join(words)}, got {value!r}"
        raise InvalidSettingsError(msg, field=field) from None


COMPONENT_KINDS = Vocabulary(
    ComponentKind,
    incident_pb2.ComponentKind,
    "COMPONENT_KIND",
    default=ComponentKind.SERVICE,
)
ALERT_KINDS = Vocabulary(AlertKind, incident_pb2.AlertKind, "ALERT_KIND", default=AlertKind.METRIC)
EDGE_KINDS = Vocabulary(EdgeKind, incident_pb2.EdgeKind, "EDGE_KIND", default=EdgeKind.CALLS)
FAMILIES = Vocabulary(Family, incident_pb2.SignalFamily, "SIGNAL_FAMILY")
STATISTICS = Vocabulary(Statistic, incident_pb2.Statistic, "STATISTIC")
METHODS = Vocabulary(
    Method,
    answer_pb2.Method,
    "METHOD",
    default=Method.AUTO,
    error=InvalidSettingsError,
)
BEYOND_WIDTHS = Vocabulary(
    BeyondWidth,
    answer_pb2.BeyondWidth,
    "BEYOND_WIDTH",
    default=BeyondWidth.ESTIMATE,
    error=InvalidSettingsError,
)
