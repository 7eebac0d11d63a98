"""Result meta as result stores keep it: Celery's mapping, serialised, perhaps compressed.

Source of the format: celery/backends/base.py (``_get_result_meta``, ``compress_payload``).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Any, Final, TypeVar

import msgspec

from skirret import states
from skirret.clock import utc_now, utc_text
from skirret.errors import BackendGetMetaError, EncodeError, RemoteError, SkirretError
from skirret.meta import ResultMeta
from skirret.saferepr import saferepr
from skirret.serializers import compression as compressing
from skirret.serializers.limits import Limits, fits_plain, is_plain
from skirret.serializers.registry import dumps, get, loads
from skirret.wire import exceptions

T = TypeVar("T")

MAGIC: Final = b"\0celery-compressed\0"
"""What a compressed payload begins with; the content type, a NUL and the compressed body follow."""

MAX_BYTES: Final = 64 * 1024 * 1024
"""Largest payload, and largest one after decompression, in bytes."""

LIMITS: Final = Limits(nodes=4_000_000)
_WRITE: Final = msgspec.json.Encoder().encode
_EXTENDED: Final = ("name", "args", "kwargs", "worker", "retries", "queue")
_KNOWN: Final = frozenset(
    (
        *("status", "result", "traceback", "children", "date_done", "group_id", "parent_id", "task_id"),
        *("stamped_headers", *_EXTENDED),
    )
)


def encode(
    meta: ResultMeta,
    *,
    serializer: str = "json",
    compression: str | None = None,
    extended: bool = False,
    max_bytes: int = MAX_BYTES,
    limits: Limits = LIMITS,
) -> bytes:
    """`meta` as a payload for result stores.

    Args:
        meta: the state and what it left. A finished state without `date_done` gets the present moment.
        serializer: ``result_serializer``.
        compression: ``result_compression``, or None.
        extended: ``result_extended``: also name, args, kwargs, worker, retries, queue and stamps.
        max_bytes: the largest payload, before and after compression.
        limits: bounds of the payload.

    Raises:
        EncodeError: the result cannot be written, or is too large.
    """
    return _packed(_tell(meta, serializer, extended), serializer, compression, max_bytes, limits)


def encode_success(
    task_id: str, value: Any, *, group_id: str | None = None, parent_id: str | None = None
) -> bytes | None:
    """A plain success in JSON, uncompressed, not extended and without children, as `encode` would write it.

    None where it takes `encode`: a value that needs kombu's dialect, or one that is too large.
    """
    if not is_plain(value):
        return None
    told: dict[str, Any] = {
        "status": states.SUCCESS, "result": value, "traceback": None, "children": [], "date_done": utc_text(),
    }  # fmt: skip
    if group_id:
        told["group_id"] = group_id
    if parent_id:
        told["parent_id"] = parent_id
    told["task_id"] = task_id
    try:
        payload = _WRITE(told)
    except (msgspec.MsgspecError, ValueError):  # lone surrogates
        return None
    return payload if fits_plain(len(payload), LIMITS) else None


def encode_group(
    members: Any,
    *,
    serializer: str = "json",
    compression: str | None = None,
    max_bytes: int = MAX_BYTES,
    limits: Limits = LIMITS,
) -> bytes:
    """The results of a group, as ``GroupResult.as_tuple`` tells them, as a payload; see `encode`."""
    return _packed({"result": members}, serializer, compression, max_bytes, limits)


def _packed(told: Any, serializer: str, compression: str | None, max_bytes: int, limits: Limits) -> bytes:
    payload = dumps(told, serializer, accept=(serializer,), limits=limits)[2]
    if len(payload) > max_bytes:
        raise EncodeError(f"this result takes {len(payload)} bytes, at most {max_bytes} are kept: store it elsewhere")
    if compression:
        body, content_type = compressing.compress(payload, compression)
        return b"".join((MAGIC, content_type.encode("ascii"), b"\0", body))
    return payload


def decode(
    payload: bytes,
    *,
    accept: Collection[str] | None = None,
    serializer: str = "json",
    max_bytes: int = MAX_BYTES,
    limits: Limits = LIMITS,
    trusting: bool = True,
) -> ResultMeta:
    """The meta that `payload` tells.

    Args:
        payload: what a store kept; compressed ones say so themselves.
        accept: ``result_accept_content``, names or content types; None is json alone.
        serializer: ``result_serializer``: payloads do not say what they are.
        max_bytes: the largest payload, before and after decompression.
        limits: bounds, checked before anything is built.
        trusting: see ``wire.exceptions.decode``.

    Raises:
        BackendGetMetaError: it is no result meta, or is beyond a bound, or not accepted.
    """
    return _unpacked(payload, accept, serializer, max_bytes, limits, lambda told: _meta(told, trusting))


def decode_group(
    payload: bytes,
    *,
    accept: Collection[str] | None = None,
    serializer: str = "json",
    max_bytes: int = MAX_BYTES,
    limits: Limits = LIMITS,
) -> Any:
    """The results of a group that `payload` tells, in the form of ``GroupResult.as_tuple``; see `decode`."""
    return _unpacked(payload, accept, serializer, max_bytes, limits, _members)


def _members(told: Any) -> Any:
    if not isinstance(told, Mapping) or told.get("result") is None:
        raise BackendGetMetaError("it is no group")
    return told["result"]


def _unpacked(
    payload: bytes,
    accept: Collection[str] | None,
    serializer: str,
    max_bytes: int,
    limits: Limits,
    understand: Callable[[Any], T],
) -> T:
    try:
        if len(payload) > max_bytes:
            raise BackendGetMetaError(f"{len(payload)} bytes, at most {max_bytes} are read")
        if payload.startswith(MAGIC):
            kind, _, body = payload[len(MAGIC) :].partition(b"\0")
            payload = compressing.decompress(body, kind.decode("ascii", "replace"), max_bytes)
        codec = get(serializer)
        return understand(loads(payload, codec.content_type, codec.content_encoding, accept, limits=limits))
    except BackendGetMetaError as exc:
        raise BackendGetMetaError(f"a stored result cannot be read: {exc}") from exc
    except SkirretError as exc:
        raise BackendGetMetaError(
            f"a stored result cannot be read: {exc}. result_serializer here is {serializer!r}; the worker that wrote "
            "it must have the same"
        ) from exc
    except Exception as exc:
        raise BackendGetMetaError(f"a stored result cannot be read: {type(exc).__name__}: {str(exc)[:200]}") from exc


def _tell(meta: ResultMeta, serializer: str, extended: bool) -> dict[str, Any]:
    status, result = meta.status, meta.result
    date_done = meta.date_done
    if date_done is None and status in states.READY_STATES:
        date_done = utc_now().isoformat()
    told: dict[str, Any] = {
        "status": status,
        "result": _result(result, status, serializer),
        "traceback": meta.traceback,
        "children": meta.children and [_handle(child) for child in meta.children],
        "date_done": date_done,
    }
    if meta.group_id:
        told["group_id"] = meta.group_id
    if meta.parent_id:
        told["parent_id"] = meta.parent_id
    if extended:
        told.update({name: getattr(meta, name) for name in _EXTENDED})
        if meta.stamps:
            told["stamped_headers"] = list(meta.stamps)
            told.update({name: stamp for name, stamp in meta.stamps.items() if name not in _KNOWN})
    told["task_id"] = meta.task_id
    return told


def _result(result: Any, status: str, serializer: str) -> Any:
    if isinstance(result, BaseException) and status in states.EXCEPTION_STATES:
        return _picklable(result) if serializer == "pickle" else exceptions.encode(result, serializer)
    return result if serializer == "pickle" else _handle(result)


def _handle(value: Any) -> Any:
    """The tuple form of a result handle (AsyncResult, GroupResult); anything else as it is."""
    kind = type(value)
    if kind.__module__ == "builtins" or not (hasattr(kind, "as_tuple") and hasattr(kind, "get")):
        return value
    return value.as_tuple()


def _picklable(exc: BaseException) -> Any:
    """Celery pickles exceptions whole; one that cannot be, or that only we know, is told by its names instead."""
    told = exceptions.encode(exc)
    if type(exc).__module__ != told["exc_module"] or isinstance(exc, RemoteError):
        return told
    try:
        body = dumps(exc, "pickle", accept=("pickle",))[2]
        loads(body, "application/x-python-serialize", "binary", ("pickle",))
    except SkirretError:
        return told
    return exc


def _meta(told: Any, trusting: bool) -> ResultMeta:
    if not isinstance(told, Mapping):
        raise BackendGetMetaError(f"it is {type(told).__name__}, not a mapping")
    status, task_id = told.get("status"), told.get("task_id")
    if not isinstance(status, str) or not status:
        raise BackendGetMetaError("it has no status")
    result = told.get("result")
    if status in states.EXCEPTION_STATES and result is not None and not isinstance(result, BaseException):
        result = _exception(result, trusting)
    names = told.get("stamped_headers")
    stamps = {name: told.get(name) for name in names if isinstance(name, str)} if isinstance(names, list) else {}
    children, date_done = told.get("children"), told.get("date_done")
    if isinstance(date_done, datetime):
        date_done = date_done.isoformat()
    return ResultMeta(
        # Some stores of Celery's keep the id only in the key.
        task_id=task_id if isinstance(task_id, str) else "",
        status=status,
        result=result,
        traceback=_text(told, "traceback"),
        children=list(children) if isinstance(children, (list, tuple)) else None,
        date_done=date_done if isinstance(date_done, str) else None,
        group_id=_text(told, "group_id"),
        parent_id=_text(told, "parent_id"),
        name=_text(told, "name"),
        args=told.get("args"),
        kwargs=told.get("kwargs"),
        worker=_text(told, "worker"),
        retries=told["retries"] if isinstance(told.get("retries"), int) else None,
        queue=_text(told, "queue"),
        stamps=stamps,
    )


def _exception(told: Any, trusting: bool) -> BaseException:
    if isinstance(told, Mapping) and "exc_type" in told:
        return exceptions.decode(told, trusting=trusting)
    # A user's own meta under a failure state: `get` must have something to raise.
    return RemoteError(told)


def _text(told: Mapping[str, Any], key: str) -> str | None:
    value = told.get(key)
    return value if value is None or isinstance(value, str) else saferepr(value)
