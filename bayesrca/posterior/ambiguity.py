"""How far a posterior decides, in words and in a number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bayesrca.posterior.result import Ambiguity

CREDIBLE_MASS = 0.9
"""What the smallest set of hypotheses has to hold together."""
MOST_CANDIDATES = 10.0
"""Effective number of hypotheses above which the answer is "no idea": no one checks so many."""
MOST_OF_ALL = 0.9
"""The same as a share of the components and "none of these", for small systems."""
_TOLERANCE = 1e-12
"""Rounding that the sum of probabilities is forgiven."""


def compute_ambiguity(
    names: Sequence[tuple[str, ...]],
    values: NDArray[np.float64],
    *,
    n_components: int,
) -> Ambiguity:
    """Say how undecided a distribution over exclusive hypotheses is.

    Args:
        names: of the m hypotheses, each by its components; the empty tuple is "none of these".
        values: [m] their probabilities; they sum to one.
        n_components: components of the system (>= 1).
    """
    p = values[values > 0.0]
    entropy = max(0.0, float(-(p * np.log(p)).sum()))
    effective = float(np.exp(entropy))
    ranked = np.argsort(-values, kind="stable")
    held = np.cumsum(values[ranked])
    size = min(int((held < CREDIBLE_MASS - _TOLERANCE).sum()) + 1, len(ranked))
    chosen = [int(i) for i in ranked[:size]]
    word = _word(size, effective, n_components)
    return Ambiguity(
        entropy=entropy,
        effective=effective,
        credible=tuple(names[i] for i in chosen),
        credible_mass=CREDIBLE_MASS,
        word=word,
        text=_sentence(word, [(say_set(names[i]), float(values[i])) for i in chosen], effective),
    )


def say_set(names: Sequence[str]) -> str:
    """Name an exclusive hypothesis in words."""
    if not names:
        return "none of these"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]} together"


def _word(size: int, effective: float, n_components: int) -> str:
    if size <= 2:
        return "clear" if size == 1 else "two candidates"
    few = min(MOST_CANDIDATES, MOST_OF_ALL * (n_components + 1))
    return "no idea" if effective > few else "ambiguous"


def _sentence(word: str, credible: list[tuple[str, float]], effective: float) -> str:
    first, p = credible[0]
    if word == "clear":
        return f"Clear: {first} holds {p:.0%} of the probability."
    if word == "two candidates":
        second, q = credible[1]
        return f"Two candidates: {first} ({p:.0%}) or {second} ({q:.0%})."
    opening = "No idea" if word == "no idea" else "Ambiguous"
    return (
        f"{opening}: {len(credible)} hypotheses are needed to hold {CREDIBLE_MASS:.0%} of the "
        f"probability, as undecided as {effective:.1f} equally probable ones."
    )
