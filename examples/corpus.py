"""Word counts over a corpus: a batch of texts, each counted by itself, and one answer for all of them.

    python -m examples.corpus samples/sonnets.txt > texts.ndjson       a text for each stretch between blank lines

Posted to `/v1/batches` with the handler `corpus.count` and `"reduce": {"handler": "corpus.merge", "top": 20}`. Counts
of parts add up to the counts of the whole, so the answer is that of one pass over everything, however it was cut.
"""

import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import orjson
from pydantic import BaseModel, ConfigDict, Field

from sluice import Handlers, JobContext, Outputs

handlers = Handlers()

_WORD = re.compile(r"[^\W\d_]+(?:['\u2019-][^\W\d_]+)*")
"""Runs of letters; apostrophes and hyphens between them belong to the word."""


@dataclass
class Document:
    __pydantic_config__ = ConfigDict(extra="forbid")

    text: str


@dataclass
class WordCounts:
    __pydantic_config__ = ConfigDict(use_attribute_docstrings=True)

    counts: dict[str, int]
    """How often each word occurs, without regard to case."""


class Merging(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    top: Annotated[int, Field(ge=0, le=1_000)] = 100
    """How many of the most frequent words to list."""


@dataclass
class Word:
    word: str
    count: int


@dataclass
class Corpus:
    __pydantic_config__ = ConfigDict(use_attribute_docstrings=True)

    texts: int
    missing: int
    """Texts that could not be counted, which the figures are without."""
    words: int
    distinct: int
    top: list[Word]
    """The most frequent; of equally frequent ones the first in code point order."""


@handlers.on("corpus.count", timeout=30, max_attempts=3, run_in="process")
def count(input: Document) -> WordCounts:
    """Counts the words of one text."""
    return WordCounts(Counter(words(input.text)))


@handlers.reduce("corpus.merge", run_in="process")
def merge(outputs: Outputs[WordCounts], options: Merging, job: JobContext) -> Corpus:
    """Adds up the counts of all texts of a batch. What it holds is the vocabulary, not the texts."""
    total: Counter[str] = Counter()
    for done, text in enumerate(outputs, 1):
        total.update(text.counts)
        job.progress(done, len(outputs))
    ranked = sorted(total.items(), key=lambda entry: (-entry[1], entry[0]))
    return Corpus(
        texts=len(outputs),
        missing=outputs.counts.total - len(outputs),
        words=total.total(),
        distinct=len(total),
        top=[Word(word, times) for word, times in ranked[: options.top]],
    )


def words(text: str) -> Iterator[str]:
    """Every word of a text, as it is counted."""
    return (found[0].casefold().replace("\u2019", "'") for found in _WORD.finditer(text))


def cut(text: str) -> Iterator[str]:
    """The stretches between blank lines that hold anything."""
    return (part for part in re.split(r"\n\s*\n", text) if part.strip())


if __name__ == "__main__":
    for part in cut(Path(sys.argv[1]).read_text(encoding="utf-8")):
        sys.stdout.buffer.write(orjson.dumps({"text": part}) + b"\n")
