"""Who should have which shards, of the processes that are there. Pure; used by `tenure`.

Everyone is entitled to the same number, give or take one, so nobody has to agree on anything but who is there. A
process changes only what is its own to change: it takes shards that nobody has, and gives up what it has too many of.
"""

from collections.abc import Collection, Mapping


def entitlements(there: Collection[str], shards: int) -> dict[str, int]:
    """How many of the shards each of the terms that are there should have."""
    each, more = divmod(shards, max(1, len(there)))
    return {term: each + (place < more) for place, term in enumerate(sorted(there))}


def divided(
    holders: Mapping[int, str], there: Collection[str], mine: str, shards: int, busy: Collection[int] = ()
) -> dict[int, str]:
    """The holders as `mine`, one of those that are there, should write them.

    holders: by shard, as they are; of those that are not there, nothing is left.
    shards: how many there are. busy: those of `mine` that are given away last.
    """
    found = {shard: term for shard, term in holders.items() if term in there}
    wanted = entitlements(there, shards)
    _give(found, wanted, mine, busy)
    for shard in range(shards):
        if _count(found, mine) >= wanted[mine]:
            break
        found.setdefault(shard, mine)
    return found


def left(holders: Mapping[int, str], there: Collection[str], mine: str) -> dict[int, str]:
    """The holders once `mine` has gone, its shards given to those of the others that have the fewest."""
    others = sorted(set(there) - {mine})
    found = {shard: term for shard, term in holders.items() if term in others}
    for shard in sorted(shard for shard, term in holders.items() if term == mine and others):
        found[shard] = min(others, key=lambda term: _count(found, term))
    return found


def _give(found: dict[int, str], wanted: Mapping[str, int], mine: str, busy: Collection[int]) -> None:
    """What `mine` has too much of goes to those that have too little."""
    own = [shard for shard, term in found.items() if term == mine]
    for shard in sorted(own, key=lambda shard: (shard in busy, shard)):
        short = [term for term, count in wanted.items() if _count(found, term) < count]
        if _count(found, mine) <= wanted[mine] or not short:
            return
        found[shard] = short[0]


def _count(found: Mapping[int, str], mine: str) -> int:
    return sum(term == mine for term in found.values())
