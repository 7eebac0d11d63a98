"""Queues with exchanges and bindings on RabbitMQ: declared by kombu's objects or ours, routed to from both sides."""

from __future__ import annotations

import contextlib
import copy
import time
from collections.abc import Callable, Iterator
from typing import Any

import celery
import kombu
import kombu.common
import pytest

from skirret import Binding, Exchange, Queue, Skirret
from skirret.brokers.base import Consumer
from skirret.errors import ImproperlyConfigured, QueueNotFound, Reject
from skirret.testing.conformance.material import eventually
from skirret.testing.worker import worker
from tests.servers.rabbitmq_servers import RabbitServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]

CLASSIC, QUORUM = {"x-queue-type": "classic"}, {"x-queue-type": "quorum"}
MEDIA = kombu.Exchange("media", "topic")
NEWS = kombu.Exchange("news", "fanout")
MATCHED = kombu.Exchange("matched", "headers", durable=False, arguments={"alternate-exchange": "news"})


class Side:
    """Both apps on one virtual host, with the same queues."""

    def __init__(self, url: str, queues: list[Any], **conf: Any) -> None:
        self.ours = Skirret("ours", broker=url, backend=None, set_as_current=False)
        self.theirs = celery.Celery("theirs", broker=url, set_as_current=False)
        for app in (self.ours, self.theirs):  # copies: Celery binds a queue without exchange to its default one
            app.conf.update(task_queues=[copy.copy(queue) for queue in queues], task_default_queue="rest", **conf)
        self.consumers: list[Consumer] = []

    def worker(self, app: Skirret | None = None) -> Callable[[], list[tuple[str, str]]]:
        """What a worker of ours would take now: (queue, task's name), by alias where there is one."""
        app = app or self.ours
        queues = list(app.queues.values())
        app.broker.declare(queues)
        consumer = app.broker.consumer([queue.name for queue in queues], "c" * 32)
        self.consumers.append(consumer)
        names = {queue.name: queue.alias or queue.name for queue in queues}

        def took(patience: float = 0.3) -> list[tuple[str, str]]:
            found = []
            end = time.monotonic() + patience
            while time.monotonic() < end:
                taken = consumer.take(100, 0.1)
                found += [(names[one.queue], one.raw.split(b'"task":"')[1].split(b'"')[0].decode()) for one in taken]
            return sorted(found)

        return took

    def close(self) -> None:
        for consumer in self.consumers:
            consumer.close()
        self.ours.close()
        self.theirs.close()


@pytest.fixture
def sides(rabbitmq: RabbitServer, rabbitmq_host: str) -> Iterator[Callable[..., Side]]:
    made: list[Side] = []

    def make(queues: list[Any], **conf: Any) -> Side:
        made.append(Side(rabbitmq.url_of(rabbitmq_host), queues, **conf))
        return made[-1]

    yield make
    for side in made:
        side.close()


@pytest.fixture
def channel(rabbitmq: RabbitServer, rabbitmq_host: str) -> Iterator[Any]:
    """Celery's driver."""
    with kombu.Connection(rabbitmq.url_of(rabbitmq_host)) as connection:
        yield connection.channel()


FULL = [
    kombu.Queue("video", MEDIA, routing_key="media.video.#", queue_arguments=CLASSIC, max_length=100),
    kombu.Queue("all", [kombu.binding(MEDIA, "media.*"), kombu.binding(NEWS)], queue_arguments=CLASSIC),
    kombu.Queue("paid", MATCHED, binding_arguments={"x-match": "all", "plan": "paid"}, queue_arguments=CLASSIC),
    kombu.Queue("rest", kombu.Exchange("rest"), routing_key="rest", queue_arguments=CLASSIC),
]


