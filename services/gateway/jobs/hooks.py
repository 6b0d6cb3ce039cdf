"""Whether a job may have the one-off webhook that it asks for: a secret to sign with, and an address to call.

Checked before the job is accepted: what cannot be delivered is refused where somebody can do something about it.
"""

from dataclasses import dataclass, field
from typing import Final

from services.gateway.http.problems import DESTINATION_NOT_ALLOWED, WEBHOOK_SECRET_MISSING, Fault, Problem, unavailable
from shared.clock import Clock
from shared.egress import Rules
from shared.errors import DestinationNotAllowed, Overloaded, Unavailable
from shared.models.webhook import JobWebhook
from shared.storage.webhook_contract import TenantHooksReader

REMEMBER_SECONDS: Final = 30.0
MAX_TENANTS: Final = 10_000


def check_url(rules: Rules, url: str, pointer: str = "/url") -> None:
    """Raises Problem where nobody may be called."""
    try:
        rules.url(url)
    except DestinationNotAllowed:
        fault = Fault(
            pointer, "destination_not_allowed: https, a public DNS name, port 443 or from 1024, no credentials"
        )
        raise Problem(DESTINATION_NOT_ALLOWED, "That address may not be called.", errors=[fault]) from None


@dataclass(frozen=True, slots=True)
class JobHooks:
    """Remembers which tenants have a secret; one that has none is looked up each time, for it may get one."""

    tenants: TenantHooksReader
    rules: Rules
    clock: Clock
    _known: dict[str, float] = field(default_factory=dict)

    async def admit(self, webhook: JobWebhook | None, tenant: str) -> None:
        """Raises Problem."""
        if webhook is None:
            return
        check_url(self.rules, webhook.url, "/webhook/url")
        now = self.clock.monotonic()
        if self._known.get(tenant, 0.0) > now:
            return
        if not await self._has_secret(tenant):
            raise Problem(WEBHOOK_SECRET_MISSING, "Make your secret first: POST /v1/webhooks/secret/rotate.")
        if len(self._known) >= MAX_TENANTS:
            self._known.clear()
        self._known[tenant] = now + REMEMBER_SECONDS

    async def _has_secret(self, tenant: str) -> bool:
        try:
            stored = await self.tenants.read(tenant)
        except (Unavailable, Overloaded):
            raise unavailable("Whether your webhooks can be signed is not known.", accepted=False) from None
        return stored is not None and bool(stored.value.secrets)
