"""What the parts of an answer have in common on the wire."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bayesrca.api.v1 import answer_pb2
from bayesrca.errors import IncidentFormatError
from bayesrca.posterior.result import Probability


def require(message: Any, field: str, *parts: str) -> None:  # noqa: ANN401  any message
    """Refuse a message without one of its parts.

    Raises:
        IncidentFormatError: a part is missing; ``field`` is its path.
    """
    for part in parts:
        if not message.HasField(part):
            path = f"{field}.{part}"
            raise IncidentFormatError(f"{path} is missing", field=path)


def unique[V](pairs: Iterable[tuple[str, V]], field: str) -> dict[str, V]:
    """Return pairs as a mapping.

    Raises:
        IncidentFormatError: a key comes twice; ``field`` is the path of the pairs.
    """
    table: dict[str, V] = {}
    for key, value in pairs:
        if key in table:
            msg = f"{field} names {key!r} twice"
            raise IncidentFormatError(msg, field=field)
        table[key] = value
    return table


def encode_probability(probability: Probability) -> answer_pb2.Probability:
    """Return a probability as a message."""
    low, high = probability.interval
    return answer_pb2.Probability(
        value=probability.value,
        mcse=probability.mcse,
        interval=answer_pb2.Interval(low=low, high=high),
    )


def decode_probability(message: answer_pb2.Probability, field: str) -> Probability:
    """Return the probability a message holds.

    Raises:
        IncidentFormatError: it has no interval.
    """
    require(message, field, "interval")
    interval = (message.interval.low, message.interval.high)
    return Probability(value=message.value, mcse=message.mcse, interval=interval)
