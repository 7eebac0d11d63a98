"""Signals are told at Celery's moments, with its senders and arguments: one app, run by both workers, notes them."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.acceptance.processes import running
from tests.interop.fleet import CELERY, OURS, PROJECT, THEIRS, until
from tests.servers.redis_servers import RedisServer

CLIENT = """
from signalled import *
app.set_default()
assert returns.delay(2, y=3).get(timeout=30) == 5
assert header.delay().get(timeout=30) == "by a receiver"
for fails in (raises.s("x"), unencodable.s()):
    try: fails.delay().get(timeout=30)
    except Exception: pass
assert retries.delay().get(timeout=30) == "done"
ignores.delay(), rejects.delay()
returns.apply_async((1,), link=returns.s(1)).get(timeout=30)
calls.delay().get(timeout=30)
returns.apply_async((1,), expires=-1, task_id="late")
app.send_task("nobody.knows", (1,), task_id="unknown")
"""

RUNS = ("returns", "header", "raises", "retries", "ignores", "rejects", "unencodable", "calls")


class Heard:
    """What one side wrote down."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def entries(self, *signals: str) -> list[dict[str, Any]]:
        """What was written, of these signals or of all."""
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        found = [json.loads(line) for line in lines]
        return [entry for entry in found if not signals or entry["signal"] in signals]

    def of_run(self, task: str) -> list[Any]:
        """What the child that runs tasks was told of the first call of `task`: signal, names of arguments, values."""
        (first, *_) = [e for e in self.entries("task_prerun") if e["sender"] == task]
        task_id, told = first["named"]["task_id"], []
        for entry in self.entries():
            named = entry["named"]
            mine = named.get("task_id") or (named.get("request") or {}).get("id") or named.get("headers", {}).get("id")
            about = entry["sender"] == task and (mine == task_id or entry["signal"] == "task_success")
            if entry["pid"] == first["pid"] and about:
                values = {name: named.get(name) for name in ("state", "result", "args", "kwargs")}
                told.append((entry["signal"], sorted(named), values))
        return told


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory, server: RedisServer) -> dict[str, tuple[Heard, Heard]]:
    """By side: what was heard at the worker and at the client, once both workers have stopped."""
    redis.Redis.from_url(server.url).flushall()
    directory = tmp_path_factory.mktemp("signals")
    found: dict[str, tuple[Heard, Heard]] = {}
    with contextlib.ExitStack() as stack:
        for number, side in enumerate((OURS, THEIRS), start=1):
            at_worker, at_client = Heard(directory / f"{side}-worker"), Heard(directory / f"{side}-client")
            found[side] = (at_worker, at_client)
            env = {"FLEET_URL": f"{server.url.rpartition('/')[0]}/{number}", "SIDE": side, "PYTHONPATH": str(PROJECT)}
            program = "skirret" if side == OURS else CELERY
            command = (
                f"{program} -A signalled worker -c 1 -l info -n w@h --heartbeat-interval 1 --template wide --region eu"
            )
            worker = running(command, directory, {**env, "RECORD": str(at_worker.path)})
            stack.enter_context(worker).wait_until_it_says("ready.", 60.0)
            told = {**os.environ, **env, "RECORD": str(at_client.path)}
            subprocess.run([sys.executable, "-c", CLIENT], env=told, check=True, timeout=90)
        for at_worker, _ in found.values():
            until(lambda at=at_worker: at.entries("task_unknown"), 30.0)
            until(lambda at=at_worker: len(at.entries("task_postrun")) >= 12, 30.0)
    return found


@pytest.mark.parametrize("task", RUNS)
def test_a_run_is_told_as_celery_tells_it(heard, task):
    ours, theirs = (heard[side][0].of_run(task) for side in (OURS, THEIRS))
    assert ours == theirs


def test_a_call_is_told_as_celery_tells_it(heard):
    told = []
    for side in (OURS, THEIRS):
        entries = heard[side][1].entries()
        told.append([(e["signal"], e["sender"], sorted(e["named"]), e["named"]["body"][:2]) for e in entries])
    assert told[0] == told[1]
    assert len(told[0]) >= 20


@pytest.mark.parametrize("signal", ["task_received", "task_revoked", "task_unknown"])
def test_what_happens_to_messages_is_told_as_celery_tells_it(heard, signal):
    def told(side: str) -> list[Any]:
        entries = heard[side][0].entries(signal)
        own = {"exc", "message"}  # classes of each side's own
        values = [{k: v for k, v in e["named"].items() if k not in own and k != "request"} for e in entries]
        names = sorted((e["named"].get("request") or {}).get("name", "") for e in entries)
        return [sorted(entries[0]["named"]), values[0], sorted(set(names))]

    assert told(OURS) == told(THEIRS)


@pytest.mark.parametrize(
    "signal",
    [
        "import_modules", "celeryd_init", "celeryd_after_setup", "worker_init", "worker_before_create_process",
        "worker_process_init", "worker_ready", "worker_shutting_down", "worker_process_shutdown", "worker_shutdown",
        "heartbeat_sent", "after_setup_logger", "after_setup_task_logger", "user_preload_options",
    ],
)  # fmt: skip
def test_a_step_of_the_workers_life_is_told_with_celerys_arguments(heard, signal):
    firsts = {side: heard[side][0].entries(signal)[0] for side in (OURS, THEIRS)}
    ours, theirs = firsts[OURS], firsts[THEIRS]
    assert sorted(ours["named"]) == sorted(theirs["named"])
    if isinstance(theirs["sender"], str) and not theirs["sender"].startswith("<"):
        assert ours["sender"] == theirs["sender"]
    plain = {
        name: value
        for name, value in theirs["named"].items()
        if isinstance(value, (int, str)) and name != "pid" and not str(value).startswith("<")
    }
    assert {name: ours["named"][name] for name in plain} == plain


def test_options_that_the_app_adds_are_told_with_the_values_that_celery_tells(heard):
    def told(side: str) -> tuple[Any, Any]:
        preload, init = (heard[side][0].entries(name)[0]["named"] for name in ("user_preload_options", "celeryd_init"))
        return preload["options"], {name: init["options"][name] for name in ("template", "region")}

    assert told(OURS) == told(THEIRS) == ({"template": "wide"}, {"template": "wide", "region": "eu"})


def test_steps_of_a_workers_life_come_in_celerys_order(heard):
    life = ["user_preload_options", "import_modules", "celeryd_init", "worker_init", "celeryd_after_setup",
            "worker_before_create_process", "worker_process_init", "worker_ready",
            "worker_shutting_down", "worker_shutdown"]  # fmt: skip
    for side in (OURS, THEIRS):
        firsts = {entry["signal"]: entry["at"] for entry in reversed(heard[side][0].entries(*life))}
        assert sorted(firsts, key=firsts.__getitem__) == life, side


def test_handlers_of_the_worker_run_beside_the_children_and_not_in_them(heard):
    at_worker = heard[OURS][0]
    runs = {entry["pid"] for entry in at_worker.entries("task_prerun")}
    node = {entry["pid"] for entry in at_worker.entries("task_received", "worker_ready", "worker_shutdown")}
    begun = {entry["pid"] for entry in at_worker.entries("worker_init", "celeryd_init")}
    assert len(node) == len(begun) == 1
    assert not runs & node
    assert not node & begun
