"""API keys, as an operator handles them."""

from shared.errors import ConfigError
from shared.models.key import SCOPES, TENANT, ApiKey, KeyToken
from shared.storage.contract import Keys


def parse_dev_keys(text: str) -> list[ApiKey]:
    """From `tenant:sk_<id>_<secret>`, comma-separated, each with every scope. Raises ConfigError without the secret."""
    keys = []
    for place, part in enumerate((part.strip() for part in text.split(",") if part.strip()), start=1):
        tenant, _, credentials = part.partition(":")
        token = KeyToken.parse(credentials)
        if not TENANT.fullmatch(tenant) or token is None:
            raise ConfigError(f"SLUICE_DEV_KEYS, entry {place}, is not tenant:sk_<id>_<secret>")
        keys.append(ApiKey(token.id, tenant, token.secret_sha256, scopes=SCOPES))
    return keys


async def seed(keys: list[ApiKey], store: Keys) -> None:
    """Write the keys; those that are there are replaced."""
    for key in keys:
        await store.put(key)
