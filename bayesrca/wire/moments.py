"""Seconds of Unix time to timestamps and back, exact to the microsecond."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp


def set_moment(stamp: Timestamp, seconds: float) -> None:
    """Set a message's field to a moment between the years 1 and 9999."""
    stamp.FromMicroseconds(round(seconds * 1e6))


def seconds_of(stamp: Timestamp) -> float:
    """Return the moment a message holds."""
    return float(stamp.ToMicroseconds() / 1e6)


def to_microsecond(seconds: float) -> float:
    """Return what is left of a moment that has travelled."""
    return round(seconds * 1e6) / 1e6
