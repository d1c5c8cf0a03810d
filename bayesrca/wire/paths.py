"""Errors that name the field of the request they are about."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from bayesrca.errors import BayesRcaError

# The domain's name of a field, where the message calls it differently.
_RENAMED: Mapping[str, str] = {
    "deadline": "deadline_seconds",
    "end": "end_seconds",
    "start": "start_seconds",
    "time": "time_seconds",
}


@contextmanager
def located(path: str, rename: Callable[[str], str] | None = None) -> Iterator[None]:
    """Move the ``field`` of an error raised inside below `path`.

    Args:
        path: path of the message being read, e.g. ``incident.signals[3]``.
        rename: gives the full path for a domain field, where "below `path`" would be wrong.

    Raises:
        BayesRcaError: the same error, its ``field`` now a path of the request.
    """
    try:
        yield
    except BayesRcaError as error:
        if rename is not None:
            error.field = rename(error.field)
        else:
            error.field = join(path, error.field)
        raise


def join(path: str, field: str) -> str:
    """Return the request's path of a domain field below `path`; an empty field is `path` itself."""
    if not field:
        return path
    head, dot, last = field.rpartition(".")
    return f"{path}.{head}{dot}{_RENAMED.get(last, last)}"
