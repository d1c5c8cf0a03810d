"""Settings: every range, every name."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from bayesrca.config import BeyondWidth, Method, Settings
from bayesrca.errors import InvalidSettingsError


def make(**values: Any) -> Settings:  # noqa: ANN401
    return Settings(**values)


RANGES: dict[str, tuple[int, int]] = {
    "chains": (1, 64),
    "draws": (1, 1_000_000),
    "tune": (1, 1_000_000),
    "screen_scrambles": (4, 1024),
    "screen_points": (8, 1 << 16),
    "cores": (1, 1024),
    "max_causes": (1, 3),
    "set_candidates": (2, 24),
    "max_bins": (2, 12),
    "max_width": (1, 20),
}
SHARES = ("target_accept", "retry_target_accept", "none_prior", "interval_mass")


def test_every_number_has_a_checked_range() -> None:
    names = {f.name for f in dataclasses.fields(Settings)}
    assert names == {*RANGES, *SHARES, "method", "deadline", "prior", "beyond_width"}


@pytest.mark.parametrize("name", RANGES)
def test_whole_numbers(name: str) -> None:
    low, high = RANGES[name]
    for good in (low, high):
        assert getattr(make(**{name: good}), name) == good
    for bad in (low - 1, high + 1):
        with pytest.raises(InvalidSettingsError, match=f"^{name} must be in") as caught:
            make(**{name: bad})
        assert caught.value.field == name
    for odd in (True, float(low), str(low), None, math.nan):
        with pytest.raises(InvalidSettingsError, match=f"^{name} must be a whole number"):
            make(**{name: odd})


@pytest.mark.parametrize("name", SHARES)
def test_shares_are_open_at_both_ends(name: str) -> None:
    for good in (math.nextafter(0, 1), 0.5, math.nextafter(1, 0)):
        assert getattr(make(**{name: good}), name) == good
    for bad in (0.0, 1.0, -0.1, 1.1, math.nan, math.inf):
        with pytest.raises(InvalidSettingsError, match=f"^{name} must be in") as caught:
            make(**{name: bad})
        assert caught.value.field == name


def test_deadlines() -> None:
    assert Settings(deadline=1e-9).deadline == 1e-9
    assert Settings().deadline is None
    for bad in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(InvalidSettingsError, match=r"^deadline must be in"):
            Settings(deadline=bad)


def test_methods_by_name() -> None:
    assert make(method="nuts").method is Method.NUTS
    assert make(beyond_width="refuse").beyond_width is BeyondWidth.REFUSE
    with pytest.raises(InvalidSettingsError, match="estimate, refuse") as unknown:
        make(beyond_width="guess")
    assert unknown.value.field == "beyond_width"
    with pytest.raises(InvalidSettingsError, match="auto, screen, nuts, got 'mcmc'"):
        make(method="mcmc")


def test_frozen_and_comparable() -> None:
    settings = Settings(draws=10)
    assert settings == Settings(draws=10)
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.draws = 11  # type: ignore[misc]
