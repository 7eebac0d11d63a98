"""Signals: named moments that user code can listen to. Names and arguments are Celery 5.7's ``celery.signals``.

A receiver is called with ``signal``, ``sender`` and the signal's own keyword arguments, and must accept further ones.
What it raises is logged and does not reach the sender.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Collection, Hashable
from typing import Any, TypeVar, overload

from skirret import loggers

Receiver = TypeVar("Receiver", bound=Callable[..., Any])

_log = loggers.own("skirret.signals")

_observers: list[weakref.WeakMethod[Callable[[], None]]] = []


def observe(changed: Callable[[], None]) -> None:
    """Call the method `changed` whenever a signal gets its first receiver or loses its last, while its owner lives."""
    _observers.append(weakref.WeakMethod(changed, _observers.remove))


def _tell_observers() -> None:
    for reference in tuple(_observers):  # one that is forgotten meanwhile leaves the list
        changed = reference()
        if changed is not None:
            changed()


def _sender_key(sender: Any) -> Hashable:
    # Task names are compared as text (publish signals are sent by name), everything else by identity.
    return sender if isinstance(sender, str) or sender is None else id(sender)


def _receiver_key(receiver: Callable[..., Any]) -> Hashable:
    owner = getattr(receiver, "__self__", None)
    if owner is not None:
        return id(owner), id(getattr(receiver, "__func__", receiver))
    return id(receiver)


class Signal:
    """One moment that can be listened to.

    Args:
        name: for messages.
        providing_args: names of the keyword arguments that ``send`` is called with.
    """

    __slots__ = ("_entries", "name", "providing_args")

    def __init__(self, name: str = "signal", providing_args: Collection[str] = ()) -> None:
        self.name = name
        self.providing_args = frozenset(providing_args)
        # (receiver's key, sender's key) -> (weak or plain reference, sender kept alive so that its id stays its own)
        self._entries: dict[tuple[Hashable, Hashable], tuple[Any, Any]] = {}

    def __bool__(self) -> bool:
        return bool(self._entries)

    @property
    def receivers(self) -> list[Callable[..., Any]]:
        """All living receivers, in the order of their connection."""
        return [found for ref, _ in list(self._entries.values()) if (found := _resolve(ref)) is not None]

    @overload
    def connect(self, receiver: Receiver, **options: Any) -> Receiver: ...

    @overload
    def connect(self, **options: Any) -> Callable[[Receiver], Receiver]: ...

    def connect(self, receiver: Any = None, **options: Any) -> Any:
        """Call `receiver` whenever this signal is sent; also a decorator, plain or with options.

        Args:
            receiver: a callable that accepts keyword arguments.
            **options: ``sender`` (only signals from it; a task or a task's name), ``weak`` (default True: a receiver
                that nothing else refers to is forgotten), ``dispatch_uid`` (an identity of its own, so that a
                receiver that is imported twice is called once).
        """
        unknown = set(options) - {"sender", "weak", "dispatch_uid"}
        if unknown:
            raise TypeError(f"connect() got unknown options: {', '.join(sorted(unknown))}")
        if receiver is None:
            return lambda function: self.connect(function, **options)
        if not callable(receiver):
            raise TypeError(f"a receiver must be callable, not {type(receiver).__name__}")
        sender = options.get("sender")
        key = (options.get("dispatch_uid") or _receiver_key(receiver), _sender_key(sender))
        reference: Any = receiver
        if options.get("weak", True):
            kind = weakref.WeakMethod if hasattr(receiver, "__self__") else weakref.ref
            try:
                reference = kind(receiver, self._forgetter(key))
            except TypeError:  # builtins and partials of C types cannot be referred to weakly
                reference = receiver
        first = not self._entries
        self._entries.setdefault(key, (reference, sender))
        if first:
            _tell_observers()
        return receiver

    def _forgetter(self, key: tuple[Hashable, Hashable]) -> Callable[[Any], None]:
        def forget(_: Any) -> None:
            self._forget(key)

        return forget

    def disconnect(self, receiver: Any = None, sender: Any = None, dispatch_uid: Hashable = None) -> bool:
        """Forget a receiver that was connected with the same `sender` and `dispatch_uid`; whether there was one."""
        key = (_receiver_key(receiver) if dispatch_uid is None else dispatch_uid, _sender_key(sender))
        return self._forget(key)

    def _forget(self, key: tuple[Hashable, Hashable]) -> bool:
        found = self._entries.pop(key, None) is not None
        if found and not self._entries:
            _tell_observers()
        return found

    def has_listeners(self, sender: Any = None) -> bool:
        """Whether somebody would be called."""
        return bool(self._entries) and bool(self._living(sender))

    def _living(self, sender: Any) -> list[Callable[..., Any]]:
        wanted = (None, _sender_key(sender))
        found = (_resolve(ref) for key, (ref, _) in list(self._entries.items()) if key[1] in wanted)
        return [receiver for receiver in found if receiver is not None]

    def send(self, sender: Any = None, **named: Any) -> list[tuple[Callable[..., Any], Any]]:
        """Call every receiver; pairs of receiver and what it returned, or the exception that it raised."""
        if not self._entries:
            return []
        answers: list[tuple[Callable[..., Any], Any]] = []
        for receiver in self._living(sender):
            try:
                answer = receiver(signal=self, sender=sender, **named)
            except Exception as exc:  # noqa: BLE001  a listener must not hurt the sender
                _log.exception("receiver %r of signal %s raised %r", receiver, self.name, exc)
                answer = exc
            answers.append((receiver, answer))
        return answers

    send_robust = send

    def __repr__(self) -> str:
        return f"<Signal: {self.name} providing_args={sorted(self.providing_args)}>"


def _resolve(reference: Any) -> Callable[..., Any] | None:
    if isinstance(reference, weakref.ReferenceType):
        found: Callable[..., Any] | None = reference()
        return found
    plain: Callable[..., Any] = reference
    return plain


def _declare(name: str, arguments: str = "") -> Signal:
    return Signal(name, arguments.split())


before_task_publish = _declare(
    "before_task_publish", "body exchange routing_key headers properties declare retry_policy"
)
after_task_publish = _declare("after_task_publish", "body exchange routing_key headers")
task_sent = _declare("task_sent", "task_id task args kwargs eta taskset")  # deprecated in Celery; never sent
task_received = _declare("task_received", "request")
task_prerun = _declare("task_prerun", "task_id task args kwargs")
task_postrun = _declare("task_postrun", "task_id task args kwargs retval state")
task_success = _declare("task_success", "result runtime")
task_retry = _declare("task_retry", "request reason einfo")
task_failure = _declare("task_failure", "task_id exception args kwargs traceback einfo")
task_internal_error = _declare("task_internal_error", "task_id args kwargs request exception traceback einfo")
task_revoked = _declare("task_revoked", "request terminated signum expired")
task_rejected = _declare("task_rejected", "message exc")
task_unknown = _declare("task_unknown", "message exc name id")

celeryd_init = _declare("celeryd_init", "instance conf options")
celeryd_after_setup = _declare("celeryd_after_setup", "instance conf")
import_modules = _declare("import_modules")
worker_init = _declare("worker_init")
worker_before_create_process = _declare("worker_before_create_process")
worker_process_init = _declare("worker_process_init")
worker_process_shutdown = _declare("worker_process_shutdown", "pid exitcode")
worker_ready = _declare("worker_ready")
worker_shutting_down = _declare("worker_shutting_down", "sig how exitcode")
worker_shutdown = _declare("worker_shutdown")
heartbeat_sent = _declare("heartbeat_sent")

setup_logging = _declare("setup_logging", "loglevel logfile format colorize")
after_setup_logger = _declare("after_setup_logger", "logger loglevel logfile format colorize")
after_setup_task_logger = _declare("after_setup_task_logger", "logger loglevel logfile format colorize")
beat_init = _declare("beat_init")
beat_embedded_init = _declare("beat_embedded_init")
eventlet_pool_started = _declare("eventlet_pool_started")
eventlet_pool_preshutdown = _declare("eventlet_pool_preshutdown")
eventlet_pool_postshutdown = _declare("eventlet_pool_postshutdown")
eventlet_pool_apply = _declare("eventlet_pool_apply", "target args kwargs")
user_preload_options = _declare("user_preload_options", "app options")

test_worker_starting = _declare("test_worker_starting")
test_worker_started = _declare("test_worker_started", "worker consumer")
test_worker_stopped = _declare("test_worker_stopped", "worker")
