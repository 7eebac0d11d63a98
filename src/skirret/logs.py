"""What a worker's log looks like: text or JSON lines that name the task, hold no secret and cannot be forged.

A record made inside a task carries ``task_name`` and ``task_id``, whichever logger made it. Control characters are
escaped, so that data cannot add lines or drive a terminal; passwords in addresses are masked. The default formats are
those of Celery's ``worker_log_format`` and ``worker_task_log_format``.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import threading
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from logging.handlers import WatchedFileHandler
from typing import Any, Final, TextIO

from skirret import context, loggers
from skirret.errors import ImproperlyConfigured

FORMAT: Final = "[%(asctime)s: %(levelname)s/%(processName)s] %(message)s"
TASK_FORMAT: Final = "[%(asctime)s: %(levelname)s/%(processName)s] %(task_name)s[%(task_id)s]: %(message)s"
LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", "FATAL")

logger = loggers.own("skirret")
"""Parent of all of Skirret's own loggers."""

task_logger = loggers.own("skirret.task")
"""Parent of the loggers that `get_task_logger` gives."""

# Control characters of ASCII and Latin-1 but the tab, and Unicode's own line ends.
_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")
_PASSWORD = re.compile(r"(?P<head>\b[\w+.\-]+://[^\s:/@'\"]*:)[^\s@'\"]+@")
_COLOURS: Final = {logging.WARNING: "33", logging.ERROR: "31", logging.CRITICAL: "1;31", logging.DEBUG: "34"}
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "task_name", "task_id"}
_NAMED_ESCAPES: Final = {"\n": "\\n", "\r": "\\r"}


def escape(text: str) -> str:
    r"""`text` on one line: control characters as ``\n``, ``\x1b``, ``\u2028``."""
    return _CONTROL.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    char = match.group()
    if char in _NAMED_ESCAPES:
        return _NAMED_ESCAPES[char]
    return f"\\x{ord(char):02x}" if ord(char) < 256 else f"\\u{ord(char):04x}"


def mask(text: str) -> str:
    """`text` with the password of each address in it masked."""
    return _PASSWORD.sub(r"\g<head>**@", text) if "://" in text else text


def level_number(level: str | int) -> int:
    """The number of a level.

    Args:
        level: a name in any case (``info``) or a number.

    Raises:
        ImproperlyConfigured: there is no such level.
    """
    if isinstance(level, int):
        return level
    text = str(level).strip().upper()
    if text.isdigit():
        return int(text)
    if text not in LEVELS:
        raise ImproperlyConfigured(f"{level!r} is not a log level; levels are {', '.join(LEVELS)}")
    return int(getattr(logging, text))


_process_name: str = ""


def name_process(name: str) -> None:
    """What log lines call this process from now on (``%(processName)s``)."""
    global _process_name
    _process_name = name


class TaskContext(logging.Filter):
    """Writes the name and the id of the running task on each record; ``???`` outside of tasks, as Celery does."""

    def filter(self, record: logging.LogRecord) -> bool:
        if _process_name:
            record.processName = _process_name
        task, request = context.current_task(), context.current_request()
        if request is not None:
            record.task_name = getattr(task, "name", None) or request.task or "???"
            record.task_id = request.id or "???"
        else:
            record.__dict__.setdefault("task_name", "???")
            record.__dict__.setdefault("task_id", "???")
        return True


class TextFormatter(logging.Formatter):
    """One line a record, then its traceback, indented so that no line of it can pass for a record.

    Args:
        format: %-style format of records made outside of tasks.
        task_format: the same for records made inside a task.
        datefmt: strftime format of ``asctime``; None is ISO-like with milliseconds.
        task_datefmt: the same for records made inside a task.
        color: whether levels are coloured with ANSI sequences.
    """

    def __init__(
        self,
        format: str | None = None,
        task_format: str | None = None,
        datefmt: str | None = None,
        task_datefmt: str | None = None,
        color: bool = False,
    ) -> None:
        super().__init__(format or FORMAT, datefmt)
        self._task_datefmt = task_datefmt
        self._plain = self._style
        self._in_task = logging.PercentStyle(task_format or TASK_FORMAT)
        self._in_task.validate()
        self._color = color

    def format(self, record: logging.LogRecord) -> str:
        record.message = escape(record.getMessage())
        # The worker's own lines name the task themselves.
        inside = record.__dict__.get("task_id", "???") != "???" and not record.name.startswith("skirret.worker")
        if self.usesTime():
            record.asctime = self.formatTime(record, self._task_datefmt if inside else self.datefmt)
        text = (self._in_task if inside else self._plain).format(record)
        if self._color and record.levelno in _COLOURS:
            text = f"\x1b[{_COLOURS[record.levelno]}m{text}\x1b[0m"
        details = _details(record)
        if details:
            text += "\n" + "\n".join("    " + escape(line) for line in details.splitlines())
        return mask(text)

    def usesTime(self) -> bool:  # noqa: N802  the name in logging
        return self._plain.usesTime() or self._in_task.usesTime()


