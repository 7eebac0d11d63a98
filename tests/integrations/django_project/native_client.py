"""Enqueues Django's own tasks and looks at their results."""

import asyncio
import os
import time
from datetime import timedelta

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from django.db import transaction  # noqa: E402
from django.utils import timezone  # noqa: E402
from jobs import native  # noqa: E402

from skirret.integrations.django.tasks_api import (  # noqa: E402
    TaskResultDoesNotExist,
    task_backends,
    task_enqueued,
)

heard = []
task_enqueued.connect(lambda task_result, **_: heard.append(task_result.id), weak=False)


def finished(result):
    deadline = time.monotonic() + 20
    while not result.is_finished:
        assert time.monotonic() < deadline, result
        time.sleep(0.02)
        result.refresh()
    return result


async def afinished(result):
    while not result.is_finished:
        await asyncio.sleep(0.02)
        await result.arefresh()
    return result


def main():
    print(type(native.add).__module__, "of Django", django.get_version())
    backend = task_backends["default"]
    assert backend.supports_defer
    assert backend.supports_async_task
    assert backend.supports_get_result
    assert backend.supports_priority

    sent = native.add.enqueue(2, y=3)
    assert sent.status == "READY"
    assert heard == [sent.id]
    done = finished(sent)
    assert (done.status, done.return_value, done.args, done.kwargs) == ("SUCCESSFUL", 5, [2], {"y": 3})
    assert done.enqueued_at <= done.started_at <= done.finished_at
    assert done.attempts == 1
    assert native.add.get_result(sent.id).return_value == 5

    failed = finished(native.fail.enqueue("nothing here"))
    assert failed.status == "FAILED"
    assert failed.errors[0].exception_class is LookupError
    assert "nothing here" in failed.errors[0].traceback

    word, attempt, told = finished(native.attempt.enqueue("word")).return_value
    assert (word, attempt) == ("word", 1)
    assert told

    later = native.add.using(run_after=timezone.now() + timedelta(seconds=1)).enqueue(1, 1)
    done = finished(later)
    assert (done.finished_at - later.enqueued_at).total_seconds() >= 1.0

    async def coroutines():
        results = await asyncio.gather(*(native.aadd.aenqueue(n, n) for n in range(5)))
        ended = [await afinished(result) for result in results]
        assert [result.return_value for result in ended] == [0, 2, 4, 6, 8]
        assert ended[0].task.queue_name == "other"
        assert (await native.aadd.aget_result(ended[0].id)).return_value == 0

    asyncio.run(asyncio.wait_for(coroutines(), 20))
    try:
        backend.get_result("unknown")
    except TaskResultDoesNotExist:
        pass
    else:
        raise AssertionError("an unknown result was found")

    backend.options["enqueue_on_commit"] = True
    before = len(heard)
    with transaction.atomic():
        committed = native.add.enqueue(4, 4)
        assert len(heard) == before
    assert finished(committed).return_value == 8
    print("all well")


main()
