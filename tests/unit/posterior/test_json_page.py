"""docs/json.md tells what is printed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bayesrca.analysis import analyze
from bayesrca.cli import EXIT_INPUT, EXIT_INTERRUPTED, EXIT_SERVICE, EXIT_UNHEALTHY, EXIT_USAGE
from bayesrca.config import Method, Settings
from bayesrca.evidence.build import MEASURES
from bayesrca.evidence.table import SHARES
from bayesrca.ingest import load_incident
from bayesrca.kernels.propagation import KINDS
from tests.integration.kit import ROOT

PAGE = (ROOT / "docs" / "json.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    incident = load_incident(ROOT / "examples" / "search_errors")
    return analyze(incident, seed=1, settings=Settings(method=Method.SCREEN)).to_dict()


def snippet(language: str) -> str:
    (text,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(text)


def keys_of(value: Any, opened: tuple[str, ...] = ()) -> set[str]:  # noqa: ANN401
    """Every key of every object, but for those of `opened` maps."""
    if isinstance(value, list):
        return set().union(*(keys_of(v, opened) for v in value))
    if isinstance(value, dict):
        inner = (keys_of(v, opened) for k, v in value.items() if k not in opened)
        return set(value).union(*inner)
    return set()


def test_the_example_has_the_form_of_an_answer(document: dict[str, Any]) -> None:
    example = json.loads(snippet("json"))
    opened = ("versions", "timings", "kinds")
    assert example["schema"] == document["schema"]
    assert set(example["causes"][0]["kinds"]) <= set(KINDS)
    assert keys_of(example, opened) == keys_of(document, opened)
    assert list(example) == list(document)
    assert list(example["causes"][0]) == list(document["causes"][0])
    assert set(example["versions"]) < set(document["versions"])
    assert set(example["timings"]) == set(document["timings"])


def test_the_examples_numbers_are_the_rounded_real_ones(document: dict[str, Any]) -> None:
    whole = json.loads(snippet("json"))
    effective = document["ambiguity"]["effective"]
    assert whole["ambiguity"]["effective"] == pytest.approx(effective, rel=0.3)
    example, real = whole["causes"][0], document["causes"][0]
    assert example["component"] == real["component"]
    assert example["probability"] == pytest.approx(real["probability"], abs=0.03)
    for family, p in example["kinds"].items():
        assert p == pytest.approx(real["kinds"][family], abs=0.1)
    assert example["explains"]["dose"]["cause"] == pytest.approx(
        real["explains"]["dose"]["cause"], rel=0.05
    )


def test_every_key_is_in_a_table(document: dict[str, Any]) -> None:
    rows = {
        part
        for line in PAGE.splitlines()
        if line.startswith("| `")
        for name in re.findall(r"`([^`]+)`", line.split("|")[1])
        for part in re.split(r"\[\]\.|\.", name)
    }
    assert keys_of(document, ("versions", "timings", "kinds")) <= rows
    for name in document["versions"]:
        assert name in PAGE


def test_the_words_are_the_codes_own() -> None:
    for measure in (*MEASURES.values(), SHARES):
        assert f"`{measure}`" in PAGE
    for code in (0, 1, EXIT_USAGE, EXIT_UNHEALTHY, EXIT_INPUT, EXIT_SERVICE, EXIT_INTERRUPTED):
        assert f"\n| {code} | " in PAGE


def test_the_pipe_works(tmp_path: Path) -> None:
    command = snippet("sh")
    tool = tmp_path / "bayesrca"
    tool.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m bayesrca.cli "$@"\n', encoding="utf-8")
    tool.chmod(0o755)
    done = subprocess.run(
        ["/bin/sh", "-c", f'PATH="{tmp_path}:$PATH"\n{command}'],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert re.fullmatch(r"PetSearch_AWS::ECS::Fargate 0\.9\d healthy\n", done.stdout)
