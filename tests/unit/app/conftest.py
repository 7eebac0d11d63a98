"""Apps on servers of their own in this process, and a look at what they sent."""

from __future__ import annotations

import itertools
import weakref

import pytest

from skirret import Skirret, context
from skirret.wire import envelope as wire_envelope
from skirret.wire import task as wire_task

_COUNT = itertools.count()


@pytest.fixture(autouse=True)
def _own_process_state(monkeypatch):
    """Current app, default app, living apps and shared tasks are as they were before, whatever a test does."""
    monkeypatch.setattr(context, "_default_app", None)
    monkeypatch.setattr(context, "_shared_tasks", [])
    monkeypatch.setattr("skirret.app.current._living", weakref.WeakSet())
    token = context._current_app.set(None)
    yield
    context._current_app.reset(token)


@pytest.fixture
def make_app():
    """Makes apps that talk to a fresh server in memory."""
    made = []

    def make(main="proj", **options):
        name = f"unit-app-{next(_COUNT)}"
        options.setdefault("broker", f"memory://{name}")
        options.setdefault("backend", f"cache+memory://{name}")
        app = Skirret(main, **options)
        made.append(app)
        return app

    yield make
    for app in made:
        app.close()


@pytest.fixture
def app(make_app):
    """An app on a fresh server in memory."""
    return make_app()


def waiting(app, queue="celery"):
    """The waiting messages of a queue, delayed ones too, as `brokers.base.Waiting`."""
    return [*app.broker.peek(queue, 1000), *app.broker.delayed(queue)]


def sent(app, queue="celery"):
    """The waiting messages of a queue in Python values."""
    found = [wire_envelope.decode(one.raw).envelope for one in waiting(app, queue)]
    accept = ["json", "pickle", "yaml", "msgpack"]
    return [wire_task.decode(envelope, accept=accept) for envelope in found]


def only(app, queue="celery"):
    """The one message that waits."""
    (message,) = sent(app, queue)
    return message
