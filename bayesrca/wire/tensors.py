"""Arrays of numbers as `Tensor` messages."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from bayesrca.api.v1 import tensor_pb2
from bayesrca.errors import BayesRcaError, InvalidIncidentError

MAX_AXES = 8
_FLOAT = np.dtype(np.float64)
_INTEGERS = {
    "int8": tensor_pb2.D_TYPE_INT8,
    "int32": tensor_pb2.D_TYPE_INT32,
    "int64": tensor_pb2.D_TYPE_INT64,
}
_MAX_EXTENT = 1 << 31


def encode_tensor(array: NDArray[np.float64]) -> tensor_pb2.Tensor:
    """Return an array of any shape as a message; every bit of every element survives."""
    return tensor_pb2.Tensor(
        data=array.astype("<f8", copy=False).tobytes(),
        dtype=tensor_pb2.D_TYPE_FLOAT64,
        shape=array.shape,
    )


def encode_integers(array: NDArray[Any]) -> tensor_pb2.Tensor:
    """Return a vector of int8, int32 or int64 as a message."""
    return tensor_pb2.Tensor(
        data=array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes(),
        dtype=_INTEGERS[array.dtype.name],
        shape=array.shape,
    )


def decode_integers(message: tensor_pb2.Tensor, field: str, dtype: DTypeLike) -> NDArray[Any]:
    """Return the vector of whole numbers a message holds, [n] and read-only.

    Args:
        message: the message, as it came.
        field: its path in the request.
        dtype: int8, int32 or int64; the message must hold exactly this.

    Raises:
        InvalidIncidentError: as `decode_vector`.
    """
    return _decode(message, field, 1, InvalidIncidentError, np.dtype(dtype))


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
    message: tensor_pb2.Tensor,
    field: str,
    axes: int,
    error: type[BayesRcaError],
    dtype: np.dtype[Any] = _FLOAT,
) -> NDArray[Any]:
    wanted = _INTEGERS.get(dtype.name, tensor_pb2.D_TYPE_FLOAT64)
    if message.dtype != wanted:
        known = tensor_pb2.DType.values()
        found = tensor_pb2.DType.Name(message.dtype) if message.dtype in known else "not known"
        what = f"is {message.dtype} ({found})" if message.dtype else "is not set"
        msg = f"the dtype of {field} {what}; it must be {tensor_pb2.DType.Name(wanted)}"
        raise error(msg, field=f"{field}.dtype")
    if len(message.shape) > MAX_AXES:
        msg = f"{field} claims {len(message.shape)} axes; a tensor has at most {MAX_AXES}"
        raise error(msg, field=f"{field}.shape")
    shape = tuple(message.shape)
    if any(extent < 0 for extent in shape):
        msg = f"{field} claims the shape {list(shape)}; an extent cannot be negative"
        raise error(msg, field=f"{field}.shape")
    claimed = math.prod(shape) * dtype.itemsize
    if claimed != len(message.data):
        msg = (
            f"{field} holds {len(message.data)} bytes, but its shape {list(shape)} takes {claimed}"
        )
        raise error(msg, field=f"{field}.data")
    if len(shape) != axes:
        extents = "one axis" if axes == 1 else f"{axes} axes"
        msg = f"{field} must have {extents}, got the shape {list(shape)}"
        raise error(msg, field=f"{field}.shape")
    if max(shape) > _MAX_EXTENT:  # its bytes match, so another extent is 0
        msg = f"{field} claims the shape {list(shape)}; an extent is at most {_MAX_EXTENT}"
        raise error(msg, field=f"{field}.shape")
    # A view of immutable bytes, copied only where the machine's own byte order differs.
    flat = np.frombuffer(message.data, dtype.newbyteorder("<")).astype(dtype, copy=False)
    return flat.reshape(shape)
