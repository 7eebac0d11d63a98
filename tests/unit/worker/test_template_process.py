"""The first template is a fork of a young process, in which nothing of the supervisor's is left but its memory."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no template is forked")

YOUNG = """
import json, os, sys
from skirret.worker.options import WorkerOptions
from skirret.worker.template_process import begin_early
"""


def run(code: str) -> object:
    done = subprocess.run([sys.executable, "-c", YOUNG + code], check=True, capture_output=True, text=True, timeout=30)
    return json.loads(done.stdout)


def test_it_shares_memory_and_nothing_that_was_open() -> None:
    told = run("""
secret, writing = os.pipe()
begun = begin_early(WorkerOptions(app="no_such_app"))
begun.line.recv(65536)  # it has answered, so it serves
pid = begun.process.pid
open_ = {fd: os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
same = open(f"/proc/{pid}/cmdline").read() == open("/proc/self/cmdline").read()
inherited = {os.readlink(f"/proc/self/fd/{fd}") for fd in (secret, writing, begun.line.fileno())}
begun.line.close()
print(json.dumps([open_["0"], same, bool(inherited & set(open_.values())), begun.process.wait(10)]))
""")
    assert told == ["/dev/null", True, False, 0]


def test_it_imports_the_app_that_it_is_told_and_answers_in_the_same_words_as_a_fresh_one() -> None:
    told = run("""
from skirret.worker.template_process import begin
options = WorkerOptions(app="no_such_app")
words = []
for begun in (begin_early(options), begin(options, "n@h")):
    words.append(begun.line.recv(65536).decode(errors="replace"))
    begun.line.close()
    begun.process.wait(10)
print(json.dumps(words))
""")
    assert told[0] == told[1]
    assert "no_such_app" in told[0]


@pytest.mark.parametrize(
    "first",
    [
        "import skirret; skirret.Skirret('mine')",
        "import threading; e = threading.Event(); threading.Thread(target=e.wait, daemon=True).start()",
        "options.pool = 'solo'",
        "options.pool = 'gevent'",
        "options.uid = 'nobody'",
        "options.umask = '077'",
    ],
)
def test_a_process_that_others_have_used_or_that_must_change_first_is_not_forked(first: str) -> None:
    assert run(f"options = WorkerOptions(app='x')\n{first}\nprint(json.dumps(begin_early(options)))") is None


def test_its_end_is_waited_for_and_can_be_forced() -> None:
    told = run("""
import subprocess
begun = begin_early(WorkerOptions(app="no_such_app"))
begun.line.recv(65536)
try:
    begun.process.wait(0.05)
except subprocess.TimeoutExpired:
    late = True
begun.process.kill()
code = begun.process.wait(10)
begun.process.kill()  # of one that is gone: nothing
print(json.dumps([late, code, begun.process.wait()]))
""")
    assert told == [True, -9, -9]


def test_what_the_app_registered_for_the_end_of_its_process_is_called(tmp_path) -> None:
    (tmp_path / "leaver.py").write_text(
        "import atexit, pathlib, skirret\n"
        "app = skirret.Skirret('leaver', broker='memory://')\n"
        f"atexit.register(pathlib.Path({str(tmp_path / 'left')!r}).touch)\n"
    )
    told = run(f"""
begun = begin_early(WorkerOptions(app="leaver", workdir={str(tmp_path)!r}))
begun.line.recv(1 << 20)
begun.line.close()
print(json.dumps(begun.process.wait(10)))
""")
    assert told == 0
    assert (tmp_path / "left").exists()


def test_drivers_of_the_servers_that_are_named_are_imported_before_so_that_both_share_them() -> None:
    told = run("""
begun = begin_early(WorkerOptions(app="no_such_app", broker="sqlite:///x.db", result_backend="nonsense://"))
begun.line.close()
print(json.dumps(["skirret.brokers.sqlite" in sys.modules, begun.process.wait(10)]))
""")
    assert told == [True, 0]


def test_where_the_ends_of_children_are_ignored_nobody_knows_how_it_ended() -> None:
    told = run("""
import signal
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
begun = begin_early(WorkerOptions(app="no_such_app"))
begun.line.recv(65536)
begun.line.close()
print(json.dumps(begun.process.wait(10)))
""")
    assert told == 0


def test_a_worker_without_standard_output_can_be_forked() -> None:
    told = run("""
out, sys.stdout = sys.stdout, None
begun = begin_early(WorkerOptions(app="no_such_app"))
sys.stdout = out
begun.line.recv(65536)
begun.line.close()
print(json.dumps(begun.process.wait(10)))
""")
    assert told == 0
