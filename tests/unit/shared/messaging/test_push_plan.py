"""Where lanes are pushed to, as settings describe it, and what the topology makes of that."""

import pytest

from shared.errors import ConfigError
from shared.messaging.push import REQUEST_SECONDS, Pulled, PushPlan, PushTarget, path, push_plan
from shared.messaging.topics import Names, Subscription, topology
from shared.models.job import Lane

EMAIL = "pusher@project.example"


def jobs(plan: PushPlan | None, *paused: str) -> dict[str, Subscription]:
    """The subscriptions of jobs topics, by name."""
    declared = topology(Names(), ["images", "texts"], push=plan, paused=paused)
    return {each.name: each for each in declared.subscriptions if each.dead_letter_topic is not None}


def test_one_address_serves_all_queues_or_each_has_its_own() -> None:
    one = PushPlan("https://worker.example/", EMAIL)
    assert one.target("images", Lane.BULK) == PushTarget(
        "https://worker.example/push/images/bulk", EMAIL, "https://worker.example"
    )
    each = PushPlan("https://worker-{queue}.example", EMAIL, audience="for-{queue}")
    assert each.target("images", Lane.INTERACTIVE) == PushTarget(
        "https://worker-images.example/push/images/interactive", EMAIL, "for-images"
    )


def test_without_an_address_nothing_is_pushed() -> None:
    assert push_plan(address="", service_account=EMAIL, audience="", queues=()) is None
    assert all(each.push is None and each.ack_deadline_seconds < REQUEST_SECONDS for each in jobs(None).values())


@pytest.mark.parametrize(
    ("address", "email", "named"),
    [("https://w.example", "", "PUSH_EMAIL"), ("w.example", EMAIL, "PUSH_ENDPOINT"), ("ftp://w", EMAIL, "ENDPOINT")],
)
def test_half_a_plan_is_none(address: str, email: str, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        push_plan(address=address, service_account=email, audience="", queues=())


def test_what_is_pushed_has_as_long_as_a_push_waits() -> None:
    plan = push_plan(address="https://w.example", service_account=EMAIL, audience="", queues=("images",))
    found = jobs(plan)
    for lane in Lane:
        pushed, pulled = found[f"sluice-jobs-images-{lane}.worker"], found[f"sluice-jobs-texts-{lane}.worker"]
        assert isinstance(pushed.push, PushTarget)
        assert pushed.push.endpoint.endswith(path("images", lane))
        assert pushed.ack_deadline_seconds == REQUEST_SECONDS
        assert (pulled.push, pulled.ack_deadline_seconds) == (None, 10)


def test_a_paused_queue_is_declared_as_pushed_nowhere() -> None:
    found = jobs(PushPlan("https://w.example", EMAIL), "texts")
    assert {type(each.push) for name, each in found.items() if "texts" in name} == {Pulled}
    assert {type(each.push) for name, each in found.items() if "images" in name} == {PushTarget}
