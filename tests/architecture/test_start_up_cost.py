"""What it costs to import Skirret and to ask it for help, in seconds of CPU time of a fresh process.

Each figure is the least of several runs. The promise is the bound in the test's name; MARGIN is added on top, because
CPU time grows on a slow machine and when neighbours share its caches. The processes keep their byte code in a folder
of the test's own: where PYTHONDONTWRITEBYTECODE is set, as in many containers, each run would compile every module
anew, which costs as much again.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from skirret.worker.loop import Loop
from skirret.worker.status_socket import StatusSocket

RUNS = 7
MARGIN = 1.5


@pytest.fixture(autouse=True)
def _byte_code_is_kept(monkeypatch, tmp_path_factory):
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path_factory.mktemp("byte code")))


def cpu_seconds(*command: str) -> float:
    """CPU time (user and system) of one run of `command`, which must succeed."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        complaint = process.stderr.read().decode() if process.stderr else ""
    assert process.returncode == 0, complaint
    return usage.ru_utime + usage.ru_stime


def least_cpu(*command: str) -> float:
    cpu_seconds(*command)  # writes the byte code
    # The least, because whatever else the machine does can only add to it: shared caches make CPU time longer too.
    return min(cpu_seconds(*command) for _ in range(RUNS))


def test_importing_skirret_costs_at_most_60_ms_of_cpu_beyond_python_itself():
    bare = least_cpu(sys.executable, "-c", "pass")
    ours = least_cpu(sys.executable, "-c", "import skirret")
    assert ours - bare <= 0.060 * MARGIN


def test_making_an_app_and_a_task_costs_at_most_150_ms_of_cpu_beyond_python_itself():
    program = "from skirret import Skirret\napp = Skirret('t')\n@app.task\ndef add(x, y): return x + y"
    bare = least_cpu(sys.executable, "-c", "pass")
    assert least_cpu(sys.executable, "-c", program) - bare <= 0.150 * MARGIN


def test_help_costs_at_most_200_ms_of_cpu():
    assert least_cpu(str(Path(sys.executable).parent / "skirret"), "--help") <= 0.200 * MARGIN


def test_asking_for_the_health_of_workers_costs_at_most_50_ms_of_cpu(tmp_path, monkeypatch):
    monkeypatch.setenv("SKIRRET_RUN_DIR", str(tmp_path))
    tmp_path.chmod(0o700)
    loop = Loop()
    state = {"node": "w1@here", "pid": 1, "live": True, "ready": True, "why": [], "busy": 0, "slots": 2}
    status = StatusSocket(loop, "w1@here", lambda: state)
    thread = threading.Thread(target=loop.run)
    thread.start()
    try:
        assert least_cpu(str(Path(sys.executable).parent / "skirret"), "health") <= 0.050 * MARGIN
    finally:
        loop.call_from_thread(status.close)
        loop.call_from_thread(loop.stop)
        thread.join()
        loop.close()


@pytest.mark.parametrize("statement", ["import skirret", "from skirret import Skirret, Task, shared_task"])
def test_no_optional_library_and_no_terminal_library_is_loaded_by(statement):
    slow = ["asyncio", "click", "rich", "sqlite3", "redis", "yaml", "msgpack", "multiprocessing", "unittest"]
    program = f"import sys\n{statement}\nprint(*[name for name in {slow!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.split() == []
