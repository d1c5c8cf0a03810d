"""The PyMC model: priors, the likelihood as an Op, sampling and the fast screen.

The only importer of PyMC, PyTensor and nutpie. Importing this package loads none of them; `warm`
and the sampling functions do when called.
"""

from __future__ import annotations

import sys


def is_warm() -> bool:
    """Whether this process has compiled the model, so that sampling starts at once."""
    compiled = sys.modules.get("bayesrca.model.compiled")
    return compiled is not None and compiled.is_warm()


def warm() -> None:
    """Load PyMC and compile the model now, about 10 to 20 CPU seconds; harmless when repeated."""
    from bayesrca.model import compiled  # noqa: PLC0415  loads PyMC

    compiled.warm()
