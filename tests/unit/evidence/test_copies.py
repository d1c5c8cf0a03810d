import numpy as np

from bayesrca.evidence.frame import build_frame
from bayesrca.evidence.remarks import Remarks
from bayesrca.evidence.vitals import VitalTable, build_vitals
from bayesrca.incident import Family, Signal, Statistic
from tests.unit.evidence.kit import TIME, Floats, incident, noisy, series

BASE = noisy(10.0, 20.0)


def cpu(name: str, values: object, component: str = "front", time: Floats = TIME) -> Signal:
    return series(component, values, Family.CPU, Statistic.VALUE, name=name, time=time)


def reduce(*signals: Signal) -> tuple[VitalTable, list[str]]:
    made = incident(*signals)
    frame = build_frame(made, made.signals, 5, [])
    remarks = Remarks()
    return build_vitals(made, frame, remarks), remarks.sentences()


def test_repeats_are_left_out_once_and_told() -> None:
    table, notes = reduce(
        cpu("cores", BASE),
        cpu("percent", 25.0 * BASE),
        cpu("shifted", BASE / 3.0 - 7.0),
        cpu("again", BASE),
        cpu("other", noisy(10.0, 20.0, seed=1)),
    )
    assert table.signal == ("cores", "other")
    (note,) = notes
    assert "3 series ('front|percent', 'front|shifted', 'front|again')" in note


def test_what_only_resembles_is_kept() -> None:
    nearly = BASE.copy()
    nearly[3] += 0.01
    gap = BASE.copy()
    gap[3] = np.nan
    table, notes = reduce(
        cpu("used", BASE),
        cpu("idle", 100.0 - BASE),
        cpu("nearly", nearly),
        cpu("gap", gap),
        cpu("late", BASE, time=TIME + 1.0),
    )
    assert table.signal == ("used", "idle", "nearly", "gap", "late")
    assert not notes


def test_constants_repeat_equal_ones_only() -> None:
    table, _ = reduce(
        cpu("four", 4.0), cpu("two", 2.0), cpu("quattro", 4.0), cpu("varying", BASE), cpu("zero", 0)
    )
    assert table.signal == ("four", "two", "varying", "zero")


def test_gaps_in_the_same_places_do_not_hide_a_repeat() -> None:
    gaps = np.where(np.arange(len(TIME)) % 7 == 0, np.nan, BASE)
    table, _ = reduce(cpu("one", gaps), cpu("two", 3.0 * gaps))
    assert table.signal == ("one",)


def test_repeats_in_other_families_and_components_stay() -> None:
    memory = series("front", BASE, Family.MEMORY, Statistic.VALUE, name="bytes")
    table, notes = reduce(cpu("used", BASE), memory, cpu("used", BASE, "back"))
    assert table.signal == ("used", "bytes", "used")
    (note,) = notes
    assert note.startswith("Equal to a series of another component")
    assert "1 series ('back|used')" in note


def test_equal_constants_of_two_components_are_no_remark() -> None:
    _, notes = reduce(cpu("limit", 4.0), cpu("limit", 4.0, "back"))
    assert not notes


def test_repeats_are_found_in_cells_of_any_size() -> None:
    rng = np.random.default_rng(3)
    each = [noisy(1.0, 2.0, seed=int(s)) for s in rng.integers(0, 9, 30)]
    table, _ = reduce(*(cpu(f"m{i}", x * (i + 1)) for i, x in enumerate(each)))
    expected = []
    for i, x in enumerate(each):
        if not any(np.array_equal(x, y) for y in each[:i]):
            expected.append(f"m{i}")
    assert list(table.signal) == expected
