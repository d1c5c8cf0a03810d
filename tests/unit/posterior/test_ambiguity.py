"""How undecided an answer is."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayesrca.posterior.ambiguity import CREDIBLE_MASS, compute_ambiguity
from bayesrca.posterior.result import Ambiguity

WEIGHTS = st.lists(st.floats(1e-6, 1.0), min_size=2, max_size=9)


def ambiguity(*p: float, n_components: int | None = None) -> Ambiguity:
    """Of hypotheses c0, c1 ... and, last, none of these."""
    names = [*((f"c{i}",) for i in range(len(p) - 1)), ()]
    size = len(p) - 1 if n_components is None else n_components
    return compute_ambiguity(names, np.array(p), n_components=max(size, 1))


@given(WEIGHTS, st.integers(0, 10**6))
def test_the_order_of_hypotheses_and_the_impossible_do_not_matter(
    weights: list[float], seed: int
) -> None:
    p = np.array(weights) / np.sum(weights)
    one, other = ambiguity(*p), ambiguity(*np.random.default_rng(seed).permutation(p))
    assert one.entropy == pytest.approx(other.entropy, abs=1e-12)
    assert one.word == other.word
    longer = ambiguity(*p, 0.0, 0.0)
    assert longer.entropy == pytest.approx(one.entropy, abs=1e-12)
    assert len(longer.credible) == len(one.credible)


@given(WEIGHTS)
def test_entropy_is_between_certainty_and_indifference(weights: list[float]) -> None:
    p = np.array(weights) / np.sum(weights)
    found = ambiguity(*p)
    assert 0.0 <= found.entropy <= math.log(len(p)) + 1e-12
    assert found.effective == pytest.approx(math.exp(found.entropy))
    merged = ambiguity(p[0] + p[1], *p[2:])  # telling less apart
    assert merged.entropy <= found.entropy + 1e-12
    # Splitting one in two halves adds its mass times ln 2.
    split = ambiguity(p[0] / 2, p[0] / 2, *p[1:])
    assert split.entropy == pytest.approx(found.entropy + p[0] * math.log(2.0))


@given(WEIGHTS)
def test_no_smaller_set_holds_the_mass(weights: list[float]) -> None:
    p = np.array(weights) / np.sum(weights)
    found = ambiguity(*p)
    names = [*((f"c{i}",) for i in range(len(p) - 1)), ()]
    held = sum(p[names.index(n)] for n in found.credible)
    assert held >= CREDIBLE_MASS - 1e-9
    for smaller in combinations(p, len(found.credible) - 1):
        assert sum(smaller) < CREDIBLE_MASS


@pytest.mark.parametrize(
    ("p", "word", "size"),
    [
        ((1.0, 0.0), "clear", 1),
        ((0.9, 0.05, 0.05), "clear", 1),
        ((0.05, 0.05, 0.9), "clear", 1),
        ((0.89, 0.06, 0.05), "two candidates", 2),
        ((0.5, 0.5), "two candidates", 2),
        ((0.5, 0.3, 0.1, 0.1), "ambiguous", 3),
        ((0.25,) * 4, "no idea", 4),
        ((1 / 30,) * 30, "no idea", 27),
        ((0.2, 0.2, 0.2, 0.2, *(0.05,) * 4, *(0.0,) * 40), "ambiguous", 6),
    ],
)
def test_words(p: tuple[float, ...], word: str, size: int) -> None:
    found = ambiguity(*p)
    assert found.word == word
    assert len(found.credible) == size
    assert found.text.lower().startswith(word)


def test_uniform_over_k_is_k_hypotheses() -> None:
    found = ambiguity(*(0.1,) * 10, n_components=50)
    assert found.effective == pytest.approx(10.0)
    assert found.word == "ambiguous"
    assert ambiguity(*(1 / 11,) * 11, n_components=50).word == "no idea"


def test_hypotheses_are_named() -> None:
    names = [("a",), ("a", "b", "c"), ()]
    found = compute_ambiguity(names, np.array([0.3, 0.65, 0.05]), n_components=3)
    assert found.credible == (("a", "b", "c"), ("a",))
    assert found.text == "Two candidates: a, b and c together (65%) or a (30%)."
    none = compute_ambiguity(names, np.array([0.0, 0.02, 0.98]), n_components=3)
    assert none.credible == ((),)
    assert none.text == "Clear: none of these holds 98% of the probability."
