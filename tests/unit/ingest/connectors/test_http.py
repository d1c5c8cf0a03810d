"""Asking over HTTP: patience, size, secrets."""

from __future__ import annotations

import gzip
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from bayesrca.errors import InvalidSettingsError, SourceError
from bayesrca.ingest.connectors.credentials import Credentials, read_credentials
from bayesrca.ingest.connectors.http import HttpSource
from tests.unit.ingest.connectors.stub import QUICK, Reply, Stub, in_turn, of

GOOD = of({"good": 1})


def ask(stub: Stub, waits: list[float] | None = None, **settings: Any) -> object:  # noqa: ANN401
    pauses = waits if waits is not None else []
    with stub.source(pause=pauses.append, jitter=lambda: 1.0, **settings) as source:
        return source.ask("GET", "x", params={"q": "a b"})


class TestAgain:
    @pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
    def test_a_passing_failure_is_asked_again_with_growing_pauses(self, status: int) -> None:
        waits: list[float] = []
        with Stub(in_turn(Reply(b"", status), Reply(b"", status), GOOD)) as stub:
            assert ask(stub, waits) == {"good": 1}
            assert len(stub.asked) == 3
        assert waits == pytest.approx([0.001, 0.002])

    def test_the_server_says_how_long_to_wait(self) -> None:
        waits: list[float] = []
        with Stub(in_turn(Reply(b"", 429, {"Retry-After": "2"}), GOOD)) as stub:
            assert ask(stub, waits) == {"good": 1}
        assert waits == [2.0]

    def test_a_date_says_it_as_well(self) -> None:
        waits: list[float] = []
        soon = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
        with Stub(in_turn(Reply(b"", 503, {"Retry-After": soon}), GOOD)) as stub:
            assert ask(stub, waits) == {"good": 1}
        assert 0.5 < waits[0] <= 2.0

    @pytest.mark.parametrize("text", ["soon", "-1", "1e9", "", "Thu, 99 Xyz 2020", "٣"])
    def test_nonsense_about_waiting_is_passed_over(self, text: str) -> None:
        waits: list[float] = []
        with Stub(
            in_turn(Reply(b"", 429, {"Retry-After": text.encode().decode("latin-1")}), GOOD)
        ) as stub:
            assert ask(stub, waits) == {"good": 1}
        assert waits == pytest.approx([0.001])

    def test_more_patience_than_is_allowed_is_refused_at_once(self) -> None:
        with (
            Stub(in_turn(Reply(b"", 429, {"Retry-After": "3600"}))) as stub,
            pytest.raises(SourceError, match="prometheus: answers HTTP 429 and asks for 3600 s"),
        ):
            ask(stub)
        assert len(stub.asked) == 1

    def test_what_fails_every_time_fails(self) -> None:
        with (
            Stub(in_turn(of({"error": "no disk"}, 500))) as stub,
            pytest.raises(SourceError, match="HTTP 500, 3 times in a row") as caught,
        ):
            ask(stub)
        assert len(stub.asked) == 3
        assert not caught.value.lost

    @pytest.mark.parametrize("status", [400, 404, 422])
    def test_what_is_wrong_with_the_question_is_asked_once(self, status: int) -> None:
        with Stub(in_turn(of({"error": "bad query"}, status))) as stub:
            with stub.source() as source, pytest.raises(SourceError, match="bad query") as caught:
                source.ask("GET", "x", told=lambda answer: answer["error"])  # type: ignore[index]
            assert len(stub.asked) == 1
        assert not caught.value.lost

    def test_words_that_cannot_be_unpacked_leave_the_status(self) -> None:
        with (
            Stub(in_turn(Reply(b"no gzip", 401, {"Content-Encoding": "gzip"}))) as stub,
            pytest.raises(SourceError, match="HTTP 401") as caught,
        ):
            ask(stub)
        assert len(stub.asked) == 1
        assert caught.value.lost

    def test_nobody_listens(self) -> None:
        with Stub(in_turn(GOOD)) as stub:
            url = stub.url
        with (
            HttpSource("loki", url, limits=QUICK, pause=lambda _: None) as source,
            pytest.raises(SourceError, match="loki: cannot be reached") as caught,
        ):
            source.ask("GET", "x")
        assert caught.value.lost

    def test_the_time_for_a_source_is_bounded(self) -> None:
        now = [0.0]

        def pause(seconds: float) -> None:
            now[0] += seconds

        limits = replace(QUICK, attempts=1000, source_seconds=5.0)
        with Stub(in_turn(Reply(b"", 503, {"Retry-After": "2"}))) as stub:
            source = stub.source(limits=limits, pause=pause, clock=lambda: now[0])
            with source, pytest.raises(SourceError, match="time of asking is over") as caught:
                source.ask("GET", "x")
        assert caught.value.lost
        assert len(stub.asked) == 3


