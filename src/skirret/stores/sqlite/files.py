"""Makes the embedded file and its directory for their owner alone, and refuses places where it cannot be safe."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from skirret.errors import ImproperlyConfigured, SkirretError
from skirret.stores.sqlite import faults
from skirret.stores.sqlite.location import DIRECTORY

NETWORK = frozenset({
    "9p", "afs", "beegfs", "ceph", "cifs", "coda", "fuse.ceph", "fuse.glusterfs", "fuse.rclone", "fuse.s3fs",
    "fuse.sshfs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "smb2", "smb3", "smbfs", "vboxsf", "vmhgfs",
})  # fmt: skip
"""Types of file systems that several machines write, without the locks and shared memory that SQLite needs."""

MOUNTS = Path("/proc/self/mountinfo")


def make(path: Path) -> None:
    """Make the file if it is missing, and its directory; of directories that exist nothing is changed.

    Raises:
        ImproperlyConfigured: it is on a network file system.
        OperationalError: it cannot be made.
    """
    try:
        if not path.parent.is_dir():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _ignore(path.parent)
        elif path.parent.name == DIRECTORY and not path.exists():
            _ignore(path.parent)
        refuse_network(path)
        # The only place that opens the file beside SQLite, and only to make it: closing it later would drop the
        # locks that SQLite holds for this process.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        pass
    except OSError as exc:
        raise in_words(exc, path) from exc


def _ignore(directory: Path) -> None:
    ignore = directory / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n", encoding="ascii")


def in_words(exc: OSError, path: Path) -> SkirretError:
    """Our error for one of the operating system's."""
    match exc.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return faults.disk_full(path)
        case errno.EROFS | errno.EACCES | errno.EPERM:
            return faults.read_only(path)
        case _:
            return faults.cannot_open(path, exc)


def refuse_network(path: Path) -> None:
    """Raise ImproperlyConfigured if the file is, or would be, on a network file system."""
    kind = file_system(path)
    if kind in NETWORK:
        raise ImproperlyConfigured(
            f"{path} is on a network file system ({kind}), where SQLite's locks do not hold and messages would be "
            "lost. Set SKIRRET_HOME to a directory on a local disk, or set broker_url to a server such as Redis."
        )


def file_system(path: Path) -> str:
    """The type of the file system that holds `path`, as Linux names it; "" where that cannot be told."""
    try:
        mounts = MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return ""
    real = os.path.realpath(path)
    best, found = "", ""
    for line in mounts:
        left, _, right = line.partition(" - ")
        # Spaces and the like are written as octal escapes; see proc(5).
        point = left.split(" ")[4].encode("utf-8", "surrogateescape").decode("unicode_escape")
        inside = real == point or real.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):  # a later mount on the same point hides the earlier one
            best, found = point, right.split(" ")[0]
    return found
