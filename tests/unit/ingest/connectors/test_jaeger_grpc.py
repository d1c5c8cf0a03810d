"""Jaeger's gRPC API, version 3."""

from __future__ import annotations

import random
import socket
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayesrca.errors import InvalidSettingsError, SourceError
from bayesrca.incident import ComponentKind, EdgeKind, TimeWindow
from bayesrca.ingest.connectors.collect import Wanted, collect
from bayesrca.ingest.connectors.grpc_source import GrpcSource
from bayesrca.ingest.connectors.interface import Ask, Haul, Line, What
from bayesrca.ingest.connectors.jaeger import DEPTH, PARTS, Jaeger
from bayesrca.ingest.connectors.jaeger_grpc import (
    JaegerGrpc,
    find_traces_request,
    parse_services,
)
from bayesrca.ingest.connectors.otlp_bytes import SpanDecoder
from bayesrca.ingest.connectors.shapes import Shapes
from bayesrca.ingest.connectors.sources import Sources, make_connectors
from tests.integration.certificates import Authority
from tests.unit.ingest.connectors.grpc_stub import (
    Answer,
    FindTracesRequest,
    GetServicesResponse,
    GrpcStub,
    Part,
    Refusal,
    Slow,
    hidden,
    one_trace,
    services,
    wait_for,
)
from tests.unit.ingest.connectors.stub import QUICK, ROOMY

pytestmark = pytest.mark.grpc
Code = grpc.StatusCode
START = 1_700_000_000.0
WINDOW = TimeWindow(START, START + 1200)
FIND = "jaeger.api_v3.QueryService/FindTraces"


def fetch(stub: GrpcStub, window: TimeWindow = WINDOW, **more: Any) -> Haul:  # noqa: ANN401
    source = stub.source(**{"limits": ROOMY} | more)
    return Jaeger(JaegerGrpc(source)).fetch(Ask(window=window, step=60.0))


def ask(stub: GrpcStub, **more: Any) -> list[bytes]:  # noqa: ANN401
    waits: list[float] = more.pop("waits", [])
    with stub.source(pause=waits.append, jitter=lambda: 1.0, **more) as source:
        return source.ask(FIND, b"")


def in_turn(*answers: Iterable[Part]) -> Answer:
    left = list(answers)
    return lambda _: left.pop(0) if len(left) > 1 else left[0]


def every(seconds: float) -> Answer:
    """One trace every so many seconds, a message each; NOT_FOUND where there is none."""

    def answer(request: Any) -> Iterable[Part]:  # noqa: ANN401
        query = request.query
        low, high = (
            stamp.ToNanoseconds() / 1e9 - START
            for stamp in (query.start_time_min, query.start_time_max)
        )
        numbers = [n for n in range(int(1200 / seconds)) if low <= n * seconds < high]
        for n in numbers[: query.search_depth]:
            yield one_trace(n + 1, START + n * seconds)
        if not numbers:
            yield Refusal(Code.NOT_FOUND, "No traces found")

    return answer


