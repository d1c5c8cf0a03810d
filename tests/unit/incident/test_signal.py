import pickle
from typing import Any

import numpy as np
import pytest

from bayesrca.errors import InvalidIncidentError
from bayesrca.incident import Edge, Family, Signal, Statistic


def signal(
    time: object = (0.0, 1.0, 2.0), values: object = (1.0, np.nan, 3.0), **changes: object
) -> Signal:
    fields: dict[str, Any] = {
        "component": "shop",
        "name": "latency",
        "family": Family.LATENCY,
        "statistic": Statistic.MEAN,
        "timestamps": time,
        "values": values,
        **changes,
    }
    return Signal(**fields)


def test_arrays_become_read_only_float64() -> None:
    values = np.array([1, 2, 3], dtype=np.int32)[::-1]
    kept = signal(values=values)
    assert kept.values.dtype == np.float64
    assert kept.values.flags.c_contiguous
    assert kept.values.tolist() == [3.0, 2.0, 1.0]
    with pytest.raises(ValueError, match="read-only"):
        kept.values[0] = 9.0


def test_a_writeable_input_is_copied_and_stays_writeable() -> None:
    values = np.zeros(3)
    kept = signal(values=values)
    values[0] = 7.0
    assert kept.values[0] == 0.0


def test_a_read_only_view_of_a_writeable_array_is_copied() -> None:
    owner = np.zeros(3)
    view = owner[:]
    view.setflags(write=False)
    kept = signal(values=view)
    owner[0] = 7.0
    assert kept.values[0] == 0.0


def test_an_immutable_input_is_shared() -> None:
    time = np.arange(3.0)
    time.setflags(write=False)
    assert signal(time=time).timestamps is time


def test_equality_treats_missing_samples_as_equal() -> None:
    assert signal() == signal()
    assert signal() != signal(values=[1.0, 2.0, 3.0])
    assert signal() != signal(unit="s")
    assert signal() != signal(time=[0.0, 1.0, 5.0])
    assert signal() != "signal"


def test_not_hashable() -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(signal())


def test_pickles_as_read_only() -> None:
    copy = pickle.loads(pickle.dumps(signal()))
    assert copy == signal()
    assert not copy.values.flags.writeable


def test_all_missing_is_legal() -> None:
    assert len(signal(values=[np.nan] * 3)) == 3


def test_may_belong_to_an_edge() -> None:
    kept = signal(component=None, edge=Edge("a", "b"))
    assert kept.label == "'a -> b|latency'"


@pytest.mark.parametrize(
    ("changes", "message", "field"),
    [
        (
            {"time": [0.0, 1.0, 1.0]},
            r"'shop\|latency' does not increase at index 2",
            "timestamps[2]",
        ),
        ({"time": [0.0, 2.0, 1.0]}, "1.0 follows 2.0", "timestamps[2]"),
        ({"time": [0.0, np.nan, 1.0]}, "time nan at index 1", "timestamps[1]"),
        ({"time": [0.0, 1.0, np.inf]}, "time inf at index 2", "timestamps[2]"),
        ({"values": [0.0, -np.inf, 1.0]}, r"'shop\|latency' is infinite at index 1", "values[1]"),
        ({"values": [0.0, 1.0]}, "2 values for 3 timestamps", "values"),
        ({"time": [], "values": []}, "has no sample", "timestamps"),
        ({"values": ["1", "2", "3"]}, "plain numbers", "values"),
        ({"values": [1.0, None, 2.0]}, "plain numbers", "values"),
        ({"values": [[1.0], [1.0, 2.0]]}, "plain numbers", "values"),
        ({"values": [1j, 2j, 3j]}, "plain numbers", "values"),
        ({"values": [[1.0, 2.0, 3.0]]}, r"one dimension, got shape \(1, 3\)", "values"),
        ({"values": 5.0}, "one dimension", "values"),
        ({"time": np.array(["2024-01-01"] * 3, dtype="M8[s]")}, "plain numbers", "timestamps"),
        ({"name": ""}, "name is empty", "name"),
        ({"component": ""}, "is empty", "component"),
        ({"component": None}, "to a component or to an edge", "component"),
        ({"edge": Edge("a", "b")}, "not to both", "component"),
        ({"family": "speed"}, "one of latency, errors", "family"),
        ({"statistic": "mode"}, "one of mean, quantile", "statistic"),
        ({"unit": None}, "unit of .* must be text", "unit"),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, Any], message: str, field: str) -> None:
    with pytest.raises(InvalidIncidentError, match=message) as caught:
        signal(**changes)
    assert caught.value.field == field


def test_neighbouring_huge_times_are_told_apart() -> None:
    big = 1e300
    assert len(signal(time=[-big, big, np.nextafter(big, np.inf)])) == 3
