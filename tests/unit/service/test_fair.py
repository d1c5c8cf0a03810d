"""The fair queue: owners take turns."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bayesrca.service.fair import FairQueue


def everything(_: object) -> bool:
    return True


def drained(queue: FairQueue[str]) -> str:
    taken = []
    while (item := queue.take(everything)) is not None:
        taken.append(item)
    return " ".join(taken)


def filled(*items: str) -> FairQueue[str]:
    queue: FairQueue[str] = FairQueue()
    for item in items:
        queue.push(item[0], item)
    return queue


def test_owners_take_turns_and_each_ones_items_keep_their_order() -> None:
    assert drained(filled("a1", "a2", "a3", "b1", "b2", "c1")) == "a1 b1 c1 a2 b2 a3"


def test_one_who_comes_later_does_not_wait_for_all_of_anothers() -> None:
    queue = filled("a1", "a2", "a3")
    assert queue.take(everything) == "a1"
    queue.push("b", "b1")
    assert drained(queue) == "a2 b1 a3"


def test_what_does_not_suit_keeps_its_turn() -> None:
    queue = filled("a1", "a2", "b1")
    assert queue.take(lambda item: item == "b1") == "b1"
    assert queue.take(lambda item: item.endswith("2")) == "a2"
    assert queue.take(lambda _: False) is None
    assert drained(queue) == "a1"


def test_what_is_given_back_is_next() -> None:
    queue = filled("a1", "a2", "b1")
    assert queue.take(everything) == "a1"
    queue.push_back("a", "a1")
    assert drained(queue) == "a1 b1 a2"


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["push", "take", "drop"]))))
def test_nothing_is_lost_or_made_up(steps: list[tuple[str, str]]) -> None:
    queue: FairQueue[str] = FairQueue()
    held: list[str] = []
    for number, (owner, step) in enumerate(steps):
        if step == "push":
            queue.push(owner, f"{owner}{number}")
            held.append(f"{owner}{number}")
        elif step == "take":
            taken = queue.take(everything)
            assert (taken is None) == (not held)
            if taken is not None:
                held.remove(taken)
        elif held:
            queue.discard(held[0][0], held.pop(0))
        assert sorted(queue) == sorted(held)
        assert len(queue) == len(held)
