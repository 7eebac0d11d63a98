"""Results in processes that somebody else made: forked ones, and ones that gevent has patched."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

PRELUDE = """
import asyncio, os, sys, threading
from tests.unit.results.stage import Stage, Thread, until
stage = Stage()
"""


def run(program: str) -> str:
    """What a fresh Python prints that runs `program`, which must succeed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(program)],
        capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_waits_though_its_parent_was_waiting_in_threads_and_coroutines():
    out = run(
        PRELUDE
        + """
async def parent():
    awaiting = asyncio.ensure_future(stage.result("parent-async").aget())
    while not stage.reader.room()._watched:
        await asyncio.sleep(0.001)
    blocked = Thread(stage.reader.wait, "parent-thread", 30)
    stage.somebody_waits("parent-thread")
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            child()
            code = 0
        finally:
            sys.stdout.flush()
            os._exit(code)
    status = os.waitpid(pid, 0)[1]
    assert status == 0, status
    stage.succeed("parent-async", 1)
    stage.succeed("parent-thread", 2)
    assert await awaiting == 1
    assert blocked.outcome().result == 2
    print("parent done")

def child():
    assert stage.reader._rooms == {}  # not even under a process id that may come again
    room = stage.reader.room()
    assert (room.pid, room._by_id, room._thread) == (os.getpid(), {}, None)
    threading.Timer(0.01, stage.succeed, ("child", 3)).start()
    assert stage.result("child").get(timeout=10) == 3
    async def main():
        asyncio.get_running_loop().call_later(0.01, stage.succeed, "c2", 4)
        return await stage.result("c2").aget(timeout=10)
    loop = asyncio.new_event_loop()
    asyncio.events._set_running_loop(None)
    assert loop.run_until_complete(main()) == 4
    print("child done")

asyncio.run(parent())
"""
    )
    assert out.split("\n")[:2] == ["child done", "parent done"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_fork_while_the_rooms_lock_is_held_does_not_block_the_child():
    out = run(
        PRELUDE
        + """
room = stage.reader.room()
inside, release = threading.Event(), threading.Event()
def hold():
    with room._lock:
        inside.set()
        release.wait()
holder = Thread(hold)
inside.wait()
pid = os.fork()
if pid == 0:
    stage.succeed("a", 1)
    print(stage.result("a").get(timeout=10), flush=True)
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
release.set()
holder.outcome()
"""
    )
    assert out == "1\n"


def test_greenlets_wait_under_gevent_and_the_hub_runs_on():
    pytest.importorskip("gevent")
    out = run(
        """
from gevent import monkey
monkey.patch_all()
import gevent
"""
        + PRELUDE
        + """
ticks = []
def ticker():
    while True:
        ticks.append(1)
        gevent.sleep(0.001)
gevent.spawn(ticker)
waiting = [gevent.spawn(stage.result(str(n)).get, timeout=20) for n in range(200)]
with gevent.Timeout(20):
    while len(ticks) <= 5 or len(stage.reader.room()._by_id) < 200:
        gevent.sleep(0.01)
assert len(stage.reader.room()._by_id) == 200
for n in range(200):
    stage.succeed(str(n), n)
gevent.joinall(waiting, timeout=20)
assert [g.value for g in waiting] == list(range(200))
assert stage.backend.most_at_once == 1
seen = []
stage.result("t").then(seen.append)
stage.succeed("t", 1)
with gevent.Timeout(20):
    while not seen:
        gevent.sleep(0.01)
assert seen == ["t"]
print("ok", stage.backend.waits < 200)
"""
    )
    assert out == "ok True\n"
