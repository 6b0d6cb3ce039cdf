"""Whose things an operator sees: its own tenant's; with the scope `system` everyone's, or one tenant's by name.

Used by the lists that operators have: keys, dead letters.
"""

from services.gateway.http.problems import FORBIDDEN, INVALID_REQUEST, Problem
from shared.models.key import TENANT, ApiKey


def sees_all(key: ApiKey) -> bool:
    return "system" in key.scopes


def seen_tenant(asked: str | None, key: ApiKey) -> str | None:
    """The tenant whose things are shown; None: everyone's. asked: the one that the request names, if it does.

    Raises Problem: 400 for what is no tenant's name, 403 for another's without the scope `system`.
    """
    if asked is not None and not TENANT.fullmatch(asked):
        raise Problem(INVALID_REQUEST, "The tenant must be lower-case letters, digits and hyphens, at most 63.")
    if sees_all(key):
        return asked
    if asked not in {None, key.tenant}:
        raise Problem(FORBIDDEN, "Only a key with the scope system sees what belongs to another tenant.")
    return key.tenant
