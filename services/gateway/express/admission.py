"""Whether a request is ordinary enough for the express lane: anything unusual is the application's to deal with."""

from dataclasses import dataclass

from aiohttp import HttpVersion11
from aiohttp.http_parser import RawRequestMessage

from services.gateway.access.auth import Authenticator
from services.gateway.access.rates import Limiter
from services.gateway.http.edge import Edge
from services.gateway.http.shedding import Lateness, Worth
from shared.models.key import ApiKey
from shared.telemetry.traces import Traces


@dataclass(frozen=True, slots=True)
class Admission:
    """The doors that a request passes, where nobody need be waited for."""

    authenticator: Authenticator
    limiter: Limiter
    lateness: Lateness
    edge: Edge
    traces: Traces

    def key(self, message: RawRequestMessage, scope: str, worth: Worth) -> ApiKey | None:
        """Whose request it is; None unless it is ordinary. `admit` is the last door."""
        plain = message.version == HttpVersion11 and not (message.should_close or message.upgrade or message.chunked)
        if not plain or self.edge.draining or self.traces.recording or self.lateness.milliseconds >= worth:
            return None
        headers = message.headers
        if "Expect" in headers or "Content-Encoding" in headers:
            return None
        key = self.authenticator.known(headers.get("Authorization"))
        return key if key is not None and key.may(scope) else None

    def admit(self, key: ApiKey) -> bool:
        """Whether a token was at hand, and is taken. Once it is, the request must be answered here."""
        return self.limiter.take(key)

    async def admitted(self, key: ApiKey) -> None:
        """Take a token, leasing some if need be. Raises Problem 429."""
        await self.limiter.admit(key)
