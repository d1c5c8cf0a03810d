"""Inputs made of others: JSON with something wrong in it, or bytes changed blindly."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

from tests.unit.ingest.connectors.mutate import mutated, walk

Blindly = Callable[[bytes, int], bytes]
_PIECES = (
    b"[" * 3000, b'{"a":' * 3000, b"1e999", b"NaN", b"-Infinity", b"1" * 400, b"\\ud800", b"\xff",
    b"<html>", b"\0", b'{"time": 1, "time": 2}', b"-0.0", b"9223372036854775808", b"9" * 5000,
)  # fmt: skip


def mutate(data: bytes, most: int, seed: int, blindly: Blindly | None = None) -> bytes:
    """Return another input of at most so many bytes; the same for the same seed.

    Args:
        data: the input.
        most: bytes.
        seed: of the random choices.
        blindly: changes bytes without knowing what they mean; by default a few places are
            changed, repeated, cut or replaced by what parsers stumble over.
    """
    rng = random.Random(seed)
    if rng.random() < 0.7:
        try:
            document = json.loads(data)
        except (ValueError, RecursionError):
            document = None
        if isinstance(document, dict | list):
            changed = _crossed(mutated(document, rng), document, rng)
            out = json.dumps(changed).encode()
            if len(out) <= most:
                return out
    return (blindly or (lambda d, n: _damaged(d, rng)[:n]))(data, most)[:most]


def _crossed(changed: object, document: object, rng: random.Random) -> object:
    """Put a part of the one document into the other, now and then."""
    if rng.random() < 0.5 or not isinstance(changed, dict | list):
        return changed
    here: list[tuple[object, object]] = []
    there: list[tuple[object, object]] = []
    walk(changed, here)
    walk(document, there)
    if here and there:
        (node, key), (other, place) = rng.choice(here), rng.choice(there)
        node[key] = json.loads(json.dumps(other[place]))  # type: ignore[index]
    return changed


def _damaged(data: bytes, rng: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(out) + 1)
        match rng.randrange(5):
            case 0:
                out[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                out[at : at + rng.randrange(1, 40)] = b""
            case 2:
                out[at:at] = out[at : at + rng.randrange(1, 40)]
            case 3:
                del out[at:]
            case _:
                out[at:at] = rng.choice(_PIECES)
    return bytes(out)
