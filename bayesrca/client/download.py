"""A file on its way from the server, checked as it comes."""

from __future__ import annotations

import hashlib
import os
import uuid
from pathlib import Path
from types import TracebackType
from typing import Self

from bayesrca.api.v1 import root_cause_service_pb2 as pb
from bayesrca.errors import ServiceError


class Download:
    """Takes chunks in order, and names the file only when all of it is there and right.

    To be used as a context manager: what is not finished leaves nothing behind.

    Args:
        path: what the file is called in the end; one of that name is replaced.

    Raises:
        OSError: the folder cannot be written to.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        self._file = self._part.open("xb")
        self._hash = hashlib.sha256()
        self._sha256, self._size = "", -1
        self.offset = 0
        """Bytes taken so far: where to go on after an interruption."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
        self._part.unlink(missing_ok=True)

    def take(self, message: pb.StreamInferenceDataResponse) -> None:
        """Write the next chunk.

        Raises:
            ServiceError: it is not what the server says it is (``BAD_ANSWER``).
        """
        if message.HasField("inference_data"):
            whole = message.inference_data.sha256, message.inference_data.size_bytes
            if self._size >= 0 and whole != (self._sha256, self._size):
                raise _damaged("the draws changed in the middle")
            self._sha256, self._size = whole
        if message.offset_bytes != self.offset:
            raise _damaged(f"byte {message.offset_bytes} came after byte {self.offset}")
        if hashlib.sha256(message.chunk).hexdigest() != message.chunk_sha256:
            raise _damaged(f"the chunk at byte {self.offset} was damaged on its way")
        self._file.write(message.chunk)
        self._hash.update(message.chunk)
        self.offset += len(message.chunk)

    def finish(self) -> None:
        """Check the whole and give it its name.

        Raises:
            ServiceError: it is not whole, or not what the server stored (``BAD_ANSWER``).
        """
        if self.offset != self._size or self._hash.hexdigest() != self._sha256:
            raise _damaged(f"{self.offset} bytes came, and they are not the stored ones")
        self._file.flush()
        os.fsync(self._file.fileno())
        self._part.replace(self._path)


def _damaged(what: str) -> ServiceError:
    return ServiceError(f"the download failed: {what}; try again", reason="BAD_ANSWER")
