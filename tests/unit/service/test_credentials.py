"""The credentials file, and who is let in by it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bayesrca.errors import InvalidSettingsError
from bayesrca.service import Scope
from bayesrca.service.auth import SCOPES, Guard
from bayesrca.service.caller import ANYONE, Caller
from bayesrca.service.credentials import Credentials, new_token, read_credentials
from bayesrca.service.messages import CallFailedError
from bayesrca.service.watched import Watched

SHA = "0" * 64
METHOD = "/bayesrca.api.v1.RootCauseService/Analyze"


def read(folder: Path, text: str) -> Credentials:
    path = folder / "credentials.toml"
    path.write_text(text, encoding="utf-8")
    return read_credentials(path)


def guard(folder: Path, text: str, *, certificates: bool = False) -> Guard:
    read(folder, text)
    path = folder / "credentials.toml"
    return Guard(Watched((path,), lambda: read_credentials(path)), certificates=certificates)


def reason(made: Guard, method: str, *metadata: tuple[str, str | bytes]) -> str:
    with pytest.raises(CallFailedError) as caught:
        made.by_metadata(method, metadata)
    return caught.value.failure.reason


def test_a_new_tokens_line_reads_back(tmp_path: Path) -> None:
    ends = datetime(2090, 1, 1, tzinfo=UTC)
    token, line = new_token("bot-1", "team.a", [Scope.READ, Scope.READ, Scope.DECIDE], ends)
    other, _ = new_token("bot-1", "team.a", [Scope.READ], None)
    assert token != other
    assert token not in line
    found = read(tmp_path, line).by_token(token)
    assert found is not None
    assert found.caller == Caller(
        tenant="team.a", subject="bot-1", scopes=frozenset({Scope.READ, Scope.DECIDE})
    )
    assert found.expires == ends
    assert not found.expired(ends - timedelta(microseconds=1))
    assert found.expired(ends)
    assert read(tmp_path, line).by_token(other) is None


@pytest.mark.parametrize("subject", ["", "a b", "-a", "a.b", "é", "a" * 64, 'a"', "a\n"])
def test_names_that_would_break_the_file_are_refused(subject: str) -> None:
    with pytest.raises(InvalidSettingsError):
        new_token(subject, "t", [Scope.READ], None)
    with pytest.raises(InvalidSettingsError):
        new_token("t", "a b", [Scope.READ], None)
    with pytest.raises(InvalidSettingsError):
        new_token("t", "t", [], None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("bot = 1", "every entry is NAME"),
        ('"a b" = {}', "every entry is NAME"),
        ("bot = {}", "needs either sha256"),
        (f'bot = {{ sha256 = "{SHA}", san = "x" }}', "needs either sha256"),
        ('bot = { sha256 = "brca_secret" }', "64 lower-case hexadecimal digits"),
        (f'bot = {{ sha256 = "{"A" * 64}" }}', "64 lower-case hexadecimal digits"),
        ("bot = { sha256 = 1 }", "64 lower-case hexadecimal digits"),
        ('bot = { san = "" }', "a name of the certificate"),
        ('bot = { san = "x" }', "needs a tenant"),
        ('bot = { san = "x", tenant = "a/b" }', "needs a tenant"),
        ('bot = { san = "x", tenant = "t" }', "list of analyze, read, decide, admin, ingest"),
        ('bot = { san = "x", tenant = "t", scopes = [] }', "list of analyze"),
        ('bot = { san = "x", tenant = "t", scopes = "read" }', "list of analyze"),
        ('bot = { san = "x", tenant = "t", scopes = ["root"] }', "list of analyze"),
        ('bot = { san = "x", tennant = "t" }', "unknown key 'tennant'; did you mean 'tenant'?"),
        (
            'bot = { san = "x", tenant = "t", scopes = ["read"], expires = 2030-01-01 }',
            "2030-01-31T00:00:00Z",
        ),
        (
            'bot = { san = "x", tenant = "t", scopes = ["read"], expires = 2030-01-01T00:00:00 }',
            "2030-01-31T00:00:00Z",
        ),
        (
            'a = { san = "x", tenant = "t", scopes = ["read"] }\n'
            'b = { san = "x", tenant = "u", scopes = ["read"] }',
            "the same san",
        ),
        (
            f'a = {{ sha256 = "{SHA}", tenant = "t", scopes = ["read"] }}\n'
            f'b = {{ sha256 = "{SHA}", tenant = "u", scopes = ["read"] }}',
            "the same sha256",
        ),
        ("bot = {", "no TOML"),
    ],
)
def test_a_file_that_will_not_do(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InvalidSettingsError) as caught:
        read(tmp_path, text)
    assert said in str(caught.value)
    assert "brca_secret" not in str(caught.value)
    assert caught.value.field == "credentials_file"


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettingsError, match="No such file"):
        read_credentials(tmp_path / "none.toml")


def test_a_method_without_a_scope_is_denied_to_everybody(tmp_path: Path) -> None:
    token, line = new_token("all", "t", [*Scope], None)
    made = guard(tmp_path, line)
    shown = ("authorization", f"Bearer {token}")
    assert made.by_metadata(METHOD, [shown]) is not None
    for method in ("/bayesrca.api.v1.RootCauseService/Shutdown", METHOD.lower(), METHOD + "/", ""):
        assert reason(made, method, shown) == "METHOD_DENIED"
        assert reason(Guard(None, certificates=False), method) == "METHOD_DENIED"


@pytest.mark.parametrize("method", SCOPES)
def test_each_method_needs_exactly_its_scope(tmp_path: Path, method: str) -> None:
    for scope in Scope:
        token, line = new_token("bot", "t", [scope], None)
        made, shown = guard(tmp_path, line), ("authorization", f"Bearer {token}")
        if scope is SCOPES[method]:
            caller = made.by_metadata(method, [shown])
            assert caller is not None
            assert (caller.tenant, caller.subject) == ("t", "bot")
        else:
            assert reason(made, method, shown) == "MISSING_SCOPE"


def test_without_a_file_everybody_is_anyone() -> None:
    assert Guard(None, certificates=False).by_metadata(METHOD, []) is ANYONE


def test_health_is_open_and_gives_no_scope(tmp_path: Path) -> None:
    for made in (guard(tmp_path, ""), Guard(None, certificates=False)):
        caller = made.by_metadata("/grpc.health.v1.Health/Check", [])
        assert caller is not None
        assert not caller.scopes
    assert reason(guard(tmp_path, ""), "/grpc.health.v1.HealthX/Check") == "NO_CREDENTIALS"


def test_certificates_are_asked_only_where_clients_show_them(tmp_path: Path) -> None:
    line = 'bot = { san = "x", tenant = "t", scopes = ["analyze"], expires = 2001-01-01T00:00:00Z }'
    assert reason(guard(tmp_path, line), METHOD) == "NO_CREDENTIALS"
    made = guard(tmp_path, line, certificates=True)
    assert made.by_metadata(METHOD, []) is None
    with pytest.raises(CallFailedError) as caught:
        made.by_certificate(METHOD, [b"x"])
    assert caught.value.failure.reason == "EXPIRED_CREDENTIALS"
