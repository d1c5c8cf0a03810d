"""The model compiled once per process; incidents are swapped in by their handle."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import nutpie

from bayesrca.model.build import build_model

_lock = threading.Lock()
_compiled: Any = None


def is_warm() -> bool:
    """Whether this process has compiled the model."""
    return _compiled is not None


def warm() -> None:
    """Compile the model now (about 10 to 20 CPU seconds); harmless when repeated."""
    global _compiled  # noqa: PLW0603  one compiled model per process is the point
    with _lock:
        if _compiled is None:
            _compiled = nutpie.compile_pymc_model(build_model())


def compiled_for(handle: int) -> Any:
    """Return the compiled model reading the likelihood behind `handle`; compiles when cold."""
    warm()
    return _compiled.with_data(handle=np.array([handle], dtype=np.int64))
