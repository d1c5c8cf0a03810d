"""What a law is: from any bytes to a result of the domain, or an error that names its source."""

from __future__ import annotations

import atexit
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from bayesrca.errors import BayesRcaError

Law = Callable[[bytes], bool]
"""Takes any bytes. True: they were read. False: they were refused, or something of them is missing,
by an error or a note that names the source. Anything else is an exception."""


@cache
def folder() -> Path:
    """Return a folder of this process that is removed with it."""
    path = tempfile.TemporaryDirectory(prefix="bayesrca-fuzz-")
    atexit.register(path.cleanup)
    return Path(path.name)


def refused(error: BayesRcaError, source: str) -> bool:
    """Return False: an error is as good as a result if it says what it is about."""
    message = str(error)
    assert source in message, f"{message!r} does not name {source!r}"
    assert message.strip() not in (source, f"{source}:"), "it says nothing"
    assert len(message) < 2000, f"{len(message)} characters"
    message.encode()
    return False