def _details(record: logging.LogRecord) -> str:
    parts = []
    if record.exc_info and record.exc_info[0] is not None:
        parts.append("".join(traceback.format_exception(*record.exc_info)).rstrip("\n"))
    elif record.exc_text:
        parts.append(record.exc_text)
    if record.stack_info:
        parts.append(record.stack_info)
    return "\n".join(parts)


class JsonFormatter(logging.Formatter):
    """One JSON object a line.

    Keys: timestamp (ISO 8601, UTC), level, logger, message, process, pid, thread; task_name and task_id inside a task;
    exception with its traceback; and whatever was passed as ``extra``.
    """

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": mask(record.getMessage()),
            "process": record.processName,
            "pid": record.process,
            "thread": record.threadName,
        }
        if record.__dict__.get("task_id", "???") != "???":
            entry["task_name"] = record.__dict__.get("task_name")
            entry["task_id"] = record.__dict__["task_id"]
        details = _details(record)
        if details:
            entry["exception"] = mask(details)
        for key, value in record.__dict__.items():
            if key not in _STANDARD and key not in entry:
                entry[key] = value
        return mask(json.dumps(entry, default=str, ensure_ascii=True))


class LogStream:
    """A stand-in for ``sys.stdout`` and ``sys.stderr`` that logs each line written to it.

    Args:
        to: the logger.
        level: the level of each line.
    """

    encoding = "utf-8"
    errors = "backslashreplace"
    closed = False

    def __init__(self, to: logging.Logger, level: int) -> None:
        self._to = to
        self._level = level
        self._inside = threading.local()

    def write(self, text: str) -> int:
        """Log the lines of `text`; what a log handler itself writes is dropped, or it would never end."""
        if getattr(self._inside, "yes", False):
            return 0
        self._inside.yes = True
        try:
            for line in text.splitlines():
                if line.strip():
                    self._to.log(self._level, "%s", line.rstrip())
        finally:
            self._inside.yes = False
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        """Log each of `lines`."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Nothing is held back."""

    def isatty(self) -> bool:
        """It never is."""
        return False

    def writable(self) -> bool:
        """It always is."""
        return True

    def fileno(self) -> int:
        """The file that the process started with, for libraries that write to it directly."""
        stream = sys.__stderr__
        if stream is None:
            raise OSError("this process has no stderr")
        return stream.fileno()


def wants_color(stream: Any, color: bool | None = None) -> bool:
    """Whether to colour what goes to `stream`: as `color` says, else on a terminal unless ``NO_COLOR`` is set."""
    if color is not None:
        return color
    if os.environ.get("NO_COLOR"):
        return False
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError):
        return False


def setup(
    loglevel: str | int = "WARNING",
    logfile: str | None = None,
    *,
    json: bool = False,
    color: bool | None = None,
    format: str | None = None,
    task_format: str | None = None,
    datefmt: str | None = None,
    task_datefmt: str | None = None,
    hijack_root: bool = True,
    stream: TextIO | None = None,
) -> logging.Handler:
    """Set up this process's logging; calling it again replaces what the last call set up.

    Args:
        loglevel: the least level that is written.
        logfile: a path, opened for appending (several processes may share it) and reopened when it was moved away by
            log rotation; None is `stream`.
        json: one JSON object a line instead of text.
        color: None colours on a terminal only.
        format, task_format, datefmt, task_datefmt: see `TextFormatter`; ignored with `json`.
        hijack_root: replace the root logger's handlers; else only Skirret's loggers get the handler.
        stream: None is stderr.

    Returns:
        The handler that was installed.

    Raises:
        ImproperlyConfigured: no such level, a format that cannot be used, or a file that cannot be written.
    """
    number = level_number(loglevel)
    handler = _handler(logfile, stream)
    if json:
        handler.setFormatter(JsonFormatter())
    else:
        colored = logfile is None and wants_color(getattr(handler, "stream", None), color)
        try:
            handler.setFormatter(TextFormatter(format, task_format, datefmt, task_datefmt, colored))
        except ValueError as exc:
            raise ImproperlyConfigured(f"worker_log_format or worker_task_log_format cannot be used: {exc}") from None
    handler.addFilter(TaskContext())
    handler.set_name(loggers.OURS)
    targets = [logging.getLogger()] if hijack_root else [logger]
    for target in (logging.getLogger(), logger):
        for old in list(target.handlers):
            if old.get_name() == loggers.OURS or (hijack_root and target in targets):
                target.removeHandler(old)
                old.close()
    for target in targets:
        target.addHandler(handler)
        target.setLevel(number)
    logging.captureWarnings(True)
    return handler


