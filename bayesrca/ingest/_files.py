"""Reading the parts of an incident folder so that every failure names the file and a remedy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from bayesrca.errors import IncidentFormatError, InvalidIncidentError


def reject(path: Path, problem: str, *, field: str = "") -> NoReturn:
    """Raise an `IncidentFormatError` about this file."""
    msg = f"{path}: {problem}"
    raise IncidentFormatError(msg, field=field)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Put the file's name in front of what is wrong with the incident it describes."""
    try:
        yield
    except InvalidIncidentError as error:
        msg = f"{path}: {error}"
        raise InvalidIncidentError(msg, field=error.field) from error


def read_json(path: Path) -> object:
    """Return the parsed content of a JSON file, or None when there is no such file.

    Raises:
        IncidentFormatError: the file cannot be read or is not JSON.
    """
    try:
        content: object = json.loads(path.read_text(encoding="utf-8-sig"))
        return content
    except FileNotFoundError:
        return None
    except OSError as error:
        reject(path, f"cannot be read ({error.strerror}); check the file and its permissions")
    except RecursionError:
        reject(path, "is nested too deeply to be read; write it as the documentation shows")
    except ValueError as error:  # both bad UTF-8 and bad JSON
        reject(path, f"is not JSON ({error}); write the file anew")


def expect_object(path: Path, value: object, what: str = "its content") -> dict[str, Any]:
    """Return the value if it is a JSON object, else reject the file."""
    if not isinstance(value, dict):
        reject(path, f"{what} must be a JSON object, got {shorten(value)}", field=what)
    return value


def expect_list(path: Path, value: object, what: str) -> list[Any]:
    """Return the value if it is a JSON array, else reject the file."""
    if not isinstance(value, list):
        reject(path, f"{what} must be a JSON array, got {shorten(value)}", field=what)
    return value


def expect_text(path: Path, value: object, what: str) -> str:
    """Return the value if it is a JSON string, else reject the file."""
    if not isinstance(value, str):
        reject(path, f"{what} must be text, got {shorten(value)}", field=what)
    return value


def expect_known_keys(path: Path, value: dict[str, Any], known: set[str], what: str) -> None:
    """Reject the file when the object holds a key that means nothing here, likely a slip."""
    for key in value:
        if key not in known:
            reject(path, f"{what} has unknown key {key!r}; known: {', '.join(sorted(known))}")


def shorten(value: object) -> str:
    """Show the value in at most 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
