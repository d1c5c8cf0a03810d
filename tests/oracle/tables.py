"""Random spans and log records, as odd as the domain allows."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from bayesrca.incident import Logs, Spans

TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
NAMES = (TEXT | st.sampled_from(["\x00", "root", "0", "a b"])).filter(bool)


def vectors(elements: st.SearchStrategy[int], n: int) -> st.SearchStrategy[Any]:
    return st.lists(elements, min_size=n, max_size=n)


def tables_of(texts: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(texts, min_size=1, max_size=4, unique=True).map(tuple)


@st.composite
def spans(draw: st.DrawFn, names: tuple[str, ...]) -> Spans:
    """Spans in any order, names that no row uses, names in an order that no row tells."""
    n = draw(st.integers(1, 8))
    components = tuple(draw(st.permutations(names)))
    operations, codes = draw(tables_of(TEXT)), draw(tables_of(NAMES))
    traces = draw(tables_of(NAMES))
    trace = draw(vectors(st.integers(0, len(traces) - 1), n))
    above = [[-1, *(j for j in range(i) if trace[j] == trace[i])] for i in range(n)]
    times = st.integers(-(2**63), 2**62 - 1)
    return Spans(
        components,
        operations,
        codes,
        traces,
        draw(vectors(st.integers(0, len(components) - 1), n)),
        draw(vectors(st.integers(0, len(operations) - 1), n)),
        draw(vectors(st.integers(-1, len(codes) - 1), n)),
        trace,
        np.array([draw(st.sampled_from(rows)) for rows in above]),
        draw(vectors(times, n)),
        draw(vectors(st.integers(0, 2**62), n)),
        draw(vectors(st.integers(0, 5), n)),
        draw(vectors(st.integers(0, 2), n)),
        draw(vectors(st.integers(-1, len(components) - 1), n)),
        tuple(draw(st.lists(NAMES, max_size=2, unique=True))),
    )


@st.composite
def logs(draw: st.DrawFn, names: tuple[str, ...], n_spans: int) -> Logs:
    """Log records; the same one twice is legal, and so is JSON in a body."""
    n = draw(st.integers(1, 6))
    texts = draw(tables_of(TEXT | st.just('{"log": "INFO a.B#1 x"}')))
    codes = draw(tables_of(NAMES))
    return Logs(
        names,
        texts,
        codes,
        draw(vectors(st.integers(0, len(names) - 1), n)),
        draw(vectors(st.integers(0, len(texts) - 1), n)),
        draw(vectors(st.integers(-5, 5), n)),
        draw(vectors(st.integers(0, 24), n)),
        draw(vectors(st.integers(-1, n_spans - 1), n)),
        draw(vectors(st.integers(-1, len(codes) - 1), n)),
        tuple(draw(st.lists(NAMES, max_size=2, unique=True))),
    )


@st.composite
def recordings(draw: st.DrawFn, names: tuple[str, ...]) -> tuple[Spans | None, Logs | None]:
    traced = draw(st.none() | spans(names))
    return traced, draw(st.none() | logs(names, 0 if traced is None else len(traced)))
