"""What the exam is written with: hand-made messages, a clock that is moved by hand, and ways to wait."""
# ruff: noqa: S101  an exam asserts

from __future__ import annotations

import base64
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from skirret.brokers.base import Consumer
from skirret.message import Delivery, Envelope, Publication, Record, Route

T = TypeVar("T")

BODY = b'[[], {}, {"callbacks": null, "errbacks": null, "chain": null, "chord": null}]'
_nonces = itertools.count(1)

patience = 5.0
"""Seconds within which what must come, comes: each test sets that of its exam."""

reply_to: str | None = None
"""Where results go that are messages: each test of results sets the address of the client under exam."""


class HandClock:
    """A monotonic clock that moves only when it is told to; give it as ``Limits.clock``."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Move on."""
        self.now += seconds


def message(
    task_id: str,
    queue: str,
    *,
    priority: int = 0,
    due: float | None = None,
    expires: float | None = None,
    nonce: str | None = None,
    body: bytes = BODY,
) -> Publication:
    """A message ready to be published, with a nonce of its own unless one is given."""
    return Publication(
        envelope=Envelope(
            headers={"lang": "py", "task": "exam.task", "id": task_id, "root_id": task_id, "retries": 0},
            body=body,
            correlation_id=task_id,
            priority=priority,
        ),
        route=Route(queue=queue, routing_key=queue),
        task_id=task_id,
        due=due,
        expires=expires,
        nonce=f"exam-{next(_nonces)}-{time.monotonic_ns()}" if nonce is None else nonce,
    )


def messages(task_ids: Iterable[str], queue: str, **options: Any) -> list[Publication]:
    """One message for each id; `options` are those of `message`."""
    return [message(task_id, queue, **options) for task_id in task_ids]


def record(task_id: str, state: str = "SUCCESS", payload: bytes = b"{}", ttl: float | None = None) -> Record:
    """A result."""
    return Record(task_id=task_id, state=state, payload=payload, ttl=ttl, reply_to=reply_to)


def id_of(raw: bytes) -> str:
    """The task id in a message's bytes."""
    return str(json.loads(raw)["headers"]["id"])


def body_of(raw: bytes) -> bytes:
    """The body in a message's bytes: kombu keeps it as base64."""
    return base64.b64decode(json.loads(raw)["body"])


def ids(deliveries: Iterable[Delivery]) -> list[str]:
    """The task ids of deliveries, in order."""
    return [id_of(delivery.raw) for delivery in deliveries]


def take(consumer: Consumer, count: int) -> list[Delivery]:
    """Exactly `count` messages, in as many takes as the server needs for them."""
    taken: list[Delivery] = []
    deadline = time.monotonic() + patience
    while len(taken) < count and time.monotonic() < deadline:
        taken += consumer.take(count - len(taken), max(0.0, deadline - time.monotonic()))
    assert len(taken) == count, f"{len(taken)} of {count} messages came within {patience} s: {ids(taken)}"
    return taken


def take_one(consumer: Consumer) -> Delivery:
    """The next message."""
    return take(consumer, 1)[0]


def eventually(condition: Callable[[], T]) -> T:
    """The first true value of `condition`, asked again and again."""
    deadline = time.monotonic() + patience
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not true within {patience} s"
        time.sleep(0.002)


def at_once(count: int, work: Callable[[int], T], patience: float = 30.0) -> list[T]:
    """Run ``work(0)`` to ``work(count - 1)`` in threads that start together; what they return, in order."""
    start = threading.Barrier(count)
    answers: dict[int, T] = {}
    errors: list[BaseException] = []

    def run(number: int) -> None:
        try:
            start.wait(patience)
            answers[number] = work(number)
        except BaseException as exc:  # noqa: BLE001  re-raised below, in the test's own thread
            errors.append(exc)

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(patience)
    if errors:
        raise errors[0]
    assert len(answers) == count, f"only {len(answers)} of {count} threads were done within {patience} s"
    return [answers[number] for number in range(count)]


class Later:
    """Work that runs in another thread; ``result()`` waits for it.

    Args:
        work: what to run.
    """

    def __init__(self, work: Callable[[], Any]) -> None:
        self._answer: list[Any] = []
        self._error: list[BaseException] = []
        self.done = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(work,), daemon=True)
        self._thread.start()

    def _run(self, work: Callable[[], Any]) -> None:
        try:
            self._answer.append(work())
        except BaseException as exc:  # noqa: BLE001  re-raised by `result`
            self._error.append(exc)
        finally:
            self.done.set()

    def result(self, patience: float = 10.0) -> Any:
        """What the work returned."""
        assert self.done.wait(patience), f"the other thread was not done within {patience} s"
        self._thread.join(patience)
        if self._error:
            raise self._error[0]
        return self._answer[0]
