"""The native likelihood as a PyTensor operation.

Compiled code calls the core's C function by name: no Python, no GIL, no copy of the evidence. The
evidence stays behind an integer handle, so one compiled model serves every incident.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
import numpy as np
import pytensor.tensor as pt
from numba import types
from pytensor.gradient import DisconnectedType
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.op import Op
from pytensor.link.numba.dispatch.basic import (
    numba_njit,
    register_funcify_default_op_cache_key,
)

from bayesrca.kernels import propagation

_SYMBOL = "bayesrca_logp_grad"
_ABI_VERSION = 1
"""Bumped when the C function's signature changes: part of the compile cache's key."""

llvm.add_symbol(_SYMBOL, propagation.symbol_address(_SYMBOL))
_double_p = types.CPointer(types.double)
# A function known by name, not by address, may be kept in the compile cache.
_logp_grad = types.ExternalFunction(
    _SYMBOL, types.int64(types.int64, _double_p, _double_p, _double_p)
)


class PropagationLogp(Op):  # type: ignore[misc]  # PyTensor's Op is untyped
    """``(handle[1], theta[p]) -> (logp, d logp / d theta [p])``, one native call for both."""

    __props__ = ()

    def make_node(self, handle: Variable, theta: Variable) -> Apply:
        """Build the node; the handle comes in whatever integer type PyMC's data has."""
        inputs = [pt.as_tensor(handle).astype("int64"), pt.as_tensor(theta).astype("float64")]
        return Apply(self, inputs, [pt.dscalar(), pt.dvector()])

    def infer_shape(self, node: Apply, shapes: list[Any]) -> list[Any]:
        """Scalar, and the shape of theta."""
        return [(), shapes[1]]

    def perform(self, node: Apply, inputs: list[Any], output_storage: list[Any]) -> None:
        """Evaluate in Python; compiled code never comes here."""
        logp, gradient = propagation.compute_logp_grad(int(inputs[0][0]), inputs[1])
        output_storage[0][0] = np.asarray(logp)
        output_storage[1][0] = gradient

    def pullback(
        self, inputs: list[Variable], outputs: list[Variable], cotangents: list[Variable]
    ) -> list[Variable]:
        """Vector-Jacobian product of the log likelihood; the gradient's own is not defined."""
        return [DisconnectedType()(), cotangents[0] * outputs[1]]

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        """The handle is connected to nothing."""
        return [[False, False], [True, False]]


@register_funcify_default_op_cache_key(PropagationLogp)  # type: ignore[untyped-decorator]
def _compile(op: PropagationLogp, node: Apply, **kwargs: Any) -> tuple[Callable[..., Any], int]:
    @numba_njit  # type: ignore[untyped-decorator]
    def logp_grad(handle: Any, theta: Any) -> Any:
        # A view may be strided; the C function reads consecutive doubles.
        flat = np.ascontiguousarray(theta)
        logp = np.empty(1)
        gradient = np.empty(flat.shape[0])
        if _logp_grad(handle[0], flat.ctypes, logp.ctypes, gradient.ctypes) != 0:
            logp[0] = np.nan
            gradient[:] = np.nan
        return logp.reshape(()), gradient

    return logp_grad, _ABI_VERSION
