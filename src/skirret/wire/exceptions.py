"""Exceptions of tasks as results carry them, and back, without ever importing what a result names.

The form is Celery's: ``{"exc_type": qualified name, "exc_message": [args], "exc_module": module}``. Errors that
Celery also has travel under Celery's names both ways, so that each side raises its own class.
Source of the format: celery/backends/base.py (``prepare_exception``, ``exception_to_python``).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import lru_cache
from types import ModuleType
from typing import Any

from skirret import errors
from skirret.errors import RemoteError, SkirretError
from skirret.saferepr import saferepr
from skirret.serializers import pickle as pickling
from skirret.serializers.registry import dumps

_MODULES = {
    "celery.exceptions": (
        "ImproperlyConfigured SecurityError TaskPredicate Ignore Reject Retry TaskError QueueNotFound NotRegistered "
        "AlreadyRegistered InvalidTaskError IncompleteStream TimeoutError MaxRetriesExceededError TaskRevokedError "
        "ChordError BackendError BackendGetMetaError BackendStoreError"
    ),
    "billiard.exceptions": "WorkerLostError Terminated TimeLimitExceeded SoftTimeLimitExceeded",
    "kombu.exceptions": "OperationalError SerializationError EncodeError DecodeError ContentDisallowed",
}
_OURS: dict[tuple[str, str], type[BaseException]] = {
    (module, name): getattr(errors, name) for module, names in _MODULES.items() for name in names.split()
}
_OURS["celery.exceptions", "CeleryError"] = SkirretError
_THEIRS = {kind: told for told, kind in _OURS.items()}
# Celery shows the limits and OperationalError from its own module too.
for _name in (_MODULES["billiard.exceptions"] + " OperationalError").split():
    _OURS["celery.exceptions", _name] = getattr(errors, _name)
pickling.REDIRECTED.update(_OURS)

_LONGEST_NAME = 512
_MOST_ARGS = 1000


def encode(exc: BaseException, serializer: str = "json") -> dict[str, Any]:
    """`exc` as a mapping that `serializer` can write.

    Arguments of the exception that it cannot write are told by their repr. A stand-in that `decode` made is told
    under the names that it stands for.
    """
    kind = type(exc)
    if isinstance(exc, RemoteError) and exc.exc_type:
        module, name = exc.exc_module, exc.exc_type
    else:
        module, name = _THEIRS.get(kind, (kind.__module__, kind.__qualname__))
    return {"exc_type": name, "exc_message": _writable(exc.args, serializer), "exc_module": module}


def decode(told: Mapping[str, Any], *, trusting: bool = True) -> BaseException:
    """The exception that `told` describes.

    Args:
        told: what `encode` or Celery wrote.
        trusting: whether an exception class of a module that is already loaded may be made from it; if not, only
            Python's own and ours are, all others become stand-ins.

    Returns an instance of the class that `told` names if its module is already loaded and it is a subclass of
    Exception, else a stand-in: a ``RemoteError`` of a class with that name. Never raises, never imports.
    """
    name, module, message = told.get("exc_type"), told.get("exc_module"), told.get("exc_message", "")
    if not isinstance(name, str) or not name or len(name) > _LONGEST_NAME:
        return RemoteError(f"a failure that does not say its type: {saferepr(dict(told))}")
    if not isinstance(module, str) or len(module) > _LONGEST_NAME:
        module = ""
    args = tuple(message) if isinstance(message, (list, tuple)) else (message,)
    args = args[:_MOST_ARGS]
    kind = _class(module, name, trusting)
    found = None if kind is None else _instance(kind, args)
    return found if found is not None else stand_in(module, name)(*args)


def stand_in(module: str, name: str) -> type[RemoteError]:
    """The class that stands for ``module.name``: the same one at each call, as far as memory goes."""
    try:
        f"{module}{name}".encode()
    except UnicodeEncodeError:
        module, name = ascii(module), ascii(name)
    return _stand_in(module.replace("\0", ""), name.replace("\0", "") or "RemoteError")


@lru_cache(maxsize=256)
def _stand_in(module: str, name: str) -> type[RemoteError]:
    body = {"__module__": module or RemoteError.__module__, "exc_module": module, "exc_type": name}
    made = type(name.rpartition(".")[2] or name, (RemoteError,), {**body, "__doc__": RemoteError.__doc__})
    made.__qualname__ = name
    return made


def _class(module: str, name: str, trusting: bool) -> type[Exception] | None:
    ours = _OURS.get((module, name))
    if ours is not None:
        return ours if issubclass(ours, Exception) else None
    if not trusting and module not in ("builtins", errors.__name__):
        return None
    # Plain dictionary look-ups: an ordinary attribute access may run a module's or a metaclass's code, and import.
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        if isinstance(found, ModuleType):
            found = object.__getattribute__(found, "__dict__").get(part)
        elif isinstance(found, type):
            found = type.__getattribute__(found, "__dict__").get(part)
        else:
            return None
    return found if isinstance(found, type) and issubclass(found, Exception) else None


def _instance(kind: type[Exception], args: tuple[Any, ...]) -> BaseException | None:
    """`kind` with `args`, or None if even an uninitialised one cannot show itself."""
    try:
        found: object = kind(*args)  # a __new__ may return anything
        if isinstance(found, kind):
            if found.args != args and kind.__str__ is BaseException.__str__:
                # The constructor made its message from other arguments than these: keep what the sender had.
                found.args = args
            if _showable(found):
                return found
    except (Exception, SystemExit):  # noqa: BLE001  the constructor wants something else than ``args``
        pass
    try:
        bare = kind.__new__(kind)
        bare.args = args
    except (Exception, SystemExit):  # noqa: BLE001  user code
        return None
    return bare if _showable(bare) else None


def _showable(exc: BaseException) -> bool:
    try:
        f"{exc}{exc!r}"
    except Exception:  # noqa: BLE001  user code
        return False
    return True


def _writable(args: tuple[Any, ...], serializer: str) -> list[Any]:
    try:
        dumps(args, serializer, accept=(serializer,))
    except Exception:  # noqa: BLE001  a registered serializer may raise anything
        return [_writable_one(arg, serializer) for arg in args]
    return list(args)


def _writable_one(arg: Any, serializer: str) -> Any:
    try:
        dumps(arg, serializer, accept=(serializer,))
    except Exception:  # noqa: BLE001  the same
        return saferepr(arg)
    return arg
