"""Celery's signals, told by one middleware: the same moments, senders and arguments as in Celery 5.7."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from skirret import signals
from skirret.middleware.middleware import Middleware

if TYPE_CHECKING:
    from skirret.excinfo import ExceptionInfo
    from skirret.middleware.outgoing import Outgoing
    from skirret.request import Context
    from skirret.signals import Signal

_SIGNALS: Final[dict[str, Signal]] = {
    "before_publish": signals.before_task_publish,
    "after_publish": signals.after_task_publish,
    "before_run": signals.task_prerun,
    "succeeded": signals.task_success,
    "failed": signals.task_failure,
    "retried": signals.task_retry,
    "internal_error": signals.task_internal_error,
    "after_run": signals.task_postrun,
    "received": signals.task_received,
    "revoked": signals.task_revoked,
    "rejected": signals.task_rejected,
    "unknown": signals.task_unknown,
    "celeryd_init": signals.celeryd_init,
    "worker_init": signals.worker_init,
    "celeryd_after_setup": signals.celeryd_after_setup,
    "before_create_process": signals.worker_before_create_process,
    "process_init": signals.worker_process_init,
    "process_shutdown": signals.worker_process_shutdown,
    "worker_ready": signals.worker_ready,
    "worker_shutting_down": signals.worker_shutting_down,
    "worker_shutdown": signals.worker_shutdown,
    "heartbeat_sent": signals.heartbeat_sent,
}
"""The signal that each hook tells."""


class SignalTeller(Middleware):
    """The first member of every stack; it listens where a signal has receivers."""

    def listens(self, hook: str) -> bool:
        """Whether the hook's signal has a receiver."""
        return bool(_SIGNALS[hook])

    def before_publish(self, outgoing: Outgoing) -> None:
        signals.before_task_publish.send(
            sender=outgoing.task, body=outgoing.body, exchange=outgoing.exchange, routing_key=outgoing.routing_key,
            declare=outgoing.declare, headers=outgoing.headers, properties=outgoing.properties,
            retry_policy=outgoing.retry_policy,
        )  # fmt: skip

    def after_publish(self, outgoing: Outgoing) -> None:
        signals.after_task_publish.send(
            sender=outgoing.task, body=outgoing.body, headers=outgoing.headers, exchange=outgoing.exchange,
            routing_key=outgoing.routing_key,
        )  # fmt: skip

    def before_run(self, task: Any, request: Context) -> None:
        signals.task_prerun.send(sender=task, task_id=request.id, task=task, args=request.args, kwargs=request.kwargs)

    def succeeded(self, task: Any, request: Context, value: Any, runtime: float) -> None:
        signals.task_success.send(sender=task, result=value, runtime=runtime)

    def failed(self, task: Any, request: Context, error: ExceptionInfo, runtime: float) -> None:
        signals.task_failure.send(
            sender=task, task_id=request.id, exception=error.exception, args=request.args, kwargs=request.kwargs,
            traceback=error.exception.__traceback__, einfo=error,
        )  # fmt: skip

    def retried(self, task: Any, request: Context, reason: BaseException, error: ExceptionInfo) -> None:
        signals.task_retry.send(sender=task, request=request, reason=reason, einfo=error)

    def internal_error(self, task: Any, request: Context, error: ExceptionInfo) -> None:
        signals.task_internal_error.send(
            sender=task, task_id=request.id, args=request.args, kwargs=request.kwargs, request=request,
            exception=error.exception, traceback=error.exception.__traceback__, einfo=error,
        )  # fmt: skip

    def after_run(self, task: Any, request: Context, state: str, value: Any) -> None:
        signals.task_postrun.send(
            sender=task, task_id=request.id, task=task, args=request.args, kwargs=request.kwargs, retval=value,
            state=state,
        )  # fmt: skip

    def received(self, request: Any, node: Any) -> None:
        signals.task_received.send(sender=node, request=request)

    def revoked(self, task: Any, request: Any, terminated: bool, signum: int | None, expired: bool) -> None:
        signals.task_revoked.send(sender=task, request=request, terminated=terminated, signum=signum, expired=expired)

    def rejected(self, message: Any, error: BaseException, node: Any) -> None:
        signals.task_rejected.send(sender=node, message=message, exc=error)

    def unknown(self, message: Any, name: str, task_id: str, error: BaseException, node: Any) -> None:
        signals.task_unknown.send(sender=node, message=message, exc=error, name=name, id=task_id)

    def celeryd_init(self, node: Any, conf: Any, options: dict[str, Any]) -> None:
        signals.celeryd_init.send(sender=node.hostname, instance=node, conf=conf, options=options)

    def worker_init(self, node: Any) -> None:
        signals.worker_init.send(sender=node)

    def celeryd_after_setup(self, node: Any, conf: Any) -> None:
        signals.celeryd_after_setup.send(sender=node.hostname, instance=node, conf=conf)

    def before_create_process(self, node: Any) -> None:
        signals.worker_before_create_process.send(sender=node)

    def process_init(self, node: Any) -> None:
        signals.worker_process_init.send(sender=node.hostname)

    def process_shutdown(self, node: Any, pid: int, exitcode: int) -> None:
        signals.worker_process_shutdown.send(sender=node.hostname, pid=pid, exitcode=exitcode)

    def worker_ready(self, node: Any) -> None:
        signals.worker_ready.send(sender=node)

    def worker_shutting_down(self, node: Any, sig: str, how: str, exitcode: int) -> None:
        signals.worker_shutting_down.send(sender=node.hostname, sig=sig, how=how, exitcode=exitcode)

    def worker_shutdown(self, node: Any) -> None:
        signals.worker_shutdown.send(sender=node)

    def heartbeat_sent(self, node: Any) -> None:
        signals.heartbeat_sent.send(sender=node)
