"""Documents that are anything, and good documents with something wrong in them."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from copy import deepcopy
from typing import Any

from hypothesis import strategies as st

from bayesrca.errors import SourceError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
_FOREIGN: tuple[object, ...] = (
    None, True, -1, 0, 1e308, 10**400, "", "\ud800", "NaN", [], {}, [[]], [{}], {"": None},
)  # fmt: skip


def mutated(document: object, rng: random.Random) -> object:
    """The document with one or two places missing or replaced by what may not belong there."""
    copy = json.loads(json.dumps(document))
    for _ in range(rng.randrange(1, 3)):
        places: list[tuple[Any, Any]] = []
        walk(copy, places)
        if not places:
            break
        node, key = rng.choice(places)
        if isinstance(node, dict) and rng.random() < 0.3:
            del node[key]
        else:
            node[key] = deepcopy(rng.choice(_FOREIGN))
    return copy


def walk(node: Any, places: list[tuple[Any, Any]]) -> None:  # noqa: ANN401
    for key in node if isinstance(node, dict) else range(len(node)):
        places.append((node, key))
        if isinstance(node[key], dict | list):
            walk(node[key], places)


def read_or_refused(parse: Callable[[object], object], seed: object, source: str) -> None:
    """Parse many mutations of a good document: each is read, or refused by name."""
    assert parse(seed) is not None
    rng = random.Random(6)
    refused = 0
    for _ in range(2000):
        try:
            parse(mutated(seed, rng))
        except SourceError as error:
            assert str(error).startswith(f"{source}: its answer cannot be read: ")
            refused += 1
    assert 100 < refused < 2000