class TestTraces:
    def test_every_span_comes_once(self) -> None:
        with GrpcStub(every(100.0), lambda _: services("front", "cart")) as stub:
            haul = fetch(stub)
            assert len(stub.asked) == 1 + 2 * PARTS
        assert haul.spans is not None
        assert haul.spans.count == 4 * 12
        assert [line.came for line in haul.asked] == [0, 48, 0]  # both are in every trace
        assert not [line for line in haul.asked if line.missing]

    def test_two_fetches_are_two_hauls(self) -> None:
        with GrpcStub(every(600.0)) as stub:
            jaeger = Jaeger(JaegerGrpc(stub.source(limits=ROOMY)))
            counts = []
            for _ in range(2):
                spans = jaeger.fetch(Ask(window=WINDOW, step=60.0)).spans
                counts.append(0 if spans is None else spans.count)
        assert counts == [8, 8]

    def test_busy_times_are_sampled_evenly_and_told(self) -> None:
        with GrpcStub(every(1.0)) as stub:
            haul = fetch(stub)
        assert haul.spans is not None
        assert haul.spans.count == 4 * DEPTH * PARTS
        assert f"{PARTS} of {PARTS} parts of the time may hold more" in haul.asked[1].missing

    def test_the_incident_is_that_of_the_json(self) -> None:
        wanted = Wanted(name="x", window=WINDOW, baseline=None, step=60.0)
        with GrpcStub(every(100.0)) as stub:
            incident = collect([Jaeger(JaegerGrpc(stub.source(limits=ROOMY)))], wanted).incident
        assert {c.name: c.kind for c in incident.topology.components} == {
            "front": ComponentKind.SERVICE, "cart": ComponentKind.SERVICE,
            "cache": ComponentKind.DATASTORE,
        }  # fmt: skip
        assert {(e.source, e.target, e.kind) for e in incident.topology.edges} == {
            ("front", "cart", EdgeKind.CALLS), ("cart", "cache", EdgeKind.READS),
        }  # fmt: skip
        spans = incident.spans
        assert spans is not None
        assert "GET x" in spans.codes
        assert sorted(set(spans.status.tolist())) == [0, 2]
        assert sorted(set(spans.duration_ns.tolist())) == [10**8 - i for i in (3, 2, 1, 0)]
        assert spans.start_ns.min() == round(START * 1e9)
        assert sorted((spans.start_ns - spans.start_ns.min()) % 10**9)[-1] == 3
        assert not incident.notes

    def test_an_answer_in_small_compressed_messages(self) -> None:
        with GrpcStub(every(100.0), compression=grpc.Compression.Gzip) as stub:
            haul = fetch(stub)
        assert haul.spans is not None
        assert haul.spans.count == 48

    def test_what_the_decoder_leaves_out_is_told(self) -> None:
        from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

        data = TracesData.FromString(one_trace(1, START))
        data.resource_spans[0].scope_spans[0].spans[0].trace_id = b""
        line = Line(What.SPANS, "x")
        assert SpanDecoder(Shapes("jaeger")).read([data.SerializeToString()], line) == 1
        assert line.came == 3
        assert line.lacks[0].startswith("1 spans of an answer were left out: ")


