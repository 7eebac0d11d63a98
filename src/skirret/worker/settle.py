"""From an outcome to the settlement that tells the broker; and the records of tasks that no child can tell of."""

from __future__ import annotations

from skirret import clock, states
from skirret.errors import NotRegistered, TaskRevokedError, TimeLimitExceeded, WorkerLostError
from skirret.message import Malformed, Record
from skirret.meta import ResultMeta
from skirret.outcome import Ack, DeadLetter, Defer, Release, Retry, Settlement
from skirret.wire import results as wire_results
from skirret.wire.envelope import Head
from skirret.worker.frames import Outcome
from skirret.worker.rules import Rules


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
        return DeadLetter(tag=tag, reason=outcome.reason, result=outcome.result, successors=outcome.successors)
    if outcome.kind == "requeue":
        return Defer(tag=tag, due=now, counted="delivery")
    if outcome.kind == "release":
        return Release(tag=tag)
    if outcome.kind == "unknown":
        return Defer(tag=tag, due=now + 1.0, counted="delivery")
    return Ack(tag=tag, result=outcome.result, successors=outcome.successors)


def pause_after(crashes: int) -> float:
    """Seconds until a task whose process died runs again: at once after the first death, then 1 s, 2 s, 4 s, ...

    Args:
        crashes: deaths before this one.
    """
    return 0.0 if crashes == 0 else float(2.0 ** (crashes - 1))


def without_result(told: Settlement) -> Settlement:
    """The same settlement for a broker that keeps no results: they are stored already."""
    if isinstance(told, Ack):
        return Ack(tag=told.tag, successors=told.successors)
    if isinstance(told, Retry):
        return Retry(tag=told.tag, publication=told.publication)
    if isinstance(told, DeadLetter):
        return DeadLetter(tag=told.tag, reason=told.reason, successors=told.successors)
    return told


class Records:
    """What is stored for tasks that no child can tell of. Each is None where nothing is to be kept.

    Args:
        rules: what is kept, and how it is encoded.
    """

    def __init__(self, rules: Rules) -> None:
        self._rules = rules

    def revoked(self, head: Head, reason: str) -> Record | None:
        """REVOKED, for a task that expired or was revoked before it began."""
        if not self._rules.keeps_result(head, failed=False):
            return None
        return self._record(head, states.REVOKED, TaskRevokedError(reason))

    def lost(self, head: Head, how: str) -> Record | None:
        """FAILURE, for a task whose process ended (`how`, in words)."""
        if not self._rules.keeps_result(head, failed=True):
            return None
        return self._record(head, states.FAILURE, WorkerLostError(f"the process that ran this task was {how}"))

    def overdue(self, head: Head, seconds: float) -> Record | None:
        """FAILURE, for a task that ran longer than its hard limit."""
        if not self._rules.keeps_result(head, failed=True):
            return None
        return self._record(head, states.FAILURE, TimeLimitExceeded(seconds))

    def refused(self, head: Head | Malformed, reason: str) -> Record | None:
        """FAILURE, for a message that never ran: its caller must not wait for ever."""
        if isinstance(head, Malformed) or not self._rules.keeps_result(head, failed=True):
            return None
        known = head.task in self._rules.tasks
        return self._record(head, states.FAILURE, WorkerLostError(reason) if known else NotRegistered(reason))

    def _record(self, head: Head, state: str, error: Exception) -> Record:
        meta = ResultMeta(
            task_id=head.id,
            status=state,
            result=error,
            date_done=clock.utc_now().isoformat(),
            group_id=head.group,
            parent_id=head.parent_id,
        )
        try:
            payload = wire_results.encode(meta, serializer=self._rules.serializer)
        except Exception:  # noqa: BLE001  a serializer that only the app's own code knows: JSON tells it too
            payload = wire_results.encode(meta)
        return Record(task_id=head.id, state=state, payload=payload, ttl=self._rules.ttl, reply_to=head.reply_to)
