"""What had to be assumed about single series, told in one sentence however many they are."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

SHOWN = 3
"""Names a sentence lists before it only counts."""


class Remark(Enum):
    """Something a reader of the answer has to know: whom it is about, and the sentence."""

    UNALIGNED = (
        "component",
        "Request counts of {who} were sampled at other times than their latency or errors: they "
        "were not used, so these have no weights and no excess work.",
    )
    UNKNOWN_UNIT = (
        "component",
        "The latency of {who} comes in another unit than the rest, or in none that is known: the "
        "excess time there was not compared; give every latency the unit s, ms, us or ns.",
    )
    PERCENT = (
        "series",
        "Shares above 1 that carry no percent sign were read as percent in {who}; "
        "give them the unit '%'.",
    )
    CUT_SHARE = ("series", "Shares below 0 or above 1 were cut off in {who}.")
    DEFAULT_SCALE = (
        "series",
        "The baseline holds too few samples of {who} to tell how much they change when nothing is "
        "wrong: a wide default was used.",
    )
    COPY = (
        "series",
        "Left out because they repeat another series of their component and family, in the same "
        "unit or another: {who}.",
    )
    TWIN = (
        "series",
        "Equal to a series of another component, sample by sample: {who}. One thing may have been "
        "measured for several components and then counts for each.",
    )
    LARGEST = (
        "series",
        "Changes of more than 3000 null scales were taken as 3000 in {who}.",
    )


class Remarks:
    """Collects remarks; whoever is named twice counts once."""

    def __init__(self) -> None:
        self._names: dict[Remark, dict[str, None]] = {remark: {} for remark in Remark}

    def add(self, remark: Remark, name: str) -> None:
        """Remember that a remark applies to a component or series."""
        self._names[remark][name] = None

    def sentences(self) -> list[str]:
        """Return one sentence per remark that applies to anything."""
        return [
            remark.value[1].format(who=_count(len(names), remark.value[0], list(names)))
            for remark, names in self._names.items()
            if names
        ]


def _count(n: int, noun: str, names: Sequence[str]) -> str:
    plural = noun if n == 1 or noun == "series" else f"{noun}s"
    return f"{n} {plural} ({shorten(names)})"


def shorten(names: Sequence[str]) -> str:
    """Join the first few names; an ellipsis stands for the rest."""
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
