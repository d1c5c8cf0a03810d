"""Real analyses on a real server: the screen in time, the draws, their summaries and pictures."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from bayesrca.analysis import Analysis, analyze
from bayesrca.api.v1 import analysis_pb2
from bayesrca.api.v1 import root_cause_service_pb2 as pb
from bayesrca.api.v1 import root_cause_service_pb2_grpc as pb_grpc
from bayesrca.client import AsyncClient, Client
from bayesrca.client.download import Download
from bayesrca.config import Method, Settings
from bayesrca.errors import InvalidSettingsError, ServiceError
from bayesrca.incident import Incident
from bayesrca.ingest import load_incident
from bayesrca.posterior.summaries import read_tree
from bayesrca.report.plots import ImageFormat, Plot
from bayesrca.service.inspections import CHUNK_BYTES
from bayesrca.wire import StoredAnalysis
from tests.integration.kit import ROOT, SCREEN, Server, make_incident

pytestmark = pytest.mark.grpc


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that analyses in earnest, but compiles nothing before it must."""
    data = tmp_path_factory.mktemp("data")
    with Server("--no-warm", "--data-dir", str(data), analyzer="") as server:
        yield server.until_ready()


@pytest.fixture
def client(real: Server) -> Iterator[Client]:
    with Client(real.address, timeout=120) as client:
        yield client


@pytest.fixture(scope="module")
def incident() -> Incident:
    return load_incident(ROOT / "examples" / "search_delay")


@pytest.fixture(scope="module")
def local(incident: Incident) -> Analysis:
    return analyze(incident, seed=4, settings=SCREEN)


@pytest.fixture(scope="module")
def stored(real: Server, incident: Incident) -> StoredAnalysis:
    with Client(real.address, timeout=120) as client:
        made = client.create_analysis(incident, seed=4, settings=SCREEN)
        return client.wait_for_analysis(made.name)


def reason_of(call: object, *arguments: object, **named: object) -> str:
    with pytest.raises(ServiceError) as caught:
        call(*arguments, **named)  # type: ignore[operator]
    return str(caught.value.reason)


def test_a_deadline_too_short_for_sampling_gets_the_screens_answer(
    client: Client, incident: Incident
) -> None:
    answer = client.analyze(incident, seed=4, settings=Settings(method=Method.AUTO), timeout=20)
    assert answer.method == "screen"
    assert any("this is the screen's answer" in note for note in answer.notes)
    # The same from a stored analysis: its own deadline takes the place of the call's.
    settings = Settings(method=Method.AUTO, deadline=15.0)
    made = client.create_analysis(incident, seed=4, settings=settings)
    done = client.wait_for_analysis(made.name)
    assert done.answer is not None
    assert done.answer.method == "screen"
    assert done.answer.posterior == answer.posterior


def test_the_stored_answer_is_the_local_one(local: Analysis, stored: StoredAnalysis) -> None:
    assert stored.answer is not None
    assert stored.answer.posterior == local.answer.posterior
    assert stored.answer.diagnostics == local.answer.diagnostics


def test_the_draws_arrive_whole_and_are_the_local_ones(
    client: Client, local: Analysis, stored: StoredAnalysis, tmp_path: Path
) -> None:
    path = tmp_path / "draws.nc"
    client.download_draws(stored.name, path)
    content = path.read_bytes()
    assert hashlib.sha256(content).hexdigest() == stored.draws_sha256
    assert len(content) == stored.draws_bytes
    assert read_tree(content).identical(local.to_datatree())
    assert [p.name for p in tmp_path.iterdir()] == ["draws.nc"]


def test_chunks_carry_their_hashes_and_begin_where_asked(
    real: Server, stored: StoredAnalysis
) -> None:
    with real.channel() as channel:
        stub = pb_grpc.RootCauseServiceStub(channel)

        def chunks(offset: int) -> list[pb.StreamInferenceDataResponse]:
            request = pb.StreamInferenceDataRequest(name=stored.name, offset_bytes=offset)
            return list(stub.StreamInferenceData(request, timeout=60))

        every = chunks(0)
        rest = chunks(CHUNK_BYTES)
        (last,) = chunks(stored.draws_bytes)
    assert [len(m.chunk) for m in every[:-1]] == [CHUNK_BYTES] * (len(every) - 1)
    assert [m.offset_bytes for m in every] == [i * CHUNK_BYTES for i in range(len(every))]
    assert all(hashlib.sha256(m.chunk).hexdigest() == m.chunk_sha256 for m in every)
    assert [m.HasField("inference_data") for m in every] == [True] + [False] * (len(every) - 1)
    assert [m.chunk for m in rest] == [m.chunk for m in every[1:]]
    assert (last.chunk, last.inference_data.size_bytes) == (b"", stored.draws_bytes)


def chunk(content: bytes, offset: int, whole: bytes) -> pb.StreamInferenceDataResponse:
    message = pb.StreamInferenceDataResponse(
        chunk=content, offset_bytes=offset, chunk_sha256=hashlib.sha256(content).hexdigest()
    )
    if offset == 0:
        message.inference_data.sha256 = hashlib.sha256(whole).hexdigest()
        message.inference_data.size_bytes = len(whole)
    return message


def test_what_arrives_damaged_is_not_kept(tmp_path: Path) -> None:
    right = [chunk(b"ab", 0, b"abcd"), chunk(b"cd", 2, b"abcd")]
    damaged = chunk(b"cd", 2, b"abcd")
    damaged.chunk = b"ce"
    for messages in (
        right[:1],  # cut short
        [right[0], right[0]],  # twice the same
        [right[0], damaged],
        [right[0], chunk(b"ce", 2, b"abcd")],  # each chunk right, the whole wrong
        [right[0], chunk(b"xy", 0, b"xyz")],  # another file
    ):
        with Download(tmp_path / "draws.nc") as download, pytest.raises(ServiceError) as caught:
            for message in messages:
                download.take(message)
            download.finish()
        assert caught.value.reason == "BAD_ANSWER"
        assert list(tmp_path.iterdir()) == []
    with Download(tmp_path / "draws.nc") as download:
        for message in right:
            download.take(message)
        download.finish()
    assert (tmp_path / "draws.nc").read_bytes() == b"abcd"


