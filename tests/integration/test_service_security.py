"""Who may call what, over which connection; what is refused before it costs anything."""

from __future__ import annotations

import gzip
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2  # type: ignore[import-untyped]
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]
from grpc_reflection.v1alpha import (  # type: ignore[import-untyped]
    reflection_pb2,
    reflection_pb2_grpc,
)
from grpc_status import rpc_status  # type: ignore[import-untyped]

from bayesrca.service import Scope
from bayesrca.service.auth import SCOPES
from bayesrca.service.credentials import new_token
from tests.integration.certificates import Authority, Pair
from tests.integration.kit import (
    ROOT,
    SERVICE,
    Server,
    eventually,
    fetch,
    make_request,
    pages_of,
)

pytestmark = pytest.mark.grpc
ANALYZE = f"/{SERVICE}/Analyze"
REFLECT = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
VALID = make_request().SerializeToString()
UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED
DENIED = grpc.StatusCode.PERMISSION_DENIED


def outcome(
    channel: grpc.Channel, token: str | None = None, request: bytes = VALID, method: str = ANALYZE
) -> tuple[grpc.StatusCode, str]:
    """Code and reason of a call."""
    metadata = () if token is None else (("authorization", f"Bearer {token}"),)
    try:
        raw(channel, method)(request, timeout=30, metadata=metadata)
    except grpc.RpcError as error:
        return error.code(), reason_of(error)
    return grpc.StatusCode.OK, ""


def raw(channel: grpc.Channel, method: str = ANALYZE) -> grpc.UnaryUnaryMultiCallable[bytes, bytes]:
    return channel.unary_unary(method)


def reason_of(error: grpc.RpcError) -> str:
    status = rpc_status.from_call(error)
    info = error_details_pb2.ErrorInfo()
    for detail in () if status is None else status.details:
        if detail.Unpack(info):
            assert info.domain == "bayesrca"
    return str(info.reason)


