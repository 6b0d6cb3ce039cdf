"""What may wait in memory: bounded, and shared out among tenants."""

from services.webhooks.room import Room


def filled(room: Room, tenant: str, *, slow: bool) -> int:
    """How many of the tenant's find room."""
    count = 0
    while room.open_to(tenant, slow=slow):
        room.enter(f"{tenant}-{slow}-{count}", tenant, slow=slow)
        count += 1
    return count


def test_a_tenant_whose_endpoints_may_be_dead_leaves_as_much_as_it_takes() -> None:
    room = Room(400)
    assert [filled(room, tenant, slow=True) for tenant in ("one", "two", "three")] == [100, 50, 25]
    assert room.open_to("newcomer", slow=True)
    assert filled(room, "alive", slow=False) == 225


def test_what_leaves_makes_room() -> None:
    room = Room(4)
    assert filled(room, "one", slow=True) == 1
    room.enter("one-True-0", "one", slow=False)  # it has answered since
    assert len(room) == 1
    assert room.open_to("one", slow=True)
    room.leave("one-True-0")
    room.leave("unknown")
    assert (len(room), "one-True-0" in room) == (0, False)


def test_where_tenants_have_left_nothing_the_one_that_has_most_makes_room_for_a_new_one() -> None:
    room = Room(16)
    for tenant in ("one", "two", "three", "four"):
        filled(room, tenant, slow=True)
    assert not room.open_to("newcomer", slow=True)
    assert room.yielding("newcomer") == "one"
    assert [room.yielding(tenant) for tenant in ("one", "four")] == ["", ""]
    for n in range(3):
        room.leave(f"one-True-{n}")
        room.enter(f"other-{n}", f"other-{n}", slow=True)
    assert room.yielding("newcomer") == "two"
    room.leave("two-True-0")
    room.enter("other-3", "other-3", slow=True)
    assert room.yielding("newcomer") == ""  # everybody has one
