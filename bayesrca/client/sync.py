"""The client whose calls return when there is an answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bayesrca.client import calls
from bayesrca.client.connection import Connection
from bayesrca.client.decisions import Decisions
from bayesrca.client.download import Download
from bayesrca.config import Settings
from bayesrca.incident import Incident, IncidentSource, TimeWindow
from bayesrca.posterior.result import Answer, Diagnostics
from bayesrca.posterior.summaries import ParameterSummary
from bayesrca.wire import (
    AnalysisState,
    AnalysisUpdate,
    StoredAnalysis,
)
from bayesrca.wire.saved import SavedTelemetry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bayesrca.attribution import ExcessFlowGame, Game, ShapleyEstimate


class Client(Connection):
    """A connection to one server. Use it as a context manager, or call `close`.

    Safe to share among threads; do not use it across a fork.

    Args:
        address: ``HOST:PORT``.
        timeout: seconds each call may take unless it says otherwise; None for no limit.
        max_message_bytes: largest request sent and answer accepted. Best equal to the server's:
            what is too large only for the server is refused after some useless retries.
        token: bearer token to show; over a network with TLS only.
        tls: encrypt; goes without saying where one of the files is given.
        ca_file: PEM file of the authorities that may vouch for the server; None for the system's.
        certificate_file: PEM file of the client's own certificate chain, with `key_file`.
        key_file: PEM file of its private key.

    Raises:
        ServiceError: an address or timeout that cannot be (reasons ``INVALID_ADDRESS``,
            ``INVALID_TIMEOUT``), or credentials that cannot be used (``INVALID_CREDENTIALS``).
    """

    @property
    def decisions(self) -> Decisions:
        """What is about decisions, policies and kill switches."""
        return Decisions(self.call)

    def analyze(
        self,
        incident: Incident | IncidentSource,
        *,
        seed: int,
        settings: Settings | None = None,
        timeout: float | None = None,
    ) -> Answer:
        """Have the server compute the posterior over root causes of an incident.

        With the same versions, seed, settings, an explicit method and no deadline, every number but
        the timings equals the local run's to the last bit; of an `IncidentSource`, that of the
        incident which the server made at that moment. A call that fails because the server is
        not there, loses its worker or has a full queue is tried up to five times, within `timeout`.

        Args:
            incident: what happened, or where the server is to take it from.
            seed: seed of every random number, 0 to 2^63 - 1.
            settings: None for the defaults. ``cores`` is the server's to choose.
            timeout: seconds to wait (> 0); None takes the client's own. With `Method.AUTO` the
                server sees to it that an answer is back in time, if need be the screen's.

        Raises:
            ServiceError: the server refused, failed or was not reached; ``reason`` says which.
            InvalidSettingsError: a seed out of range.
        """
        return self.call(calls.analyze(incident, seed, settings), timeout)

    def create_analysis(
        self,
        incident: Incident | IncidentSource,
        *,
        seed: int,
        settings: Settings | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> StoredAnalysis:
        """Have the server store an analysis and compute it when it can.

        Returns as soon as the analysis is stored. It survives the end of workers and servers; its
        answer stays until it is deleted or its time is over.

        Args:
            incident: what happened, or where the server is to take it from.
            seed: as `analyze` takes it, like `settings`.
            settings: None for the defaults.
            request_id: a UUID. A second call with the same id and the same request returns the
                analysis there is; None takes a new one.
            timeout: seconds to wait until it is stored; None takes the client's own.

        Raises:
            ServiceError: the server refused, failed or was not reached; ``reason`` says which.
            InvalidSettingsError: a seed out of range.
            InvalidRequestError: a `request_id` that is no UUID.
        """
        return self.call(calls.create_analysis(incident, seed, settings, request_id), timeout)

    def get_analysis(self, name: str, *, timeout: float | None = None) -> StoredAnalysis:
        """Return a stored analysis, with its answer when there is one.

        Args:
            name: its name, as `create_analysis` returned it.
            timeout: seconds to wait; None takes the client's own.

        Raises:
            ServiceError: there is none of that name (``NOT_FOUND``), or as above.
        """
        return self.call(calls.get_analysis(name), timeout)

    def list_analyses(
        self,
        *,
        states: Sequence[AnalysisState | str] = (),
        page_size: int = 50,
        timeout: float | None = None,
    ) -> Iterator[StoredAnalysis]:
        """Yield stored analyses without their answers, newest first.

        Args:
            states: only those in one of these states; all when empty.
            page_size: how many to ask for at once.
            timeout: seconds each page may take; None takes the client's own.

        Raises:
            ServiceError: the server refused, failed or was not reached; ``reason`` says which.
            InvalidSettingsError: a state that does not exist.
        """
        token = ""
        while True:
            page, token = self.call(calls.list_analyses(states, page_size, token), timeout)
            yield from page
            if not token:
                return

    def watch_analysis(
        self, name: str, *, timeout: float | None = None
    ) -> Iterator[AnalysisUpdate]:
        """Yield what an analysis is now and then every change, until it has ended.

        When the server goes away meanwhile, its successor is asked, for some seconds.

        Args:
            name: its name.
            timeout: seconds all of it may take; None takes the client's own.

        Raises:
            ServiceError: there is none of that name (``NOT_FOUND``), or as above.
        """
        yield from self.follow(lambda: calls.watch_analysis(name), timeout)

    def wait_for_analysis(self, name: str, *, timeout: float | None = None) -> StoredAnalysis:
        """Return an analysis once it has ended, with its answer if it has one.

        Args:
            name: its name.
            timeout: seconds to wait; None takes the client's own.

        Raises:
            ServiceError: it has not ended in time (``DEADLINE_EXCEEDED``), or as above.
        """
        *_, last = self.watch_analysis(name, timeout=timeout)
        return last.analysis

    def cancel_analysis(self, name: str, *, timeout: float | None = None) -> StoredAnalysis:
        """Stop an analysis that has not ended, and return it as it is then.

        Args:
            name: its name.
            timeout: seconds to wait; None takes the client's own.

        Raises:
            ServiceError: there is none of that name (``NOT_FOUND``), or as above.
        """
        return self.call(calls.cancel_analysis(name), timeout)

    def delete_analysis(self, name: str, *, timeout: float | None = None) -> None:
        """Remove an analysis with its answer and its draws; one that runs is stopped first.

        Args:
            name: its name.
            timeout: seconds to wait; None takes the client's own.

        Raises:
            ServiceError: there is none of that name (``NOT_FOUND``), or as above.
        """
        self.call(calls.delete_analysis(name), timeout)

    def get_diagnostics(
        self, name: str, *, timeout: float | None = None
    ) -> tuple[Diagnostics, list[ParameterSummary]]:
        """Return an analysis's gates, and what its draws say of each parameter.

        Args:
            name: its name.
            timeout: seconds to wait; None takes the client's own.

        Raises:
            ServiceError: it has no answer (``NO_ANSWER``), or as above.
        """
        return self.call(calls.get_diagnostics(name), timeout)

    def render_plot(
        self,
        name: str,
        plot: str,
        *,
        form: str = "png",
        parameters: Sequence[str] = (),
        timeout: float | None = None,
    ) -> bytes:
        """Have the server draw a picture of an analysis, and return it.

        Args:
            name: its name.
            plot: ``causes``, ``trace``, ``posterior``, ``forest``, ``autocorrelation`` or ``ess``;
                of NUTS also ``rank`` and ``energy``.
            form: ``png`` or ``svg``.
            parameters: of which parameters, up to 12; the usual ones when empty.
            timeout: seconds to wait; None takes the client's own.

        Raises:
            ServiceError: it has no answer (``NO_ANSWER``), no such parameter, or as above.
            InvalidSettingsError: a plot or a form that does not exist.
        """
        return self.call(calls.render_plot(name, plot, form, parameters), timeout)

    def download_draws(self, name: str, path: Path, *, timeout: float | None = None) -> None:
        """Write an analysis's draws to a netCDF file that ArviZ reads.

        Every chunk and the whole are checked against the server's hashes; a stream that is cut off
        is taken up where it ended. The file appears when it is complete.

        Args:
            name: its name.
            path: the file; one of that name is replaced.
            timeout: seconds all of it may take; None takes the client's own.

        Raises:
            ServiceError: it has no draws (``NO_ANSWER``), they arrived damaged (``BAD_ANSWER``), or
                as above.
            OSError: the file cannot be written.
        """
        with Download(path) as download:
            for message in self.follow(lambda: calls.stream_draws(name, download.offset), timeout):
                download.take(message)
            download.finish()

    def save_telemetry(
        self, window: TimeWindow, *, request_id: str | None = None, timeout: float | None = None
    ) -> SavedTelemetry:
        """Have the server write what it received of a time to files, which it then keeps.

        An `IncidentSource` that names them (``saved``) is analysed from them.

        Args:
            window: the time, in seconds since the epoch.
            request_id: a UUID. A second call with the same id and the same time returns what there
                is; None takes a new one.
            timeout: seconds to wait; None takes the client's own.

        Raises:
            ServiceError: nothing of the time is held (``NO_EVIDENCE``), the tenant has saved too
                much (``STORAGE_QUOTA``), or the server refused, failed or was not reached.
            InvalidRequestError: a `request_id` that is no UUID.
        """
        return self.call(calls.save_telemetry(window, request_id), timeout)

    def list_saved_telemetry(self, *, timeout: float | None = None) -> list[SavedTelemetry]:
        """Return what is saved of the caller's tenant, newest first.

        Raises:
            ServiceError: the server refused, failed or was not reached; ``reason`` says which.
        """
        return self.call(calls.list_saved_telemetry(), timeout)

    def delete_saved_telemetry(self, name: str, *, timeout: float | None = None) -> None:
        """Remove saved telemetry for good.

        Args:
            name: its name, as `save_telemetry` returned it.
            timeout: seconds to wait; None takes the client's own.

        Raises:
            ServiceError: there is none of that name (``NOT_FOUND``), or as above.
        """
        self.call(calls.delete_saved_telemetry(name), timeout)

    def attribute_anomaly(
        self,
        game: Game,
        *,
        seed: int,
        tolerance: float | None = None,
        budget: int | None = None,
        tolerance_kind: Literal["relative", "absolute"] = "relative",
        confidence: float | None = None,
        guarantee: Literal["asymptotic", "bernstein"] = "asymptotic",
        method: Literal["automatic", "sampled", "leverage", "exact"] = "automatic",
        deadline: float | None = None,
        timeout: float | None = None,
    ) -> ShapleyEstimate:
        """Have the server share a game's value among its players.

        With the same versions and arguments, every bit equals the local estimate's, unless a
        deadline or the timeout ended one of the two early. What is sampled when the deadline nears
        comes back in time, with its errors and ``converged`` False. Calls are tried again as those
        of `analyze` are.

        Args:
            game: one of `bayesrca.attribution`'s games on graphs: a sampled, Gaussian or nonlinear
                tail, noisy-OR, live edges, a call tree or an excess flow.
            seed: 0 to 2^64 - 1.
            tolerance: as `bayesrca.attribution.estimate_shapley` takes it, like those that follow.
            budget: at most 10^10 evaluations.
            tolerance_kind: ``relative`` or ``absolute``.
            confidence: coverage of the half-widths, in (0, 1); None for 0.95.
            guarantee: what they promise, ``asymptotic`` or ``bernstein``.
            method: as there, or ``exact`` for `bayesrca.attribution.compute_shapley`, which takes
                none of the five before and samples nothing.
            deadline: seconds (> 0) the server may take once it has begun.
            timeout: seconds to wait (> 0); None takes the client's own.

        Raises:
            ServiceError: the server refused, failed or was not reached; ``reason`` says which.
            InvalidGameError: the game is none that can be sent.
            InvalidSettingsError: an argument out of range.
        """
        call = calls.attribute_anomaly(
            game,
            seed=seed,
            tolerance=tolerance,
            budget=budget,
            tolerance_kind=tolerance_kind,
            confidence=confidence,
            guarantee=guarantee,
            method=method,
            deadline=deadline,
        )
        return self.call(call, timeout)

    def estimate_shares(
        self,
        game: ExcessFlowGame,
        *,
        seed: int,
        resamples: int = 256,
        timeout: float | None = None,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Have the server tell the shares of a target's excess, with their errors.

        Args:
            game: the excess flow.
            seed: 0 to 2^64 - 1.
            resamples: how often the doses are drawn, 2 to 100 000.
            timeout: seconds to wait (> 0); None takes the client's own.

        Returns:
            What `bayesrca.attribution.ExcessFlowGame.estimate_shares` returns, to the last bit.

        Raises:
            ServiceError: the server refused, failed or was not reached; ``reason`` says which.
            InvalidGameError: the game is none that can be sent.
            InvalidSettingsError: an argument out of range.
        """
        return self.call(calls.estimate_shares(game, seed, resamples), timeout)
