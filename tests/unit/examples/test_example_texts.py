"""Text figures on a real text against a second way of counting, and on other scripts by hand."""

import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples import texts
from sluice import InvalidInput
from sluice.testing import run

ADDRESS = (Path(texts.__file__).parent / "samples" / "address.txt").read_text(encoding="utf-8")


async def stats(text: str, **options: Any) -> dict[str, Any]:
    outcome = await run("text.stats", {"text": text, **options}, handlers=texts.handlers)
    assert isinstance(outcome.output, dict)
    return outcome.output


async def test_a_real_text_counted_in_another_way() -> None:
    found = await stats(ADDRESS)
    words = [word.strip(".,").lower() for word in ADDRESS.split() if word != "--"]
    counts = Counter(word for word in words if word not in texts.STOP_WORDS)

    assert found["words"] == len(words) == 271
    assert found["sentences"] == ADDRESS.count(".") == 10
    assert found["unique_words"] == len(set(words))
    assert found["characters"] == len(ADDRESS)
    assert found["average_word_length"] == round(sum(map(len, words)) / len(words), 2)
    assert found["reading_minutes"] == round(271 / 238, 2)
    assert (
        found["top_terms"]
        == [
            {"term": term, "count": count}
            for term, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        ][:10]
    )
    assert found["top_terms"][0] == {"term": "nation", "count": 5}
    assert 60 <= found["reading_ease"] <= 70  # "plain English", the band the address is known for


async def test_reading_ease_by_hand() -> None:
    # 6 words, 1 sentence, 6 syllables; then 5 words, 1 sentence, 14 syllables.
    easy = await stats("The cat sat on the mat.")
    hard = await stats("Administrative organization necessitates documentation universally.")

    assert easy["reading_ease"] == pytest.approx(206.835 - 1.015 * 6 - 84.6, abs=0.01)
    assert hard["reading_ease"] < 0
    assert (await stats("One. Two. Three."))["sentences"] == 3


SYLLABLES = {
    1: "make whole called times holes the free shipped strength you words through be watched",
    2: "table tables added wanted houses dishes people paper quiet open nation reading boxes seven",
    3: "beautiful computer example family several important tomorrow telephone",
    4: "information population necessary application absolutely",
}


def test_syllables_are_mostly_right() -> None:
    known = {word: count for count, words in SYLLABLES.items() for word in words.split()}
    right = [word for word, count in known.items() if texts._syllables(word) == count]

    assert len(right) >= 0.9 * len(known), set(known) - set(right)


@pytest.mark.parametrize(
    ("text", "words", "sentences"),
    [
        ("", 0, 0),
        ("... !? --", 0, 0),
        ("One", 1, 1),
        ("Don't stop, it's well-known.", 4, 1),
        ("It\u2019s 3.14 today. Or 2,5?", 5, 2),
        ("Dr. Smith met Mrs. J. R. Jones. They talked.", 9, 2),
        ("It was I. Nobody else.", 5, 2),
        ("\u201cStop!\u201d she said. \u201cNow.\u201d", 4, 2),
        ("Wait\u2026 what?! Yes.", 3, 2),
        ("all in lower case. so what? nothing.", 7, 3),
        ("A heading\n\nA paragraph", 4, 2),
        ("Grüße aus Köln! Schöne Straßen.", 5, 2),
        ("Καλημέρα κόσμε. Πώς πάει;", 4, 2),
        ("हिन्दी में लिखा है। यह दूसरा वाक्य है।", 8, 2),
        ("今天很好。明天也好\uff01", 2, 2),
        ("Cafe\u0301 cre\u0300me", 2, 1),
        ("emoji 🎉 party 👩‍👩‍👧", 2, 1),
        ("snake_case and x1 2nd", 5, 1),
    ],
)
async def test_words_and_sentences_in_many_scripts(text: str, words: int, sentences: int) -> None:
    found = await stats(text)
    assert (found["words"], found["sentences"]) == (words, sentences)


async def test_a_text_without_words() -> None:
    assert await stats("…") == {
        "words": 0,
        "sentences": 0,
        "unique_words": 0,
        "characters": 1,
        "average_word_length": 0.0,
        "reading_ease": None,
        "reading_minutes": 0.0,
        "top_terms": [],
    }


async def test_reading_ease_is_for_latin_letters_only() -> None:
    assert (await stats("Καλημέρα κόσμε."))["reading_ease"] is None
    assert (await stats("2024 365"))["reading_ease"] is None
    assert (await stats("Schöne Straßen überall."))["reading_ease"] is not None


async def test_composed_and_decomposed_letters_are_the_same() -> None:
    assert await stats("Cafe\u0301 CAF\u00c9") == await stats("Caf\u00e9 CAF\u00c9")
    assert (await stats("Cafe\u0301 CAF\u00c9"))["unique_words"] == 1


async def test_terms_leave_out_grammar_and_case() -> None:
    found = await stats("The Fox isn't the fox\u2019s friend; the FOX isn\u2019t.", top=2)

    assert found["top_terms"] == [{"term": "fox", "count": 2}, {"term": "fox's", "count": 1}]
    assert (await stats("words", top=0))["top_terms"] == []


@pytest.mark.parametrize(
    ("input", "pointer"),
    [({}, "/text"), ({"text": 1}, "/text"), ({"text": "", "top": 101}, "/top"), ({"text": "", "more": 1}, "/more")],
)
async def test_inputs_that_do_not_fit(input: dict[str, Any], pointer: str) -> None:
    with pytest.raises(InvalidInput, match=pointer):
        await run("text.stats", input, handlers=texts.handlers)


@given(st.text())
def test_figures_hold_together_for_any_text(text: str) -> None:
    found = texts.stats(texts.Text(text, top=100))

    assert found.sentences <= found.words
    assert (found.words == 0) == (found.sentences == 0)
    assert found.unique_words <= found.words
    assert sum(term.count for term in found.top_terms) <= found.words
    texts.handlers["text.stats"].render_output(found)


@pytest.mark.parametrize("text", [ADDRESS * 170, "." * 250_000 + "x", "\n " * 125_000, "x. " * 80_000, "a'" * 125_000])
def test_the_largest_texts_take_time_in_proportion(text: str) -> None:
    before = time.process_time()
    texts.stats(texts.Text(text))
    assert time.process_time() - before < 5  # about 0.2; a pattern that goes back over its text takes minutes


def test_results_are_kept_for_a_day() -> None:
    definition = texts.handlers["text.stats"]
    assert (definition.queue, definition.run_in, definition.cache_for_seconds) == ("default", "process", 86_400)
