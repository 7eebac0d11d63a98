"""A process that is ended takes with it what it has started."""

from __future__ import annotations

import subprocess
import sys

import pytest

from skirret.worker import kin
from tests.acceptance.faulty import is_alive, wait_until

FAMILY = """
import os, time
if os.fork() == 0:
    os.fork()
os.write(1, str(os.getpid()).encode() + bytes([10]))  # in one piece, as three write there
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel lists the children of a process on Linux")
def test_children_and_their_children_end_with_it():
    with subprocess.Popen([sys.executable, "-c", FAMILY], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        family = [int(process.stdout.readline()) for _ in range(3)]
        assert process.pid in family
        kin.end(process.pid)
        wait_until(lambda: not any(map(is_alive, family)), 5.0)


def test_a_process_that_is_gone_is_no_error():
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    process.wait()
    kin.end(process.pid)


def test_a_thread_that_ends_meanwhile_hides_no_children_of_the_others(tmp_path, monkeypatch):
    alive = tmp_path / "2"
    alive.mkdir()
    (alive / "children").write_text("7 8 ")
    monkeypatch.setattr(kin.Path, "iterdir", lambda _self: iter([tmp_path / "1", alive]))
    assert kin._children(1) == [7, 8]
