"""Typed, validated doors to the native core. The only importer of ``bayesrca._core``."""

from bayesrca.kernels.propagation import (
    PARAMETER_LAYOUT,
    PreparedLikelihood,
    ScreenDraws,
    compute_logp_grad,
    native_version,
    symbol_address,
)

__all__ = [
    "PARAMETER_LAYOUT",
    "PreparedLikelihood",
    "ScreenDraws",
    "compute_logp_grad",
    "native_version",
    "symbol_address",
]
