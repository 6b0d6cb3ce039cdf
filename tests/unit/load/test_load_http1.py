"""The generator's reading of HTTP: messages in whatever pieces they come."""

import pytest

from tests.load.generator.http1 import Address, Connection, ProtocolFault, get, parse, post

ANSWER = b'HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: 5\r\nETag: "1"\r\n\r\nhello'


class Heard(Connection):
    def __init__(self) -> None:
        super().__init__()
        self.answers: list[tuple[int, bytes]] = []
        self.faults: list[Exception] = []
        self._transport = _Wire()  # type: ignore[assignment]

    def answered(self, status: int, body: bytes) -> None:
        self.answers.append((status, body))

    def lost(self, fault: Exception) -> None:
        self.faults.append(fault)


class _Wire:
    def abort(self) -> None: ...


@pytest.mark.parametrize("cut", range(1, len(ANSWER)))
def test_an_answer_in_two_pieces_is_one(cut: int) -> None:
    heard = Heard()
    heard.data_received(ANSWER[:cut])
    assert heard.answers == []
    heard.data_received(ANSWER[cut:])
    assert heard.answers == [(202, b"hello")]


def test_the_length_is_found_in_any_case_and_place() -> None:
    assert parse(b"HTTP/1.1 200 OK\r\ncontent-length:2\r\n\r\nok") == (200, b"ok", b"")
    assert parse(b"HTTP/1.1 200 OK\r\nX: y\r\nCONTENT-LENGTH: 0\r\nZ: 1\r\n\r\n") == (200, b"", b"")


def test_no_body_is_waited_for_where_there_is_none() -> None:
    assert parse(b'HTTP/1.1 304 Not Modified\r\nETag: "1"\r\n\r\n') == (304, b"", b"")


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        ANSWER + b"x",
        b"HTTP/1.1 abc\r\n\r\n",
    ],
)
def test_what_is_not_understood_ends_the_connection(data: bytes) -> None:
    heard = Heard()
    heard.data_received(data)
    heard.connection_lost(None)
    assert heard.answers == []
    assert [type(fault) for fault in heard.faults] == [ProtocolFault]


def test_messages_are_whole() -> None:
    assert get("/a", "sk", Prefer="wait=3") == (
        b"GET /a HTTP/1.1\r\nHost: sluice.test\r\nAuthorization: Bearer sk\r\nPrefer: wait=3\r\n\r\n"
    )
    assert post("/a", b"{}").endswith(b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")


@pytest.mark.parametrize("host", ["10.0.0.1", "8.8.8.8", "0.0.0.0", "example.com"])
def test_load_goes_nowhere_but_to_this_machine(host: str) -> None:
    with pytest.raises(ValueError, match="not"):
        Address(host, 80)
    Address("127.0.3.7", 80)
