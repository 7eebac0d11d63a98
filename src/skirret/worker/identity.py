"""Who a worker is to the system: user, groups and file mode mask, changed once and for good before the app is imported.

Dropping privileges is all or nothing: the group, the user's supplementary groups, then the user, each of them real,
effective and saved, and then proof that there is no way back. A worker that cannot do all of it does not start.
"""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Collection
from dataclasses import dataclass

from skirret.errors import ImproperlyConfigured

FORCE_ROOT = "C_FORCE_ROOT"
"""Set to anything, this variable lets a worker of the superuser accept pickle; the name is Celery's."""

CODE_ON_DECODING = frozenset({"pickle", "application/x-python-serialize"})
"""Content types whose mere decoding runs what the sender wants."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What to become, as numbers; None leaves that as it is.

    Args:
        uid, gid: user and group.
        groups: the supplementary groups, beside `gid`.
        umask: the file mode mask.
    """

    uid: int | None = None
    gid: int | None = None
    groups: tuple[int, ...] = ()
    umask: int | None = None


def identity(user: str | int | None, group: str | int | None, umask: str | int | None) -> Identity:
    """Look up what names and numbers mean.

    Args:
        user: a name or a number; its own group is taken where `group` is not given.
        group: a name or a number.
        umask: octal text such as ``027``, or a number.

    Raises:
        ImproperlyConfigured: there is no such user or group, or that is no mask.
    """
    gid = None if group is None or group == "" else _group(group)
    if user is None or user == "":
        return Identity(gid=gid, groups=() if gid is None else (gid,), umask=_mask(umask))
    uid, name, own = _user(user)
    gid = own if gid is None else gid
    if gid is None:
        raise ImproperlyConfigured(f"user {user!r} has no entry and so no group of its own; give one with --gid")
    groups = tuple(os.getgrouplist(name, gid)) if name else (gid,)
    return Identity(uid, gid, groups, _mask(umask))


def take_on(wanted: Identity) -> bool:
    """Become `wanted`; doing it twice is the same as once.

    Returns:
        Whether anything changed.

    Raises:
        ImproperlyConfigured: this process may not, or the way back to the superuser is still open afterwards.
    """
    masked = wanted.umask is not None and os.umask(wanted.umask) != wanted.umask
    if _is(wanted):
        return masked
    if os.geteuid() != 0:
        raise ImproperlyConfigured(
            f"only the superuser can change user or group (--uid, --gid); this process is user {os.geteuid()}, "
            f"group {os.getegid()}. Start it as root, or as the user that it should be"
        )
    if wanted.uid is None and wanted.gid:
        raise ImproperlyConfigured("--gid without --uid leaves a worker with all the rights of root; give --uid too")
    try:
        if wanted.gid is not None:
            os.setgroups(wanted.groups)
            os.setresgid(wanted.gid, wanted.gid, wanted.gid)
        if wanted.uid is not None:
            os.setresuid(wanted.uid, wanted.uid, wanted.uid)
    except OSError as exc:
        raise ImproperlyConfigured(f"privileges cannot be dropped ({exc}); the worker does not start") from exc
    if wanted.uid and _can_go_back():
        raise ImproperlyConfigured("privileges were dropped, and yet the way back is open; the worker does not start")
    return True


def refuse_root(accept_content: Collection[str]) -> None:
    """See to it that the superuser does not decode messages that are code.

    Raises:
        ImproperlyConfigured: this is the superuser, pickle is accepted, and ``C_FORCE_ROOT`` is not set.
    """
    if os.geteuid() == 0 and CODE_ON_DECODING & set(accept_content) and not os.environ.get(FORCE_ROOT):
        raise ImproperlyConfigured(
            "a worker that runs as root accepts pickle: whoever can write to the broker is root here. Use --uid and "
            "--gid, or take pickle out of accept_content, or set C_FORCE_ROOT=1 if you know that nobody else can"
        )


def _is(wanted: Identity) -> bool:
    same_user = wanted.uid is None or (wanted.uid,) * 3 == os.getresuid()
    same_group = wanted.gid is None or (wanted.gid,) * 3 == os.getresgid()
    return same_user and same_group and (wanted.gid is None or set(os.getgroups()) <= {*wanted.groups, wanted.gid})


def _can_go_back() -> bool:
    try:
        os.setuid(0)
    except OSError:
        return False
    return True


def _user(user: str | int) -> tuple[int, str, int | None]:
    """Number, name and own group; a number without an entry has neither name nor group."""
    try:
        found = pwd.getpwuid(int(user)) if str(user).isdigit() else pwd.getpwnam(str(user))
    except KeyError:
        if str(user).isdigit():
            return int(user), "", None
        raise ImproperlyConfigured(f"there is no user {user!r} on this machine") from None
    return found.pw_uid, found.pw_name, found.pw_gid


def _group(group: str | int) -> int:
    if str(group).isdigit():
        return int(group)
    try:
        return grp.getgrnam(str(group)).gr_gid
    except KeyError:
        raise ImproperlyConfigured(f"there is no group {group!r} on this machine") from None


def _mask(umask: str | int | None) -> int | None:
    if umask is None or umask == "":
        return None
    try:
        number = umask if isinstance(umask, int) else int(umask, 8)
    except ValueError:
        number = -1
    if not 0 <= number <= 0o777:
        raise ImproperlyConfigured(f"{umask!r} is no file mode mask; give octal digits such as 027")
    return number
