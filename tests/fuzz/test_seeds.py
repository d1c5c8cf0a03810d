"""Every committed input of the fuzzers keeps its law, and so do damaged ones (docs/fuzzing.md)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.mutator import mutate
from tests.fuzz.targets import LAWS

SEEDS = Path(__file__).parent / "seeds"
NATIVE = {"otlp_traces", "otlp_metrics", "otlp_logs", "otlp_merge", "spans", "templates"}
"""Replayed by ``rust/bayesrca-core/tests/otlp_fuzz.rs``."""
DAMAGED = 60
MOST = 8192


def seeds(target: str) -> list[Path]:
    return sorted((SEEDS / target).iterdir())


def test_each_target_has_seeds_and_each_seed_a_target() -> None:
    assert {path.name for path in SEEDS.iterdir()} == {*LAWS, *NATIVE}
    for path in SEEDS.rglob("*"):
        assert path.is_dir() or path.stat().st_size <= MOST, path


@pytest.mark.parametrize("target", LAWS)
def test_seeds_are_read_or_refused(target: str) -> None:
    found = {path.name: LAWS[target](path.read_bytes()) for path in seeds(target)}
    # Otherwise the law would be tested on one side only.
    assert set(found.values()) == {True, False}, found


@pytest.mark.parametrize("target", LAWS)
def test_damaged_seeds_are_read_or_refused(target: str) -> None:
    originals = [path.read_bytes() for path in seeds(target)]
    for seed in range(DAMAGED):
        data = originals[seed % len(originals)]
        for _ in range(1 + seed % 3):
            data = mutate(data, MOST, seed)
        LAWS[target](data)
