"""How the command line writes: all of it or a sentence why not."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bayesrca.errors import InvalidSettingsError, KernelError

if TYPE_CHECKING:
    from rich.console import RenderableType


_PICTURES = (".pdf", ".png", ".svg")


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


def check_plot_file(path: Path) -> None:
    """Refuse, before anything is computed, a picture that no name ending tells the form of.

    Raises:
        InvalidSettingsError: its suffix is none of .pdf, .png and .svg.
    """
    if path.suffix.lower() not in _PICTURES:
        msg = f"cannot plot into {path}: its name must end with {', '.join(_PICTURES)}"
        raise InvalidSettingsError(msg, field="plot")


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


def show(what: RenderableType) -> None:
    """Print a table or a report; off a terminal without wrapping at an assumed 80 columns.

    Raises:
        OutputError: as `say`.
    """
    from rich.console import Console  # noqa: PLC0415  keeps --help fast

    console = Console() if sys.stdout.isatty() else Console(width=160, highlight=False)
    with console.capture() as text:
        console.print(what, soft_wrap=False)
    say(text.get())


@contextmanager
def progress(first: str) -> Iterator[Callable[[str, float, float], None]]:
    """A bar on standard error, if that is a terminal; yields what to tell.

    It is told what is going on, how much is done, and of how much.
    """
    from rich.console import Console  # noqa: PLC0415  keeps --help fast
    from rich.progress import Progress  # noqa: PLC0415

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(first, total=None)

        def tell(what: str, done: float, of: float) -> None:
            bar.update(task, description=what, completed=done, total=of)

        yield tell


@contextmanager
def counting(first: str) -> Iterator[Callable[[int, int], None]]:
    """The same for things that are counted: told how many are done, and of how many."""
    with progress(first) as tell:
        yield lambda done, of: tell(f"{done} of {of}", done, of)


def raise_stopped(stopped: str) -> None:
    """End a run that stopped early as what stopped it would have; empty when it did not.

    Raises:
        KeyboardInterrupt: the user stopped it.
        KernelError: something else did.
    """
    if stopped == "interrupted":
        raise KeyboardInterrupt
    if stopped:
        raise KernelError(stopped)


def write_json(path: Path, document: object) -> None:
    """Write a document as JSON.

    Raises:
        OutputError: as `write_file`.
    """
    write_file(path, (json.dumps(document, indent=1, allow_nan=False) + "\n").encode())
