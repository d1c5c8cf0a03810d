"""The model compiled once for all tests of this folder."""

from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def compiled_module() -> ModuleType:
    """`bayesrca.model.compiled`, warm; compiling must not warn (of object mode, say)."""
    from bayesrca.model import compiled

    compiled.warm()
    return compiled