class TestAnswers:
    def test_an_answer_that_stops_short_is_asked_again(self) -> None:
        cut = replace(GOOD, content=GOOD.content[:5], missing=6)
        with Stub(in_turn(cut, GOOD)) as stub:
            assert ask(stub) == {"good": 1}

    @pytest.mark.parametrize("content", [b'{"a": [1, 2', b"<html>", b"", b'{"a": NaN}', b"\xff"])
    def test_what_is_not_json(self, content: bytes) -> None:
        with (
            Stub(in_turn(Reply(content))) as stub,
            pytest.raises(SourceError, match="prometheus: answers with something that is not JSON"),
        ):
            ask(stub)

    def test_json_as_deep_as_a_well(self) -> None:
        with (
            Stub(in_turn(Reply(b"[" * 200_000 + b"]" * 200_000))) as stub,
            pytest.raises(SourceError, match="nested too deeply"),
        ):
            ask(stub)

    def test_silence_ends_the_attempt(self) -> None:
        slow = Reply(b"[1,                  2]", pieces=2, pause=30)
        begun = time.monotonic()
        with (
            Stub(in_turn(slow)) as stub,
            pytest.raises(SourceError, match="did not go on answering"),
        ):
            ask(stub, limits=replace(QUICK, attempts=1))
        assert time.monotonic() - begun < 10

    def test_a_steady_drip_ends_too(self) -> None:
        """Each byte comes in time, the whole never."""
        drip = Reply(b"[" + b" " * 600 + b"]", pieces=602, pause=0.05)
        begun = time.monotonic()
        with (
            Stub(in_turn(drip)) as stub,
            pytest.raises(SourceError, match="did not finish its answer in time"),
        ):
            ask(stub, limits=replace(QUICK, attempts=1))
        assert time.monotonic() - begun < 10

    def test_redirects_are_not_followed(self) -> None:
        with (
            Stub(in_turn(Reply(b"", 302, {"Location": "http://elsewhere.test/secret"}))) as stub,
            pytest.raises(SourceError, match="redirect") as caught,
        ):
            ask(stub)
        assert "elsewhere" not in str(caught.value)


class TestSize:
    def test_gzip(self) -> None:
        packed = Reply(gzip.compress(GOOD.content), headers={"Content-Encoding": "gzip"}, pieces=3)
        with Stub(in_turn(packed)) as stub:
            assert ask(stub) == {"good": 1}
            assert stub.asked[0].headers["accept-encoding"] == "gzip"

    def test_gzip_in_several_members(self) -> None:
        content = gzip.compress(b"[1,") + gzip.compress(b"2]")
        with Stub(in_turn(Reply(content, headers={"Content-Encoding": "gzip"}))) as stub:
            assert ask(stub) == [1, 2]

    def test_what_is_too_large(self) -> None:
        with (
            Stub(in_turn(Reply(b"[" + b"1," * (1 << 20) + b"1]"))) as stub,
            pytest.raises(SourceError, match="more than 1048576 bytes"),
        ):
            ask(stub)

    def test_a_bomb_is_counted_as_what_it_unpacks_to(self) -> None:
        bomb = gzip.compress(b" " * (100 << 20), 9)
        assert len(bomb) < 1 << 20
        reply = Reply(bomb, headers={"Content-Encoding": "gzip"})
        with (
            Stub(in_turn(reply)) as stub,
            pytest.raises(SourceError, match="more than 1048576 bytes"),
        ):
            ask(stub)

    def test_a_bomb_unpacks_no_further_than_the_cap(self) -> None:
        """Told by the memory it takes: one piece of the network holds 60 MB of it."""
        import tracemalloc

        bomb = Reply(gzip.compress(b" " * (60 << 20), 9), headers={"Content-Encoding": "gzip"})
        with Stub(in_turn(bomb)) as stub:
            tracemalloc.start()
            try:
                with pytest.raises(SourceError, match="bytes"):
                    ask(stub)
                assert tracemalloc.get_traced_memory()[1] < 16 << 20
            finally:
                tracemalloc.stop()

    def test_gzip_cut_short_and_gzip_that_is_none(self) -> None:
        whole = gzip.compress(GOOD.content)
        for content in (whole[:-4], whole + b"garbage", b"{}"):
            reply = Reply(content, headers={"Content-Encoding": "gzip"})
            with Stub(in_turn(reply)) as stub, pytest.raises(SourceError, match="unpacked"):
                ask(stub)

    def test_an_encoding_that_was_not_asked_for(self) -> None:
        with (
            Stub(in_turn(replace(GOOD, headers={"Content-Encoding": "br"}))) as stub,
            pytest.raises(SourceError, match="'br', which was not asked for"),
        ):
            ask(stub)

    def test_all_answers_together_are_bounded(self) -> None:
        large = Reply(b'"' + b"x" * (900 << 10) + b'"')
        with Stub(in_turn(large)) as stub, stub.source() as source:
            source.ask("GET", "x")
            source.ask("GET", "x")
            with pytest.raises(SourceError, match="bytes in all") as caught:
                source.ask("GET", "x")
            assert caught.value.lost  # no further question is worth asking


