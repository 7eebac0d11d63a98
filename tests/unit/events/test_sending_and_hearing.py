"""Events on an in-process broker: sent without hurting their sender, heard by handlers, pictured by cameras."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from skirret import Skirret
from skirret.errors import OperationalError
from skirret.events import Event, EventDispatcher, EventReceiver, State, group_from
from skirret.events.dispatcher import KEPT
from skirret.events.snapshot import Polaroid, evcam, pause_of
from skirret.stores.memory import server
from skirret.wire import events as wire

NAME = "events"


@pytest.fixture
def app():
    app = Skirret("t", broker=f"memory://{NAME}", set_as_current=False)

    @app.task(bind=True, name="t.add")
    def add(self, x, y):
        self.send_event("task-progress", done=x)
        return x + y

    yield app
    app.close()
    server(NAME).empty()


class Listening:
    """A receiver that captures in a thread."""

    def __init__(self, app: Skirret, limit: int, **options: Any) -> None:
        self.events: list[dict[str, Any]] = []
        self.receiver = app.events.Receiver(app.connection(), handlers={"*": self.events.append}, **options)
        before = len(server(NAME).listeners)
        self.thread = threading.Thread(target=self.receiver.capture, kwargs={"limit": limit, "timeout": 20.0})
        self.thread.start()
        until(lambda: len(server(NAME).listeners) > before)

    def heard(self) -> list[dict[str, Any]]:
        """What was heard, once it is all."""
        self.thread.join(30)
        assert not self.thread.is_alive()
        return self.events


def until(condition: Callable[[], object]) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + 20.0
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_an_event_has_a_type_and_a_moment():
    event = Event("task-x", {"a": 1}, b=2, __now__=lambda: 7.0)
    assert event == {"a": 1, "b": 2, "timestamp": 7.0, "type": "task-x"}
    assert Event("x", timestamp=3.0)["timestamp"] == 3.0
    assert group_from("task-sent") == "task"


def test_a_custom_event_is_heard_with_all_common_fields(app):
    listening = Listening(app, limit=2)
    with app.events.default_dispatcher(hostname="node@h") as dispatcher:
        dispatcher.send("thing-happened", what=[1, {"deep": True}])
        dispatcher.send("thing-odd", what=object())
    first, second = listening.heard()
    assert {"hostname": "node@h", "what": [1, {"deep": True}], "type": "thing-happened"}.items() <= first.items()
    assert {"utcoffset", "pid", "clock", "timestamp", "local_received"} <= first.keys()
    assert second["what"].startswith("<object object")
    assert second["clock"] > first["clock"]
    assert listening.receiver.clock.value > second["clock"]


def test_sending_a_task_is_told_where_the_setting_asks_for_it(app):
    app.conf.task_send_sent_event = True
    listening = Listening(app, limit=3)
    sent = app.tasks["t.add"].apply_async((1, 2), countdown=60, priority=3)
    app.send_many([app.tasks["t.add"].s(1, y=n) for n in range(2)])
    first, *others = listening.heard()
    told = {
        "type": "task-sent", "uuid": sent.id, "root_id": sent.id, "parent_id": None, "name": "t.add", "args": "(1, 2)",
        "kwargs": "{}", "retries": 0, "expires": None, "queue": "celery", "exchange": "", "routing_key": "celery",
    }  # fmt: skip
    assert told.items() <= first.items()
    assert first["eta"] is not None
    assert [event["kwargs"] for event in others] == ["{'y': 0}", "{'y': 1}"]


async def test_sending_from_a_coroutine_is_told_too(app):
    app.conf.task_send_sent_event = True
    listening = Listening(app, limit=1)
    await app.tasks["t.add"].adelay(1, 2)
    assert listening.heard()[0]["type"] == "task-sent"


def test_nothing_is_told_of_sent_tasks_by_default(app):
    listening = Listening(app, limit=1)
    app.tasks["t.add"].delay(1, 2)
    with app.events.default_dispatcher() as dispatcher:
        dispatcher.send("thing-last")
    assert [event["type"] for event in listening.heard()] == ["thing-last"]


def test_a_task_sends_events_of_its_own(app):
    listening = Listening(app, limit=1)
    done = app.tasks["t.add"].apply((3, 4))
    (event,) = listening.heard()
    assert (event["type"], event["uuid"], event["done"]) == ("task-progress", done.id, 3)


def test_a_routing_key_chooses(app):
    listening = [Listening(app, limit=1, routing_key=key) for key in ("task.progress", "worker.#", "task.#")]
    with app.events.default_dispatcher() as dispatcher:
        for kind in ("other-x", "task-progress", "worker-online"):
            dispatcher.send(kind, uuid="a")
    assert [one.heard()[0]["type"] for one in listening] == ["task-progress", "worker-online", "task-progress"]


def test_a_handler_of_a_type_is_preferred(app):
    told: list[str] = []
    receiver = app.events.Receiver(
        handlers={"a-x": lambda event: told.append("own"), "*": lambda event: told.append("any")}
    )
    for kind in ("a-x", "a-y"):
        receiver.process(kind, {"type": kind})
    EventReceiver(app=app).process("a-x", {})
    assert told == ["own", "any"]


def test_capturing_in_vain_raises_timeout_error(app):
    with pytest.raises(TimeoutError, match="no event came for"):
        app.events.Receiver().capture(timeout=0.05)
    assert not server(NAME).listeners


def test_a_capture_ends_when_it_is_told_to(app):
    heard: list[str] = []
    receiver = app.events.Receiver()
    for event in receiver.itercapture(timeout=20.0) if started(app) else ():
        heard.append(event["type"])
        receiver.should_stop = True
    assert heard == ["thing-x"]


def started(app: Skirret) -> bool:
    """Send an event once somebody listens."""

    def send() -> None:
        until(lambda: server(NAME).listeners)
        app.broker.fan_out("celeryev", [("thing.x", wire.encode({"type": "thing-x"}, "thing.x", "h"))])

    threading.Thread(target=send).start()
    return True


def test_bytes_that_are_no_event_are_logged_and_do_not_end_a_capture(app, caplog):
    listening = Listening(app, limit=1)
    app.broker.fan_out("celeryev", [("task.multi", b"\xff"), ("task.multi", wire.encode([], "task.multi", "h"))])
    with app.events.default_dispatcher() as dispatcher:
        dispatcher.send("thing-x")
    assert [event["type"] for event in listening.heard()] == ["thing-x"]
    assert "is none" in caplog.text


def test_a_broker_that_comes_back_is_listened_to_again(app, caplog):
    class Flaky:
        calls = 0

        def receive(self, timeout):
            self.calls += 1
            if self.calls < 3:
                raise OperationalError("away")
            return [("a.x", wire.encode({"type": "a-x"}, "a.x", "h"))]

    (event,) = EventReceiver(app=app).receive(Flaky(), 1.0)  # type: ignore[arg-type]
    assert event["type"] == "a-x"
    assert caplog.text.count("Events are missed") == 1


# -- a dispatcher never hurts its program ------------------------------------------------------------------------------


class Away:
    """Publishes while it is there."""

    def __init__(self) -> None:
        self.there = True
        self.sent: list[str] = []
        self.attempts = 0

    def __call__(self, events: list[dict[str, Any]]) -> None:
        self.attempts += 1
        if not self.there:
            raise OperationalError("away")
        self.sent += [event["type"] for event in events]


def test_events_wait_for_a_broker_that_is_away_and_it_is_not_asked_each_time(caplog):
    broker = Away()
    dispatcher = EventDispatcher(broker)
    broker.there = False
    for number in range(100):
        dispatcher.send(f"a-{number}")
    assert broker.attempts == 1
    assert len(caplog.records) == 1
    broker.there = True
    dispatcher.flush()
    assert broker.sent == [f"a-{number}" for number in range(100)]
    assert dispatcher.dropped == 0


def test_memory_is_bounded_while_the_broker_is_away():
    broker = Away()
    broker.there = False
    dispatcher = EventDispatcher(broker)
    for number in range(KEPT + 5):
        dispatcher.send(f"a-{number}")
    assert dispatcher.dropped == 5
    broker.there = True
    dispatcher.flush()
    assert broker.sent[0] == "a-5"
    assert len(broker.sent) == KEPT


def test_without_buffer_what_cannot_be_sent_is_dropped_and_counted():
    broker = Away()
    broker.there = False
    dispatcher = EventDispatcher(broker, buffer_while_offline=False)
    dispatcher.send("a-1")
    assert dispatcher.dropped == 1


def test_a_disabled_dispatcher_sends_nothing_and_those_who_asked_are_told():
    broker, told = Away(), []
    dispatcher = EventDispatcher(broker, enabled=False)
    dispatcher.on_enabled.add(lambda: told.append("on"))
    dispatcher.on_disabled.add(lambda: told.append("off"))
    dispatcher.send("a-1")
    dispatcher.enable()
    dispatcher.send("a-2")
    dispatcher.disable()
    dispatcher.send("a-3")
    assert broker.sent == ["a-2"]
    assert told == ["on", "off"]


def test_groups_choose_and_hold_back():
    broker, told = Away(), []
    dispatcher = EventDispatcher(
        broker, groups={"a", "b"}, buffer_group={"b"}, buffer_limit=3, on_send_buffered=lambda: told.append(1)
    )
    for kind in ("a-1", "c-1", "b-1", "b-2"):
        dispatcher.send(kind)
    assert broker.sent == ["a-1"]
    dispatcher.send("b-3")
    assert broker.sent == ["a-1", "b-1", "b-2", "b-3"]
    dispatcher.send("b-4")
    dispatcher.close()
    assert broker.sent[-1] == "b-4"
    assert told == [1, 1]


def test_many_task_events_are_one_message(app):
    listener = app.broker.listen("celeryev")
    app.events.send("h", [Event("task-x", n=n) for n in range(501)] + [Event("worker-online"), Event("a-x")])
    heard = listener.receive(5.0)
    listener.close()
    assert sorted(key for key, _ in heard) == ["a.x", "task.multi", "task.multi", "worker.online"]
    told = [event for key, payload in heard if key == "task.multi" for event in wire.decode(payload)]  # type: ignore[union-attr]
    assert [event["n"] for event in told] == list(range(501))
    assert [event["clock"] for event in told] == sorted(event["clock"] for event in told)


# -- cameras -------------------------------------------------------------------------------------------------------


class ByHand:
    """Calls when the test says so."""

    def __init__(self) -> None:
        self.calls: list[tuple[float, Callable[[], object]]] = []

    def call_repeatedly(self, interval, call):
        self.calls.append((interval, call))
        return self

    def cancel(self):
        self.calls.clear()


class Camera(Polaroid):
    clear_after = True

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.pictures: list[int] = []

    def on_shutter(self, state: State) -> None:
        self.pictures.append(state.event_count)

    def on_cleanup(self) -> None:
        self.pictures.clear()


def test_a_camera_takes_pictures_of_a_state_that_holds_still():
    state, timer = State(), ByHand()
    seen: list[Any] = []

    def watch(sender, **_):
        seen.append(sender)

    Camera.shutter_signal.connect(watch)
    with Camera(state, freq=0.5, timer=timer, cleanup_freq=9.0) as camera:
        (every, capture), (often, cleanup) = timer.calls
        assert (every, often) == (0.5, 9.0)
        state.event({"type": "worker-online", "hostname": "h"})
        capture()
        assert camera.pictures == [1]
        assert state.event_count == 0
        cleanup()
        assert camera.pictures == []
    assert timer.calls == []
    assert seen == [state]
    Camera.shutter_signal.disconnect(watch)


def test_a_camera_keeps_its_rate():
    camera = Camera(State(), maxrate="1/h", timer=ByHand())
    camera.capture()
    camera.capture()
    assert len(camera.pictures) == 1
    assert [pause_of(rate) for rate in ("10/s", "10/m", "10/h", "4", None)] == [0.1, 6.0, 360.0, 0.25, 0.0]
    with pytest.raises(ValueError, match="not a rate"):
        pause_of("10/y")


def test_a_camera_that_fails_is_logged_and_tries_again(caplog):
    tried = threading.Event()

    class Broken(Polaroid):
        pictures = 0

        def on_shutter(self, state):
            type(self).pictures += 1
            if self.pictures == 2:
                tried.set()
            raise ValueError("no film")

    caplog.set_level(logging.ERROR)
    with Broken(State(), freq=0.001):
        assert tried.wait(20)
    assert "no film" in caplog.text


def test_a_camera_is_found_by_its_path_and_fed_with_events(app):
    pictured = threading.Event()

    class Once(Polaroid):
        def on_shutter(self, state):
            if "node@h" in state.workers:
                pictured.set()

    def run() -> None:
        with pytest.raises(TimeoutError):
            evcam(Once, freq=0.001, app=Limited(app))

    thread = threading.Thread(target=run)
    thread.start()
    until(lambda: server(NAME).listeners)
    app.events.send("node@h", [Event("worker-online")])
    assert pictured.wait(20)
    thread.join(20)
    with pytest.raises(Exception, match="cannot load"):
        evcam("no.such:Camera", app=app)


class Limited:
    """The app, whose receivers do not wait for ever."""

    def __init__(self, app: Skirret) -> None:
        self.events = self
        self.State = State
        self._app = app

    def Receiver(self, **options: Any) -> Any:  # noqa: N802
        receiver = self._app.events.Receiver(**options)
        capture = receiver.capture
        receiver.capture = lambda limit=None: capture(limit=limit, timeout=0.5)  # type: ignore[method-assign]
        return receiver


def test_a_connection_is_the_apps_own(app):
    with app.connection() as connection:
        assert connection.ensure_connection().as_uri() == f"memory://{NAME}"
    with app.connection_for_read() as connection:
        assert app.events.Receiver(connection.default_channel).app is app
