"""Arrays of doubles as `Tensor` messages."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from bayesrca.api.v1 import tensor_pb2
from bayesrca.errors import InvalidIncidentError

MAX_AXES = 8
_ITEM_BYTES = 8


def encode_tensor(array: NDArray[np.float64]) -> tensor_pb2.Tensor:
    """Return an array of any shape as a message; every bit of every element survives."""
    return tensor_pb2.Tensor(
        data=array.astype("<f8", copy=False).tobytes(),
        dtype=tensor_pb2.D_TYPE_FLOAT64,
        shape=array.shape,
    )


def decode_vector(message: tensor_pb2.Tensor, field: str) -> NDArray[np.float64]:
    """Return the one-dimensional array a message holds, [n] and read-only.

    The claimed shape is compared with the bytes that came before anything is allocated.

    Raises:
        InvalidIncidentError: another or no dtype, a negative extent, a length that does not match
            the shape, more or fewer than one axis.
    """
    if message.dtype != tensor_pb2.D_TYPE_FLOAT64:
        what = "is not set" if not message.dtype else f"is {message.dtype}, which is not known"
        msg = f"the dtype of {field} {what}; it must be D_TYPE_FLOAT64"
        raise InvalidIncidentError(msg, field=f"{field}.dtype")
    if len(message.shape) > MAX_AXES:
        msg = f"{field} claims {len(message.shape)} axes; a tensor has at most {MAX_AXES}"
        raise InvalidIncidentError(msg, field=f"{field}.shape")
    shape = tuple(message.shape)
    if any(extent < 0 for extent in shape):
        msg = f"{field} claims the shape {list(shape)}; an extent cannot be negative"
        raise InvalidIncidentError(msg, field=f"{field}.shape")
    claimed = math.prod(shape) * _ITEM_BYTES
    if claimed != len(message.data):
        msg = (
            f"{field} holds {len(message.data)} bytes, but its shape {list(shape)} takes {claimed}"
        )
        raise InvalidIncidentError(msg, field=f"{field}.data")
    if len(shape) != 1:
        msg = f"{field} must have one axis, got the shape {list(shape)}"
        raise InvalidIncidentError(msg, field=f"{field}.shape")
    # A view of immutable bytes, copied only where the machine's own byte order differs.
    return np.frombuffer(message.data, dtype="<f8").astype(np.float64, copy=False)
