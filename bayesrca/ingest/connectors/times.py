"""Times and durations as people write them."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from itertools import pairwise

from bayesrca.errors import InvalidIncidentError, InvalidSettingsError
from bayesrca.incident import TimeWindow
from bayesrca.ingest.instants import parse_instant

_UNITS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)?")
_FORMS = "seconds since the epoch, 2030-01-31T12:00:00Z, now, or -30m for half an hour ago"


def parse_duration(text: str, field: str) -> float:
    """Return the seconds of ``90``, ``90s``, ``1.5h``, ``2d``.

    Raises:
        InvalidSettingsError: anything else, or nothing above 0.
    """
    match = _DURATION.fullmatch(text.strip())
    seconds = float(match[1]) * _UNITS[match[2] or "s"] if match else 0.0
    if not 0.0 < seconds < math.inf:
        msg = f"{field} must be a duration such as 90s, 30m, 1.5h or 2d, got {text!r}"
        raise InvalidSettingsError(msg, field=field)
    return seconds


def parse_time(text: str, field: str, *, now: float) -> float:
    """Return a time in seconds since the epoch; without a zone it is UTC.

    Raises:
        InvalidSettingsError: not one of the forms.
    """
    text = text.strip()
    if text == "now":
        return now
    if text.startswith("-"):
        return now - parse_duration(text[1:], field)
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = parse_instant(text)
        except ValueError:
            seconds = math.nan
    if not math.isfinite(seconds):
        msg = f"{field} must be {_FORMS}; got {text!r}"
        raise InvalidSettingsError(msg, field=field)
    try:
        datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        msg = f"{field} {text} lies beyond the year 9999; give seconds, not milliseconds"
        raise InvalidSettingsError(msg, field=field) from None
    return seconds


def format_time(seconds: float) -> str:
    """Return a time as people read it, in UTC and to the second."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return f"{seconds:.0f}"


def parse_periods(
    start: str, end: str, baseline: str, *, now: float
) -> tuple[TimeWindow, TimeWindow | None]:
    """Return the time in question and the normal period.

    Args:
        start: of the time in question, as `parse_time` reads it.
        end: of it.
        baseline: a duration that ends where the time in question starts, ``START/END`` or
            ``none``.
        now: in seconds since the epoch.

    Raises:
        InvalidSettingsError: a time or duration that cannot be read, or a period that is empty.
    """
    window = _period(start, end, "start", "end", now)
    if baseline == "none":
        return window, None
    first, slash, last = baseline.partition("/")
    if slash:
        return window, _period(first, last, "baseline", "baseline", now)
    return window, TimeWindow(window.start - parse_duration(baseline, "baseline"), window.start)


def cut(window: TimeWindow, parts: int) -> list[tuple[float, float]]:
    """Return start and end of equal parts of a time, in order; each ends where the next begins."""
    edges = [window.start + window.duration * i / parts for i in range(parts)]
    return list(pairwise([*edges, window.end]))


def _period(start: str, end: str, first: str, last: str, now: float) -> TimeWindow:
    begins, ends = parse_time(start, first, now=now), parse_time(end, last, now=now)
    try:
        return TimeWindow(begins, ends)
    except InvalidIncidentError as error:
        raise InvalidSettingsError(str(error), field=last) from None
