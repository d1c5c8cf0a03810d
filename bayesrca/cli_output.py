"""How the command line writes: all of it or a sentence why not."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from bayesrca.errors import InvalidSettingsError


class OutputError(Exception):
    """The answer exists but could not be written; no `OSError`, which Typer would handle."""


def check_file(path: Path, field: str) -> None:
    """Refuse, before anything is computed, a file that cannot be written.

    Raises:
        InvalidSettingsError: its folder does not exist or may not be written to.
    """
    problem = ""
    if not path.parent.is_dir():
        problem = f"cannot write {path}: the folder {path.parent} does not exist"
    elif not os.access(path.parent, os.W_OK | os.X_OK):
        problem = f"cannot write {path}: the folder {path.parent} may not be written to"
    if problem:
        raise InvalidSettingsError(problem, field=field)


def write_file(path: Path, content: bytes | memoryview) -> None:
    """Write beside the target first, so that no half-written file is left.

    Raises:
        OutputError: it cannot be written; an older file of the name is left as it was.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    except OSError as error:
        msg = f"cannot write {path}: {error.strerror or error}"
        raise OutputError(msg) from error
    finally:
        partial.unlink(missing_ok=True)


def say(text: str) -> None:
    """Write to standard output, all of it, now.

    Raises:
        OutputError: it cannot be written. A reader that has left, as `head` does, is no error.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        silence()
        if not isinstance(error, BrokenPipeError):
            msg = f"cannot write to standard output: {error.strerror or error}"
            raise OutputError(msg) from error


def silence() -> None:
    """Drop what is still buffered, so that the interpreter's end does not try it again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
