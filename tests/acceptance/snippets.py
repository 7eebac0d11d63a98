"""Each snippet of the guide: what it assumes, what is then done, and the effect that must be seen.

A Python snippet runs in a process of its own (``run_snippet.py``), in the directory of a small project; `served` says
that the guide's worker loads it too. The action ends by setting `effect`, which must equal the one given here. What
needs an issue that has not landed stands here as well, with that issue's name: it must still fail, so that landing the
issue turns the test red until the entry is completed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# The project that the guide talks about: the module of ``-A project_name`` with the tasks that its snippets assume.
PROJECT = """
from skirret import Celery

app = Celery("project_name", include=["decorators", "retrying"])


@app.task
def add(x, y):
    return x + y


@app.task
def send_email(address):
    return f"sent to {address}"


@app.task(name="tasks.send_email")
def email_of_the_guide(address):
    return f"sent to {address}"


@app.task
def process_data(data):
    return len(data)


@app.task
def urgent_task():
    return "now"
"""

# A stand-in for the library of that name, which the guide's `fetch_data` uses: its site is always down.
REQUESTS = """
class RequestException(Exception):
    pass


def get(url):
    raise RequestException(url)
"""

# What several actions use: a look at what waits in the broker for its time, as {task name: seconds from now}.
WAITING = """
import time
from project_name import app as project

def waiting(app=project):
    from skirret.wire import envelope
    found = {}
    for message in app.broker.delayed():
        found[envelope.decode(message.raw).envelope.headers["task"]] = message.due - time.time()
    return found

