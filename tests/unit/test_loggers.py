"""Handlers and filters that raise: whoever logs goes on, the others get the line, and the fault is told once."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Iterator

import pytest

from skirret import loggers
from skirret.errors import SoftTimeLimitExceeded
from skirret.logs import LogStream


class Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


class Broken(logging.Handler):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error
        self.called = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.called += 1
        raise self.error


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    found = loggers.own("own-test.child")
    parent = logging.getLogger("own-test")
    parent.propagate, parent.level = False, logging.INFO
    yield found
    for each in (found, parent):
        each.handlers.clear()
        each.filters.clear()


@pytest.fixture
def stderr(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "__stderr__", stream)
    return stream


def test_others_get_the_line_and_the_fault_is_told_once(logger: logging.Logger, stderr: io.StringIO) -> None:
    broken, kept, above = Broken(ConnectionError("away")), Kept(), Kept()
    logger.handlers[:] = [broken, kept]
    assert logger.parent is not None
    logger.parent.addHandler(above)
    for number in range(3):
        logger.info("said %d", number)
    assert broken.called == 3
    assert kept.lines == above.lines == ["said 0", "said 1", "said 2"]
    assert stderr.getvalue().count("ConnectionError: away") == 1
    assert "The log handler Broken raised ConnectionError" in stderr.getvalue()


def test_a_fault_is_told_again_after_the_silence(
    logger: logging.Logger, stderr: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    logger.addHandler(Broken(ConnectionError("away")))
    now = loggers.clock.monotonic()
    for later in (0.0, loggers.SILENCE - 1.0, loggers.SILENCE + 1.0):
        monkeypatch.setattr(loggers.clock, "monotonic", lambda later=later: now + later)
        logger.info("said")
    assert stderr.getvalue().count("ConnectionError: away") == 2


def test_it_is_told_in_skirrets_own_log_where_there_is_one(logger: logging.Logger, stderr: io.StringIO) -> None:
    ours = Kept()
    ours.set_name(loggers.OURS)
    logger.handlers[:] = [Broken(ConnectionError("away")), ours]
    logger.info("said")
    told, said = ours.lines
    assert "The log handler Broken raised ConnectionError" in told
    assert said == "said"
    assert stderr.getvalue() == ""


def test_what_is_printed_meets_the_broken_handler_and_comes_to_an_end(
    logger: logging.Logger, stderr: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Speaks(Broken):
        def emit(self, record: logging.LogRecord) -> None:
            print("about to fail", file=sys.stderr)
            super().emit(record)

    broken = Speaks(ValueError("mute"))
    logger.addHandler(broken)
    monkeypatch.setattr(sys, "stderr", LogStream(logger, logging.WARNING))
    print("printed", file=sys.stderr)
    assert broken.called == 1
    assert stderr.getvalue().count("ValueError: mute") == 1


def test_a_line_that_a_broken_filter_should_have_judged_is_not_written(
    logger: logging.Logger, stderr: io.StringIO
) -> None:
    def judge(_record: logging.LogRecord) -> bool:
        raise KeyError("request_id")

    kept, unfiltered = Kept(), Kept()
    kept.addFilter(judge)
    logger.handlers[:] = [kept, unfiltered]
    logger.info("one")
    assert (kept.lines, unfiltered.lines) == ([], ["one"])
    logger.addFilter(judge)
    logger.info("two")
    assert unfiltered.lines == ["one"]
    assert stderr.getvalue().count("KeyError: 'request_id'") == 2
    assert "The logger 'own-test.child', or a filter of it, raised" in stderr.getvalue()


def test_levels_filters_and_disabled_loggers_count_as_ever(logger: logging.Logger, stderr: io.StringIO) -> None:
    kept, high = Kept(), Kept()
    high.setLevel(logging.CRITICAL)
    logger.handlers[:] = [kept, high]
    logger.addFilter(lambda record: record.getMessage() != "filtered")
    for text in ("said", "filtered"):
        logger.info(text)
    logger.debug("below the level")
    logger.disabled = True
    try:
        logger.info("disabled")
    finally:
        logger.disabled = False
    assert (kept.lines, high.lines, stderr.getvalue()) == (["said"], [], "")


def test_what_replaced_the_method_of_loggers_still_hears_of_every_record(
    logger: logging.Logger, stderr: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []
    usual = logging.Logger.callHandlers

    def tracking(self: logging.Logger, record: logging.LogRecord) -> None:
        heard.append(f"{self.name}: {record.getMessage()}")
        usual(self, record)

    kept = Kept()
    logger.handlers[:] = [Broken(ConnectionError("away")), kept]
    monkeypatch.setattr(logging.Logger, "callHandlers", tracking)
    logger.info("said")
    assert heard == ["own-test.child: said"]
    assert kept.lines == ["said"]


def test_a_time_limit_that_comes_while_a_task_logs_reaches_the_task(
    logger: logging.Logger, stderr: io.StringIO
) -> None:
    logger.addHandler(Broken(SoftTimeLimitExceeded()))
    with pytest.raises(SoftTimeLimitExceeded):
        logger.info("said")
    assert stderr.getvalue() == ""
