"""Instants as text."""

from __future__ import annotations

from datetime import UTC, datetime


def parse_instant(text: str) -> float:
    """Return a time written as ISO 8601, UTC unless it says otherwise, in seconds.

    Raises:
        ValueError: it is none.
    """
    moment = datetime.fromisoformat(text)
    try:
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except OverflowError as error:
        raise ValueError(text) from error
