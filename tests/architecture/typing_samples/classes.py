"""User code: class tasks, bases with attributes, hooks.

A line that ends in ``# error`` must be refused by mypy and by pyright; every other line must be accepted by both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from skirret import Celery, Task, current_app, signature
from skirret.exceptions import MaxRetriesExceededError, Retry

app = Celery("samples", broker="memory://typing")
app.conf.update(task_serializer="json")
app.conf.task_track_started = True


class Counting(Task[..., Any]):
    """A base that counts."""

    acks_late = True
    max_retries = None
    time_limit = 30
    autoretry_for = (OSError, ValueError)
    count: int = 0

    def on_success(self, retval: Any, task_id: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        self.count += 1


class Greeting(Task[[str], str]):
    """A class task."""

    name = "samples.greeting"

    def run(self, who: str) -> str:
        return f"hello {who}, try {self.request.retries}"


greet = app.register_task(Greeting())


@app.task(base=Counting, bind=True, name="samples.counted")
def counted(self: Counting, x: int) -> int:
    try:
        return self.count + x
    except MaxRetriesExceededError as exc:
        print(exc.task_args)
        raise
    except Retry as exc:
        print(exc.when)
        raise


def use() -> None:
    greet.delay("you")
    greet.delay(1)  # error
    counted.delay(1)
    counted.delay("x")  # error
    counted.s(1).apply_async(countdown=1)
    signature("samples.counted", args=(1,)).delay()
    app.send_task("elsewhere.task", args=(1, 2), kwargs={"a": 1}, queue="q").get(timeout=1)
    current_app.tasks["samples.counted"].delay(1)
    app.conf.task_routes = {"samples.*": {"queue": "samples"}}
    with app:
        app.autodiscover_tasks(["proj"])
    app.no_such_thing()  # error
