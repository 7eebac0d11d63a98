"""A loop that stands still ends its process, and one that is merely late does not."""

from __future__ import annotations

import threading

from skirret.worker import pulse as module
from skirret.worker.loop import Loop
from skirret.worker.pulse import EXIT_STANDSTILL, Guard, Pulse


def beating(monkeypatch) -> tuple[Loop, Pulse, threading.Thread]:
    monkeypatch.setattr(module, "BEAT", 0.01)
    loop = Loop()
    pulse = Pulse(loop)
    pulse.begin()
    thread = threading.Thread(target=loop.run)
    return loop, pulse, thread


def test_a_loop_that_stands_still_ends_the_process_and_says_what_it_was_doing(monkeypatch, capfd):
    ended, codes = threading.Event(), []
    loop, pulse, thread = beating(monkeypatch)
    free = threading.Event()
    loop.call_from_thread(lambda: free.wait(30))

    def end(code: int) -> None:
        codes.append(code)
        ended.set()

    guard = Guard(pulse, 0.2, end)
    thread.start()
    guard.start()
    assert ended.wait(20)
    free.set()
    loop.stop()
    thread.join()
    loop.close()
    assert codes == [EXIT_STANDSTILL]
    assert "test_pulse.py" in capfd.readouterr().err


def test_a_loop_that_beats_is_left_alone_and_its_lag_is_measured(monkeypatch):
    codes: list[int] = []
    loop, pulse, thread = beating(monkeypatch)
    seen = threading.Event()
    pulse.looks.append(lambda: pulse.beats >= 30 and seen.set())
    guard = Guard(pulse, 5.0, codes.append)
    guard.start()
    thread.start()
    assert seen.wait(20)
    guard.stop()
    guard.join(10)
    assert not guard.is_alive()
    loop.stop()
    thread.join()
    loop.close()
    assert codes == []
    assert 0.0 <= pulse.lag < 10


def test_a_look_that_fails_does_not_end_the_pulse(monkeypatch, caplog):
    loop, pulse, thread = beating(monkeypatch)
    later = threading.Event()
    pulse.looks.append(lambda: 1 / 0)
    loop.call_later(0.1, later.set)
    thread.start()
    assert later.wait(20)
    loop.stop()
    thread.join()
    loop.close()
    assert pulse.beats >= 2
