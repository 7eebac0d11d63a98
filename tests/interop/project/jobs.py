"""The tasks that workers of both sides have, under the same names."""

from __future__ import annotations

import os
import time
from pathlib import Path


class Odd(Exception):
    """An error of the user's own."""


def note(*words: object) -> None:
    """Write one line into the ledger, which all workers share."""
    line = " ".join(str(word) for word in (*words, os.getpid(), time.time())) + "\n"
    descriptor = os.open(os.environ["LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


def define(app, side):
    """Register the tasks with an app of either side."""

    @app.task(name="jobs.add")
    def add(x, y):
        return x + y

    @app.task(name="jobs.echo")
    def echo(value):
        return value

    @app.task(name="jobs.fail")
    def fail(kind, *arguments):
        raise {"value": ValueError, "key": KeyError, "odd": Odd}[kind](*arguments)

    @app.task(name="jobs.flaky", bind=True, max_retries=5)
    def flaky(self, times):
        if self.request.retries < times:
            raise self.retry(exc=Odd(f"try {self.request.retries}"), countdown=0.1)
        return self.request.retries

    @app.task(name="jobs.hopeless", bind=True, max_retries=1)
    def hopeless(self):
        raise self.retry(exc=Odd("no"), countdown=0.1)

    @app.task(name="jobs.progress", bind=True)
    def progress(self):
        self.send_event("task-progress", done=3)
        return side

    @app.task(name="jobs.who")
    def who():
        return side

    @app.task(name="jobs.nap")
    def nap(seconds):
        time.sleep(seconds)

    @app.task(name="jobs.when")
    def when():
        return time.time()

    @app.task(name="jobs.mark")
    def mark(name):
        note("mark", side, name)
        return side

    @app.task(name="jobs.work")
    def work(name, seconds):
        note("start", side, name)
        time.sleep(seconds)
        note("end", side, name)
        return side

    @app.task(name="jobs.quiet", ignore_result=True)
    def quiet(name):
        note("quiet", side, name)
        return "nobody sees this"

    @app.task(name="jobs.request", bind=True)
    def request(self):
        seen = self.request
        return {
            "id": seen.id,
            "root_id": seen.root_id,
            "parent_id": seen.parent_id,
            "correlation_id": seen.correlation_id,
            "retries": seen.retries,
            "priority": seen.delivery_info["priority"],
            "routing_key": seen.delivery_info["routing_key"],
            "x_mine": (seen.headers or {}).get("x-mine"),
            "ignore_result": seen.ignore_result,
        }

    define_slow(app, side)
    return app


def define_slow(app, side):
    """Those that go on until a test lets them."""

    @app.task(name="jobs.steps", bind=True)
    def steps(self, done):
        self.update_state(state="PROGRESS", meta={"done": done})
        note("step", side, self.request.id)
        while not Path(f"{os.environ['LEDGER']}.{self.request.id}").exists():
            time.sleep(0.01)
        return done

    @app.task(name="jobs.outer")
    def outer(value, queue):
        return app.tasks["jobs.add"].apply_async((value, 1), queue=queue).get(timeout=20, disable_sync_subtasks=False)