def test_the_diagnostics_summarise_each_parameter(
    client: Client, local: Analysis, stored: StoredAnalysis
) -> None:
    diagnostics, summaries = client.get_diagnostics(stored.name)
    assert diagnostics == local.answer.diagnostics
    tree = local.to_datatree()
    by_name = {summary.name: summary for summary in summaries}
    dose = tree["posterior"]["full_dose_target"]
    assert by_name["full_dose_target"].mean == pytest.approx(float(dose.mean()), rel=1e-12)
    assert by_name["full_dose_target"].ess_bulk > 0
    top = local.answer.posterior.causes[0]
    assert by_name[f"p_cause[{top.component}]"].mean == pytest.approx(
        top.probability.value, abs=0.1
    )
    assert len([name for name in by_name if name.startswith("p_cause")]) == 10
    assert by_name["p_none"].mcse_mean > 0


@pytest.mark.parametrize("plot", [plot for plot in Plot if plot not in (Plot.ENERGY, Plot.RANK)])
def test_every_plot_is_drawn(client: Client, stored: StoredAnalysis, plot: Plot) -> None:
    assert client.render_plot(stored.name, plot).startswith(b"\x89PNG\r\n")


def test_a_picture_is_what_was_asked_for(client: Client, stored: StoredAnalysis) -> None:
    picture = client.render_plot(stored.name, "causes", form="svg")
    assert b"<svg" in picture[:1000]
    assert picture == client.render_plot(stored.name, "causes", form="svg")
    one = client.render_plot(stored.name, "forest", parameters=["dose_spread"])
    assert one != client.render_plot(stored.name, "forest", parameters=["transmission"])


def test_what_cannot_be_drawn_says_why(client: Client, stored: StoredAnalysis) -> None:
    for plot in ("energy", "rank"):
        assert reason_of(client.render_plot, stored.name, plot) == "NOT_SUPPORTED"
    for plot, parameters in (
        ("forest", ["nonsense"]),
        ("forest", ["dose_spread"] * 13),
        ("causes", ["dose_spread"]),
    ):
        refused = reason_of(client.render_plot, stored.name, plot, parameters=parameters)
        assert refused == "INVALID_SETTINGS"
    for plot, form in (("unspecified", "png"), ("pie", "png"), ("trace", "gif")):
        with pytest.raises(InvalidSettingsError):
            client.render_plot(stored.name, plot, form=form)


def test_an_analysis_without_an_answer_has_no_draws(
    client: Client, real: Server, tmp_path: Path
) -> None:
    quiet = make_incident("never answered")
    made = client.create_analysis(
        quiet, seed=1, settings=Settings(method=Method.NUTS, draws=100_000)
    )
    client.cancel_analysis(made.name)
    assert reason_of(client.get_diagnostics, made.name) == "NO_ANSWER"
    assert reason_of(client.render_plot, made.name, "causes") == "NO_ANSWER"
    assert reason_of(client.download_draws, made.name, tmp_path / "x.nc") == "NO_ANSWER"
    assert reason_of(client.download_draws, "analyses/none", tmp_path / "x.nc") == "NOT_FOUND"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.pymc
def test_the_screens_answer_comes_first_and_nuts_refines_it(
    client: Client, incident: Incident, local: Analysis
) -> None:
    settings = Settings(method=Method.AUTO, draws=200, tune=200)
    made = client.create_analysis(incident, seed=4, settings=settings)
    updates = list(client.watch_analysis(made.name, timeout=600))
    (screen,) = [u.screen_answer for u in updates if u.screen_answer is not None]
    assert screen.posterior == local.answer.posterior
    steps = list(dict.fromkeys(u.step for u in updates if u.step))
    assert steps[-1] in ("nuts", "diagnose", "explain")
    last = updates[-1].analysis
    assert last.answer is not None
    assert last.answer.method == "nuts"
    summaries = client.get_diagnostics(made.name)[1]
    assert all(summary.r_hat > 0.9 for summary in summaries)
    for plot in (Plot.ENERGY, Plot.RANK):
        assert client.render_plot(made.name, plot).startswith(b"\x89PNG")


def test_the_asynchronous_client_downloads_and_draws_too(
    real: Server, stored: StoredAnalysis, tmp_path: Path
) -> None:
    async def work() -> None:
        async with AsyncClient(real.address, timeout=120) as client:
            await client.download_draws(stored.name, tmp_path / "draws.nc")
            assert (await client.get_diagnostics(stored.name))[0].n_draws > 0
            assert (await client.render_plot(stored.name, "causes")).startswith(b"\x89PNG")

    asyncio.run(work())
    content = (tmp_path / "draws.nc").read_bytes()
    assert hashlib.sha256(content).hexdigest() == stored.draws_sha256


def test_plots_and_forms_on_the_wire_are_the_reports_own() -> None:
    kinds = analysis_pb2.DESCRIPTOR.enum_types_by_name
    plots = {f"PLOT_{plot.name}" for plot in Plot} | {"PLOT_UNSPECIFIED"}
    assert plots == set(kinds["Plot"].values_by_name)
    forms = {f"IMAGE_FORMAT_{form.name}" for form in ImageFormat} | {"IMAGE_FORMAT_UNSPECIFIED"}
    assert forms == set(kinds["ImageFormat"].values_by_name)
