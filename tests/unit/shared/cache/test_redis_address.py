"""Redis URLs: what they may say, and that what they must not say is refused without repeating a password."""

import ssl
from pathlib import Path

import pytest

from shared.cache.redis.address import Address
from shared.errors import ConfigError


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://localhost", Address("localhost")),
        ("redis://10.0.0.3:6380/", Address("10.0.0.3", 6_380)),
        ("redis://:secret@host:1/2", Address("host", 1, "", "secret", 2)),
        ("redis://user:p%40s%2Fs%3A@host", Address("host", 6_379, "user", "p@s/s:")),
        ("redis://[::1]:6379/15", Address("::1", 6_379, database=15)),
    ],
)
def test_a_url_is_read(url: str, address: Address) -> None:
    assert Address.parse(url) == address


def test_rediss_checks_the_certificate_and_the_name() -> None:
    tls = Address.parse("rediss://host").tls
    assert tls is not None
    assert tls.verify_mode is ssl.CERT_REQUIRED
    assert tls.check_hostname


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:6379",
        "http://host",
        "unix:///run/redis.sock",
        "redis://",
        "redis://:hunter2@",
        "redis://:hunter2@host:port",
        "redis://:hunter2@host:99999",
        "redis://:hunter2@host/zero",
        "redis://:hunter2@host/-1",
        "redis://:hunter2@host/1/2",
        "redis://:hunter2@host?timeout=3",
        "redis://:hunter2@host?ssl_ca_certs=/x",
        "rediss://:hunter2@host?ssl_ca_certs=/x&more=1",
        "rediss://:hunter2@host?ssl_ca_certs=/there/is/none",
    ],
)
def test_a_url_that_says_something_else_is_refused(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Address.parse(url)
    assert "hunter2" not in str(caught.value)


def test_an_authority_that_is_no_certificate_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nonsense")
    with pytest.raises(ConfigError, match="ssl_ca_certs"):
        Address.parse(f"rediss://host?ssl_ca_certs={tmp_path}/ca.pem")


def test_showing_an_address_shows_no_password() -> None:
    assert "hunter2" not in repr(Address.parse("redis://user:hunter2@host"))


@pytest.mark.parametrize(
    ("url", "greeting"),
    [
        ("redis://host", [("PING",)]),
        ("redis://host/0", [("PING",)]),
        ("redis://:pw@host/4", [("AUTH", "pw"), ("SELECT", 4), ("PING",)]),
        ("redis://me:pw@host", [("AUTH", "me", "pw"), ("PING",)]),
    ],
)
def test_the_greeting(url: str, greeting: list[tuple[str | int, ...]]) -> None:
    assert Address.parse(url).greeting() == greeting
