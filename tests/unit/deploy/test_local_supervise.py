"""How long a service that keeps dying waits before it is started again."""

from deploy.local.supervise import FIRST_PAUSE, LONGEST_PAUSE, pause_before


def test_the_pause_doubles_up_to_its_bound() -> None:
    pauses = [pause_before(restart) for restart in range(1, 100)]

    assert pauses[:3] == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE]
    assert max(pauses) == LONGEST_PAUSE == pauses[-1]
