from __future__ import annotations

import io
import json
import logging
import re
import sys
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from skirret import context, logs, signals
from skirret.errors import ImproperlyConfigured
from skirret.request import Context


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    """Puts the process's logging back."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    for handler in list(root.handlers):
        if handler not in handlers:
            root.removeHandler(handler)
    for handler in handlers:
        if handler not in root.handlers:
            root.addHandler(handler)
    root.setLevel(level)
    logs.logger.handlers.clear()
    logging.captureWarnings(False)


@pytest.fixture
def inside_task() -> Iterator[None]:
    context.push_task(SimpleNamespace(name="tasks.add"), Context(id="id-1", task="tasks.add"))
    yield
    context.pop_task()


def written(level: str = "INFO", **options) -> io.StringIO:
    stream = io.StringIO()
    logs.setup(level, stream=stream, **options)
    return stream


def test_a_line_has_time_level_process_and_message():
    stream = written()
    logging.getLogger("user").info("hello %s", "you")
    assert re.fullmatch(r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}: INFO/MainProcess\] hello you\n", stream.getvalue())


def test_every_logger_names_the_task_that_it_is_used_in(inside_task):
    stream = written()
    logging.getLogger("some.library").warning("slow")
    assert stream.getvalue().endswith("WARNING/MainProcess] tasks.add[id-1]: slow\n")


def test_outside_of_tasks_a_format_that_names_the_task_still_works():
    stream = written(format="%(task_name)s %(task_id)s %(message)s")
    logging.getLogger("user").info("x")
    assert stream.getvalue() == "??? ??? x\n"


def test_less_grave_records_are_not_written():
    stream = written("error")
    logging.getLogger("user").warning("x")
    assert stream.getvalue() == ""


def test_data_cannot_forge_a_line_nor_drive_the_terminal():
    stream = written()
    logging.getLogger("user").info("a\n[2030: ERROR/MainProcess] forged\x1b[2J\x9b\u2028\r")
    text = stream.getvalue()
    assert text.count("\n") == 1
    assert "a\\n[2030: ERROR/MainProcess] forged\\x1b[2J\\x9b\\u2028\\r" in text


def test_no_line_of_a_traceback_can_pass_for_a_record():
    stream = written()
    try:
        raise ValueError("first\n[2030: INFO/MainProcess] forged\x1b")
    except ValueError:
        logging.getLogger("user").exception("failed")
    head, *rest = stream.getvalue().splitlines()
    assert head.endswith("failed")
    assert rest
    assert all(line.startswith("    ") for line in rest)
    assert "\x1b" not in stream.getvalue()


def test_passwords_in_addresses_are_masked_in_messages_and_tracebacks():
    stream = written()
    try:
        raise ValueError("cannot reach redis://:hunter2@db:6379/0")
    except ValueError:
        logging.getLogger("user").exception("amqp://me:s3cret@host// is down")
    text = stream.getvalue()
    assert "hunter2" not in text
    assert "s3cret" not in text
    assert "redis://:**@db:6379/0" in text
    assert "amqp://me:**@host//" in text


def test_json_logs_are_one_object_a_line_with_the_task_and_extras(inside_task):
    stream = written(json=True)
    try:
        raise ValueError("no\nway")
    except ValueError:
        logging.getLogger("user").exception("two\nlines redis://:pw@h/0", extra={"customer": 7})
    (line,) = stream.getvalue().splitlines()
    entry = json.loads(line)
    assert entry["level"] == "ERROR"
    assert entry["logger"] == "user"
    assert entry["message"] == "two\nlines redis://:**@h/0"
    assert (entry["task_name"], entry["task_id"]) == ("tasks.add", "id-1")
    assert entry["customer"] == 7
    assert "ValueError: no\nway" in entry["exception"]
    assert entry["timestamp"].endswith("+00:00")


def test_json_logs_outside_of_tasks_name_none():
    stream = written(json=True)
    logging.getLogger("user").info("x")
    assert "task_id" not in json.loads(stream.getvalue())


def test_json_logs_hold_values_that_json_does_not_know():
    stream = written(json=True)
    logging.getLogger("user").info("x", extra={"thing": {1, 2}, "self": object})
    assert json.loads(stream.getvalue())["thing"] == "{1, 2}"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colour_is_for_terminals_only(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    terminal, pipe = Terminal(), io.StringIO()
    for stream in (terminal, pipe):
        logs.setup("INFO", stream=stream)
        logging.getLogger("user").error("x")
    assert terminal.getvalue().startswith("\x1b[31m")
    assert "\x1b" not in pipe.getvalue()


def test_no_color_is_honoured(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    terminal = Terminal()
    logs.setup("INFO", stream=terminal)
    logging.getLogger("user").error("x")
    assert "\x1b" not in terminal.getvalue()


def test_setting_up_twice_does_not_write_twice():
    written()
    stream = written()
    logging.getLogger("user").info("once")
    assert stream.getvalue().count("once") == 1


def test_without_hijacking_the_users_root_handlers_stay():
    mine = io.StringIO()
    handler = logging.StreamHandler(mine)
    logging.getLogger().addHandler(handler)
    stream = written(hijack_root=False)
    logs.get_task_logger("t.mine").error("task")
    logging.getLogger("user.lib").error("lib")
    logging.getLogger().removeHandler(handler)
    assert "task" in stream.getvalue()
    assert "lib" not in stream.getvalue()
    assert "lib" in mine.getvalue()


def test_several_handlers_append_to_one_file(tmp_path):
    path = tmp_path / "w.log"
    path.write_text("before\n")
    logs.setup("INFO", str(path))
    logging.getLogger("user").info("after")
    logs.setup("INFO", stream=io.StringIO())
    assert [line.rpartition(" ")[2] for line in path.read_text().splitlines()] == ["before", "after"]


def test_a_log_file_that_was_rotated_away_is_made_again(tmp_path):
    path = tmp_path / "w.log"
    logs.setup("INFO", str(path))
    logging.getLogger("user").info("old")
    path.rename(tmp_path / "w.log.1")
    logging.getLogger("user").info("new")
    logs.setup("INFO", stream=io.StringIO())
    assert "new" in path.read_text()


def test_a_log_file_that_cannot_be_written_is_told(tmp_path):
    with pytest.raises(ImproperlyConfigured, match="cannot be written: No such file or directory; give another"):
        logs.setup("INFO", str(tmp_path / "missing" / "w.log"))


def test_an_unknown_level_is_told():
    with pytest.raises(ImproperlyConfigured, match="'loud' is not a log level"):
        logs.setup("loud")


def test_a_format_that_cannot_be_used_is_told():
    with pytest.raises(ImproperlyConfigured, match="cannot be used"):
        logs.setup("INFO", format="no fields here", stream=io.StringIO())


def test_what_is_printed_goes_to_the_log(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    monkeypatch.setattr(sys, "stderr", sys.stderr)
    stream = written()
    logs.redirect_stdouts("WARNING")
    print("one\ntwo")
    assert [line.rpartition("] ")[2] for line in stream.getvalue().splitlines()] == ["one", "two"]
    assert "WARNING" in stream.getvalue()


def test_a_handler_that_prints_does_not_log_for_ever(monkeypatch):
    class Printing(logging.Handler):
        def emit(self, record):
            seen.append(record.getMessage())
            print("from the handler")

    seen: list[str] = []
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    monkeypatch.setattr(sys, "stderr", sys.stderr)
    written()
    handler = Printing()
    logging.getLogger().addHandler(handler)
    logs.redirect_stdouts()
    print("x")
    logging.getLogger().removeHandler(handler)
    assert seen == ["x"]


def test_task_loggers_hang_below_the_task_logger_but_not_out_of_the_users_tree():
    top = logs.get_task_logger("toplevel_module_of_tasks")
    logging.getLogger("proj_of_user").setLevel("INFO")
    below = logs.get_task_logger("proj_of_user.tasks")
    assert top.parent is logs.task_logger
    assert below.parent is logging.getLogger("proj_of_user")


def test_task_loggers_cannot_take_skirrets_own_names():
    with pytest.raises(RuntimeError, match="use __name__"):
        logs.get_task_logger("skirret.task")


def test_the_settings_decide_formats_and_redirection(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    monkeypatch.setattr(sys, "stderr", stream)
    settings = {
        "worker_log_format": "plain %(message)s",
        "worker_task_log_format": "%(task_id)s %(message)s",
        "worker_redirect_stdouts_level": "ERROR",
    }
    logs.setup_from(settings, "INFO", redirect=True)
    logging.getLogger("user").info("one")
    context.push_task(SimpleNamespace(name="t"), Context(id="id-9"))
    logging.getLogger("user").info("two")
    context.pop_task()
    print("three")
    assert stream.getvalue() == "plain one\nid-9 two\nplain three\n"


def test_the_settings_can_ask_for_json(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    logs.setup_from({"worker_log_json": True}, "INFO")
    logging.getLogger("user").info("one")
    assert json.loads(stream.getvalue())["message"] == "one"


def test_who_listens_to_setup_logging_does_it_himself():
    def mine(**given):
        told.append(given)

    told: list[dict] = []
    before = list(logging.getLogger().handlers)
    signals.setup_logging.connect(mine)
    try:
        logs.setup_from({"worker_log_format": "f"}, "info", "file.log")
    finally:
        signals.setup_logging.disconnect(mine)
    assert logging.getLogger().handlers == before
    assert (told[0]["loglevel"], told[0]["logfile"], told[0]["format"]) == (logging.INFO, "file.log", "f")


def test_who_listens_to_after_setup_logger_is_given_the_logger():
    def mine(logger, **given):
        told.append(logger)

    told: list[logging.Logger] = []
    signals.after_setup_logger.connect(mine)
    signals.after_setup_task_logger.connect(mine)
    try:
        logs.setup_from({}, "info")
    finally:
        signals.after_setup_logger.disconnect(mine)
        signals.after_setup_task_logger.disconnect(mine)
    assert told == [logging.getLogger(), logs.task_logger]


def test_setting_up_after_redirection_writes_to_the_first_stream_and_not_to_itself(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(sys, "__stderr__", stream)
    logs.setup_from({}, "INFO", redirect=True)
    logs.setup_from({}, "INFO", redirect=True)
    print("once")
    assert stream.getvalue().count("once") == 1
