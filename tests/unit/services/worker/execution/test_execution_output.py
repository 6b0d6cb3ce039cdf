"""What handlers print: every line whole or cut, never joined with the next."""

import os
from collections.abc import Iterator
from typing import BinaryIO

import pytest

from services.worker.execution.runner.output import CUT, BoundedLines, bounded_text

Pipe = tuple[BinaryIO, int]


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    read, write = os.pipe()
    with os.fdopen(read, "rb") as reader:
        yield reader, write


def written(pipe: Pipe) -> bytes:
    os.close(pipe[1])
    return pipe[0].read()


def test_a_line_is_cut_at_the_limit_and_the_next_one_is_whole(pipe: Pipe) -> None:
    lines = BoundedLines(pipe[1], limit=10)
    assert lines.write(b"0123456789\n0123456789A\nnext\n") == 28
    assert written(pipe) == b"0123456789\n0123456789" + CUT + b"\nnext\n"


def test_a_line_that_comes_in_pieces_is_cut_once(pipe: Pipe) -> None:
    lines = BoundedLines(pipe[1], limit=4)
    for piece in (b"ab", b"cd", b"ef", b"gh", b"\n", b"ij\n"):
        lines.write(piece)
    assert written(pipe) == b"abcd" + CUT + b"\nij\n"


def test_text_that_cannot_be_encoded_is_shown_anyway(pipe: Pipe) -> None:
    text = bounded_text(pipe[1])
    print("grüße \udcff", file=text)
    assert written(pipe) == "grüße \\udcff\n".encode()
    text.close()


def test_printing_to_nobody_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    assert BoundedLines(write).write(b"a line\n") == 7
    os.close(write)
