"""Checks shared by the domain's constructors."""

from __future__ import annotations

import math
from collections.abc import Iterable
from enum import StrEnum

from bayesrca.errors import InvalidIncidentError


def require_text(value: object, what: str, field: str) -> None:
    """Require a non-empty string that UTF-8 can hold; any other character is legal in a name."""
    require_unicode(value, what, field)
    if not value:
        msg = f"{what} is empty; give it a name"
        raise InvalidIncidentError(msg, field=field)


def require_unicode(value: object, what: str, field: str) -> None:
    """Require text, maybe empty, without lone surrogates: no file or message could carry them."""
    if not isinstance(value, str):
        msg = f"{what} must be text, got {value!r}"
        raise InvalidIncidentError(msg, field=field)
    try:
        value.encode()
    except UnicodeEncodeError:
        msg = f"{what} {value!r} is not valid Unicode; decode it properly before passing it on"
        raise InvalidIncidentError(msg, field=field) from None


def require_finite(value: object, what: str, field: str) -> float:
    """Return the value as a float; raise unless it is a finite real number."""
    if isinstance(value, bool | str | bytes):
        msg = f"{what} must be a number of seconds, got {value!r}"
        raise InvalidIncidentError(msg, field=field)
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        msg = f"{what} must be a number of seconds, got {value!r}"
        raise InvalidIncidentError(msg, field=field) from None
    if not math.isfinite(number):
        msg = f"{what} must be finite, got {number}"
        raise InvalidIncidentError(msg, field=field)
    return number


def require_all(expected: type, items: Iterable[object], field: str) -> None:
    """Require every item to be an instance of the expected type."""
    for i, item in enumerate(items):
        if not isinstance(item, expected):
            msg = f"{field}[{i}] must be of type {expected.__name__}, got {item!r}"
            raise InvalidIncidentError(msg, field=f"{field}[{i}]")


def require_member[E: StrEnum](vocabulary: type[E], value: object, what: str, field: str) -> E:
    """Return the member of the vocabulary that `value` is or spells."""
    try:
        return vocabulary(str(value))
    except ValueError:
        msg = f"{what} must be one of {', '.join(vocabulary)}; got {value!r}"
        raise InvalidIncidentError(msg, field=field) from None
