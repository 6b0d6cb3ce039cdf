"""The egress rules against everything hostile that we know of; not one may pass."""

import pytest

from shared.egress import Rules
from shared.errors import DestinationNotAllowed
from tests.unit.services.webhooks.hostile import ADDRESSES, OPEN_ADDRESSES, OPEN_URLS, URLS


def test_the_corpus_is_large_and_without_repeats() -> None:
    assert len(set(URLS)) == len(URLS) >= 60
    assert len(set(ADDRESSES)) == len(ADDRESSES) >= 50


@pytest.mark.parametrize("url", URLS)
def test_a_hostile_url_is_refused(url: str) -> None:
    with pytest.raises(DestinationNotAllowed):
        Rules().url(url)


@pytest.mark.parametrize("url", URLS)
def test_a_refusal_never_quotes_the_url(url: str) -> None:
    with pytest.raises(DestinationNotAllowed) as refusal:
        Rules().url(url)
    assert "example" not in str(refusal.value)


@pytest.mark.parametrize("url", OPEN_URLS)
def test_an_ordinary_url_passes(url: str) -> None:
    assert Rules().url(url).host


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_hostile_address_is_refused(address: str) -> None:
    with pytest.raises(DestinationNotAllowed):
        Rules().address("example.com", address)


@pytest.mark.parametrize("address", OPEN_ADDRESSES)
def test_a_public_address_passes(address: str) -> None:
    Rules().address("example.com", address)


LOCAL = Rules(local=True)


@pytest.mark.parametrize("url", ["http://localhost:8000/", "https://localhost/x", "http://one.localhost:80/"])
def test_a_local_run_lets_local_names_through(url: str) -> None:
    LOCAL.address(LOCAL.url(url).host or "", "127.0.0.1")
    LOCAL.address(LOCAL.url(url).host or "", "::1")


STILL_CLOSED = [url for url in URLS if url not in {"https://localhost/", "https://a.localhost/"}]


@pytest.mark.parametrize("url", [*STILL_CLOSED, "http://127.0.0.1:8000/", "http://user@localhost/"])
def test_a_local_run_lets_nothing_else_through(url: str) -> None:
    with pytest.raises(DestinationNotAllowed):
        LOCAL.url(url)


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_local_run_keeps_the_rules_for_addresses(address: str) -> None:
    with pytest.raises(DestinationNotAllowed):
        LOCAL.address("example.com", address)


@pytest.mark.parametrize("address", ["10.0.0.1", "169.254.169.254", "8.8.8.8", "fe80::1"])
def test_a_local_name_leads_to_this_machine_only(address: str) -> None:
    with pytest.raises(DestinationNotAllowed):
        LOCAL.address("localhost", address)