class TestSecrets:
    SECRET = "s3cr3t-t0ken"

    def test_a_token_is_sent_and_not_told(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(0)
        credentials = read_credentials("prometheus", {"BAYESRCA_PROMETHEUS_TOKEN": self.SECRET})
        echo = in_turn(of({"error": f"bad token Bearer {self.SECRET}"}, 401))
        with Stub(echo) as stub:
            source = stub.source(credentials=credentials)
            with source, pytest.raises(SourceError, match="check its credentials") as caught:
                source.ask("GET", "x", told=lambda answer: answer["error"])  # type: ignore[index]
            assert stub.asked[0].headers["authorization"] == f"Bearer {self.SECRET}"
        assert caught.value.lost
        assert "bad token" in str(caught.value)
        for text in (str(caught.value), repr(credentials), repr(source), caplog.text):
            assert self.SECRET not in text

    def test_headers_from_a_file(self, tmp_path: Path) -> None:
        file = tmp_path / "headers"
        file.write_text("X-Scope-OrgID: team a\n\nAuthorization: ApiKey abc=\n")
        found = read_credentials("loki", {"BAYESRCA_LOKI_HEADERS_FILE": str(file)})
        assert found.headers == {"X-Scope-OrgID": "team a", "Authorization": "ApiKey abc="}

    def test_a_token_from_a_file(self, tmp_path: Path) -> None:
        file = tmp_path / "token"
        file.write_text(f"{self.SECRET}\n")
        found = read_credentials("loki", {"BAYESRCA_LOKI_TOKEN_FILE": str(file)})
        assert found.headers == {"Authorization": f"Bearer {self.SECRET}"}

    @pytest.mark.parametrize("content", [SECRET, f"{SECRET}:", f"a: {SECRET}\x01"])
    def test_a_file_that_will_not_do(self, tmp_path: Path, content: str) -> None:
        file = tmp_path / "headers"
        file.write_text(content)
        with pytest.raises(InvalidSettingsError) as caught:
            read_credentials("loki", {"BAYESRCA_LOKI_HEADERS_FILE": str(file)})
        assert self.SECRET not in str(caught.value)

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        environment = {"BAYESRCA_LOKI_TOKEN_FILE": str(tmp_path / "gone")}
        with pytest.raises(InvalidSettingsError, match="BAYESRCA_LOKI_TOKEN_FILE"):
            read_credentials("loki", environment)

    @pytest.mark.parametrize(
        "url",
        [
            "",
            "prometheus:9090",
            "ftp://x",
            "http://",
            f"http://u:{SECRET}@x",
            "http://x?a=b",
            "//x",
        ],
    )
    def test_an_address_that_will_not_do(self, url: str) -> None:
        with pytest.raises(InvalidSettingsError, match="must be written http") as caught:
            HttpSource("prometheus", url)
        assert self.SECRET not in str(caught.value)


def test_the_path_in_front_of_the_api_is_kept() -> None:
    with (
        Stub({"/prometheus/api/x": lambda _: GOOD}) as stub,
        HttpSource("prometheus", stub.url + "/prometheus/", credentials=Credentials()) as source,
    ):
        assert source.ask("GET", "api/x") == {"good": 1}
