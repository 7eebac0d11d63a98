"""From an outcome to the settlement that tells the broker; and the records of tasks that never got to run. Pure."""

from __future__ import annotations

from skirret import states
from skirret.errors import TaskRevokedError
from skirret.message import Record
from skirret.meta import ResultMeta
from skirret.outcome import Ack, DeadLetter, Defer, Retry, Settlement
from skirret.wire import results as wire_results
from skirret.wire.envelope import Head
from skirret.worker.frames import Outcome

CRASHES = 3
"""Deaths of a child, seen while it ran one task, after which that task is dead-lettered (``worker_crash_limit``)."""


def settlement(tag: int, outcome: Outcome, *, now: float) -> Settlement:
    """What the broker is told of one outcome.

    Args:
        tag: the held message.
        outcome: what a child said.
        now: seconds since the epoch.
    """
    if outcome.kind == "retry" and outcome.publication is not None:
        return Retry(tag=tag, publication=outcome.publication, result=outcome.result)
    if outcome.kind == "reject":
        return DeadLetter(tag=tag, reason=outcome.reason, result=outcome.result)
    if outcome.kind == "requeue":
        return Defer(tag=tag, due=now, counted="delivery")
    if outcome.kind == "unknown":
        return Defer(tag=tag, due=now + 1.0, counted="delivery")
    return Ack(tag=tag, result=outcome.result, successors=outcome.successors)


def after_crash(tag: int, crashes: int, reason: str, result: Record | None, *, limit: int, now: float) -> Settlement:
    """What becomes of a task whose child died while running it.

    The first time it runs again at once, then after 1 s, 2 s, 4 s; at `limit` deaths it is dead-lettered.

    Args:
        crashes: deaths before this one.
        reason: how the child died.
        result: the failure to record at the limit.
    """
    if crashes + 1 >= limit:
        text = f"killed its process {crashes + 1} times, the last time: {reason}"
        return DeadLetter(tag=tag, reason=text, result=result)
    pause = 0.0 if crashes == 0 else 2.0 ** (crashes - 1)
    return Defer(tag=tag, due=now + pause, counted="crash")


def revoked_record(head: Head, reason: str, date_done: str, *, serializer: str, ttl: float | None) -> Record:
    """REVOKED, for a task that expired or was revoked before it began."""
    meta = ResultMeta(
        task_id=head.id,
        status=states.REVOKED,
        result=TaskRevokedError(reason),
        date_done=date_done,
        group_id=head.group,
        parent_id=head.parent_id,
    )
    return _record(meta, serializer, ttl)


def failure_record(head: Head, error: Exception, date_done: str, *, serializer: str, ttl: float | None) -> Record:
    """FAILURE, for a task that no child can tell of."""
    meta = ResultMeta(
        task_id=head.id,
        status=states.FAILURE,
        result=error,
        date_done=date_done,
        group_id=head.group,
        parent_id=head.parent_id,
    )
    return _record(meta, serializer, ttl)


def _record(meta: ResultMeta, serializer: str, ttl: float | None) -> Record:
    payload = wire_results.encode(meta, serializer=serializer)
    return Record(task_id=meta.task_id, state=meta.status, payload=payload, ttl=ttl)
