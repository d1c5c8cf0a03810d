"""The priors that are documented are the priors that are used."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bayesrca.model.parameters import PRIORS, TRANSFORMS

PAGE = Path(__file__).resolve().parents[3] / "docs" / "concepts.md"
ROW = re.compile(r"^\| (`\w+`(?:, `\w+`)*) \| ([^|]+) \| ([\d.]+) \((log|logit)\) \| (.+) \|$")


def documented() -> dict[str, tuple[list[float], float, str, str]]:
    """Centres of the row, sd, transform and reason by parameter."""
    out = {}
    section = PAGE.read_text(encoding="utf-8").split("## Parameters and their priors")[1]
    for line in section.splitlines():
        row = ROW.match(line)
        if row is not None:
            centres = [float(c) for c in row[2].split(",")]
            for name in re.findall(r"`(\w+)`", row[1]):
                assert name not in out, f"{name} is listed twice"
                out[name] = (centres, float(row[3]), row[4], row[5])
    return out


def test_every_parameter_is_listed_and_no_other() -> None:
    assert set(documented()) == set(PRIORS)


@pytest.mark.parametrize("name", PRIORS)
def test_its_prior_is_as_documented(name: str) -> None:
    centres, sd, transform, reason = documented()[name]
    assert sd == PRIORS[name].sd
    assert transform == TRANSFORMS[name]
    assert set(PRIORS[name].centre) <= set(centres)
    assert len(reason) > 20  # why, not only what
