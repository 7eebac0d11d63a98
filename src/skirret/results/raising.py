"""How the exception of a remote task is raised here: a fresh copy each time, with the remote traceback as a note."""

from __future__ import annotations

import copy
from typing import TypeVar

from skirret import states
from skirret.errors import RemoteError, TaskRevokedError
from skirret.meta import ResultMeta

E = TypeVar("E", bound=BaseException)


def fresh(exc: E) -> E:
    """A copy of `exc` of the same class, arguments and attributes, without traceback and context.

    Raising a stored exception would tie the raiser's frames to it for as long as it is stored, and would show the
    frames of earlier raises. A class that cannot be copied by calling it is copied without its ``__init__``.
    """
    try:
        twin = copy.copy(exc)
        if type(twin) is not type(exc) or twin is exc or bool(twin.args != exc.args):
            twin = _without_init(exc)
    except Exception:  # noqa: BLE001  a user's __init__, __reduce__ or __eq__ may raise anything
        twin = _without_init(exc)
    notes = getattr(exc, "__notes__", None)
    if notes is not None:
        twin.__notes__ = list(notes)
    twin.__cause__, twin.__suppress_context__ = exc.__cause__, exc.__suppress_context__
    return twin.with_traceback(None)


def _without_init(exc: E) -> E:
    twin = type(exc).__new__(type(exc), *exc.args)
    twin.args = exc.args
    twin.__dict__.update(exc.__dict__)
    return twin


def remote_error(meta: ResultMeta) -> BaseException:
    """The exception to raise for `meta`, whose state is one of ``PROPAGATE_STATES``.

    Its notes show the traceback of the process that ran the task. A result that is no exception becomes a
    TaskRevokedError or a RemoteError with that value.
    """
    if isinstance(meta.result, BaseException):
        exc = fresh(meta.result)
    elif meta.status == states.REVOKED:
        exc = TaskRevokedError("revoked" if meta.result is None else meta.result)
    else:
        exc = RemoteError(meta.result)
    if meta.traceback:
        where = f" on {meta.worker}" if meta.worker else ""
        exc.add_note(f"Traceback of task {meta.task_id}{where}:\n{meta.traceback.rstrip()}")
    return exc