@pytest.mark.parametrize("client", ["ours", "theirs"])
@pytest.mark.parametrize("first", ["ours", "theirs"])
def test_messages_of_both_sides_find_every_queue_that_is_bound(sides, channel, first, client):
    side = sides(FULL, broker_transport_options={"like_celery": True})
    if first == "theirs":
        for queue in FULL:
            queue(channel).declare()
    took = side.worker()
    send = getattr(side, client).send_task
    send("direct", exchange="rest", routing_key="rest")
    send("topic", exchange="media", routing_key="media.video", exchange_type="topic")
    send("deep", exchange="media", routing_key="media.video.hd", exchange_type="topic")
    send("news", exchange="news", routing_key="x", exchange_type="fanout")
    send("paid", exchange="matched", exchange_type="headers", routing_key="x", headers={"plan": "paid"})
    send("named", queue="video")
    assert took(1.0) == sorted([
        ("rest", "direct"), ("video", "topic"), ("all", "topic"), ("video", "deep"), ("all", "news"), ("paid", "paid"),
        ("video", "named"),
    ])  # fmt: skip


def test_whoever_declares_second_is_not_refused(sides, channel):
    """Celery declares its queues again whenever it starts, also those that we made."""
    queues = [*FULL, kombu.Queue("ranked", max_priority=9), kombu.Queue("safe", queue_arguments=QUORUM)]
    side = sides(queues, broker_transport_options={"like_celery": True}, task_create_missing_queue_type="classic")
    side.worker()
    for queue in queues:
        queue(channel).declare()


def test_a_client_that_is_first_makes_a_queue_as_it_is_declared(sides, channel):
    side = sides(FULL)
    side.ours.send_task("first", queue="video")
    told = {**CLASSIC, "x-dead-letter-exchange": "video.dlx"}
    channel.queue_declare("video", durable=True, auto_delete=False, arguments={**told, "x-max-length": 100})
    with pytest.raises(Exception, match="x-max-length"):  # who says otherwise is refused
        channel.queue_declare("video", durable=True, auto_delete=False, arguments=told)


def test_a_delayed_message_goes_to_all_that_an_exchange_leads_to(sides):
    side = sides(FULL)
    took = side.worker()
    side.ours.send_task("late", exchange="media", routing_key="media.video", exchange_type="topic", countdown=1)
    side.ours.send_task("late-news", exchange="news", routing_key="rest", exchange_type="fanout", countdown=1)
    assert took(6.0) == [("all", "late"), ("all", "late-news"), ("video", "late")]


@pytest.mark.parametrize("client", ["ours", "theirs"])
@pytest.mark.parametrize("declared", ["kombu", "ours"])
def test_each_worker_gets_each_broadcast(sides, client, declared):
    def broadcast() -> Any:
        return kombu.common.Broadcast("reload") if declared == "kombu" else Queue.broadcast("reload")

    sender = sides([kombu.Queue("rest"), kombu.common.Broadcast("reload")])
    took = [sides(["rest", broadcast()]).worker() for _ in range(3)]
    getattr(sender, client).send_task("cache", queue="reload", exchange="reload")
    sender.ours.send_task("by-route", queue="reload")
    for one in took:
        assert one(1.0) == [("reload", "by-route"), ("reload", "cache")]


def test_a_broadcast_that_nobody_hears_is_no_error_and_leaves_no_queue(sides, channel):
    side = sides(["rest", Queue.broadcast("reload")])
    side.ours.send_task("cache", queue="reload")
    with pytest.raises(Exception, match="no queue"):
        channel.queue_declare(side.ours.queues["reload"].name, passive=True)


def test_a_delayed_broadcast_reaches_each_worker(sides):
    sender = sides(["rest", Queue.broadcast("reload")])
    took = [sides(["rest", Queue.broadcast("reload")]).worker() for _ in range(2)]
    sender.ours.send_task("cache", queue="reload", countdown=1)
    assert [one(4.0 if not number else 0.3) for number, one in enumerate(took)] == [[("reload", "cache")]] * 2