def until(condition, timeout=10.0):
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)
"""

SETTINGS = "import sys; from skirret import Celery; app = Celery('x'); app.config_from_object(sys.modules[__name__])\n"


@dataclass(frozen=True)
class Python:
    """A Python snippet.

    Args:
        module: the name that its file would have.
        preamble: the names that it assumes.
        action: what is done after it; sets `effect`.
        effect: what `effect` must be.
        served: the worker loads the preamble and the snippet as `module`.
        later: the issue without which it cannot work yet.
    """

    module: str
    preamble: str = ""
    action: str = "effect = None"
    effect: Any = None
    served: bool = False
    later: str | None = None


@dataclass(frozen=True)
class Shell:
    """One command line of a shell snippet: the effect that a test asserts, or the issue that it waits for."""

    effect: str = "exits with 0"
    later: str | None = None


PYTHON: dict[str, Python] = {
    "1. Task / 1": Python(
        module="tasks",
        action="own = sorted(name for name in app.tasks if name.startswith('tasks.'))\n"
        "effect = [app.main, app.conf.broker_url, add(4, 6), own]",
        effect=["tasks", "redis://localhost:6379/0", 10, ["tasks.add", "tasks.send_email"]],
    ),
    "2. Broker (Message Queue) / 1": Python(
        module="broker_settings",
        action=SETTINGS + "effect = [app.conf.broker_url.split(':')[0], 'ZYXK7NiynG' in app.conf.humanize()]",
        effect=["sqs", False],
    ),
    "4. Result Backend / 1": Python(
        module="result_settings",
        action=SETTINGS + "effect = [app.conf.result_backend, ':pass@' in app.conf.humanize()]",
        effect=["db+postgresql://user:pass@localhost/dbname", False],
    ),
    "5. Beat Scheduler (Optional) / 1": Python(
        module="schedule", preamble="from project_name import app", later="the beat scheduler"
    ),
    "Calling Tasks / 1": Python(
        module="calling",
        preamble="from project_name import add",
        action="effect = result.get(timeout=10)",
        effect=10,
    ),
    "Calling Tasks / 2": Python(
        module="calling_now", preamble="from project_name import add", action="effect = result", effect=10
    ),
    "Advanced Task Options / 1": Python(
        module="options",
        preamble="from project_name import send_email, process_data, urgent_task; data = [1, 2, 3]\n" + WAITING,
        action=(
            "due = sorted(round(m.due - time.time(), -1) for m in project.broker.delayed())\n"
            "effect = [due, result.get(timeout=10)]\n"
            "project.broker.purge('celery')"
        ),
        effect=[[60.0, 3600.0], "now"],
    ),
    "Task Results / 1": Python(
        module="results",
        preamble="from project_name import add; result = add.delay(4, 6)",
        action="effect = [values[0] in (True, False), *values[1:4], values[4] == result.id, *values[5:]]",
        effect=[True, 10, 10, "SUCCESS", True, True, False],
    ),
    "Task Decorators / 1": Python(
        module="decorators",
        preamble="from project_name import app",
        served=True,
        action=WAITING
        + (
            "failed = task_with_retry.delay(1, 0)\n"
            "until(lambda: failed.state == 'RETRY')\n"
            "silent = task_no_result.delay()\n"
            "effect = [simple_task.delay().get(timeout=10), task_with_retry.delay(1, 2).get(timeout=10),\n"
            "    round(waiting()['decorators.task_with_retry'], -1), task_with_retry.max_retries,\n"
            "    long_task.delay().get(timeout=10), long_task.time_limit, long_task.soft_time_limit, silent.state]\n"
            "project.broker.purge('celery')"
        ),
        effect=["Done", 0.5, 60.0, 3, None, 300, 250, "PENDING"],
    ),
    "Task Retry / 1": Python(
        module="retrying",
        preamble="from project_name import app; import requests",
        served=True,
        action=WAITING
        + (
            "result = fetch_data.delay('http://localhost/')\n"
            "until(lambda: result.state == 'RETRY')\n"
            "effect = [0 < waiting()['retrying.fetch_data'] <= 5, type(result.info).__name__,\n"
            "    task_with_backoff.delay().get(timeout=10), task_with_backoff.retry_backoff]\n"
            "project.broker.purge('celery')"
        ),
        effect=[True, "RequestException", None, True],
    ),
    "Basic Configuration / 1": Python(
        module="configured",
        action=(
            "keys = ['broker_url', 'result_backend', 'task_serializer', 'accept_content',\n"
            "    'result_serializer', 'timezone', 'enable_utc', 'task_track_started', 'task_time_limit',\n"
            "    'result_expires', 'task_soft_time_limit', 'worker_prefetch_multiplier',\n"
            "    'worker_max_tasks_per_child']\n"
            "app.conf.validate()\n"
            "effect = [app.main, *(app.conf[key] for key in keys)]"
        ),
        effect=[
            "myapp",
            "redis://localhost:6379/0",
            "redis://localhost:6379/0",
            "json",
            ["json"],
            "json",
            "UTC",
            True,
            True,
            1800,
            3600,
            1500,
            4,
            1000,
        ],
    ),
    "Common Configuration Options / 1": Python(
        module="common_settings",
        action=SETTINGS
        + (
            "@app.task(name='tasks.send_email')\ndef send_email(address): ...\n"
            "@app.task(name='tasks.process_image')\ndef process_image(path): ...\n"
            "@app.task(name='tasks.slow_task')\ndef slow_task(): ...\n"
            "send_email.delay('someone@example.com'); process_image.delay('a.png'); slow_task.delay()\n"
            "from skirret.wire import envelope\n"
            "sent = envelope.decode(app.broker.peek('emails')[0].raw).envelope\n"
            "sizes = [app.broker.size(queue) for queue in ('emails', 'images', 'celery')]\n"
            "effect = [size.ready + size.held + size.delayed for size in sizes]\n"
            "effect += [sent.headers['compression'], slow_task.rate_limit, app.conf.worker_pool]\n"
            "effect += [app.conf.worker_concurrency, app.conf.broker_connection_retry_on_startup]\n"
            "for queue in ('emails', 'images', 'celery'): app.broker.purge(queue)"
        ),
        effect=[1, 1, 1, "application/x-gzip", "10/m", "prefork", 4, True],
    ),
    "Configuration / 1": Python(
        module="schedules", preamble="from project_name import app", later="the beat scheduler"
    ),
    "Crontab Examples / 1": Python(
        module="crontabs", preamble="from skirret.schedules import crontab", later="the beat scheduler"
    ),
}

SHELL: dict[str, list[Shell]] = {
    "3. Worker / 1": [Shell("works as the guide's worker")],
    "3. Worker / 2": [
        Shell("works four tasks at a time"),
        Shell("works in the background"),
        Shell("works in child processes"),
    ],
    "Inspecting Workers / 1": [Shell("tells what the guide's worker does")] * 5,
    "Controlling Workers / 1": [
        Shell("ends a worker"),
        Shell("puts new children in the place of the old ones"),
        Shell("scales between 3 and 10"),
        Shell("lets the task start ten times a minute"),
        Shell("keeps the task from starting"),
    ],
    "Installation / 1": [Shell("names an extra that the package has")],
    "Running Beat Scheduler / 1": [
        Shell(later="the beat scheduler"),
        Shell("runs a worker that says where the scheduler is"),
    ],
}
