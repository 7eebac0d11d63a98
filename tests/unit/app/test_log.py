"""``app.log``: Celery's names for setting up an app's logging, and who may do it instead."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator

import pytest

from skirret import Skirret, logs, signals


@pytest.fixture
def app() -> Iterator[Skirret]:
    """An app; logging and the standard streams are as before afterwards."""
    loggers = [logging.getLogger(), logs.logger, logs.task_logger]
    before = [(logger, list(logger.handlers), logger.level) for logger in loggers]
    streams = sys.stdout, sys.stderr
    yield Skirret("l", set_as_current=False, worker_log_format="%(levelname)s %(message)s")
    sys.stdout, sys.stderr = streams
    for logger, handlers, level in before:
        for added in [one for one in logger.handlers if one not in handlers]:
            added.close()
        logger.handlers[:] = handlers
        logger.setLevel(level)
    logging.captureWarnings(False)


def test_an_app_sets_up_logging_as_its_worker_would(app, tmp_path):
    path = tmp_path / "log"
    assert app.log.setup("INFO", str(path), redirect_stdouts=True)
    app.log.get_default_logger().info("hello")
    print("printed")
    assert path.read_text().splitlines() == ["INFO hello", "WARNING printed"]
    assert app.log.already_setup
    assert not app.log.supports_color(True, str(path))
    assert app.log.supports_color(True)


def test_a_receiver_of_setup_logging_does_it_all_instead(app, tmp_path):
    seen = []

    def receiver(loglevel, logfile, format, colorize, **_):
        seen.append((loglevel, logfile, format, colorize))

    signals.setup_logging.connect(receiver)
    before = list(logging.getLogger().handlers)
    assert not app.log.setup("DEBUG", str(tmp_path / "log"))
    signals.setup_logging.disconnect(receiver)
    assert seen == [(logging.DEBUG, str(tmp_path / "log"), "%(levelname)s %(message)s", False)]
    assert logging.getLogger().handlers == before


def test_what_is_printed_can_go_to_one_logger(app, caplog):
    before = sys.stdout
    with caplog.at_level(logging.ERROR, "mine"):
        app.log.redirect_stdouts_to_logger(logging.getLogger("mine"), "ERROR", stderr=False)
        print("printed")
        sys.stdout = before
    assert [(record.name, record.levelname, record.getMessage()) for record in caplog.records] == [
        ("mine", "ERROR", "printed")
    ]
    assert app.log.setup_task_loggers("ERROR").level == logging.ERROR
