"""Asking workers over a broker in memory: who is asked, which replies count, and when the waiting ends."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from skirret import Skirret
from skirret.brokers.base import Capabilities
from skirret.control import registry
from skirret.errors import CapabilityError
from skirret.wire import commands
from skirret.wire.commands import Reply, Request

_COUNT = itertools.count()
LONG = 30.0


@pytest.fixture
def app() -> Iterator[Skirret]:
    app = Skirret("asking", broker=f"memory://asking-{next(_COUNT)}", set_as_current=False)
    yield app
    app.close()


class Worker:
    """Stands for a worker: replies to whatever means it."""

    def __init__(self, app: Skirret, name: str, reply: Callable[[Request], Any] = lambda _: {"ok": "pong"}) -> None:
        self.app, self.name, self.reply = app, name, reply
        self.asked: list[Request] = []
        self.ear = app.broker.listen("celery.pidbox", [""])
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self) -> None:
        while heard := self.ear.receive(LONG):
            for _, raw in heard:
                request = commands.decode_request(raw)
                assert isinstance(request, Request)
                if request.means(self.name):
                    self.asked.append(request)
                    if request.reply_to is not None:
                        self.app.broker.reply(*request.reply_to, self.written(request))

    def written(self, request: Request) -> bytes:
        values = {self.name: self.reply(request)}
        return commands.encode_reply(Reply(values=values, ticket=request.ticket), *request.reply_to)

    def close(self) -> None:
        self.ear.close()
        self.thread.join(10)
        assert not self.thread.is_alive()


@pytest.fixture
def worker(app) -> Iterator[Callable[..., Worker]]:
    made: list[Worker] = []

    def make(*args: Any) -> Worker:
        made.append(Worker(app, *args))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_all_workers_reply_and_nobody_waits_for_the_timeout(app, worker):
    for number in range(5):
        worker(f"w{number}@h")
    start = time.monotonic()
    replies = app.control.ping(timeout=LONG)
    assert time.monotonic() - start < LONG / 3
    assert sorted(next(iter(reply.items())) for reply in replies) == [(f"w{n}@h", {"ok": "pong"}) for n in range(5)]


def test_with_no_worker_it_returns_at_once(app):
    start = time.monotonic()
    assert app.control.ping(timeout=LONG) == []
    assert app.control.inspect(timeout=LONG).active() is None
    assert time.monotonic() - start < LONG / 3


def test_only_the_named_nodes_are_asked_and_waited_for(app, worker):
    worker("w1@h")
    other = worker("w2@h")
    start = time.monotonic()
    assert app.control.ping(["w1@h"], timeout=LONG) == [{"w1@h": {"ok": "pong"}}]
    assert time.monotonic() - start < LONG / 3
    assert other.asked == []


def test_one_node_may_be_named_as_text(app, worker):
    worker("w1@h", lambda _: ["a"])
    worker("w2@h")
    assert app.control.inspect("w1@h", timeout=LONG).active() == ["a"]


def test_nodes_are_asked_by_pattern_and_only_they_are_waited_for(app, worker):
    for name in ("w1@h", "w2@h", "x@h"):
        worker(name)
    start = time.monotonic()
    for pattern, matcher in (("w*", "glob"), ("w.@h", "pcre")):
        replies = app.control.broadcast("ping", reply=True, timeout=LONG, pattern=pattern, matcher=matcher)
        assert sorted(name for reply in replies for name in reply) == ["w1@h", "w2@h"]
    assert app.control.broadcast("ping", reply=True, timeout=LONG, pattern="nobody*", matcher="glob") == []
    assert time.monotonic() - start < LONG / 3


def test_a_silent_node_is_waited_for_until_the_timeout(app, worker):
    worker("w1@h")
    silent = app.broker.listen("celery.pidbox", [""])
    start = time.monotonic()
    assert app.control.ping(timeout=0.2) == [{"w1@h": {"ok": "pong"}}]
    assert 0.19 <= time.monotonic() - start < LONG / 3
    silent.close()


def test_a_limit_of_replies_is_enough(app, worker):
    for number in range(3):
        worker(f"w{number}@h")
    assert len(app.control.broadcast("ping", reply=True, timeout=LONG, limit=1)) == 1


def test_each_reply_is_called_back_as_it_comes(app, worker):
    worker("w1@h")
    seen: list[Any] = []
    app.control.broadcast("ping", reply=True, timeout=LONG, callback=seen.append)
    assert seen == [{"w1@h": {"ok": "pong"}}]


def test_replies_to_others_and_garbage_are_left_aside(app, worker):
    def reply(request: Request) -> Any:
        for raw in (b"garbage", commands.encode_reply(Reply(values={"w9@h": 1}, ticket="another"), *request.reply_to)):
            app.broker.reply(*request.reply_to, raw)
        return {"ok": "pong"}

    worker("w1@h", reply)
    assert app.control.ping(timeout=LONG) == [{"w1@h": {"ok": "pong"}}]


def test_without_a_reply_nobody_is_asked_for_one(app, worker):
    one = worker("w1@h")
    assert app.control.rate_limit("t", "10/m") is None
    assert app.control.ping(timeout=LONG)
    assert [request.method for request in one.asked] == ["rate_limit", "ping"]
    assert one.asked[0].reply_to is None
    assert one.asked[0].arguments == {"task_name": "t", "rate_limit": "10/m"}
    assert one.asked[0].expires > time.time()


def test_a_request_expires_with_its_caller(app, worker):
    one = worker("w1@h")
    app.control.ping(timeout=LONG)
    assert time.time() < one.asked[0].expires <= time.time() + LONG


def test_where_the_server_cannot_count_the_registry_tells_how_many_are_waited_for(app, worker, monkeypatch):
    worker("w1@h")
    registry.enrol(app.coordination, "w1@h")
    fan_out = app.broker.fan_out
    monkeypatch.setattr(app.broker, "fan_out", lambda *args: fan_out(*args) and None)
    start = time.monotonic()
    assert app.control.ping(timeout=LONG) == [{"w1@h": {"ok": "pong"}}]
    assert time.monotonic() - start < LONG / 3
    registry.leave(app.coordination, "w1@h")
    assert app.control.ping(timeout=0.2) == [{"w1@h": {"ok": "pong"}}]


def test_a_broker_that_cannot_reach_all_workers_says_so(app, monkeypatch):
    monkeypatch.setattr(type(app.broker), "capabilities", Capabilities(fan_out=False))
    with pytest.raises(CapabilityError, match="remote commands"):
        app.control.ping()


def test_every_method_sends_celerys_command_and_arguments(app, worker):
    one = worker("w1@h")
    control = app.control
    control.revoke("a", terminate=True, signal="SIGKILL")
    control.revoke(["a", "b"])
    control.terminate("c")
    control.revoke_by_stamped_headers({"x": {"1"}})
    control.time_limit("t", soft=1, hard=2)
    control.add_consumer("q", routing_key="k")
    control.cancel_consumer("q")
    control.autoscale(10, 3)
    control.pool_grow()
    control.pool_shrink(2)
    control.pool_restart(["m"], reload=True)
    control.enable_events()
    control.disable_events()
    control.heartbeat()
    control.election("i", "topic")
    control.shutdown()
    control.ping(timeout=LONG)
    stamped = {"headers": {"x": ["1"]}, "terminate": False, "signal": "SIGTERM"}
    bound = {"queue": "q", "exchange": None, "exchange_type": "direct", "routing_key": "k"}
    assert [(request.method, request.arguments) for request in one.asked] == [
        ("revoke", {"task_id": "a", "terminate": True, "signal": "SIGKILL"}),
        ("revoke", {"task_id": ["a", "b"], "terminate": False, "signal": "SIGTERM"}),
        ("revoke", {"task_id": "c", "terminate": True, "signal": "SIGTERM"}),
        ("revoke_by_stamped_headers", stamped),
        ("time_limit", {"task_name": "t", "hard": 2, "soft": 1}),
        ("add_consumer", bound),
        ("cancel_consumer", {"queue": "q"}),
        ("autoscale", {"max": 10, "min": 3}),
        ("pool_grow", {"n": 1}),
        ("pool_shrink", {"n": 2}),
        ("pool_restart", {"modules": ["m"], "reload": True, "reloader": None}),
        ("enable_events", {}),
        ("disable_events", {}),
        ("heartbeat", {}),
        ("election", {"id": "i", "topic": "topic", "action": None}),
        ("shutdown", {}),
        ("ping", {}),
    ]


def test_what_is_looked_at_is_asked_as_celery_asks_it(app, worker):
    one = worker("w1@h")
    look = app.control.inspect(timeout=LONG)
    for name in (
        "active",
        "scheduled",
        "reserved",
        "stats",
        "revoked",
        "active_queues",
        "report",
        "clock",
        "memsample",
    ):
        assert getattr(look, name)() == {"w1@h": {"ok": "pong"}}
    look.registered("rate_limit")
    look.registered_tasks()
    look.query_task("a", "b")
    look.query_task(["a"])
    look.conf(with_defaults=True)
    look.memdump(samples=2)
    look.objgraph("Job", n=3, max_depth=4)
    look.hello("w2@h", revoked=["x"])
    assert [(request.method, request.arguments) for request in one.asked[9:]] == [
        ("registered", {"taskinfoitems": ["rate_limit"]}),
        ("registered", {"taskinfoitems": []}),
        ("query_task", {"ids": ["a", "b"]}),
        ("query_task", {"ids": ["a"]}),
        ("conf", {"with_defaults": True}),
        ("memdump", {"samples": 2}),
        ("objgraph", {"num": 3, "max_depth": 4, "type": "Job"}),
        ("hello", {"from_node": "w2@h", "revoked": ["x"]}),
    ]


def test_purge_drops_what_waits_in_the_apps_queues(app):
    for _ in range(3):
        app.send_task("t")
    assert app.control.purge() == 3
    assert app.control.discard_all() == 0
