"""Who may call what. Knows nothing of gRPC's machinery."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from bayesrca.service.caller import ANYONE, Caller, Scope
from bayesrca.service.credentials import Credential, Credentials
from bayesrca.service.messages import CallFailedError, Failure
from bayesrca.service.watched import Watched

_API = "/bayesrca.api.v1."
EXPORTS = tuple(
    f"/opentelemetry.proto.collector.{signal}.v1.{name}Service/Export"
    for signal, name in (("trace", "Trace"), ("metrics", "Metrics"), ("logs", "Logs"))
)
"""OpenTelemetry's methods."""
SCOPES: Mapping[str, Scope] = {
    f"{_API}RootCauseService/Analyze": Scope.ANALYZE,
    f"{_API}RootCauseService/CreateAnalysis": Scope.ANALYZE,
    f"{_API}RootCauseService/CancelAnalysis": Scope.ANALYZE,
    f"{_API}RootCauseService/DeleteAnalysis": Scope.ANALYZE,
    f"{_API}RootCauseService/GetAnalysis": Scope.READ,
    f"{_API}RootCauseService/ListAnalyses": Scope.READ,
    f"{_API}RootCauseService/WatchAnalysis": Scope.READ,
    f"{_API}RootCauseService/GetDiagnostics": Scope.READ,
    f"{_API}RootCauseService/StreamInferenceData": Scope.READ,
    f"{_API}RootCauseService/RenderPlot": Scope.READ,
    f"{_API}AttributionService/AttributeAnomaly": Scope.ANALYZE,
    f"{_API}DecisionService/Decide": Scope.DECIDE,
    f"{_API}DecisionService/GetDecision": Scope.READ,
    f"{_API}DecisionService/ListDecisions": Scope.READ,
    f"{_API}DecisionService/GetPolicy": Scope.READ,
    f"{_API}DecisionService/ListPolicies": Scope.READ,
    f"{_API}DecisionService/CreatePolicy": Scope.ADMIN,
    f"{_API}DecisionService/ListKillSwitches": Scope.READ,
    # To stop is for whoever may start.
    f"{_API}DecisionService/EngageKillSwitch": Scope.DECIDE,
    f"{_API}DecisionService/ReleaseKillSwitch": Scope.ADMIN,
    f"{_API}TelemetryService/GetTelemetryWindow": Scope.READ,
    f"{_API}TelemetryService/SaveTelemetryWindow": Scope.ANALYZE,
    f"{_API}TelemetryService/DeleteSavedTelemetry": Scope.ANALYZE,
    f"{_API}TelemetryService/ListSavedTelemetry": Scope.READ,
    **dict.fromkeys(EXPORTS, Scope.INGEST),
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": Scope.READ,
}
"""The scope each method needs; a method that is missing here is denied to everybody."""
HEALTH = "/grpc.health.v1.Health/"
"""The methods that need no credentials."""
_NOBODY = Caller(tenant=ANYONE.tenant, subject=ANYONE.subject, scopes=frozenset())


class Guard:
    """Finds out who calls and whether they may.

    Args:
        credentials: the known ones; None lets everybody call everything in `SCOPES`.
        certificates: whether clients show certificates.
    """

    def __init__(self, credentials: Watched[Credentials] | None, *, certificates: bool) -> None:
        self._credentials = credentials
        self._certificates = certificates

    def by_metadata(
        self, method: str, metadata: Iterable[tuple[str, str | bytes]]
    ) -> Caller | None:
        """Return who calls a method, by the call's headers.

        Returns:
            The caller, or None when the connection's certificate has to tell (`by_certificate`).

        Raises:
            CallFailedError: as `by_certificate`.
        """
        if method.startswith(HEALTH):
            return _NOBODY
        if self._credentials is None:
            return _allowed(method, ANYONE)
        shown = [value for key, value in metadata if key == "authorization"]
        if shown:
            return self._accepted(method, self._by_header(shown), "the token")
        if self._certificates:
            return None
        raise _failure("NO_CREDENTIALS", "send a token: metadata authorization, `Bearer TOKEN`")

    def by_certificate(self, method: str, names: Iterable[bytes]) -> Caller:
        """Return who calls a method, by the subject alternative names of their certificate.

        Raises:
            CallFailedError: nobody that is known (``NO_CREDENTIALS``, ``INVALID_CREDENTIALS``,
                ``EXPIRED_CREDENTIALS``), or somebody who may not (``MISSING_SCOPE``,
                ``METHOD_DENIED``).
        """
        assert self._credentials is not None
        words = [name.decode(errors="replace") for name in names]
        found = self._credentials.current().by_names(words)
        return self._accepted(method, found, "the certificate")

    def _by_header(self, shown: list[str | bytes]) -> Credential | None:
        assert self._credentials is not None
        if len(shown) > 1 or not isinstance(shown[0], str):
            return None
        scheme, _, token = shown[0].partition(" ")
        if scheme.lower() != "bearer":
            return None
        return self._credentials.current().by_token(token.strip())

    def _accepted(self, method: str, found: Credential | None, what: str) -> Caller:
        if found is None:
            raise _failure("INVALID_CREDENTIALS", f"{what} is not one that this server knows")
        if found.expired(datetime.now(UTC)):
            raise _failure("EXPIRED_CREDENTIALS", f"{what} has expired")
        return _allowed(method, found.caller)


def _allowed(method: str, caller: Caller) -> Caller:
    scope = SCOPES.get(method)
    if scope is None:
        raise _failure("METHOD_DENIED", "this server offers the method to nobody")
    if scope not in caller.scopes:
        raise _failure("MISSING_SCOPE", f"{caller.subject} lacks the scope {scope}")
    return caller


def _failure(reason: str, message: str) -> CallFailedError:
    return CallFailedError(Failure(reason=reason, message=message))
