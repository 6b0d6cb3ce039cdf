"""Word counts of a corpus cut into texts, against one pass over all of it."""

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import corpus
from sluice.testing import FAILED, reduce, run

SAMPLE = Path(corpus.__file__).parent / "samples" / "sonnets.txt"
SONNETS = SAMPLE.read_text(encoding="utf-8")


async def counted(text: str) -> Any:
    return (await run("corpus.count", {"text": text}, handlers=corpus.handlers)).output


async def merged(outputs: list[object], **options: Any) -> Any:
    return (await reduce("corpus.merge", outputs, options, handlers=corpus.handlers)).output


async def test_the_sonnets_are_counted_as_a_whole() -> None:
    texts = list(corpus.cut(SONNETS))
    found = await merged([await counted(text) for text in texts], top=5)
    words = [word.strip(".,:;?!'") for word in SONNETS.lower().split()]
    assert (found["texts"], found["missing"]) == (len(texts), 0) == (5, 0)
    assert (found["words"], found["distinct"]) == (len(words), len(set(words)))
    ranked = sorted(Counter(words).items(), key=lambda entry: (-entry[1], entry[0]))
    assert [(word["word"], word["count"]) for word in found["top"]] == ranked[:5]


async def test_texts_that_could_not_be_counted_are_told() -> None:
    found = await merged([await counted("Love is not love"), FAILED, await counted("love's")])
    assert (found["texts"], found["missing"], found["words"]) == (2, 1, 5)
    assert found["top"][0] == {"word": "love", "count": 2}


@given(texts=st.lists(st.text("ab' \n", max_size=30), max_size=12))
@settings(max_examples=40)
async def test_it_does_not_matter_how_a_corpus_is_cut(texts: list[str]) -> None:
    found = await merged([await counted(text) for text in texts], top=1_000)
    expected = Counter(word for text in texts for word in corpus.words(text))
    assert {word["word"]: word["count"] for word in found["top"]} == expected


def test_the_program_writes_a_line_for_each_text() -> None:
    run = subprocess.run([sys.executable, "-m", "examples.corpus", SAMPLE], capture_output=True, check=True, timeout=60)
    assert [orjson.loads(line)["text"] for line in run.stdout.splitlines()] == list(corpus.cut(SONNETS))
