"""A pid file keeps a second worker away while the first lives, and never longer."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from skirret.errors import ImproperlyConfigured
from skirret.worker.pidfile import PidFile, PidFileTaken, owner, start_time

HOLD = (
    "import sys; from skirret.worker.pidfile import PidFile; PidFile(sys.argv[1]).acquire(); "
    "print('held', flush=True); sys.stdin.read()"
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "w1.pid"


@pytest.fixture
def holder(path):
    program = [sys.executable, "-c", HOLD, str(path)]
    process = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.communicate()


def test_it_holds_the_process_id_and_is_gone_after_the_end(path):
    held = PidFile(str(path))
    held.acquire()
    assert path.read_text() == f"{os.getpid()}\n"
    assert owner(str(path)) == os.getpid()
    held.release()
    assert not path.exists()
    assert owner(str(path)) == 0


def test_a_living_owner_keeps_others_away(path, holder):
    with pytest.raises(PidFileTaken, match=f"process {holder.pid}, which runs"):
        PidFile(str(path)).acquire()
    assert owner(str(path)) == holder.pid


def test_the_file_of_a_killed_owner_is_taken_over(path, holder):
    holder.kill()
    holder.wait()
    assert owner(str(path)) == 0
    PidFile(str(path)).acquire()
    assert owner(str(path)) == os.getpid()


def test_a_number_that_another_process_has_got_since_is_not_its_owner(path):
    path.write_text(f"{os.getpid()}\n")
    long_ago = start_time(os.getpid()) - 60
    os.utime(path, (long_ago, long_ago))
    assert owner(str(path)) == 0
    PidFile(str(path)).acquire()


def test_a_living_process_without_a_lock_is_believed_too(path):
    path.write_text(f"{os.getpid()}\n")  # as Celery writes it
    with pytest.raises(PidFileTaken):
        PidFile(str(path)).acquire()


def test_a_symbolic_link_is_never_followed(path, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("4711\n")
    path.symlink_to(victim)
    with pytest.raises(ImproperlyConfigured, match="symbolic link"):
        PidFile(str(path)).acquire()
    assert victim.read_text() == "4711\n"


def test_a_file_of_another_kind_is_left_alone(path):
    path.write_text("my diary\n")
    with pytest.raises(ImproperlyConfigured, match="is no pid file: it says 'my diary'"):
        PidFile(str(path)).acquire()
    assert path.read_text() == "my diary\n"


def test_a_missing_directory_is_named(tmp_path):
    with pytest.raises(ImproperlyConfigured, match="cannot be written: No such file"):
        PidFile(str(tmp_path / "none" / "w1.pid")).acquire()


def test_of_many_that_find_a_stale_file_at_once_one_gets_it(path):
    for _ in range(20):
        path.write_text("999999999\n")
        held, together = [], threading.Barrier(4)

        def compete(held=held, together=together):
            pidfile = PidFile(str(path))
            together.wait()
            try:
                pidfile.acquire()
                held.append(pidfile)
            except PidFileTaken:
                pass

        threads = [threading.Thread(target=compete) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(held) == 1
        held[0].release()
