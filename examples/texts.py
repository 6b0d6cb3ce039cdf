"""Figures about a text: how long it is, how hard to read, and what it speaks of most.

Counting is pure Python and holds the interpreter's lock all the while, so it runs in a child process, where it keeps
nobody waiting. Words and sentences are found in any script that puts spaces between words; reading ease and the words
left out of the top terms are those of English.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean
from typing import Annotated

from pydantic import ConfigDict, Field

from sluice import Handlers

handlers = Handlers()

WORDS_PER_MINUTE = 238
"""Silent reading of English non-fiction: M. Brysbaert, "How many words do we read per minute? A review and
meta-analysis of reading rate", Journal of Memory and Language 109 (2019)."""

_ENGLISH = """
a about above after again against all also am an and any are aren't as at be because been before being below between
both but by can can't cannot could couldn't did didn't do does doesn't doing don't down during each even ever every
few for from further get had hadn't has hasn't have haven't having he he'd he'll he's her here hers herself him
himself his how i i'd i'll i'm i've if in into is isn't it it's its itself just let's may me might more most much
must my myself no nor not now of off on once only or other ought our ours ourselves out over own same shall she
she'd she'll she's should shouldn't so some such than that that's the their theirs them themselves then there
there's these they they'd they'll they're they've this those through to too under until up upon us very was wasn't
we we'd we'll we're we've were weren't what what's when where which while who who's whom whose why will with won't
would wouldn't yet you you'd you'll you're you've your yours yourself yourselves
"""
STOP_WORDS = frozenset(_ENGLISH.split())
"""Words of grammar, which every English text is full of."""


@dataclass
class Text:
    __pydantic_config__ = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    text: str
    top: Annotated[int, Field(ge=0, le=100)] = 10
    """How many of the most frequent terms to list."""


@dataclass
class Term:
    term: str
    count: int


@dataclass
class Statistics:
    __pydantic_config__ = ConfigDict(use_attribute_docstrings=True)

    words: int
    sentences: int
    unique_words: int
    """Without regard to case."""
    characters: int
    """Code points, spaces included, where letters and their accents are one (Unicode normalization form C)."""
    average_word_length: float
    """In characters; 0 for a text without words."""
    reading_ease: float | None
    """Flesch's score, made for English: 100 is very easy, 0 very hard. Null for a text that is not in Latin letters."""
    reading_minutes: float
    top_terms: list[Term]
    """The most frequent words that are not stop words; of equally frequent ones the alphabetically first."""


@handlers.on("text.stats", timeout=30, max_attempts=3, cache_for=86_400, run_in="process")
def stats(input: Text) -> Statistics:
    """Counts words and sentences, estimates reading ease and time, and lists the most frequent terms."""
    text = unicodedata.normalize("NFC", input.text)
    words = _words(text)
    sentences = sum(1 for _ in _sentences(text))
    terms = Counter(_term(word) for word in words)
    return Statistics(
        words=len(words),
        sentences=sentences,
        unique_words=len(terms),
        characters=len(text),
        average_word_length=round(fmean(map(len, words)), 2) if words else 0.0,
        reading_ease=_reading_ease(words, sentences),
        reading_minutes=round(len(words) / WORDS_PER_MINUTE, 2),
        top_terms=_top(terms, input.top),
    )


def _words(text: str) -> list[str]:
    """Runs of letters and digits; an apostrophe or a hyphen between two of them joins them, a decimal point digits."""
    # Vowel signs and accents that have no composed form are letters' parts, which `\w` does not know.
    marks = "".join(sorted({char for char in set(text) if unicodedata.category(char).startswith("M")}))
    letter = rf"[^\W_{marks}][{marks}]*" if marks else r"[^\W_]"
    return re.findall(rf"(?:{letter})+(?:(?:['\u2019\u2010-]|(?<=\d)[.,](?=\d))(?:{letter})+)*", text)


def _term(word: str) -> str:
    return word.casefold().replace("\u2019", "'")


_SENTENCE_END = re.compile(
    r"(?<![.!?\u2026])[.!?\u2026]++[\"'\u201d\u2019\u00bb)\]]*+(?=\s|$)"  # possessive: a long row of dots is read once
    r"|[\u3002\uff01\uff1f\u0964\u061f]+"  # Chinese, Japanese, Hindi, Arabic: no space follows
    r"|\n\s*\n"
)
_CLOSING = "\"'\u201d\u2019\u00bb)]\u2026"
_ABBREVIATIONS = frozenset({"dr", "mr", "mrs", "ms", "prof", "st", "vs", "e.g", "i.e", "cf"})
_LAST_TOKEN = re.compile(r"[^\s(\"'\u201c\u2018]*$")


def _sentences(text: str) -> Iterator[str]:
    """Stretches that hold a word, up to a full stop, an exclamation or question mark, a blank line or the end."""
    start = 0
    for end in _SENTENCE_END.finditer(text):
        if _goes_on(text, start, end):
            continue
        yield from _with_word(text[start : end.end()])
        start = end.end()
    yield from _with_word(text[start:])


def _with_word(stretch: str) -> Iterator[str]:
    if re.search(r"[^\W_]", stretch):
        yield stretch


def _goes_on(text: str, start: int, end: re.Match[str]) -> bool:
    """Whether what looks like an end is none: `Dr. No`, `"Stop!" she said`."""
    if end[0] == ".":
        return _abbreviated(text[max(start, end.start() - 16) : end.start()])
    return end[0][-1] in _CLOSING and text[end.end() : end.end() + 2].lstrip().islower()


def _abbreviated(before: str) -> bool:
    token = _LAST_TOKEN.search(before)
    word = token[0] if token else ""
    return word.casefold() in _ABBREVIATIONS or (len(word) == 1 and word.isupper() and word != "I")


def _reading_ease(words: list[str], sentences: int) -> float | None:
    """R. Flesch, "A new readability yardstick", Journal of Applied Psychology 32 (1948), with syllables estimated."""
    if not words or not _latin(words):
        return None
    syllables = sum(_syllables(_term(word)) for word in words)
    return round(206.835 - 1.015 * len(words) / sentences - 84.6 * syllables / len(words), 2)


def _latin(words: list[str]) -> bool:
    letters = [char for word in words for char in unicodedata.normalize("NFKD", word) if char.isalpha()]
    return bool(letters) and sum(char.isascii() for char in letters) >= 0.9 * len(letters)


_VOWELS = re.compile(r"[aeiouy]+")
_SILENT_END = re.compile(
    r"(?:[^laeiouy]|[aeiouy]l)e$"  # make, whole; not table
    r"|[^aeiouytd]ed$"  # called; not added
    r"|(?:[^laeiouysxzcg](?<!sh)(?<!ch)|[aeiouy]l)es$"  # times, holes; not houses, dishes, tables
)


def _syllables(word: str) -> int:
    """Groups of vowels, less an ending that is written and not spoken (`make`, `called`, `times`); at least one."""
    plain = "".join(char for char in unicodedata.normalize("NFKD", word) if char.isascii())
    return max(1, len(_VOWELS.findall(plain)) - bool(_SILENT_END.search(plain)))


def _top(terms: Counter[str], size: int) -> list[Term]:
    telling = [(term, count) for term, count in terms.items() if term not in STOP_WORDS]
    telling.sort(key=lambda entry: (-entry[1], entry[0]))
    return [Term(term, count) for term, count in telling[:size]]
