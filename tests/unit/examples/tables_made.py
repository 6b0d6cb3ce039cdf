"""A large table, the same in every run, whose columns are hard to add up in floats."""

import random
from collections.abc import Iterator


def measurements(rows: int, seed: int = 7) -> Iterator[str]:
    """Lines of a CSV: a level far from zero that hardly varies, counts, gaps, and words."""
    draw = random.Random(seed)
    yield "station,level,count,remark\n"
    for row in range(rows):
        level = f"{1_000_000_000 + draw.randrange(1_000) / 1_000:.3f}"
        count = "" if draw.random() < 0.1 else str(draw.randrange(-5, 6))
        yield f"{row % 40},{level},{count},{draw.choice(('fine', 'windy', '12'))}\n"
