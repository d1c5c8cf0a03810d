"""Arrays of doubles as `Tensor` messages."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from bayesrca.api.v1 import tensor_pb2
from bayesrca.errors import BayesRcaError, InvalidIncidentError

MAX_AXES = 8
_ITEM_BYTES = 8
_MAX_EXTENT = 1 << 31


def encode_tensor(array: NDArray[np.float64]) -> tensor_pb2.Tensor:
    """Return an array of any shape as a message; every bit of every element survives."""
    return tensor_pb2.Tensor(
        data=array.astype("<f8", copy=False).tobytes(),
        dtype=tensor_pb2.D_TYPE_FLOAT64,
        shape=array.shape,
    )


def decode_vector(
    message: tensor_pb2.Tensor, field: str, *, error: type[BayesRcaError] = InvalidIncidentError
) -> NDArray[np.float64]:
    """Return the one-dimensional array a message holds, [n] and read-only.

    The claimed shape is compared with the bytes that came before anything is allocated.

    Args:
        message: the message, as it came.
        field: its path in the request.
        error: class to raise.

    Raises:
        BayesRcaError: another or no dtype, a negative extent, a length that does not match the
            shape, more or fewer than one axis; the class is ``error``.
    """
    return _decode(message, field, 1, error)


def decode_matrix(
    message: tensor_pb2.Tensor, field: str, *, error: type[BayesRcaError] = InvalidIncidentError
) -> NDArray[np.float64]:
    """Return the two-dimensional array a message holds, [m, n]; otherwise as `decode_vector`."""
    return _decode(message, field, 2, error)


def _decode(
    message: tensor_pb2.Tensor, field: str, axes: int, error: type[BayesRcaError]
) -> NDArray[np.float64]:
    if message.dtype != tensor_pb2.D_TYPE_FLOAT64:
        what = "is not set" if not message.dtype else f"is {message.dtype}, which is not known"
        msg = f"the dtype of {field} {what}; it must be D_TYPE_FLOAT64"
        raise error(msg, field=f"{field}.dtype")
    if len(message.shape) > MAX_AXES:
        msg = f"{field} claims {len(message.shape)} axes; a tensor has at most {MAX_AXES}"
        raise error(msg, field=f"{field}.shape")
    shape = tuple(message.shape)
    if any(extent < 0 for extent in shape):
        msg = f"{field} claims the shape {list(shape)}; an extent cannot be negative"
        raise error(msg, field=f"{field}.shape")
    claimed = math.prod(shape) * _ITEM_BYTES
    if claimed != len(message.data):
        msg = (
            f"{field} holds {len(message.data)} bytes, but its shape {list(shape)} takes {claimed}"
        )
        raise error(msg, field=f"{field}.data")
    if len(shape) != axes:
        wanted = "one axis" if axes == 1 else f"{axes} axes"
        msg = f"{field} must have {wanted}, got the shape {list(shape)}"
        raise error(msg, field=f"{field}.shape")
    if max(shape) > _MAX_EXTENT:  # its bytes match, so another extent is 0
        msg = f"{field} claims the shape {list(shape)}; an extent is at most {_MAX_EXTENT}"
        raise error(msg, field=f"{field}.shape")
    # A view of immutable bytes, copied only where the machine's own byte order differs.
    flat = np.frombuffer(message.data, dtype="<f8").astype(np.float64, copy=False)
    return flat.reshape(shape)
