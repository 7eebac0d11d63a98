"""task_routes, task_queues and the call's own options decide where a task goes."""

from __future__ import annotations

import re
import types

import pytest

from skirret import Queue
from skirret.app.queues import Queues
from skirret.errors import ImproperlyConfigured, QueueNotFound


def route(app, name, *args, **options):
    return app.publisher.prepare(name, args, task=app.registry.get(name), **options).route


def test_without_routes_everything_goes_directly_to_the_default_queue(app):
    found = route(app, "any")
    assert (found.queue, found.exchange, found.routing_key) == ("celery", "", "celery")
    app.conf.task_default_queue = "main"
    assert route(app, "any").queue == "main"


@pytest.mark.parametrize(
    "name, queue",
    [
        ("feed.import", "exact"), ("feed.export", "globbed"), ("video.encode", "regex"), ("audio.encode", "regex"),
        ("other", "celery"), ("afeed.x", "celery"),
    ],
)  # fmt: skip
def test_a_mapping_routes_by_name_then_glob_then_regex(app, name, queue):
    app.conf.task_routes = {
        "feed.*": {"queue": "globbed"},
        "feed.import": "exact",
        re.compile(r"(video|audio)\..*"): {"queue": "regex"},
    }
    assert route(app, name).queue == queue


def test_a_list_of_pairs_and_a_list_of_rules_are_asked_in_order(app):
    app.conf.task_routes = ([("a.*", {"queue": "first"}), ("*", {"queue": "rest"})],)
    assert (route(app, "a.b").queue, route(app, "c").queue) == ("first", "rest")
    app.conf.task_routes = [{"a": "one"}, {"a": "two", "b": "three"}]
    assert (route(app, "a").queue, route(app, "b").queue) == ("one", "three")


def test_a_function_is_asked_with_the_call(app):
    seen = []

    def by_size(name, args, kwargs, options, task=None, **kw):
        seen.append((name, args, dict(options), task))
        return {"queue": "large"} if args and args[0] > 10 else None

    app.conf.task_routes = by_size
    task = app.task(name="resize")(lambda n: n)
    assert route(app, "resize", 50, priority=3).queue == "large"
    assert route(app, "resize", 5).queue == "celery"
    for size in (50, 5, 50):
        task.delay(size)
    assert [app.broker.size(queue).ready for queue in ("large", "celery")] == [2, 1]
    assert seen[0] == ("resize", (50,), {"priority": 3}, task)


def test_a_dotted_path_and_a_router_object_are_rules(app, monkeypatch):
    class Router:
        def route_for_task(self, name, args=None, kwargs=None, options=None, task=None):
            return "routed"

    import sys

    module = types.ModuleType("unit_router_module")
    module.Router = Router
    module.choose = lambda name, args, kwargs, options, task=None: {"queue": "chosen"}
    monkeypatch.setitem(sys.modules, "unit_router_module", module)
    app.conf.task_routes = "unit_router_module.choose"
    assert route(app, "x").queue == "chosen"
    app.conf.task_routes = ("unit_router_module.Router",)
    assert route(app, "x").queue == "routed"


def test_a_route_that_is_no_route_is_an_error(app):
    app.conf.task_routes = {"x": 5}
    with pytest.raises(ImproperlyConfigured, match="route"):
        route(app, "x")


def test_the_call_wins_over_the_task_and_the_task_over_the_route(app):
    app.conf.task_routes = {"*": {"queue": "routed", "priority": 1, "serializer": "yaml"}}
    app.task(name="said", queue="own")(lambda: 1)
    assert route(app, "plain").queue == "routed"
    assert route(app, "said").queue == "own"
    assert route(app, "said", queue="call").queue == "call"
    publication = app.publisher.prepare("plain", ())
    assert publication.envelope.priority == 1
    assert publication.envelope.content_type == "application/x-yaml"


def test_an_option_that_is_none_says_nothing(app):
    app.task(name="said", queue="own", priority=4)(lambda: 1)
    publication = app.publisher.prepare("said", (), task=app.registry["said"], queue=None, priority=None)
    assert (publication.route.queue, publication.envelope.priority) == ("own", 4)


