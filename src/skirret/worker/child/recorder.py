"""What is stored of runs: the bytes of a result and how long they are kept, as the app's settings say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skirret import clock, states
from skirret.app.storing import meta_of
from skirret.message import Record
from skirret.meta import ResultMeta
from skirret.wire import results as wire_results

if TYPE_CHECKING:
    from skirret.app import Skirret
    from skirret.request import Context


class Recorder:
    """Puts ends of runs and what happens before them into records.

    Args:
        app: the finalised app.
    """

    def __init__(self, app: Skirret) -> None:
        conf = app.conf
        self.stores = app.backend.enabled
        """Whether the app keeps results at all."""
        self._replies = not app.backend.shared
        self._serializer = conf.result_serializer
        self._compression = conf.result_compression
        self._extended = bool(conf.result_extended)
        self._is_usual = self._serializer == "json" and not (self._compression or self._extended)
        self._ttl = _seconds(conf.result_expires)
        self._failure_ttl = _seconds(conf.result_failure_expires) or self._ttl

    def success(self, request: Context, task_id: str, value: Any) -> Record:
        """The record of a run that returned `value`.

        Raises:
            EncodeError: the value cannot be serialised.
        """
        if self._is_usual and not request.children:
            payload = wire_results.encode_success(task_id, value, group_id=request.group, parent_id=request.parent_id)
            if payload is not None:
                address = request.reply_to if self._replies else None
                return Record(task_id=task_id, state=states.SUCCESS, payload=payload, ttl=self._ttl, reply_to=address)
        return self.record(request, task_id, states.SUCCESS, value)

    def record(self, request: Context, task_id: str, status: str, result: Any, traceback: str | None = None) -> Record:
        """The record of a run that came to `status`.

        Raises:
            EncodeError: the result cannot be serialised.
        """
        return self._encoded(meta_of(request, task_id, status, result, traceback=traceback), request.reply_to)

    def fault(self, task_id: str, error: Exception, reply_to: str | None) -> Record:
        """The record of a run of which nothing but its `error` can be told, for who waits at `reply_to`."""
        now = clock.utc_now().isoformat()
        return self._encoded(ResultMeta(task_id=task_id, status=states.FAILURE, result=error, date_done=now), reply_to)

    def _encoded(self, meta: ResultMeta, reply_to: str | None) -> Record:
        payload = wire_results.encode(
            meta, serializer=self._serializer, compression=self._compression, extended=self._extended
        )
        ttl = self._failure_ttl if meta.status == states.FAILURE else self._ttl
        address = reply_to if self._replies else None
        return Record(task_id=meta.task_id, state=meta.status, payload=payload, ttl=ttl, reply_to=address)


def _seconds(value: Any) -> float | None:
    if value is None:
        return None
    seconds = value.total_seconds() if hasattr(value, "total_seconds") else float(value)
    return seconds or None
