"""The commands that read and change a broker, in this process, over the in-memory server."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable

import pytest

from skirret import states
from skirret.brokers.base import Limits
from skirret.brokers.open import open_broker
from skirret.message import Malformed, Record
from skirret.meta import ResultMeta
from skirret.outcome import Ack, DeadLetter
from skirret.wire import results
from skirret.wire.envelope import head

_names = itertools.count()


@pytest.fixture
def url() -> str:
    return f"memory://cli-{next(_names)}"


@pytest.fixture
def ask(cli, url) -> Callable:
    """Runs a command over the server of this test."""

    def run(*arguments: str, **options):
        return cli("-b", url, "--result-backend", url, *arguments, **options)

    return run


@pytest.fixture
def data(ask) -> Callable:
    """What a command prints with --json."""

    def run(*arguments: str):
        done = ask(*arguments, "--json")
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    return run


def settle(url: str, decide: Callable, queue: str = "celery") -> None:
    """Take one message as a worker does, and settle it as `decide` says of its delivery."""
    consumer = open_broker(url).consumer([queue], "test-worker", limits=Limits())
    (delivery,) = consumer.take(1, 1.0)
    assert consumer.settle([decide(delivery)]) == [True]
    consumer.close()


def kill(url: str, reason: str = "because") -> None:
    settle(url, lambda delivery: DeadLetter(tag=delivery.tag, reason=reason))


def finish(url: str, status: str, result) -> None:
    def decide(delivery):
        known = head(delivery.raw, max_bytes=10**6)
        assert not isinstance(known, Malformed)
        meta = ResultMeta(task_id=known.id, status=status, result=result, traceback="Traceback:\n  evil\x1b[2J")
        return Ack(tag=delivery.tag, result=Record(task_id=known.id, state=status, payload=results.encode(meta)))

    settle(url, decide)


def row(data, queue: str = "celery") -> tuple[int, int, int, int]:
    found = next(row for row in data("queues") if row["queue"] == queue)
    return found["ready"], found["held"], found["delayed"], found["dead"]


def test_a_call_is_sent_with_its_options(ask, data, url):
    done = ask("call", "tasks.add", "-a", "[1]", "-k", '{"y": 2}', "--queue", "q", "--priority", "7", "--expires", "60")
    assert done.exit_code == 0
    (waiting,) = open_broker(url).peek("q")
    assert waiting.task_id == done.stdout.strip()
    assert waiting.priority == 7
    known = head(waiting.raw, max_bytes=10**6)
    assert (known.task, known.argsrepr, known.kwargsrepr) == ("tasks.add", "(1,)", "{'y': 2}")
    assert known.expires is not None


def test_eta_and_countdown_delay_the_call(ask, data):
    assert ask("call", "t", "--countdown", "60").exit_code == 0
    assert ask("call", "t", "--eta", "2100-01-01T00:00:00+00:00").exit_code == 0
    assert row(data) == (0, 0, 2, 0)


@pytest.mark.parametrize(
    "line",
    [["-a", "{}"], ["-k", "[]"], ["--eta", "tomorrow"], ["--priority", "10"], ["--countdown", "soon"]],
    ids=" ".join,
)
def test_options_that_cannot_be_are_usage_errors(ask, data, line):
    assert ask("call", "t", *line).exit_code == 2
    assert row(data) == (0, 0, 0, 0)


def test_a_result_is_its_value_and_json_tells_all(ask, data, url):
    task_id = data("call", "t")["task_id"]
    assert ask("result", task_id).exit_code == 75
    finish(url, states.SUCCESS, {"answer": 42})
    assert ask("result", task_id).stdout == "{'answer': 42}\n"
    assert data("result", task_id)["result"] == {"answer": 42}


def test_text_results_go_into_a_pipe_as_they_are(ask, data, url):
    task_id = data("call", "t")["task_id"]
    finish(url, states.SUCCESS, "two\nlines")
    assert ask("result", task_id).stdout == "two\nlines\n"


def test_a_failure_is_exit_code_1_and_its_traceback_cannot_drive_the_terminal(ask, data, url):
    task_id = data("call", "t")["task_id"]
    finish(url, states.FAILURE, ValueError("no\x1b"))
    done = ask("result", task_id, "--traceback")
    assert done.exit_code == 1
    assert "ValueError" in done.stdout
    assert "evil\\x1b[2J" in done.stdout
    assert "\x1b" not in done.stdout


def test_waiting_ends_at_the_timeout_with_75_and_json_still_tells_the_state(ask):
    done = ask("call", "t", "--wait", "--timeout", "0.05", "--json")
    assert done.exit_code == 75
    assert json.loads(done.stdout)["state"] == states.PENDING


def test_results_that_are_off_are_told_with_how_to_turn_them_on(cli, url):
    done = cli("-b", url, "result", "some-id")
    assert done.exit_code == 69
    assert "result_backend" in done.stderr


def test_purge_asks_first_and_no_is_no(ask, data):
    ask("call", "t")
    refused = ask("purge", input="n\n")
    assert refused.exit_code == 1
    assert "Drop 1 messages for ever from celery (1)?" in refused.stderr
    assert row(data) == (1, 0, 0, 0)
    assert ask("purge", input="y\n").exit_code == 0
    assert row(data) == (0, 0, 0, 0)


def test_purge_of_nothing_but_the_excluded_is_a_usage_error(ask):
    assert ask("purge", "-f", "-Q", "a", "-X", "a").exit_code == 2


def test_dead_letters_are_found_by_key_id_or_the_start_of_either(ask, data, url):
    for reason in ("one", "two"):
        ask("call", "tasks.x")
        kill(url, reason)
    first, second = data("dead", "list")
    assert {first["reason"], second["reason"]} == {"one", "two"}
    assert data("dead", "show", first["id"][:9])["reason"] == first["reason"]
    assert data("dead", "show", second["key"])["reason"] == second["reason"]
    assert data("dead", "retry", first["id"]) == {"retried": 1}
    assert row(data) == (1, 0, 0, 1)
    refused = ask("dead", "purge", "--all", input="n\n")
    assert refused.exit_code == 1
    assert data("dead", "purge", "--all", "-f") == {"purged": 1}
    assert row(data) == (1, 0, 0, 0)


def test_the_start_of_two_dead_letters_names_neither(ask, data, url):
    for _ in range(2):
        ask("call", "tasks.x")
        kill(url)
    done = ask("dead", "show", "")
    assert done.exit_code == 65
    assert "2 dead letters match" in done.stderr


def test_retry_wants_keys_or_all_but_not_both(ask):
    assert ask("dead", "retry").exit_code == 2
    assert ask("dead", "retry", "x", "--all").exit_code == 2


def test_a_malformed_dead_letter_is_shown_without_its_power_over_the_terminal(ask, data, url):
    open_broker(url).inject("celery", b"\x1b[2Jnot json")
    kill(url, "malformed: \x1b[2J no JSON")
    (letter,) = data("dead", "list")
    assert letter["task"] is None
    done = ask("dead", "show", letter["key"])
    assert "malformed" in done.stdout
    for text in (done.stdout, ask("dead", "list").stdout):
        assert "\x1b" not in text


def test_config_shows_what_was_set_and_where(data, ask, monkeypatch, url):
    monkeypatch.setenv("SKIRRET_WORKER_CONCURRENCY", "7")
    assert data("config", "show", "--origin")["worker_concurrency"] == {
        "value": 7,
        "origin": "environment SKIRRET_WORKER_CONCURRENCY",
    }
    assert data("config", "show", "task_default_queue") == {"task_default_queue": "celery"}
    assert "task_acks_late = True" in ask("config", "show", "--all").stdout
    done = ask("config", "show", "task_default_quue")
    assert done.exit_code == 2
    assert "Did you mean 'task_default_queue'?" in done.stderr


def test_config_masks_secrets_and_names_settings_without_effect(ask, cli, monkeypatch):
    monkeypatch.setenv("SKIRRET_S3_BUCKET", "b")
    done = cli("-b", "redis://:hunter2@h/0", "config", "show")
    assert done.exit_code == 0
    assert "hunter2" not in done.output
    assert "s3_bucket" in done.stderr


def test_the_report_works_while_the_server_is_missing_and_masks_its_password(cli):
    done = cli("-b", "nosuch://:hunter2@h/0", "report", "--json")
    assert done.exit_code == 0
    report = json.loads(done.stdout)
    assert report["broker"]["reachable"] is False
    assert "nosuch" in report["broker"]["error"]
    assert "hunter2" not in done.output


def test_the_report_prints_the_table_of_differences(ask):
    done = ask("report")
    assert "acknowledgement" in done.stdout
    assert "acknowledgement" not in ask("report", "--no-differences").stdout


def test_a_queue_is_paused_and_resumed_and_shown_so(ask, data):
    ask("call", "t", "--queue", "mail")
    assert data("queues", "pause", "mail", "post") == {"paused": ["mail", "post"]}
    again = ask("queues", "pause", "mail")
    assert (again.exit_code, again.stdout) == (0, "")
    assert "paused already" in again.stderr
    rows = {row["queue"]: row for row in data("queues")}
    assert {name: row["paused"] for name, row in rows.items()} == {"celery": False, "mail": True, "post": True}
    assert rows["mail"]["ready"] == 1, "a pause drops nothing"
    lines = ask("queues", "-Q", "mail").stdout.splitlines()
    assert lines[0].split() == ["queue", "ready", "held", "delayed", "dead", "state"]
    assert lines[1].split() == ["mail", "1", "0", "0", "0", "paused"]
    assert ask("queues", "resume", "mail").stdout == "mail: resumed\n"
    assert "was not paused" in ask("queues", "resume", "mail").stderr
    assert ask("queues", "pause").exit_code == 2
    assert not next(row for row in data("queues") if row["queue"] == "mail")["paused"]
