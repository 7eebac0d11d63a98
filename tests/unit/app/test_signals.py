"""Signals: who is called, with what, and that a listener cannot hurt the sender."""

from __future__ import annotations

import gc
import logging

import pytest

from skirret import signals
from skirret.signals import Signal
from tests.unit.app.conftest import only


def test_a_receiver_gets_signal_sender_and_arguments():
    signal, seen = Signal("s", ("a",)), []

    @signal.connect
    def receiver(signal, sender, a, **kwargs):
        seen.append((signal, sender, a))
        return "answer"

    assert signal.send("me", a=1) == [(receiver, "answer")]
    assert seen == [(signal, "me", 1)]


def test_a_receiver_of_one_sender_hears_no_other():
    signal, seen = Signal(), []
    task, other = object(), object()
    signal.connect(lambda sender, **_: seen.append(sender), sender=task, weak=False)
    signal.connect(lambda sender, **_: seen.append(sender), sender="name", weak=False)
    for sender in (task, other, "name", "other", None):
        signal.send(sender)
    assert seen == [task, "name"]
    assert signal.has_listeners(task)
    assert not signal.has_listeners(other)


def test_a_receiver_that_nobody_else_holds_is_forgotten_unless_weak_is_false():
    signal, seen = Signal(), []

    def make():
        def receiver(**_):
            seen.append(1)

        return receiver

    signal.connect(make())
    gc.collect()
    signal.send()
    assert (seen, bool(signal)) == ([], False)
    signal.connect(make(), weak=False)
    gc.collect()
    signal.send()
    assert seen == [1]


def test_a_bound_method_lives_as_long_as_its_object():
    signal, seen = Signal(), []

    class Listener:
        def hear(self, **_):
            seen.append(1)

    listener = Listener()
    signal.connect(listener.hear)
    signal.send()
    del listener
    gc.collect()
    signal.send()
    assert seen == [1]
    assert not signal.receivers


def test_one_receiver_is_called_once_and_a_dispatch_uid_makes_two_one():
    signal, seen = Signal(), []

    def receiver(**_):
        seen.append(1)

    signal.connect(receiver)
    signal.connect(receiver)
    signal.connect(lambda **_: seen.append(2), dispatch_uid="u", weak=False)
    signal.connect(lambda **_: seen.append(3), dispatch_uid="u", weak=False)
    signal.send()
    assert seen == [1, 2]
    assert signal.disconnect(receiver)
    assert signal.disconnect(dispatch_uid="u")
    assert not signal.disconnect(receiver)
    signal.send()
    assert seen == [1, 2]


def test_what_a_receiver_raises_is_logged_and_answered_and_the_others_are_called(caplog):
    signal, seen = Signal("broken"), []

    def fails(**_):
        raise ValueError("x")

    def works(**_):
        seen.append(1)

    signal.connect(fails)
    signal.connect(works)
    with caplog.at_level(logging.ERROR):
        answers = signal.send()
    assert isinstance(answers[0][1], ValueError)
    assert seen == [1]
    assert "broken" in caplog.text


def test_a_receiver_may_disconnect_while_it_is_called():
    signal, seen = Signal(), []

    def once(**_):
        seen.append(1)
        signal.disconnect(once)

    signal.connect(once)
    signal.send()
    signal.send()
    assert seen == [1]


def test_what_is_no_receiver_is_refused():
    with pytest.raises(TypeError, match="callable"):
        Signal().connect(5)
    with pytest.raises(TypeError, match="unknown options: sendr"):
        Signal().connect(sendr=1)


def test_all_signals_of_celery_exist_with_their_arguments():
    from celery import signals as theirs
    from celery.utils.dispatch import Signal as TheirSignal

    names = {name: s for name, s in vars(theirs).items() if isinstance(s, TheirSignal)}
    assert len(names) >= 30
    for name, signal in names.items():
        ours = getattr(signals, name)
        missing = signal.providing_args - ours.providing_args
        assert not missing, f"{name} lacks {missing}"


@pytest.fixture
def listen():
    connected = []

    def connect(signal, receiver, **options):
        signal.connect(receiver, weak=False, **options)
        connected.append((signal, receiver, options.get("sender")))

    yield connect
    for signal, receiver, sender in connected:
        signal.disconnect(receiver, sender=sender)


def test_before_task_publish_may_change_headers_properties_and_arguments(app, listen):
    seen = {}

    def change(sender, body, headers, properties, exchange, routing_key, **kwargs):
        seen.update(sender=sender, routing_key=routing_key, exchange=exchange, **kwargs)
        _args, options, embed = body
        options["added"] = 2
        headers["trace"] = "t1"
        properties["priority"] = 9
        properties["message_id"] = "m1"
        seen["embed"] = set(embed)

    listen(signals.before_task_publish, change, sender="work")
    app.task(name="work")(lambda x, added=0: x).delay(1)
    app.send_task("other", queue="other")
    message = only(app)
    assert (message.headers["trace"], message.priority, message.kwargs) == ("t1", 9, {"added": 2})
    assert (seen["sender"], seen["routing_key"], seen["exchange"]) == ("work", "celery", "")
    assert seen["embed"] == {"callbacks", "errbacks", "chain", "chord"}
    assert seen["retry_policy"]["max_retries"] == 3  # a dict, as in Celery
    assert "trace" not in only(app, "other").headers


def test_after_task_publish_tells_what_was_sent(app, listen):
    seen = []
    listen(signals.after_task_publish, lambda **told: seen.append(told))
    result = app.send_task("work", (1,), {"a": 2})
    (told,) = seen
    assert (told["sender"], told["headers"]["id"], told["routing_key"]) == ("work", result.id, "celery")
    assert (list(told["body"][0]), told["body"][1]) == ([1], {"a": 2})


def test_after_task_publish_is_not_sent_when_the_broker_refused(app, listen, monkeypatch):
    from skirret.errors import OperationalError

    seen = []
    listen(signals.after_task_publish, lambda **told: seen.append(told))
    app.conf.task_publish_retry = False

    def refuse(publications):
        raise OperationalError("down")

    monkeypatch.setattr(app.broker, "publish", refuse)
    with pytest.raises(OperationalError):
        app.send_task("work")
    assert seen == []


async def test_after_task_publish_of_a_coroutines_call_runs_in_its_own_thread_and_context(app, listen):
    import contextvars
    import threading

    who = contextvars.ContextVar("who", default=None)
    who.set("me")
    seen = []
    listen(signals.after_task_publish, lambda **_: seen.append((threading.current_thread().name, who.get())))
    await app.task(name="t")(lambda: 1).adelay()
    assert seen == [(threading.current_thread().name, "me")]
