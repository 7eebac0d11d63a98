"""``app.log``: an app's logging by Celery's method names, over what `skirret.logs` does."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

from skirret import logs

if TYPE_CHECKING:
    from skirret.settings import Conf


class Logging:
    """Sets up the logging of a process by an app's settings.

    Args:
        conf: the settings.
    """

    def __init__(self, conf: Conf) -> None:
        self._conf = conf
        self.already_setup = False
        """Whether `setup` was called."""

    def setup(
        self,
        loglevel: str | int | None = None,
        logfile: str | None = None,
        redirect_stdouts: bool = False,
        redirect_level: str | int = "WARNING",
        colorize: bool | None = None,
        hostname: str | None = None,
    ) -> bool:
        """Set up logging as a worker does, and perhaps send what is printed to it; False if a receiver did it all.

        Args:
            loglevel: the least level that is written; None is WARNING.
            logfile: a path; None is stderr.
            redirect_stdouts: whether what is printed goes to the log.
            redirect_level: the level of what is printed.
            colorize: None colours on a terminal only.
            hostname: accepted for Celery's sake.

        Raises:
            ImproperlyConfigured: no such level, a format that cannot be used, or a file that cannot be written.
        """
        from skirret import signals

        del hostname
        self.setup_logging_subsystem(loglevel, logfile, colorize=colorize)
        if redirect_stdouts:
            self.redirect_stdouts(redirect_level)
        return not signals.setup_logging.receivers

    def setup_logging_subsystem(
        self, loglevel: str | int | None = None, logfile: str | None = None, colorize: bool | None = None, **_: Any
    ) -> None:
        """`setup` without redirection; the signals ``setup_logging`` and ``after_setup_logger`` are sent."""
        self.already_setup = True
        logs.setup_from(self._conf, loglevel if loglevel is not None else "WARNING", logfile, color=colorize)

    def setup_task_loggers(self, loglevel: str | int | None = None, **_: Any) -> logging.Logger:
        """The parent of all task loggers, at this level."""
        if loglevel is not None:
            logs.task_logger.setLevel(logs.level_number(loglevel))
        return logs.task_logger

    def redirect_stdouts(self, loglevel: str | int | None = None, name: str = "") -> None:
        """Send what is printed to the log; None is the level of ``worker_redirect_stdouts_level``."""
        del name
        logs.redirect_stdouts(loglevel or self._conf.get("worker_redirect_stdouts_level") or "WARNING")

    def redirect_stdouts_to_logger(
        self, logger: logging.Logger, loglevel: str | int | None = None, stdout: bool = True, stderr: bool = True
    ) -> logs.LogStream:
        """Send what is printed to one logger; the stream that does it."""
        stream = logs.LogStream(logger, logs.level_number(loglevel or "WARNING"))
        if stdout:
            sys.stdout = stream
        if stderr:
            sys.stderr = stream
        return stream

    def get_default_logger(self, name: str = "skirret", **_: Any) -> logging.Logger:
        """Skirret's own logger, or another by name."""
        return logging.getLogger(name)

    def supports_color(self, colorize: bool | None = None, logfile: str | None = None) -> bool:
        """Whether lines would be coloured: as said, else on a terminal, never in a file."""
        return logfile is None and logs.wants_color(sys.__stderr__, colorize)
