"""How far back to look for what is due. Pure; used by the deliverer.

What fell due since the last look is asked for every time: that costs the store little, whatever waits there. All that
is due, which what waits in memory for its turn goes on being, is asked for as seldom as it costs little, and at once
where there are other shards than before. Times are milliseconds since the epoch; moments are monotonic seconds.
"""

from dataclasses import dataclass
from typing import Final

SHARE: Final = 9
"""A thorough look that took a second is followed by none for nine: the store has other things to do."""
MOST_SECONDS: Final = 10.0
"""Between thorough looks: what an attempt left behind, for a fault of the store, is found by no other."""
OVERLAP_MS: Final = 5_000
"""Who makes a delivery due may have a clock that is behind ours."""


@dataclass(slots=True)
class Looks:
    _shards: frozenset[int] = frozenset()
    _seen: int = 0
    """Everything that was due by then has been looked at."""
    _thorough_at: float = 0.0

    def since(self, shards: frozenset[int], moment: float) -> int:
        """The earliest due time to ask for now; 0: it is to be a thorough look."""
        if shards != self._shards or moment >= self._thorough_at:
            return 0
        return max(0, self._seen - OVERLAP_MS)

    def ended(self, since: int, moment: float, took: float) -> None:
        """A look is over, well or not."""
        if not since:
            self._thorough_at = moment + min(took * SHARE, MOST_SECONDS)

    def saw(self, shards: frozenset[int], until: int) -> None:
        """A look showed all that was due by then."""
        self._shards, self._seen = shards, until
