"""What a message measures, and what is refused; the contract suite tries the same on every publisher."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import MessageRefused
from shared.messaging.contract import (
    MAX_ATTRIBUTE_BYTES,
    MAX_ATTRIBUTE_NAME_BYTES,
    MAX_ATTRIBUTES,
    MAX_MESSAGE_BYTES,
    Message,
)
from shared.messaging.limits import size_of

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=64)


@given(body=st.binary(), attributes=st.dictionaries(TEXT.filter(lambda name: not name.startswith("goog")), TEXT))
def test_the_size_is_that_of_body_names_and_values_in_utf8(body: bytes, attributes: dict[str, str]) -> None:
    texts = [text for pair in attributes.items() for text in pair]
    assert size_of(Message(body, attributes)) == len(body) + sum(len(text.encode()) for text in texts)


@pytest.mark.parametrize(
    "message",
    [
        Message(b"x" * MAX_MESSAGE_BYTES),
        Message(b"", {"a" * MAX_ATTRIBUTE_NAME_BYTES: "b" * MAX_ATTRIBUTE_BYTES}),
        Message(b"", {"é" * (MAX_ATTRIBUTE_NAME_BYTES // 2): "é" * (MAX_ATTRIBUTE_BYTES // 2)}),
        Message(b"", {str(number): "" for number in range(MAX_ATTRIBUTES)}),
    ],
)
def test_what_just_fits_is_taken(message: Message) -> None:
    assert size_of(message) > 0


def test_a_refusal_does_not_repeat_the_value() -> None:
    with pytest.raises(MessageRefused) as caught:
        size_of(Message(b"", {"tenant": "secret" * 500}))
    assert "secret" not in str(caught.value)
