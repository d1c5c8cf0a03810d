"""Every comparison matters: turned around or shifted by a boundary, some case is decided otherwise.

The modules of the gate are executed with one operator changed, and have to fail the table.
"""

from __future__ import annotations

import ast
import copy
import importlib
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import pytest

from bayesrca.decision import Decision
from bayesrca.errors import BayesRcaError
from tests.unit.decision import refusals
from tests.unit.decision.kit import NOW
from tests.unit.decision.refusals import ACCEPTED, OTHER, REFUSED, SAME
from tests.unit.decision.table import CASES, COMPARED, SAID, TOLD, Case

PACKAGE = "bayesrca.decision"
ORDER = ("policy", "policy_file", "decision", "candidate", "checks", "gate")
"""The modules, each after those it imports."""

TURNED: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.GtE: (ast.Lt, ast.Gt, ast.LtE),
    ast.LtE: (ast.Gt, ast.Lt, ast.GtE),
    ast.Gt: (ast.LtE, ast.GtE, ast.Lt),
    ast.Lt: (ast.GtE, ast.LtE, ast.Gt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
}
SIDES = {
    "AT_LEAST": ("BELOW", "ABOVE", "AT_MOST"),
    "AT_MOST": ("ABOVE", "BELOW", "AT_LEAST"),
    "ABOVE": ("AT_MOST", "AT_LEAST", "BELOW"),
    "BELOW": ("AT_LEAST", "AT_MOST", "ABOVE"),
}
WORDS = {"min": "max", "max": "min", "all": "any", "any": "all"}


def source(name: str) -> str:
    path = importlib.import_module(f"{PACKAGE}.{name}").__file__
    assert path is not None
    return Path(path).read_text(encoding="utf-8")


def changes(node: Any) -> Iterator[Callable[[Any], object]]:  # noqa: ANN401  any node
    """What may be done to one node."""
    if isinstance(node, ast.Compare):
        for i, op in enumerate(node.ops):
            for other in TURNED[type(op)]:
                yield partial(set_operator, i, other())
    if isinstance(node, ast.Attribute) and node.attr in SIDES and is_name(node.value, "Side"):
        for side in SIDES[node.attr]:
            yield partial(set_part, attr=side)
    if isinstance(node, ast.IfExp):
        yield lambda n: set_part(n, body=n.orelse, orelse=n.body)
    if isinstance(node, ast.BoolOp):
        yield partial(set_part, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
    if isinstance(node, ast.Name) and node.id in WORDS:
        yield partial(set_part, id=WORDS[node.id])


def set_operator(i: int, operator: ast.cmpop, node: ast.Compare) -> None:
    node.ops[i] = operator


def set_part(node: ast.AST, **parts: object) -> None:
    for name, part in parts.items():
        setattr(node, name, part)


def is_name(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def mutants(name: str) -> Iterator[tuple[str, CodeType]]:
    tree = ast.parse(source(name))
    for at, node in enumerate(ast.walk(tree)):
        for change in changes(node):
            mutant = copy.deepcopy(tree)
            target = next(n for i, n in enumerate(ast.walk(mutant)) if i == at)
            change(target)
            ast.fix_missing_locations(mutant)
            where = f"{name}:{getattr(node, 'lineno', 0)}"
            yield f"{where} {ast.unparse(target)}", compile(mutant, f"<{name}>", "exec")


@contextmanager
def loaded(changed: dict[str, CodeType]) -> Iterator[dict[str, ModuleType]]:
    """The package's modules executed anew, some of them changed."""
    names = [f"{PACKAGE}.{name}" for name in ORDER]
    before = {name: sys.modules.get(name) for name in names}
    try:
        fresh = {}
        for short, name in zip(ORDER, names, strict=True):
            module = fresh[short] = sys.modules[name] = ModuleType(name)
            exec(changed.get(short, ORIGINAL[short]), module.__dict__)
        yield fresh
    finally:
        sys.modules.update({k: m for k, m in before.items() if m is not None})


ORIGINAL = {name: compile(source(name), f"<{name}>", "exec") for name in ORDER}


def survives(modules: dict[str, ModuleType]) -> bool:
    """Whether the modules do all that the tables say."""
    return keeps_policies(modules) and keeps_decisions(modules)


def keeps_policies(modules: dict[str, ModuleType]) -> bool:
    parse = modules["policy_file"].parse_policy
    for document in ACCEPTED:
        parse(document)
    versions = [parse(document).version for document in (*SAME, *OTHER)]
    if len(set(versions)) != 1 + len(OTHER) or len(set(versions[: len(SAME)])) != 1:
        return False
    found = [refused(parse, document) for document, _ in REFUSED]
    told = [refused(parse, document) for document, _ in refusals.SAID]
    return [e and e.field for e in found] == [field for _, field in REFUSED] and [
        str(e) for e in told
    ] == [text for _, text in refusals.SAID]


def refused(parse: Callable[[object], object], document: object) -> BayesRcaError | None:
    try:
        parse(document)
    except BayesRcaError as error:
        return error
    return None


def keeps_decisions(modules: dict[str, ModuleType]) -> bool:
    parse, decide = modules["policy_file"].parse_policy, modules["gate"].decide
    found = {}
    for case in CASES:
        found[case.name] = decide(
            case.make_answer(), parse(case.make_policy()), **case.circumstances()
        )
        if not is_decided(case, found[case.name]):
            return False
    return is_told(modules, found)


def is_decided(case: Case, decision: Decision) -> bool:
    reasons = {c.name: c.verdict.value for c in decision.reasons}
    return (reasons, decision.verdict.value, decision.component) == (
        case.reasons, case.verdict, case.component,
    )  # fmt: skip


def is_told(modules: dict[str, ModuleType], found: dict[str, Decision]) -> bool:
    describe = modules["decision"].decision_document
    documents = {
        name: json.loads(json.dumps(describe(d), allow_nan=False)) for name, d in found.items()
    }
    checks = {
        (name, check["name"]): check for name, d in documents.items() for check in d["checks"]
    }
    assert len(CASES) == len(found)
    return (
        all(documents[name]["text"] == text for name, text in TOLD.items())
        and all(checks[name, which]["text"] == text for name, which, text in SAID)
        and all(
            [checks[name, which][key] for key in ("value", "side", "threshold")] == compared
            for name, which, *compared in COMPARED
        )
        and documents["ran twice"]["recent_runs"] == [NOW - 6.0, NOW - 5.0]
        and documents["runs not known"]["recent_runs"] is None
    )


def test_the_tables_hold_of_the_gate_as_it_is() -> None:
    with loaded({}) as modules:
        assert survives(modules)


@pytest.mark.parametrize("name", ORDER)
def test_no_mutant_does_what_the_tables_say(name: str) -> None:
    alive, tried = [], 0
    for what, code in mutants(name):
        tried += 1
        try:
            with loaded({name: code}) as modules:
                if survives(modules):
                    alive.append(what)
        except Exception:  # a mutant that breaks is noticed, too
            continue
    assert tried > 4
    assert not alive, "\n".join(alive)
