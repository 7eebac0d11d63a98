"""Where the workers of one user on this machine can be asked how they are: a private directory with a socket for each.

It is ``SKIRRET_RUN_DIR``, or ``skirret-UID`` in the directory for temporary files. Only its owner may enter it, and it
is used by nobody if anybody else may. The name of a socket begins with the process id. This file imports little,
because ``skirret health`` must answer at once.
"""

from __future__ import annotations

import os
import stat

VARIABLE = "SKIRRET_RUN_DIR"
TEMPORARY = "/tmp"  # noqa: S108  what is made there is private, and is looked at before it is used
MAX_PATH = 100
"""Bytes of a socket's path; the system takes 107, or 103 on some."""


def directory() -> str:
    """The directory's path."""
    return os.environ.get(VARIABLE) or f"{os.environ.get('TMPDIR') or TEMPORARY}/skirret-{os.getuid()}"


def fault(path: str) -> str:
    """Why the directory cannot be trusted; empty if it can."""
    try:
        found = os.lstat(path)
    except OSError as exc:
        return exc.strerror or str(exc)
    if not stat.S_ISDIR(found.st_mode):
        return "it is no directory"
    if found.st_uid != os.getuid():
        return f"it belongs to user {found.st_uid}, not to {os.getuid()}"
    if found.st_mode & 0o077:
        return f"others may enter it (its mode is {stat.S_IMODE(found.st_mode):o}, not 700)"
    return ""


def socket_path(path: str, pid: int, node: str) -> str:
    """The path of one worker's socket."""
    safe = "".join(char if char.isalnum() or char in "@._-" else "_" for char in node)
    return f"{path}/{pid}-{safe}"[: MAX_PATH - 5] + ".sock"


def sweep(path: str) -> None:
    """Remove the sockets whose workers are gone."""
    import socket

    for name in sockets(path):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.setblocking(False)
            try:
                line.connect(name)
            except ConnectionRefusedError:
                try:
                    os.unlink(name)  # noqa: PTH108  as above
                except OSError:
                    pass
            except OSError:
                pass


def sockets(path: str) -> list[str]:
    """The paths of all sockets there."""
    try:
        return sorted(f"{path}/{name}" for name in os.listdir(path) if name.endswith(".sock"))  # noqa: PTH208  as above
    except OSError:
        return []
