"""The real command line against a real worker on the embedded broker, as a person would use it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.processes import SKIRRET, Program, running

TASKS = """
from skirret import Skirret
from skirret.errors import Reject

app = Skirret("tasks")


@app.task
def add(x, y):
    return x + y


@app.task
def fail():
    raise ValueError("it went wrong")


@app.task(bind=True)
def refuse(self):
    raise Reject("not my kind of work", requeue=False)
"""


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A directory with tasks.py, whose embedded file lies in it."""
    monkeypatch.delenv("SKIRRET_HOME")
    (tmp_path / ".skirret").mkdir()
    (tmp_path / "tasks.py").write_text(TASKS)
    return tmp_path


@pytest.fixture
def worker(project) -> Iterator[Program]:
    with running("skirret -A tasks worker -l INFO -c 1", project) as program:
        program.wait_until_it_says("ready")
        yield program


def call(project: Path, *arguments: str, timeout: float = 30.0) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(SKIRRET), *arguments],
        cwd=project,
        check=False,
        capture_output=True,
        text=True,
        timeout=timeout,
        stdin=subprocess.DEVNULL,
    )


def data(project: Path, *arguments: str):
    """What a command prints with --json; it must succeed and print nothing else on stdout."""
    done = call(project, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def waiting(project: Path, queue: str = "celery") -> dict:
    return next(row for row in data(project, "-A", "tasks", "queues") if row["queue"] == queue)


def test_what_init_writes_works_at_once(tmp_path, monkeypatch):
    monkeypatch.delenv("SKIRRET_HOME")
    (tmp_path / ".skirret").mkdir()
    assert call(tmp_path, "init").returncode == 0
    with running("skirret -A tasks worker -l INFO -c 1", tmp_path) as program:
        program.wait_until_it_says("ready")
        done = call(tmp_path, "-A", "tasks", "call", "tasks.add", "-a", "[2, 3]", "--wait", "--timeout", "20")
    assert (done.returncode, done.stdout) == (0, "5\n")


def test_a_call_prints_its_id_and_the_result_is_found_by_it(project, worker):
    done = call(project, "-A", "tasks", "call", "tasks.add", "-a", "[2]", "-k", '{"y": 40}')
    assert done.returncode == 0
    task_id = done.stdout.strip()
    assert call(project, "-A", "tasks", "result", task_id, "--timeout", "20").stdout == "42\n"
    assert data(project, "-A", "tasks", "result", task_id)["state"] == "SUCCESS"


def test_a_result_is_found_without_naming_the_app(project, worker):
    task_id = call(project, "-A", "tasks", "call", "tasks.add", "-a", "[1, 1]", "--wait", "--timeout", "20", "--json")
    found = json.loads(task_id.stdout)["task_id"]
    assert call(project, "result", found).stdout == "2\n"


def test_a_failed_task_is_exit_code_1_and_shows_its_traceback_when_asked(project, worker):
    done = call(project, "-A", "tasks", "call", "tasks.fail", "--wait", "--timeout", "20")
    assert done.returncode == 1
    assert "FAILURE" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    task_id = next(line.split()[1] for line in done.stdout.splitlines() if line.split()[0] == "task_id")
    shown = call(project, "-A", "tasks", "result", task_id, "--traceback")
    assert shown.returncode == 1
    assert "ValueError: it went wrong" in shown.stdout
    assert "Traceback" in shown.stdout


def test_no_worker_within_the_timeout_is_exit_code_75(project):
    done = call(project, "-A", "tasks", "call", "tasks.add", "-a", "[1, 1]", "--wait", "--timeout", "0.2")
    assert done.returncode == 75
    assert "was not ready in 0.2 s" in done.stderr
    assert call(project, "result", "no-such-id").returncode == 75


def test_queues_show_what_waits_and_purge_drops_it_after_asking(project):
    for options in ([], ["--countdown", "600"], ["--priority", "9"]):
        assert call(project, "-A", "tasks", "call", "tasks.add", "-a", "[1, 1]", *options).returncode == 0
    assert {key: waiting(project)[key] for key in ("ready", "delayed", "held", "dead")} == {
        "ready": 2,
        "delayed": 1,
        "held": 0,
        "dead": 0,
    }
    refused = subprocess.run(
        [str(SKIRRET), "-A", "tasks", "purge"],
        cwd=project,
        input="n\n",
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert refused.returncode == 1
    assert waiting(project)["ready"] == 2
    assert data(project, "-A", "tasks", "purge", "-f") == {"dropped": {"celery": 3}, "total": 3}
    assert waiting(project)["ready"] + waiting(project)["delayed"] == 0


def test_purge_leaves_the_excluded_queue_alone(project):
    for queue in ("a", "b"):
        assert call(project, "-A", "tasks", "call", "tasks.add", "-a", "[1, 1]", "--queue", queue).returncode == 0
    assert data(project, "-A", "tasks", "purge", "-f", "-Q", "a,b", "-X", "b")["dropped"] == {"a": 1}
    assert waiting(project, "b")["ready"] == 1


def test_dead_letters_are_listed_with_their_reason_shown_retried_and_purged(project, worker):
    task_id = call(project, "-A", "tasks", "call", "tasks.refuse").stdout.strip()

    def letters():
        return data(project, "-A", "tasks", "dead", "list")

    call(project, "-A", "tasks", "call", "tasks.add", "-a", "[1, 1]", "--wait", "--timeout", "20")
    worker.stop()
    (letter,) = letters()
    assert letter["id"] == task_id
    assert letter["task"] == "tasks.refuse"
    assert "not my kind of work" in letter["reason"]

    assert call(project, "dead", "list").stdout.splitlines()[0].split()[:2] == ["key", "died"]
    assert data(project, "dead", "show", task_id[:8])["args"] == "()"
    assert data(project, "dead", "retry", task_id) == {"retried": 1}
    assert letters() == []
    assert waiting(project)["ready"] == 1

    missing = call(project, "dead", "show", "nothing")
    assert missing.returncode == 65
    assert call(project, "dead", "purge").returncode == 2
    assert data(project, "dead", "purge", "--all", "-f") == {"purged": 0}


def test_report_tells_what_is_in_use_without_secrets(project, monkeypatch):
    monkeypatch.setenv("SKIRRET_BROKER_TRANSPORT_OPTIONS", '{"password": "hunter2"}')
    found = data(project, "-A", "tasks", "report")
    assert found["broker"]["reachable"] is True
    assert found["broker"]["file"] == str(project / ".skirret" / "queue.sqlite3")
    assert found["results"]["url"] == found["broker"]["url"]
    assert found["versions"]["skirret"]
    assert any(row["about"] == "acknowledgement" for row in found["differences"])
    text = call(project, "-A", "tasks", "report").stdout
    assert "hunter2" not in text + json.dumps(found)
    assert "broker_transport_options" in text


def test_config_tells_each_value_and_its_origin(project, monkeypatch):
    monkeypatch.setenv("SKIRRET_WORKER_CONCURRENCY", "7")
    shown = data(project, "-A", "tasks", "-b", "memory://x", "config", "show", "--origin")
    assert shown["worker_concurrency"] == {"value": 7, "origin": "environment SKIRRET_WORKER_CONCURRENCY"}
    assert shown["broker_url"] == {"value": "memory://x", "origin": "command line --broker"}
    assert data(project, "-A", "tasks", "config", "show", "task_default_queue") == {"task_default_queue": "celery"}
    wrong = call(project, "-A", "tasks", "config", "show", "task_default_quue")
    assert wrong.returncode == 2
    assert "Did you mean 'task_default_queue'?" in wrong.stderr


def test_the_embedded_file_is_named_once_in_a_plain_sentence(project):
    done = call(project, "-A", "tasks", "call", "tasks.add", "-a", "[1, 1]")
    (line,) = done.stderr.splitlines()
    assert line.startswith("Warning: no broker is configured")
    assert str(project / ".skirret" / "queue.sqlite3") in line
    assert call(project, "-q", "-A", "tasks", "call", "tasks.add", "-a", "[1, 1]").stderr == ""


def test_a_call_of_a_task_that_the_app_lacks_is_sent_with_a_warning_that_names_the_near_one(project):
    done = call(project, "-A", "tasks", "call", "tasks.ad")
    assert done.returncode == 0
    assert "Did you mean 'tasks.add'?" in done.stderr
    assert len(done.stdout.split()) == 1


def test_arguments_that_are_no_json_are_refused(project):
    done = call(project, "-A", "tasks", "call", "tasks.add", "-a", "{1")
    assert done.returncode == 2
    assert "is not JSON" in done.stderr


def test_arguments_that_do_not_fit_the_task_are_a_usage_error_and_nothing_is_sent(project):
    done = call(project, "-A", "tasks", "call", "tasks.add", "-a", "[1]")
    assert done.returncode == 2
    assert "takes (x, y)" in done.stderr
    assert "Traceback" not in done.stderr
    assert json.loads(call(project, "-A", "tasks", "queues", "--json").stdout)[0]["ready"] == 0


def test_the_shell_completes_tasks_and_queues(project):
    call(project, "-A", "tasks", "call", "tasks.add", "-a", "[1, 1]", "--queue", "special")
    environment = {"_SKIRRET_COMPLETE": "bash_complete", "COMP_WORDS": "skirret -A tasks call ta", "COMP_CWORD": "4"}
    assert complete(project, environment) == {"tasks.add", "tasks.fail", "tasks.refuse"}
    environment |= {"COMP_WORDS": "skirret -A tasks worker -Q celery,sp", "COMP_CWORD": "5"}
    assert complete(project, environment) == {"celery,special"}


def complete(project: Path, environment: dict[str, str]) -> set[str]:
    done = subprocess.run(
        [str(SKIRRET)],
        cwd=project,
        env={**os.environ, **environment},
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )
    return {line.partition(",")[2] for line in done.stdout.splitlines()}
