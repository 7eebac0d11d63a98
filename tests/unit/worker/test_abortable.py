"""Abortable tasks: the handle asks, the task sees it, and what has ended stays ended."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Iterator

import pytest

from skirret import Skirret
from skirret.contrib.abortable import AbortableAsyncResult, AbortableTask
from skirret.testing.worker import worker


@pytest.fixture
def app() -> Iterator[Skirret]:
    url = f"memory://{uuid.uuid4().hex}"
    app = Skirret("t", broker=url, backend=url, set_as_current=False)
    yield app
    app.close()


def test_a_task_sees_that_it_was_aborted_and_may_end_in_its_own_way(app):
    begun = threading.Event()

    @app.task(bind=True, base=AbortableTask)
    def count(self):
        assert not self.is_aborted()
        begun.set()
        while not self.is_aborted():
            pass
        return "stopped"

    with worker(app, pool="threads", slots=2):
        result = count.delay()
        assert isinstance(result, AbortableAsyncResult)
        assert begun.wait(10)
        result.abort()
        assert result.get(timeout=10) == "stopped"
        assert not result.is_aborted()
        result.abort()  # too late: what has ended stays as it is
        assert result.state == "SUCCESS"


def test_a_call_that_waits_can_be_aborted_before_it_begins(app):
    @app.task(bind=True, base=AbortableTask)
    def look(self):
        return self.is_aborted()

    result = asyncio.run(look.aapply_async())
    result.abort()
    assert result.is_aborted()
    with worker(app):
        assert result.get(timeout=10) is True