class TestAgain:
    @pytest.mark.parametrize("code", [Code.UNAVAILABLE, Code.INTERNAL, Code.ABORTED, Code.UNKNOWN])
    def test_a_passing_failure_is_asked_again(self, code: grpc.StatusCode) -> None:
        waits: list[float] = []
        failed = [Refusal(code, "soon")]
        with GrpcStub(in_turn(failed, failed, [b"x"])) as stub:
            assert ask(stub, waits=waits) == [b"x"]
        assert waits == pytest.approx([0.001, 0.002])

    def test_what_came_before_a_break_is_asked_anew(self) -> None:
        with GrpcStub(in_turn([b"x", Refusal(Code.UNAVAILABLE)], [b"x", b"y"])) as stub:
            assert ask(stub, waits=[]) == [b"x", b"y"]

    def test_the_server_says_how_long_to_wait(self) -> None:
        waits: list[float] = []
        busy = [Refusal(Code.RESOURCE_EXHAUSTED, "busy", retry=1.5)]
        with GrpcStub(in_turn(busy, [b"x"])) as stub:
            assert ask(stub, waits=waits) == [b"x"]
        assert waits == [1.5]

    def test_more_patience_than_is_allowed_is_refused_at_once(self) -> None:
        with (
            GrpcStub(lambda _: [Refusal(Code.UNAVAILABLE, "later", retry=90.0)]) as stub,
            pytest.raises(SourceError, match="90 s of patience, more than the 2 s") as caught,
        ):
            ask(stub)
        assert caught.value.lost
        assert len(stub.asked) == 1

    def test_without_a_time_to_wait_too_much_is_not_asked_again(self) -> None:
        with (
            GrpcStub(lambda _: [Refusal(Code.RESOURCE_EXHAUSTED, "quota")]) as stub,
            pytest.raises(SourceError, match=r"answers RESOURCE_EXHAUSTED \(quota\)") as caught,
        ):
            ask(stub)
        assert len(stub.asked) == 1
        assert not caught.value.lost

    def test_details_that_are_none_are_passed_over(self) -> None:
        waits: list[float] = []
        odd = [Refusal(Code.UNAVAILABLE, "x", details=b"\xff\xff")]
        with GrpcStub(in_turn(odd, [b"x"])) as stub:
            assert ask(stub, waits=waits) == [b"x"]
        assert waits == pytest.approx([0.001])

    def test_a_server_that_stays_away_is_lost(self) -> None:
        with (
            GrpcStub(lambda _: [Refusal(Code.UNAVAILABLE, "away")]) as stub,
            pytest.raises(SourceError, match=r"UNAVAILABLE \(away\), 3 times in a row") as caught,
        ):
            ask(stub)
        assert caught.value.lost
        assert len(stub.asked) == QUICK.attempts

    def test_a_lost_server_is_asked_nothing_further(self) -> None:
        with GrpcStub(names=lambda _: [Refusal(Code.UNAUTHENTICATED, "no")]) as stub:
            haul = fetch(stub)
        assert len(stub.asked) == 1
        assert haul.spans is None
        assert haul.asked[0].missing == "answers UNAUTHENTICATED (no); check its credentials"

    def test_a_server_without_the_questions(self) -> None:
        with GrpcStub(names=lambda _: [Refusal(Code.UNIMPLEMENTED, "unknown")]) as stub:
            haul = fetch(stub)
        assert "is it another version or another server?" in haul.asked[0].missing

    def test_nobody_listens(self) -> None:
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            port = listening.getsockname()[1]
        source = GrpcSource("jaeger", f"grpc://127.0.0.1:{port}", limits=QUICK)
        with source, pytest.raises(SourceError, match=r"cannot be reached \(.*refused") as caught:
            source.ask(FIND, b"")
        assert caught.value.lost

    def test_somebody_listens_and_says_nothing(self) -> None:
        limits = replace(QUICK, connect_seconds=0.2, read_seconds=5.0, attempts=1)
        with socket.create_server(("127.0.0.1", 0)) as silent:
            port = silent.getsockname()[1]
            source = GrpcSource("jaeger", f"grpc://127.0.0.1:{port}", limits=limits)
            with source, pytest.raises(SourceError, match="cannot be reached"):
                source.ask(FIND, b"")


