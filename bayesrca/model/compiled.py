"""The model compiled once per process; incidents and priors are swapped in as its data."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import nutpie
from numpy.typing import NDArray

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


def compiled_for(
    handle: int, prior: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
) -> Any:
    """Return the compiled model of one incident; compiles when cold.

    Args:
        handle: its prepared likelihood.
        prior: means and standard deviations, [p] each, of the unconstrained theta; None for the
            built-in ones.
    """
    warm()
    data: dict[str, NDArray[Any]] = {"handle": np.array([handle], dtype=np.int64)}
    if prior is not None:
        data |= {"prior_mean": prior[0], "prior_sd": prior[1]}
    return _compiled.with_data(**data)