def test_route_name_is_routed_instead_of_the_name(app):
    app.conf.task_routes = {"alias": "elsewhere"}
    assert route(app, "x", route_name="alias").queue == "elsewhere"


def test_a_missing_queue_is_made_unless_that_is_off(app):
    app.conf.task_queues = ["one", "two"]
    app.conf.task_default_queue = "one"
    assert route(app, "x", queue="three").queue == "three"
    app.conf.task_create_missing_queues = False
    assert route(app, "x", queue="two").queue == "two"
    with pytest.raises(QueueNotFound, match=r"'three'.*one, two"):
        route(app, "x", queue="three")
    task = app.task(name="t")(lambda: 1)
    with pytest.raises(QueueNotFound):
        task.apply_async(queue="three")


@pytest.mark.parametrize(
    "declared",
    [
        ["emails", Queue(name="images", exchange="media", routing_key="media.image", exchange_type="topic")],
        {"emails": {}, "images": {"exchange": "media", "binding_key": "media.image", "exchange_type": "topic"}},
        [
            types.SimpleNamespace(name="emails"),
            types.SimpleNamespace(
                name="images", exchange=types.SimpleNamespace(name="media", type="topic"), routing_key="media.image"
            ),
        ],
    ],
)
def test_queues_are_declared_as_names_options_or_objects(app, declared):
    app.conf.task_queues = declared
    app.conf.task_default_queue = "emails"
    assert list(app.queues) == ["emails", "images"]
    images = app.queues["images"]
    assert (images.exchange, images.routing_key, images.exchange_type) == ("media", "media.image", "topic")
    found = route(app, "x", queue="images")
    assert (found.queue, found.exchange, found.routing_key) == ("images", "media", "media.image")


def test_the_default_queue_comes_first_and_max_priority_is_inherited(app):
    app.conf.update(task_queues={"b": {}, "a": {"max_priority": 3}}, task_default_queue="a", task_queue_max_priority=10)
    assert list(app.queues) == ["a", "b"]
    assert app.queues["a"].max_priority == 3
    assert app.queues["made"].max_priority == 10


@pytest.mark.parametrize(
    "exchange, key, queue",
    [
        ("direct", "k", "d"), ("direct", "z", "celery"), ("topic", "img.png", "t"), ("topic", "img", "t"),
        ("topic", "txt.a", "w"), ("topic", "txt.a.b", "celery"), ("fan", "anything", "f"), ("none", "k", "celery"),
    ],
)  # fmt: skip
def test_an_exchange_and_a_routing_key_find_the_queue_that_is_bound_so(app, exchange, key, queue):
    app.conf.task_queues = {
        "celery": {},
        "d": {"exchange": "direct", "routing_key": "k"},
        "t": {"exchange": "topic", "exchange_type": "topic", "routing_key": "img.#"},
        "w": {"exchange": "topic", "exchange_type": "topic", "routing_key": "txt.*"},
        "f": {"exchange": "fan", "exchange_type": "fanout"},
    }
    found = route(app, "x", exchange=exchange, routing_key=key)
    assert (found.queue, found.exchange, found.routing_key) == (queue, exchange, key)


def test_the_default_queue_has_the_exchange_type_and_routing_key_of_the_settings(app):
    app.conf.update(
        task_default_queue="dq", task_default_exchange="dex", task_default_exchange_type="topic",
        task_default_routing_key="drk",
    )  # fmt: skip
    found = route(app, "x")
    assert (found.queue, found.exchange, found.routing_key, found.exchange_type) == ("dq", "dex", "drk", "topic")
    assert route(app, "x", queue="other").exchange == ""


def test_a_queue_without_a_name_is_an_error():
    with pytest.raises(ImproperlyConfigured, match="neither"):
        Queues([object()], default="celery")
    with pytest.raises(ImproperlyConfigured, match="without a name"):
        Queues([{"exchange": "x"}], default="celery")
