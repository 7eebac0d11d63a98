"""Tasks that tell what their process is: for tests of workers that are services of their machine."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

from skirret import Skirret

app = Skirret("services")
app.conf.worker_direct = True
IMPORTED_AS = [os.getgid(), os.getgroups(), os.umask(0o22)]
os.umask(IMPORTED_AS[2])


@app.task
def who() -> list:
    """The identity under which the app was imported, and the terminal and session of this process."""
    outputs = [str(Path(f"/proc/self/fd/{fd}").readlink()) for fd in (0, 1, 2)]
    logging.getLogger(__name__).warning("asked who I am")
    return [IMPORTED_AS, outputs, os.getsid(0), Path("/proc/self/stat").read_text().rpartition(")")[2].split()[4]]


@app.task
def sleep(seconds: float) -> None:
    """Hold a slot."""
    time.sleep(seconds)


@app.task
def command() -> str:
    """The command line of this process."""
    return Path("/proc/self/cmdline").read_bytes().replace(b"\0", b" ").decode()
