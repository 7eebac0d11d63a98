"""Records of the supervisor on their way to the app's handlers: any thread may log, none waits, and nothing doubles."""

from __future__ import annotations

import io
import logging
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from skirret.worker.child.forwarded import emit
from skirret.worker.log_forwarder import MOST_WAITING, LogForwarder, plain
from skirret.worker.words import Word


class Calls:
    """A loop whose calls are carried out when the test says so."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], object]] = []

    def call_from_thread(self, callback: Callable[[], object]) -> None:
        self.calls.append(callback)

    def turn(self) -> None:
        calls, self.calls = self.calls, []
        for call in calls:
            call()


class Carrier:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[Word] = []

    def say(self, word: Word) -> None:
        self.said.append(word)

    def finish(self, patience: float) -> None:
        del patience

    def texts(self) -> list[str]:
        return [word.values["msg"] for word in self.said]


class Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def target() -> Iterator[logging.Logger]:
    logger = logging.getLogger("forwarded-test")
    logger.propagate, logger.level = False, logging.INFO
    yield logger
    logger.handlers.clear()


def test_records_of_any_thread_are_handed_over_on_the_loop(target: logging.Logger) -> None:
    loop, carrier = Calls(), Carrier()
    forwarder = LogForwarder(loop, target)  # type: ignore[arg-type]
    target.info("early %s", "redis://:secret@host")
    loop.turn()
    forwarder.carrier = carrier
    threads = [threading.Thread(target=target.info, args=("from %d", number)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert carrier.said == []
    forwarder.flush()
    assert carrier.texts()[0] == "early redis://:**@host"
    assert sorted(carrier.texts()[1:]) == ["from 0", "from 1", "from 2"]
    target.info("late")
    loop.turn()
    assert carrier.texts()[-1] == "late"
    forwarder.end()
    target.info("after the end")
    assert carrier.texts()[-1] == "late"


def test_a_record_that_cannot_be_put_into_words_is_told_of_and_harms_nobody_who_logs(
    target: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    loop, carrier = Calls(), Carrier()
    forwarder = LogForwarder(loop, target)  # type: ignore[arg-type]
    forwarder.carrier = carrier
    target.handlers[:] = [forwarder]  # and not pytest's own, which raises
    target.info("%d tasks", "no number")
    target.info("fine")
    loop.turn()
    assert carrier.texts() == ["fine"]
    assert "TypeError" in capsys.readouterr().err


def test_what_comes_too_fast_is_counted_and_nobody_waits(target: logging.Logger) -> None:
    loop, carrier = Calls(), Carrier()
    forwarder = LogForwarder(loop, target)  # type: ignore[arg-type]
    forwarder.carrier = carrier
    for number in range(MOST_WAITING + 5):
        target.info("%d", number)
    assert len(loop.calls) == 1
    loop.turn()
    assert len(carrier.said) == MOST_WAITING + 1
    assert carrier.texts()[-1].startswith("5 line(s)")


def test_a_record_reaches_the_apps_handlers_with_its_traceback_and_none_that_would_double_it(
    target: logging.Logger,
) -> None:
    kept, ours, on_stderr = Kept(), Kept(), logging.StreamHandler(sys.__stderr__)
    high = Kept()
    high.setLevel(logging.CRITICAL)
    ours.set_name("skirret")
    doubled: list[logging.LogRecord] = []
    on_stderr.emit = doubled.append  # type: ignore[method-assign]
    target.handlers[:] = [kept, ours, on_stderr, high]
    try:
        raise ValueError("why")
    except ValueError:
        record = target.makeRecord(target.name, logging.ERROR, __file__, 7, "it %s", ("broke",), sys.exc_info(), "fn")
    emit(plain(record))
    (seen,) = kept.records
    assert (seen.getMessage(), seen.lineno, seen.funcName, seen.created) == ("it broke", 7, "fn", record.created)
    assert "ValueError: why" in logging.Formatter("%(message)s").format(seen)
    assert ours.records == doubled == high.records == []
    emit(plain(target.makeRecord(target.name, logging.DEBUG, __file__, 1, "quiet", (), None)))
    assert kept.records == [seen]


def test_a_handler_of_the_app_that_raises_keeps_the_record_from_no_other(
    target: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise ConnectionError("away")

    kept, stderr = Kept(), io.StringIO()
    target.handlers[:] = [Broken(), kept]
    monkeypatch.setattr(sys, "__stderr__", stderr)
    emit(plain(target.makeRecord(target.name, logging.INFO, __file__, 1, "said", (), None)))
    assert [record.getMessage() for record in kept.records] == ["said"]
    assert "ConnectionError: away" in stderr.getvalue()