class TestBounds:
    def test_a_message_beyond_the_limit(self) -> None:
        with (
            GrpcStub(lambda _: [b"x" * (QUICK.max_bytes + 1)]) as stub,
            pytest.raises(SourceError, match=f"more than {QUICK.max_bytes} bytes; ask for a"),
        ):
            ask(stub, limits=ROOMY)
        assert len(stub.asked) == 1

    def test_a_bomb_counts_unpacked(self) -> None:
        bomb = [b"\0" * (QUICK.max_bytes + 1)]
        with (
            GrpcStub(lambda _: bomb, compression=grpc.Compression.Gzip) as stub,
            pytest.raises(SourceError, match=f"more than {QUICK.max_bytes} bytes"),
        ):
            ask(stub, limits=ROOMY)

    def test_many_messages_beyond_the_limit(self) -> None:
        piece = b"x" * (QUICK.max_bytes // 4)
        with (
            GrpcStub(lambda _: [piece] * 5) as stub,
            pytest.raises(SourceError, match=f"more than {QUICK.max_bytes} bytes"),
        ):
            ask(stub, limits=ROOMY)

    def test_all_answers_together(self) -> None:
        limits = replace(ROOMY, max_total_bytes=1000)
        with GrpcStub(lambda _: [b"x" * 600]) as stub, stub.source(limits=limits) as source:
            source.ask(FIND, b"")
            with pytest.raises(SourceError, match="more than 1000 bytes in all") as caught:
                source.ask(FIND, b"")
        assert caught.value.lost

    def test_silence_ends_an_attempt(self) -> None:
        answer = in_turn([b"x", Slow(30.0), b"y"], [b"x"])
        waits: list[float] = []
        with GrpcStub(answer) as stub:
            limits = replace(QUICK, attempt_seconds=20.0)
            assert ask(stub, waits=waits, limits=limits) == [b"x"]
        assert len(waits) == 1

    def test_a_stream_that_drips_for_ever(self) -> None:
        drip: list[Part] = [b"x", Slow(0.2)] * 1000
        limits = replace(QUICK, attempts=1)
        with (
            GrpcStub(lambda _: drip) as stub,
            pytest.raises(SourceError, match="did not finish its answer in time"),
        ):
            ask(stub, limits=limits)

    def test_the_time_for_the_source_is_over(self) -> None:
        now = [0.0]
        with GrpcStub() as stub, stub.source(clock=lambda: now[0]) as source:
            now[0] = QUICK.source_seconds + 1.0
            with pytest.raises(SourceError, match="s for asking it are over") as caught:
                source.ask(FIND, b"")
        assert caught.value.lost


class TestSecrets:
    def test_they_travel_as_metadata_over_tls_and_are_never_told(self, tmp_path: Path) -> None:
        authority = Authority(tmp_path)
        pair = authority.issue("server", "IP:127.0.0.1")
        tls = pair.key.read_bytes(), pair.cert.read_bytes()
        refused = [Refusal(Code.PERMISSION_DENIED, "token sesame-and-open is old")]
        environment = {
            "BAYESRCA_JAEGER_TOKEN": "sesame-and-open", "SSL_CERT_FILE": str(authority.cert),
        }  # fmt: skip
        with GrpcStub(in_turn(refused), tls=tls) as stub:
            [jaeger] = make_connectors(Sources(jaeger=stub.url), environment, limits=ROOMY)
            haul = jaeger.fetch(Ask(window=WINDOW, step=60.0))
            assert stub.metadata[0]["authorization"] == "Bearer sesame-and-open"
        told = haul.asked[1].missing
        assert "PERMISSION_DENIED" in told
        assert "[hidden]" in told
        assert "sesame" not in str(haul)

    @pytest.mark.parametrize("trusted", [False, True])
    def test_a_certificate_nobody_vouches_for(self, tmp_path: Path, trusted: bool) -> None:
        authority = Authority(tmp_path)
        name = "IP:127.0.0.2" if trusted else "IP:127.0.0.1"
        pair = authority.issue("server", name)
        tls = pair.key.read_bytes(), pair.cert.read_bytes()
        roots = (authority if trusted else Authority(tmp_path, "other")).cert.read_bytes()
        with (
            GrpcStub(tls=tls) as stub,
            pytest.raises(SourceError, match=r"reached \(.*(handshake|Verification)") as caught,
        ):
            ask(stub, roots=roots, credentials=hidden(Authorization="Bearer x"))
        assert caught.value.lost
        assert stub.asked == []

    def test_not_without_tls_unless_told(self) -> None:
        secret = {"BAYESRCA_JAEGER_TOKEN": "sesame-and-open"}
        with GrpcStub(every(600.0)) as stub:
            sources = Sources(jaeger=stub.url)
            with pytest.raises(InvalidSettingsError, match="grpcs://") as caught:
                make_connectors(sources, secret)
            assert "sesame" not in str(caught.value)
            told = secret | {"BAYESRCA_JAEGER_INSECURE": "1"}
            [jaeger] = make_connectors(sources, told, limits=ROOMY)
            jaeger.fetch(Ask(window=WINDOW, step=60.0))
            assert stub.metadata[0]["authorization"] == "Bearer sesame-and-open"

    @pytest.mark.parametrize("name", ["Bad Name", "grpc-x", "x-bin", "ü"])
    def test_headers_that_are_no_metadata(self, name: str) -> None:
        with pytest.raises(InvalidSettingsError, match="cannot carry"):
            GrpcSource("jaeger", "grpcs://a:1", credentials=hidden(**{name: "v"}))

    def test_a_call_that_is_given_up_is_told_to_the_server(self) -> None:
        left: list[bool] = []

        def answer(_: Any) -> Iterable[Part]:  # noqa: ANN401
            try:
                for _ in range(10_000):
                    yield b"x" * (QUICK.max_bytes // 2)
            finally:
                left.append(True)

        with GrpcStub(answer) as stub:
            with pytest.raises(SourceError, match="more than"):
                ask(stub, limits=ROOMY)
            assert wait_for(lambda: bool(left))


@pytest.mark.parametrize(
    "url",
    ["grpc://", "grpc://host", "grpc://host:0", "grpc://host:70000", "grpc://u:p@host:1",
     "grpc://host:1/path", "grpc://host:1?x", "grpcs:/host:1", "grpc://ho st:1"],
)  # fmt: skip
def test_addresses_that_will_not_do(url: str) -> None:
    with pytest.raises(InvalidSettingsError, match=r"address of jaeger must be written"):
        make_connectors(Sources(jaeger=url), {})


class TestMessages:
    @given(
        service=st.text(st.characters(exclude_categories=["Cs"])),
        start=st.floats(-1e9, 4e9),
        lasts=st.floats(0.001, 1e7),
        depth=st.integers(1, 10_000),
    )
    def test_requests_are_read_by_protobuf(
        self, service: str, start: float, lasts: float, depth: int
    ) -> None:
        raw = find_traces_request(service, start, start + lasts, depth)
        query = FindTracesRequest.FromString(raw).query
        assert query.service_name == service
        assert query.search_depth == depth
        assert query.start_time_min.ToNanoseconds() == round(start * 1e9)
        assert query.start_time_max.ToNanoseconds() == round((start + lasts) * 1e9)

    @given(names=st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1)))
    def test_services_are_written_by_protobuf(self, names: list[str]) -> None:
        raw = GetServicesResponse(services=names).SerializeToString()
        assert parse_services([raw], Shapes("jaeger")) == sorted(set(names))

    @given(raw=st.binary(max_size=40))
    @settings(max_examples=500)
    def test_any_bytes_are_read_as_protobuf_does_or_refused(self, raw: bytes) -> None:
        from google.protobuf.message import DecodeError

        read: Callable[[], list[str]] = lambda: parse_services([raw], Shapes("jaeger"))  # noqa: E731
        try:
            wanted = sorted(set(GetServicesResponse.FromString(raw).services) - {""})
        except DecodeError:
            return  # groups apart, which are passed over by some readers, refused by ours
        try:
            assert read() == wanted
        except SourceError as error:
            assert str(error).startswith("jaeger: its answer cannot be read")

    def test_traces_cut_anywhere_are_refused_or_shorter(self) -> None:
        whole = one_trace(1, START)
        refused = 0
        for length in range(len(whole)):
            try:
                line = Line(What.SPANS, "x")
                SpanDecoder(Shapes("jaeger")).read([whole[:length]], line)
                assert line.came < 4
            except SourceError as error:
                assert str(error).startswith("jaeger: its answer cannot be read")
                refused += 1
        assert refused > 0.9 * len(whole)

    def test_damaged_traces_never_break_an_incident(self) -> None:
        rng = random.Random(8)
        for _ in range(300):
            raw = bytearray(one_trace(1, START))
            for _ in range(rng.randint(1, 8)):
                raw[rng.randrange(len(raw))] = rng.randrange(256)
            decoder = SpanDecoder(Shapes("jaeger"))
            try:
                decoder.read([bytes(raw)], Line(What.SPANS, "x"))
            except SourceError as error:
                assert str(error).startswith("jaeger: its answer cannot be read")
            rows = decoder.collector.rows()
            assert rows is None or rows.count <= 4

    def test_a_cut_answer_keeps_what_came_before(self) -> None:
        whole = every(100.0)

        def answer(request: Any) -> Iterable[Part]:  # noqa: ANN401
            late = len(stub.asked) > 4
            return [one_trace(99, START)[:-3]] if late else whole(request)

        with GrpcStub(answer) as stub:
            haul = fetch(stub)
        assert haul.spans is not None
        assert haul.spans.count == 12
        assert "its answer cannot be read" in haul.asked[1].missing