class Heard:
    """Workers in this process, each with a queue of its own of one broadcast.

    Args:
        side: makes an app.
    """

    def __init__(self, side: Callable[..., Side]) -> None:
        self.runs: list[tuple[str, int]] = []
        shared = {"coordination_url": "memory://heard"}
        self.apps = [side(["rest", Queue.broadcast("reload")], **shared).ours for _ in range(2)]
        for app, name in zip(self.apps, "ab", strict=True):
            self._define(app, name)

    def _define(self, app: Skirret, name: str) -> None:
        @app.task(name="odd", bind=True)
        def odd(task: Any, how: str) -> None:
            self.runs.append((name, task.request.retries))
            if name == "a" and not task.request.retries:
                raise task.retry(countdown=0) if how == "retry" else Reject("no")

    @contextlib.contextmanager
    def working(self) -> Iterator[list[Skirret]]:
        for app in self.apps:
            app.broker.declare(list(app.queues.values()))
        with worker(self.apps[0]), worker(self.apps[1]):
            yield self.apps


def test_a_broadcast_that_is_retried_goes_to_all_again_as_with_celery(sides):
    heard = Heard(sides)
    with heard.working() as (app, _):
        app.send_task("odd", ("retry",), queue="reload")
        eventually(lambda: len(heard.runs) == 4)
    assert sorted(heard.runs) == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]


def test_dead_letters_of_a_broadcast_are_kept_under_its_name_and_go_back_to_all(sides, rabbitmq, rabbitmq_host):
    heard = Heard(sides)
    with heard.working() as (app, _):
        app.send_task("odd", ("reject",), queue="reload")
        eventually(app.broker.dead)
    (dead,) = sides(["rest"]).ours.broker.dead()
    assert (dead.queue, dead.reason) == ("reload", "rejected by the task: no")
    left = {name for name in rabbitmq.queues(rabbitmq_host) if "bcast" in name}
    assert left == {app.queues["reload"].name for app in heard.apps}, "which go by themselves"
    heard.runs.clear()
    with heard.working() as (app, _):
        assert app.broker.replay([dead.key]) == 1
        eventually(lambda: len(heard.runs) == 2)


def test_a_worker_without_room_keeps_its_own_queue(sides, channel):
    """A queue that goes with its consumer would be gone, and with it what waits there."""
    side = sides(["rest", Queue.broadcast("reload")])
    took = side.worker()
    side.consumers[0].take(10, 0.1)
    side.consumers[0].rest()
    own = side.ours.queues["reload"].name
    listeners = [channel.queue_declare(name, passive=True).consumer_count for name in ("rest", own)]
    assert listeners == [0, 1], "only what is shared is left to others"
    side.ours.send_task("cache", queue="reload")
    assert took(1.0) == [("reload", "cache")]


def test_our_own_types_say_what_kombus_say(sides):
    exchange = Exchange("matched", "headers", durable=False, arguments={"alternate-exchange": "news"})
    ours = [
        Queue(name="video", exchange="media", exchange_type="topic", routing_key="media.video.#",
              arguments={**CLASSIC, "x-max-length": 100}),
        Queue(name="all", arguments=CLASSIC,
              bindings=(Binding(Exchange("media", "topic"), "media.*"), Binding(Exchange("news", "fanout")))),
        Queue(name="paid", exchange="matched", exchange_type="headers", arguments=CLASSIC,
              bindings=(Binding(exchange, "paid", {"x-match": "all", "plan": "paid"}),)),
    ]  # fmt: skip
    told = sides(FULL[:3]).ours.queues
    for queue in ours:
        theirs = told[queue.name]
        assert sorted(map(repr, theirs.ways)) == sorted(map(repr, queue.ways))
        assert (theirs.arguments, theirs.exchange) == (queue.arguments, queue.exchange)


def test_an_exchange_that_is_not_there_is_named(sides):
    side = sides(["rest"])
    with pytest.raises(QueueNotFound, match=r"no such queue or exchange.*nowhere"):
        side.ours.send_task("x", exchange="nowhere", routing_key="y", retry=False)


def test_other_brokers_refuse_what_would_be_lost_there():
    app = Skirret("ours", broker="memory://", set_as_current=False)
    app.conf.task_queues = ["celery", Queue.broadcast("reload")]
    with pytest.raises(ImproperlyConfigured, match=r"reload.*RabbitMQ"):
        app.send_task("cache", queue="reload")
