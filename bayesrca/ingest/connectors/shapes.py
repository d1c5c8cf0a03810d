"""Reading foreign JSON: every breach names the source and the place."""

from __future__ import annotations

import math
from typing import Any, NoReturn

from bayesrca.errors import SourceError
from bayesrca.ingest.instants import parse_instant


class Shapes:
    """Takes apart the answers of one source.

    Args:
        source: the source's name in messages.
    """

    def __init__(self, source: str) -> None:
        self.source = source

    def reject(self, problem: str) -> NoReturn:
        """Raise a `SourceError` about the answer's form."""
        msg = f"its answer cannot be read: {problem}; is it another version or another server?"
        raise SourceError(msg, source=self.source)

    def table(self, value: object, what: str) -> dict[str, Any]:
        """Return the value if it is a JSON object."""
        if not isinstance(value, dict):
            self.reject(f"{what} must be an object, got {_shorten(value)}")
        return value

    def items(self, value: object, what: str) -> list[Any]:
        """Return the value if it is a JSON array."""
        if not isinstance(value, list):
            self.reject(f"{what} must be an array, got {_shorten(value)}")
        return value

    def text(self, value: object, what: str) -> str:
        """Return the value if it is text that UTF-8 can hold."""
        if not isinstance(value, str):
            self.reject(f"{what} must be text, got {_shorten(value)}")
        try:
            value.encode()
        except UnicodeEncodeError:
            self.reject(f"{what} is not valid Unicode")
        return value

    def labels(self, value: object, what: str) -> dict[str, str]:
        """Return the value if it is an object of texts."""
        labels = self.table(value, what)
        return {self.text(k, what): self.text(v, f"{what}.{k}") for k, v in labels.items()}

    def number(self, value: object, what: str) -> float:
        """Return the value if it is a finite number, not one written as text."""
        if isinstance(value, int | float) and not isinstance(value, bool):
            try:
                number = float(value)
            except OverflowError:
                number = math.inf
            if math.isfinite(number):
                return number
        self.reject(f"{what} must be a finite number, got {_shorten(value)}")

    def whole(self, value: object, what: str) -> int | None:
        """Return a whole number that 63 bits hold, written as one or as text; None for none."""
        if value is None:
            return None
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 19:
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63:
            return value
        self.reject(f"{what} must hold whole numbers, got {_shorten(value)}")

    def word(self, value: object, what: str) -> str | None:
        """Return a member of an enumeration, as its number or its name, as text; None for none."""
        if value is None:
            return None
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        return self.text(value, what)

    def instant(self, value: object, what: str) -> float:
        """Return a time written as ISO 8601, UTC unless it says otherwise, in seconds."""
        text = self.text(value, what)
        try:
            return parse_instant(text)
        except ValueError:
            self.reject(f"{what} must be a time like 2030-01-31T12:00:00Z, got {_shorten(value)}")


def _shorten(value: object) -> str:
    """Show the value in at most 60 characters, however large it is."""
    if isinstance(value, dict | list):
        return f"{'an object' if isinstance(value, dict) else 'an array'} of {len(value)}"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
