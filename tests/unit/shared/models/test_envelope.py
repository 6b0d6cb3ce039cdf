"""The envelopes of a batch's items are those of jobs made one at a time."""

from hypothesis import given
from hypothesis import strategies as st

from shared.models.batch import BatchSpec
from shared.models.envelope import Envelope, items

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.sampled_from(
    ['"id":"job_"', ',"index":0,', "job_", '","index":0,"', "\\"]
)


@given(
    texts=st.tuples(TEXT, TEXT, TEXT, TEXT),
    labels=st.dictionaries(TEXT, TEXT, max_size=3),
    index=st.integers(0, 10**9),
    input=st.sampled_from([b"0", b'{"index":0,"id":"job_"}', b'"x"', b"[1, 2]"]),
    traceparent=st.none() | TEXT,
)
def test_an_item_has_the_envelope_of_its_job(
    texts: tuple[str, str, str, str], labels: dict[str, str], index: int, input: bytes, traceparent: str | None
) -> None:
    tenant, handler, queue, batch = texts
    spec = BatchSpec(batch, tenant, handler, queue, 1, 2, 3.5, 4, labels=labels, traceparent=traceparent)
    made = items(spec)("job_17", index, input)
    assert made == Envelope(spec.item("job_17", index, input)).encode()
