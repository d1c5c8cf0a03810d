"""Reading the JSON form of an answer back."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from bayesrca.analysis import analyze
from bayesrca.config import Method, Settings
from bayesrca.errors import IncidentFormatError
from bayesrca.ingest import load_incident
from bayesrca.posterior.document import answer_document, hash_answer
from bayesrca.posterior.parse import parse_answer
from bayesrca.posterior.result import Answer
from tests.integration.kit import ROOT
from tests.unit.posterior.synthetic import make_incident, make_shop

ODD: tuple[object, ...] = (None, "x", -1, 2.5, True, [], {}, [1, 2, 3], math.inf, 10**400)
FAST = Settings(method=Method.SCREEN, screen_scrambles=4, screen_points=8)


@pytest.fixture(scope="module")
def answer() -> Answer:
    return analyze(load_incident(ROOT / "examples" / "search_errors"), seed=2, settings=FAST).answer


@pytest.fixture(scope="module")
def small() -> dict[str, Any]:
    """An answer's document with one of everything, cut to be gone through key by key."""
    found = to_json(analyze(make_shop(), seed=2, settings=FAST).answer)
    kept = [c for c in found["causes"] if c["explains"]["dose"] or c["explains"]["edges"]][:1]
    found["causes"], found["sets"] = kept or found["causes"][:1], found["sets"][:1]
    if found["attribution"]:
        found["attribution"]["shares"] = found["attribution"]["shares"][:1]
    at_fault = {"probability": 0.5, "mcse": 0.001, "interval": [0.4, 0.6]}
    region = {"region": "Cart#7", "change": "vanished", "probability": 0.75, "at_fault": at_fault}
    found["causes"][0]["explains"]["regions"] = [region]
    deploy = {"id": "abc", "kind": "deploy", "component": "cart", "time": 60.0, "text": "v2"}
    found["changes"] = {"none": 0.25, "ranking": [{**deploy, "probability": 0.75}]}
    return found


def to_json(answer: Answer) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(json.dumps(answer_document(answer), allow_nan=False))
    return document


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:  # noqa: ANN401
    yield path
    if isinstance(value, dict):
        for key, part in value.items():
            yield from paths(part, (*path, key))
    if isinstance(value, list):
        for i, part in enumerate(value):
            yield from paths(part, (*path, i))


def changed(document: dict[str, Any], path: tuple[Any, ...], value: object) -> Any:  # noqa: ANN401
    if not path:
        return value
    copied = copy.deepcopy(document)
    inner: Any = copied
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return copied


def test_an_answer_comes_back_as_it_was(answer: Answer) -> None:
    assert parse_answer(to_json(answer)) == answer


def test_so_do_answers_with_little_in_them() -> None:
    lone = make_incident(("only",), (), slow=("only",), target="only")
    bare = make_incident(("a", "b"), (("a", "b"),), slow=("a",), window=False, baseline=False)
    for incident in (lone, bare, make_shop()):
        answer = analyze(incident, seed=2, settings=FAST).answer
        assert parse_answer(to_json(answer)) == answer


def test_what_is_undefined_comes_back_as_what_passes_no_check(answer: Answer) -> None:
    undefined = replace(answer.diagnostics, r_hat=math.inf, ess=math.inf, sum_error=math.nan)
    found = parse_answer(to_json(replace(answer, diagnostics=undefined))).diagnostics
    assert found.r_hat is None
    assert math.isnan(found.ess)
    assert math.isnan(found.sum_error)


def test_unknown_keys_are_passed_over(answer: Answer) -> None:
    document = to_json(answer)
    document["new"] = document["causes"][0]["new"] = document["diagnostics"]["new"] = [1]
    assert parse_answer(document) == answer


def test_whatever_is_wrong_is_refused_with_its_path(small: dict[str, Any]) -> None:
    parse_answer(small)
    refused = 0
    for path in paths(small):
        for value in ODD:
            document = changed(small, path, value)
            try:
                parse_answer(document)
            except IncidentFormatError as error:
                refused += 1
                named = error.field.replace("]", "").replace("[", ".").split(".")
                # Of a probability's three keys the path may name the whole.
                assert not path or str(path[0]) in named[0] or not error.field
    assert refused > 500


def test_every_key_is_needed(small: dict[str, Any]) -> None:
    repeated = ("healthy", "may_act")  # what the rest of the document says already
    for path in paths(small):
        if path and isinstance(path[-1], str) and path[-2:-1] not in (("kinds",), ("versions",)):
            document = copy.deepcopy(small)
            inner: Any = document
            for key in path[:-1]:
                inner = inner[key]
            del inner[path[-1]]
            if path[0] in repeated or (path[0] == "timings" and path[1:]):
                parse_answer(document)
                continue
            younger = ("changes", "regions", "at_fault")  # than the schema
            if path[-1] in younger:
                found = parse_answer(document)
                assert (found.changes is None) is (path == ("changes",))
                continue
            with pytest.raises(IncidentFormatError):
                parse_answer(document)


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        (("schema",), 1, "schema"),
        (("method",), "auto", "method"),
        (("causes",), [], "causes"),
        (("causes", 0, "probability"), 1.5, "causes[0]"),
        (("causes", 0, "only", "interval"), [0.5, 0.25], "causes[0].only"),
        (("causes", 0, "explains", "text"), 3, "causes[0].explains.text"),
        (("none", "mcse"), -1.0, "none"),
        (("none", "interval"), [0.0], "none.interval"),
        (("none", "probability"), None, "none"),
        (("seed",), True, "seed"),
        (("seed",), 1.5, "seed"),
        (("diagnostics", "healthy"), 1, "diagnostics.healthy"),
        (("alarm", "anomalous"), "yes", "alarm.anomalous"),
        (("interval_mass",), "0.89", "interval_mass"),
        (("notes",), "none", "notes"),
        (("versions",), [], "versions"),
    ],
)
def test_the_path_is_that_of_the_key(
    small: dict[str, Any], path: tuple[Any, ...], value: object, field: str
) -> None:
    with pytest.raises(IncidentFormatError) as caught:
        parse_answer(changed(small, path, value))
    assert caught.value.field == field


def test_the_hash_is_of_all_but_the_timings(answer: Answer) -> None:
    whole = hash_answer(answer)
    assert hash_answer(replace(answer, timings={})) == whole
    assert hash_answer(parse_answer(to_json(answer))) == whole
    assert hash_answer(replace(answer, seed=3)) != whole
    none = replace(answer.posterior.none, mcse=answer.posterior.none.mcse + 2**-60)
    changed = replace(answer, posterior=replace(answer.posterior, none=none))
    assert hash_answer(changed) != whole
    odd = replace(answer.posterior.none, mcse=math.nan)
    assert len(hash_answer(replace(answer, posterior=replace(answer.posterior, none=odd)))) == 64
