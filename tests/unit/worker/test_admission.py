"""May this message run now?"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from skirret.message import Delivery, Malformed
from skirret.wire.envelope import Head
from skirret.worker.admission import RUN, Delay, Drop, Reject, Wait, admit
from skirret.worker.manifest import TaskTraits

NOW = 1_800_000_000.0
TASKS = {"add": TaskTraits()}


def at(seconds: float) -> str:
    return (datetime.fromtimestamp(NOW, UTC) + timedelta(seconds=seconds)).isoformat()


def decide(head: Head | Malformed, revoked: set[str] | None = None, **history: float):
    delivery = Delivery(tag=1, queue="q", raw=b"", **history)
    return admit(head, delivery, TASKS, now=NOW, revoked=revoked or set())


def test_a_known_task_without_conditions_runs() -> None:
    assert decide(Head(task="add", id="1")) is RUN


def test_a_malformed_message_is_rejected_with_its_reason() -> None:
    decision = decide(Malformed("no body"))
    assert isinstance(decision, Reject)
    assert "no body" in decision.reason


def test_a_revoked_task_is_dropped() -> None:
    assert decide(Head(task="add", id="1"), revoked={"1"}) == Drop("revoked")


def test_an_expired_task_is_dropped_and_one_about_to_expire_runs() -> None:
    assert decide(Head(task="add", id="1", expires=at(-1))) == Drop("expired")
    assert decide(Head(task="add", id="1", expires=at(+1))) is RUN


def test_a_task_with_a_future_eta_is_handed_back_until_then() -> None:
    assert decide(Head(task="add", id="1", eta=at(60))) == Delay(NOW + 60)
    assert decide(Head(task="add", id="1", eta=at(-60))) is RUN


def test_an_expired_task_is_dropped_even_if_its_eta_is_to_come() -> None:
    assert decide(Head(task="add", id="1", eta=at(60), expires=at(-1))) == Drop("expired")


def test_an_unknown_task_is_tried_again_over_a_minute_and_then_rejected() -> None:
    head = Head(task="nowhere", id="1")
    first = decide(head)
    assert isinstance(first, Wait)
    assert first.due > NOW
    second = decide(head, deliveries=1, first_delivered=NOW - 30)
    assert isinstance(second, Wait)
    early = decide(head, deliveries=5, first_delivered=NOW - 30)
    assert isinstance(early, Wait), "many deliveries in a short time prove nothing"
    third = decide(head, deliveries=2, first_delivered=NOW - 60)
    assert isinstance(third, Reject)
    assert "'nowhere'" in third.reason


def test_a_message_delivered_too_often_is_rejected() -> None:
    decision = decide(Head(task="add", id="1"), deliveries=10)
    assert isinstance(decision, Reject)
    assert "10 times" in decision.reason