def setup_from(
    settings: Mapping[str, Any],
    loglevel: str | int = "WARNING",
    logfile: str | None = None,
    *,
    json: bool = False,
    color: bool | None = None,
    redirect: bool = False,
) -> None:
    """`setup` as the ``worker_*`` settings ask; a receiver of the signal ``setup_logging`` does it all itself instead.

    Args:
        settings: the app's settings by key.
        loglevel, logfile: see `setup`.
        json, color: see `setup`; unset they are as the settings say.
        redirect: whether ``worker_redirect_stdouts`` counts; only in processes that run tasks.

    Raises:
        ImproperlyConfigured: see `setup`.
    """
    from skirret import signals

    number, plain = level_number(loglevel), settings.get("worker_log_format")
    colorize = settings.get("worker_log_color") if color is None else color
    colorize = logfile is None and wants_color(sys.__stderr__, colorize)
    told: dict[str, Any] = {"loglevel": number, "logfile": logfile, "format": plain, "colorize": colorize}
    if signals.setup_logging.receivers:
        signals.setup_logging.send(sender=None, **told)
        return
    setup(
        number,
        logfile,
        json=json or bool(settings.get("worker_log_json")),
        color=colorize,
        format=plain,
        task_format=settings.get("worker_task_log_format"),
        datefmt=settings.get("worker_log_datefmt"),
        task_datefmt=settings.get("worker_task_log_datefmt"),
        hijack_root=bool(settings.get("worker_hijack_root_logger", True)),
    )
    signals.after_setup_logger.send(sender=None, logger=logging.getLogger(), **told)
    told["format"] = settings.get("worker_task_log_format")
    signals.after_setup_task_logger.send(sender=None, logger=task_logger, **told)
    if redirect and settings.get("worker_redirect_stdouts", True):
        redirect_stdouts(settings.get("worker_redirect_stdouts_level") or "WARNING")


def _handler(logfile: str | None, stream: TextIO | None) -> logging.Handler:
    if logfile is None:
        if stream is None and isinstance(sys.stderr, LogStream):  # a process that was forked after `redirect_stdouts`
            stream = sys.__stderr__
        return logging.StreamHandler(stream)
    try:
        return WatchedFileHandler(logfile, encoding="utf-8", errors="backslashreplace")
    except OSError as exc:
        raise ImproperlyConfigured(
            f"the log file {logfile!r} cannot be written: {exc.strerror or exc}; give another with --logfile"
        ) from None


def redirect_stdouts(level: str | int = "WARNING") -> None:
    """Send what is printed to stdout and stderr to the log (``worker_redirect_stdouts``).

    Call it after `setup`, whose handler keeps the stream that it had.
    """
    to = loggers.own("skirret.redirected")
    number = level_number(level)
    sys.stdout = LogStream(to, number)
    sys.stderr = LogStream(to, number)


def get_task_logger(name: str) -> logging.Logger:
    """A logger for a module of tasks: the logger `name`, a child of ``skirret.task``. Broken handlers fail no task.

    Args:
        name: usually ``__name__``.

    Raises:
        RuntimeError: `name` is one of Skirret's own loggers.
    """
    if name in {logger.name, task_logger.name}:
        raise RuntimeError(f"the logger name {name!r} is Skirret's own; use __name__")
    found = loggers.own(name)
    # Only a logger that hangs on the root moves: one below a logger of the user's stays under what he set up there.
    if found is not task_logger and (found.parent is None or found.parent is logging.getLogger()):
        found.parent = task_logger
    return found
