"""Policies: what is legal, and when two are the same."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from bayesrca.decision import load_policy, parse_policy, policy_document
from bayesrca.errors import InvalidSettingsError
from tests.unit.decision.kit import policy_table
from tests.unit.decision.refusals import ACCEPTED, OTHER, REFUSED, SAID, SAME


@pytest.mark.parametrize(("document", "field"), REFUSED)
def test_what_is_no_policy_is_refused_with_its_path(document: Any, field: str) -> None:  # noqa: ANN401
    with pytest.raises(InvalidSettingsError) as caught:
        parse_policy(document)
    assert caught.value.field == field


@pytest.mark.parametrize(("document", "text"), SAID)
def test_a_refusal_says_what_is_wrong(document: Any, text: str) -> None:  # noqa: ANN401
    with pytest.raises(InvalidSettingsError) as caught:
        parse_policy(document)
    assert str(caught.value) == text


@pytest.mark.parametrize("document", ACCEPTED)
def test_what_is_one_is_told_whole(document: dict[str, Any]) -> None:
    policy = parse_policy(document)
    again = parse_policy(policy_document(policy))
    assert again == policy
    assert again.version == policy.version


def test_the_version_is_of_the_content() -> None:
    whole = parse_policy(policy_table())
    assert {parse_policy(document).version for document in SAME} == {whole.version}
    versions = {parse_policy(document).version for document in OTHER}
    assert len(versions - {whole.version}) == len(OTHER)


def test_versions_do_not_change_from_release_to_release() -> None:
    """They name policies in stores and logs."""
    assert parse_policy(policy_table()).version == (
        "3ded0fe4f469b5db712f2d38cb37c1983261164e58fde7df10906625eed09726"
    )


def test_an_int_is_as_good_as_a_float_in_a_file(tmp_path: Path) -> None:
    text = """
        runbook = "r"
        reversible = true
        [scope]
        patterns = ["*"]
        [loss]
        act_right = 0
        act_wrong = 2
        wait_right = 1.5
        wait_wrong = 0
        [rate_limit]
        runs = 1
        window_seconds = 60
    """
    file = tmp_path / "policy.toml"
    file.write_text(text, encoding="utf-8")
    assert load_policy(file) == parse_policy(tomllib.loads(text.replace("= 2", "= 2.0")))
