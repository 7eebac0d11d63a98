"""An app whose receivers write down every signal: the same module is Celery's or ours, as ``SIDE`` says."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import click

SIDE = os.environ["SIDE"]
if SIDE == "theirs":
    from celery import Celery, signals
    from celery.exceptions import Ignore, Reject
else:
    from skirret import Celery, signals
    from skirret.errors import Ignore, Reject

app = Celery("signalled", broker=os.environ["FLEET_URL"], backend=os.environ["FLEET_URL"])
app.conf.update(
    worker_hijack_root_logger=False, task_acks_late=False, worker_redirect_stdouts=False, result_extended=True
)
app.user_options["preload"].add(click.Option(["--template"], default="plain"))
app.user_options["worker"].add(click.Option(["--region"]))

NAMES = [
    "before_task_publish", "after_task_publish", "task_received", "task_prerun", "task_postrun", "task_success",
    "task_failure", "task_internal_error", "task_retry", "task_revoked", "task_rejected", "task_unknown",
    "celeryd_init", "celeryd_after_setup", "import_modules", "worker_init", "worker_before_create_process",
    "worker_process_init", "worker_process_shutdown", "worker_ready", "worker_shutting_down", "worker_shutdown",
    "heartbeat_sent", "after_setup_logger", "after_setup_task_logger", "user_preload_options",
]  # fmt: skip


def plain(value):
    """What can be compared of a value: itself if it is plain, else the name of its class."""
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    return f"<{type(value).__name__}>"


def recorder(name):
    def record(sender=None, signal=None, **named):
        request = named.get("request")
        if request is not None:
            named["request"] = {
                "id": request.id, "name": getattr(request, "task_name", None) or getattr(request, "task", None),
                "args": plain(request.args), "kwargs": plain(request.kwargs),
            }  # fmt: skip
        if name == "before_task_publish":
            named["headers"]["added"] = "by a receiver"
        entry = {
            "signal": name, "pid": os.getpid(), "at": time.time(),
            "sender": sender if isinstance(sender, str) else getattr(sender, "name", None) or plain(sender),
            "named": {key: plain(value) for key, value in sorted(named.items())},
        }  # fmt: skip
        with Path(os.environ["RECORD"]).open("a") as file:
            file.write(json.dumps(entry, default=str) + "\n")

    return record


RECORDERS = {name: recorder(name) for name in NAMES}
for name, receiver in RECORDERS.items():
    getattr(signals, name).connect(receiver, weak=False)


@app.task(bind=True, name="returns")
def returns(self, x, y=1):
    return x + y


@app.task(name="header", bind=True)
def header(self):
    return self.request.headers.get("added")


@app.task(name="raises")
def raises(x):
    raise ValueError(x)


@app.task(bind=True, name="retries", max_retries=1)
def retries(self):
    if not self.request.retries:
        raise self.retry(countdown=0, exc=KeyError("again"))
    return "done"


@app.task(name="ignores")
def ignores():
    raise Ignore


@app.task(name="rejects", acks_late=True)
def rejects():
    raise Reject("no", requeue=False)


@app.task(name="unencodable")
def unencodable():
    return object()


@app.task(name="calls")
def calls():
    returns.delay(1)


@app.task(name="sleeps")
def sleeps(seconds):
    time.sleep(seconds)
