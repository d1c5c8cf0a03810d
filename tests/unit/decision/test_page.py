"""docs/runbook-gates.md tells what is so."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bayesrca.cli_decide import EXIT_HOLD, EXIT_REVIEW
from bayesrca.decision import decide, decision_document, load_policy, parse_policy, policy_document
from tests.integration.kit import ROOT
from tests.unit.decision.kit import CIRCUMSTANCES, make_answer, policy_table

PAGE = (ROOT / "docs" / "runbook-gates.md").read_text(encoding="utf-8")


def snippet(language: str) -> str:
    (text,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(text)


def section(title: str) -> list[list[str]]:
    """Cells of the table below a heading, its head apart."""
    (text,) = re.findall(rf"## {title}\n(.*?)(?:\n## |\Z)", PAGE, re.DOTALL)
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in re.split(r" ?\| ?", row)[1:-1]] for row in rows[1:]]


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "policy.toml").write_text(snippet("toml"), encoding="utf-8")
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    tool = tmp_path / "bayesrca"
    tool.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m bayesrca.cli "$@"\n', encoding="utf-8")
    tool.chmod(0o755)
    return tmp_path


def test_the_worked_policy_decides_as_it_says(folder: Path) -> None:
    command = f'PATH="{folder}:$PATH"; export PYTHONPATH="{ROOT}"\n{snippet("sh")}'
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=folder, capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert done.stdout.startswith("RUN restart-search on PetSearch_AWS::ECS::Fargate: ")
    assert done.stdout.endswith("restart it\n")
    again = [sys.executable, "-m", "bayesrca.cli", "decide", "answer.json"]
    again += ["--policy", "policy.toml", "--log", "decisions.jsonl"]
    environment = {"PYTHONPATH": str(ROOT)}
    codes = [
        subprocess.run(
            again, cwd=folder, env=environment, capture_output=True, timeout=60, check=False
        ).returncode
        for _ in range(2)
    ]
    assert codes == [0, EXIT_HOLD]
    first = json.loads((folder / "decisions.jsonl").read_text(encoding="utf-8").splitlines()[0])
    low = next(c["value"] for c in first["checks"] if c["name"] == "p_cause")
    assert f"the lower bound of p(cause) is {low:.2f}," in PAGE


def test_the_break_even_is_the_policys(folder: Path) -> None:
    policy = load_policy(folder / "policy.toml")
    assert f"= {policy.loss.break_even:.2f} on" in PAGE


def test_every_check_is_in_the_table_in_its_order() -> None:
    listed = [name for row in section("What is compared") for name in names(row[0])]
    policy = parse_policy(policy_table(scope={"components": ["a"], "faults": ["latency"]}))
    for method in ("screen", "nuts"):
        made = [c.name for c in decide(make_answer({"a": 0.9}, method=method), policy,
                                       **CIRCUMSTANCES).checks]  # fmt: skip
        assert made == [name for name in listed if name in made]
        assert set(listed) >= set(made)
    both = {"pareto_k", "r_hat", "ess", "divergences"}
    assert set(listed) - set(made) == both - set(made)


def test_every_key_is_in_the_table_with_its_default() -> None:
    bare = policy_document(
        parse_policy(policy_table(thresholds=None, explained_share=None, health=None,
                                  max_age_seconds=None))
    )  # fmt: skip
    found: dict[str, object] = {}
    for key, value in bare.items():
        entries = value.items() if isinstance(value, dict) else [("", value)]
        found |= {f"{key}.{name}".rstrip("."): default for name, default in entries}
    told: dict[str, str] = {}
    for cell, default, _ in section("Keys of a policy"):
        told |= dict.fromkeys(names(cell), default.strip("`"))
    assert set(told) == set(found)
    for key, default in told.items():
        if key == "scope.components":
            assert default == "[]"
        elif default == "none":
            assert found[key] is None
        elif default:
            assert json.loads(default) == found[key], key


def test_every_key_of_the_document_is_in_the_table() -> None:
    decision = decide(make_answer({"a": 0.9}), parse_policy(policy_table()), **CIRCUMSTANCES)
    document = decision_document(decision)
    told = {name for row in section("The decision as JSON") for name in names(row[0])}
    checks = {f"checks[].{key}" for key in document["checks"][0]}
    assert told == set(document) | checks


def test_the_exit_codes_are_the_codes_own() -> None:
    assert f"| REVIEW | {EXIT_REVIEW} |" in PAGE
    assert f"| HOLD | {EXIT_HOLD} |" in PAGE