class Keys:
    """A credentials file with one token for each scope, one for all, and one that has expired."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "credentials.toml"
        self.tokens: dict[str, str] = {}
        self.lines: dict[str, str] = {}
        for scope in Scope:
            self.add(scope, [scope])
        self.add("all", [*Scope])
        self.add("old", [*Scope], datetime.now(UTC) - timedelta(seconds=1))

    def add(self, name: str, scopes: list[Scope], expires: datetime | None = None) -> None:
        self.tokens[name], self.lines[name] = new_token(name, f"of-{name}", scopes, expires)
        self.write()

    def write(self) -> None:
        # As a deployment does it: readers see the old file or the new one.
        partial = self.path.with_suffix(".new")
        partial.write_text("\n".join(self.lines.values()) + "\n", encoding="utf-8")
        partial.replace(self.path)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def guarded(keys: Keys) -> Iterator[Server]:
    with Server("--credentials-file", str(keys.path)) as server:
        yield server.until_ready()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def own(authority: Authority) -> Pair:
    return authority.issue("server", "IP:127.0.0.1")


def reflected(channel: grpc.Channel, token: str) -> set[str]:
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    metadata = (("authorization", f"Bearer {token}"),)
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    reply = next(stub.ServerReflectionInfo(iter([request]), timeout=30, metadata=metadata))
    return {service.name for service in reply.list_services_response.service}


class TestTokens:
    @pytest.mark.parametrize("scope", [*Scope])
    def test_a_token_may_do_what_its_scopes_say(
        self, guarded: Server, keys: Keys, scope: Scope
    ) -> None:
        with guarded.channel() as channel:
            got = outcome(channel, keys.tokens[scope])
            wanted = SCOPES[ANALYZE]
            assert got == (
                (grpc.StatusCode.OK, "") if scope is wanted else (DENIED, "MISSING_SCOPE")
            )
            if scope is SCOPES[REFLECT]:
                assert SERVICE in reflected(channel, keys.tokens[scope])
            else:
                with pytest.raises(grpc.RpcError) as caught:
                    reflected(channel, keys.tokens[scope])
                assert (caught.value.code(), reason_of(caught.value)) == (DENIED, "MISSING_SCOPE")

    def test_who_shows_nothing_known_is_not_authenticated(
        self, guarded: Server, keys: Keys
    ) -> None:
        good = keys.tokens["all"]
        with guarded.channel() as channel:
            assert outcome(channel) == (UNAUTHENTICATED, "NO_CREDENTIALS")
            assert outcome(channel, keys.tokens["old"]) == (UNAUTHENTICATED, "EXPIRED_CREDENTIALS")
            for bad in ("", "x", good[:-1], good + "x", good.upper(), good[5:], f"{good} {good}"):
                assert outcome(channel, bad) == (UNAUTHENTICATED, "INVALID_CREDENTIALS")

    def test_odd_headers_are_not_authenticated(self, guarded: Server, keys: Keys) -> None:
        good = keys.tokens["all"]
        with guarded.channel() as channel:
            call = raw(channel)
            for values in (
                [f"Bearer {good}", f"Bearer {good}"],
                [good],
                [f"Basic {good}"],
                [f"Bearer{good}"],
            ):
                with pytest.raises(grpc.RpcError) as caught:
                    call(VALID, timeout=30, metadata=tuple(("authorization", v) for v in values))
                assert reason_of(caught.value) == "INVALID_CREDENTIALS"
            assert call(VALID, timeout=30, metadata=(("authorization", f"bearer {good}"),))

    def test_health_needs_no_token(self, guarded: Server) -> None:
        with guarded.channel() as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            reply = stub.Check(health_pb2.HealthCheckRequest(service=SERVICE), timeout=30)
        assert reply.status == health_pb2.HealthCheckResponse.SERVING

    def test_a_method_that_does_not_exist(self, guarded: Server, keys: Keys) -> None:
        with guarded.channel() as channel:
            for method in (f"/{SERVICE}/Nothing", "/x.Y/Z"):
                code, _ = outcome(channel, keys.tokens["all"], method=method)
                assert code == grpc.StatusCode.UNIMPLEMENTED

    def test_tokens_come_and_go_without_a_restart(self, tmp_path: Path) -> None:
        keys = Keys(tmp_path)
        with (
            Server("--credentials-file", str(keys.path)) as server,
            server.until_ready().channel() as channel,
        ):
            keys.add("late", [Scope.ANALYZE])
            assert outcome(channel, keys.tokens["late"])[0] == grpc.StatusCode.OK
            del keys.lines["late"]
            keys.write()
            assert outcome(channel, keys.tokens["late"]) == (UNAUTHENTICATED, "INVALID_CREDENTIALS")
            # A file that cannot be read locks nobody out.
            keys.path.write_text("all = 1\n", encoding="utf-8")
            assert outcome(channel, keys.tokens["all"])[0] == grpc.StatusCode.OK
            server.wait_for(lambda line: "what was read before stays in use" in line)

    def test_without_credentials_anyone_may_call(self, service: Server) -> None:
        with service.channel() as channel:
            assert outcome(channel)[0] == grpc.StatusCode.OK
            assert outcome(channel, "anything")[0] == grpc.StatusCode.OK


def test_no_secret_reaches_the_log(tmp_path: Path, own: Pair) -> None:
    """Nor `bayesrca config`, nor a message to a caller: neither known tokens nor wrong ones."""
    keys = Keys(tmp_path)
    wrong = f"brca_{secrets.token_urlsafe(32)}"
    files = ["--credentials-file", str(keys.path)]
    with (
        Server(*files) as server,
        server.until_ready().channel() as channel,
    ):
        for token in (*keys.tokens.values(), wrong):
            outcome(channel, token)
            outcome(channel, token, b"\xff")
        keys.path.write_text(f'all = {{ sha256 = "{wrong}" }}\n', encoding="utf-8")
        outcome(channel, keys.tokens["all"])
        server.wait_for(lambda line: "stays in use" in line)
    files += ["--tls-cert-file", str(own.cert), "--tls-key-file", str(own.key)]
    printed = subprocess.run(
        [sys.executable, "-m", "bayesrca.cli", "config", *files],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    text = "\n".join([*server.lines, printed.stdout, printed.stderr])
    assert str(keys.path) in text
    secret = [*keys.tokens.values(), wrong]
    secret += [line.split('"')[1] for line in keys.lines.values()]
    secret += [line for line in own.key.read_text(encoding="utf-8").splitlines() if len(line) > 30]
    for word in secret:
        assert word not in text


class TestTls:
    def test_over_tls_only(self, authority: Authority, own: Pair, keys: Keys) -> None:
        files = ["--tls-cert-file", str(own.cert), "--tls-key-file", str(own.key)]
        with Server(*files, "--credentials-file", str(keys.path)) as server:
            server.until_ready()
            server.wait_for(lambda line: "TLS, 7 token(s)" in line)
            with authority.channel(server.address) as channel:
                assert outcome(channel, keys.tokens["all"])[0] == grpc.StatusCode.OK
                assert outcome(channel) == (UNAUTHENTICATED, "NO_CREDENTIALS")
            with server.channel() as channel:
                assert outcome(channel, keys.tokens["all"])[0] == grpc.StatusCode.UNAVAILABLE

    def test_the_command_line_shows_its_token(
        self, authority: Authority, own: Pair, keys: Keys, tmp_path: Path
    ) -> None:
        token = tmp_path / "token"
        token.write_text(keys.tokens["all"] + "\n", encoding="utf-8")
        files = ["--tls-cert-file", str(own.cert), "--tls-key-file", str(own.key)]
        with Server(*files, "--credentials-file", str(keys.path)) as server:
            server.until_ready()
            command = [sys.executable, "-m", "bayesrca.cli", "analyze", "examples/search_delay"]
            command += ["--method", "screen", "--server", server.address]
            command += ["--ca-file", str(authority.cert)]
            codes = []
            for extra in ([], ["--token-file", str(token)], ["--token-file", "/no/such"]):
                done = subprocess.run(
                    [*command, *extra], cwd=ROOT, capture_output=True, text=True, timeout=120,
                    check=False,
                )  # fmt: skip
                codes.append(done.returncode)
                assert "Traceback" not in done.stderr
            assert codes == [5, 0, 2]

    def test_the_certificate_tells_who_calls(
        self, authority: Authority, own: Pair, tmp_path: Path
    ) -> None:
        keys = Keys(tmp_path)
        for name, scope in (("robot", "analyze"), ("reader", "read")):
            keys.lines[name] = (
                f'{name} = {{ san = "spiffe://test/{name}", tenant = "t", scopes = ["{scope}"] }}'
            )
        keys.write()
        robot = authority.issue("robot", "URI:spiffe://test/robot")
        reader = authority.issue("reader", "URI:spiffe://test/reader")
        stranger = authority.issue("stranger", "URI:spiffe://test/robot2")
        both = authority.issue("both", "URI:spiffe://test/robot,URI:spiffe://test/reader")
        other = Authority(tmp_path, "other").issue("forged", "URI:spiffe://test/robot")
        files = ["--tls-cert-file", own.cert, "--tls-key-file", own.key]
        files += ["--tls-client-ca-file", authority.cert, "--credentials-file", keys.path]
        with Server(*map(str, files)) as server:
            server.until_ready()
            for pair, token, wanted in (
                (robot, None, (grpc.StatusCode.OK, "")),
                (reader, None, (DENIED, "MISSING_SCOPE")),
                (stranger, None, (UNAUTHENTICATED, "INVALID_CREDENTIALS")),
                (both, None, (UNAUTHENTICATED, "INVALID_CREDENTIALS")),
                # A token that is shown counts, whatever the certificate.
                (reader, "all", (grpc.StatusCode.OK, "")),
                (robot, "read", (DENIED, "MISSING_SCOPE")),
                (robot, "old", (UNAUTHENTICATED, "EXPIRED_CREDENTIALS")),
                (None, "all", (grpc.StatusCode.UNAVAILABLE, "")),
                (other, "all", (grpc.StatusCode.UNAVAILABLE, "")),
            ):
                shown = None if token is None else keys.tokens[token]
                with authority.channel(server.address, pair) as channel:
                    assert outcome(channel, shown) == wanted

    def test_a_renewed_certificate_needs_no_restart(
        self, authority: Authority, tmp_path: Path
    ) -> None:
        mine = Pair(tmp_path / "tls.pem", tmp_path / "tls.key")

        def install(pair: Pair) -> None:
            shutil.copy(pair.cert, mine.cert)
            shutil.copy(pair.key, mine.key)

        install(authority.issue("first", "IP:127.0.0.1"))
        renewed_by = Authority(tmp_path, "next")
        with Server("--tls-cert-file", str(mine.cert), "--tls-key-file", str(mine.key)) as server:
            server.until_ready()
            with authority.channel(server.address) as channel:
                assert outcome(channel)[0] == grpc.StatusCode.OK
            # Half of the new pair: the old one goes on.
            second = renewed_by.issue("second", "IP:127.0.0.1")
            shutil.copy(second.cert, mine.cert)
            with authority.channel(server.address) as channel:
                assert outcome(channel)[0] == grpc.StatusCode.OK
            install(second)
            with renewed_by.channel(server.address) as channel:
                assert outcome(channel)[0] == grpc.StatusCode.OK
            with authority.channel(server.address) as channel:
                assert outcome(channel)[0] == grpc.StatusCode.UNAVAILABLE

    @pytest.mark.parametrize("wrong", ["key", "missing", "encrypted"])
    def test_files_that_will_not_do_stop_the_start(
        self, authority: Authority, own: Pair, tmp_path: Path, wrong: str
    ) -> None:
        key = authority.issue("another", "IP:127.0.0.1").key
        if wrong == "missing":
            key = tmp_path / "none.key"
        if wrong == "encrypted":
            key = tmp_path / "secret.key"
            command = ["openssl", "ec", "-in", str(own.key), "-aes128", "-passout", "pass:x"]
            subprocess.run([*command, "-out", str(key)], check=True, capture_output=True)
        done = subprocess.run(
            [sys.executable, "-m", "bayesrca.service", "--port", "0", "--no-warm",
             "--tls-cert-file", str(own.cert), "--tls-key-file", str(key)],
            cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
        assert ("encrypted" if wrong == "encrypted" else str(key)) in done.stderr


class TestLimits:
    def test_a_decompression_bomb_is_refused_unpacked(self) -> None:
        """64 MiB of zeros in 64 KB: the server must not unpack it all, let alone all at once."""
        with Server("--max-message-bytes", str(4 << 20)) as server:
            server.until_ready()
            bomb = bytes(64 << 20)
            assert len(gzip.compress(bomb)) < 100_000
            with server.channel() as channel:
                outcome(channel)
                before = peak_memory(server.process.pid)
                with pytest.raises(grpc.RpcError) as caught:
                    raw(channel)(bomb, timeout=60, compression=grpc.Compression.Gzip)
                assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
                assert peak_memory(server.process.pid) - before < 32 << 20
                assert outcome(channel)[0] == grpc.StatusCode.OK

    def test_large_headers_are_refused(self) -> None:
        with (
            Server("--max-metadata-bytes", "4096") as server,
            server.until_ready().channel() as channel,
        ):
            call = raw(channel)
            with pytest.raises(grpc.RpcError) as caught:
                call(VALID, timeout=30, metadata=(("note", "x" * 5000),))
            assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
            assert call(VALID, timeout=30, metadata=(("note", "x" * 1000),))

    def test_calls_beyond_the_most_are_refused_and_health_is_not(self) -> None:
        with (
            Server("--max-calls", "2", "--http-port", "0") as server,
            server.until_ready().channel() as channel,
            ThreadPoolExecutor(2) as threads,
        ):
            slow = make_request("sleep:2").SerializeToString()
            running = [threads.submit(outcome, channel, None, slow) for _ in range(2)]
            pages = pages_of(server)
            assert eventually(lambda: "bayesrca_rpcs_open 2.0" in fetch(pages, "/metrics")[1])
            wanted = (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_CALLS")
            assert outcome(channel) == wanted
            health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)
            assert [call.result()[0] for call in running] == [grpc.StatusCode.OK] * 2
            assert outcome(channel)[0] == grpc.StatusCode.OK

    def test_who_is_refused_cannot_make_the_server_hold_their_request(
        self, guarded: Server
    ) -> None:
        """32 MiB from nobody: the server answers before it has read them."""
        large = bytes(32 << 20)
        with guarded.channel() as channel:
            outcome(channel)
            before = peak_memory(guarded.process.pid)
            for _ in range(3):
                assert outcome(channel, None, large) == (UNAUTHENTICATED, "NO_CREDENTIALS")
        assert peak_memory(guarded.process.pid) - before < 32 << 20


def peak_memory(pid: int) -> int:
    """Most bytes a process has held so far."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        pytest.skip("no /proc here")
    (line,) = (
        line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM")
    )
    return int(line.split()[1]) << 10
