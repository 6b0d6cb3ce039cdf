"""How ports are chosen. The sockets are real; they never leave this machine."""

import random
import socket
import subprocess
import sys

import pytest

from deploy.local.errors import PortTakenError
from deploy.local.ports import FIRST, LAST, LOOPBACK, choose_port, claim_gateway_port, is_free


class Always(random.Random):
    """Picks the same port, as long as it is asked."""

    def __init__(self, *ports: int) -> None:
        super().__init__(0)
        self._ports = list(ports)

    def randint(self, a: int, b: int) -> int:
        assert (a, b) == (FIRST, LAST)
        return self._ports.pop(0) if len(self._ports) > 1 else self._ports[0]


def listened_to_by_nobody(first: int = FIRST) -> list[int]:
    """Several, for other processes may have reserved some: tests run side by side."""
    return [port for port in range(first, first + 200) if is_free(port)]


def test_a_chosen_port_is_free_and_outside_the_range_of_outgoing_connections() -> None:
    port = choose_port()

    assert FIRST <= port <= LAST
    assert is_free(port)


def test_a_taken_port_is_passed_over() -> None:
    free = listened_to_by_nobody()
    with socket.create_server((LOOPBACK, 0)) as taken:
        assert choose_port(Always(taken.getsockname()[1], *free)) in free


def test_no_port_is_handed_out_twice() -> None:
    first = choose_port()
    others = [port for port in listened_to_by_nobody() if port != first]

    assert choose_port(Always(first, first, *others)) in others


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has names that end with their process")
def test_a_port_that_another_process_was_given_is_passed_over_while_it_lives() -> None:
    free = listened_to_by_nobody(LAST - 300)
    asks = "from deploy.local.ports import choose_port; print(choose_port(), flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", asks], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        given = int(other.stdout.readline())
        assert choose_port(Always(given, *free)) in free
        other.communicate("\n", timeout=10)
    assert choose_port(Always(given)) == given


def test_the_search_ends_when_everything_is_taken() -> None:
    with socket.create_server((LOOPBACK, 0)) as taken, pytest.raises(PortTakenError):
        choose_port(Always(taken.getsockname()[1]))


def test_a_taken_gateway_port_is_refused_even_if_its_owner_would_share_it() -> None:
    with socket.create_server((LOOPBACK, 0), reuse_port=True) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortTakenError, match=f"Port {port} .*\n.*SLUICE_PORT={port + 1} make run"):
            claim_gateway_port(port)


def test_a_port_left_in_time_wait_is_free() -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        port = server.getsockname()[1]
        client = socket.create_connection((LOOPBACK, port))
        accepted, _ = server.accept()
        accepted.close()  # who closes first waits
        client.close()

    assert is_free(port)
