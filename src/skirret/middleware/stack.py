"""The one ordered stack of an app's middleware; each hook is a tuple of what is to be called, mostly empty.

Whoever reaches a hook point asks ``if stack.before_run:`` and pays a truth test of an empty tuple, nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

from skirret import signals
from skirret.middleware.middleware import Middleware
from skirret.middleware.signal_teller import SignalTeller
from skirret.plugins import import_object

M = TypeVar("M", bound=Middleware)
Calls = tuple[Callable[..., Any], ...]

HOOKS: Final = tuple(name for name in vars(Middleware) if not name.startswith("_") and name != "listens")
"""The names of all hooks."""

NODE_HOOKS: Final = frozenset(
    {"received", "revoked", "rejected", "unknown", "worker_ready", "worker_shutting_down", "worker_shutdown",
     "heartbeat_sent"}
)  # fmt: skip
"""Hooks that a worker's supervisor has its handler process call."""

_RUN_HOOKS: Final = (
    "before_run", "succeeded", "failed", "retried", "internal_error", "after_run", "after_publish"
)  # fmt: skip

_ENDINGS: Final = frozenset(
    {"after_publish", "succeeded", "failed", "retried", "internal_error", "after_run", "process_shutdown",
     "worker_shutting_down", "worker_shutdown"}
)  # fmt: skip


class Stack:
    """An app's middleware, in order. The signals are told by its first member.

    Every hook of `Middleware` is an attribute here: the bound methods to call, in their order.
    """

    before_publish: Calls
    after_publish: Calls
    before_run: Calls
    succeeded: Calls
    failed: Calls
    retried: Calls
    internal_error: Calls
    after_run: Calls
    received: Calls
    revoked: Calls
    rejected: Calls
    unknown: Calls
    celeryd_init: Calls
    worker_init: Calls
    celeryd_after_setup: Calls
    before_create_process: Calls
    process_init: Calls
    process_shutdown: Calls
    worker_ready: Calls
    worker_shutting_down: Calls
    worker_shutdown: Calls
    heartbeat_sent: Calls

    runs: bool
    """Whether anybody wants to hear of runs: the one thing that a run asks while nobody does."""

    def __init__(self) -> None:
        self._members: tuple[Middleware, ...] = (SignalTeller(),)
        self._state = object()
        signals.observe(self._changed)
        self._changed()

    def add(
        self,
        member: M | type[M] | str,
        *,
        before: type[Middleware] | None = None,
        after: type[Middleware] | None = None,
    ) -> M:
        """Add a middleware at the end, or beside another.

        Args:
            member: an instance, a class (called without arguments), or the path of one (``proj.hooks:Tracing``).
            before, after: the class of the member that it goes before, or after.

        Returns:
            The instance.

        Raises:
            TypeError: it is no `Middleware`.
            ValueError: there is no member of the class named by `before` or `after`.
        """
        found: Any = import_object(member) if isinstance(member, str) else member
        made: Any = found() if isinstance(found, type) else found
        if not isinstance(made, Middleware):
            raise TypeError(
                f"{member!r} is no middleware: subclass skirret.Middleware and add the class or an instance"
            )
        at = self._place(before, after)
        self._members = (*self._members[:at], made, *self._members[at:])
        self._changed()
        return made  # type: ignore[return-value]

    def remove(self, member: Middleware | type[Middleware]) -> None:
        """Take out an instance, or all of a class; the signals' own stays."""
        own, *others = self._members
        kept = [one for one in others if one is not member and not (isinstance(member, type) and type(one) is member)]
        self._members = (own, *kept)
        self._changed()

    def __iter__(self) -> Iterator[Middleware]:
        return iter(self._members)

    def tell(self, calls: Calls, *args: Any, veto: bool = False) -> None:
        """Call hooks, and run those that are coroutines to their end.

        Args:
            calls: such as ``stack.before_publish``.
            *args: theirs.
            veto: whether one may raise a `TaskPredicate` to stop what is about to happen; all else is logged.

        Raises:
            TaskPredicate: a veto.
        """
        if calls:
            from skirret.middleware import telling  # not needed where nobody listens

            telling.tell(calls, *args, veto=veto)

    async def atell(self, calls: Calls, *args: Any, veto: bool = False) -> None:
        """`tell` that awaits coroutines."""
        if calls:
            from skirret.middleware import telling

            await telling.atell(calls, *args, veto=veto)

    def heard(self) -> frozenset[str]:
        """The names of the hooks that somebody listens to."""
        return frozenset(hook for hook in HOOKS if getattr(self, hook))

    def _place(self, before: type[Middleware] | None, after: type[Middleware] | None) -> int:
        wanted = before or after
        if wanted is None:
            return len(self._members)
        for at, member in enumerate(self._members):
            if isinstance(member, wanted):
                return at if before else at + 1
        raise ValueError(f"no {wanted.__name__} is in the stack: {', '.join(type(one).__name__ for one in self)}")

    def _changed(self) -> None:
        """Find out anew who listens to what; whoever changes something in another thread meanwhile is not missed."""
        mine = self._state = object()
        while True:
            for hook in HOOKS:
                members = [member for member in self._members if member.listens(hook)]
                ordered = reversed(members) if hook in _ENDINGS else members
                setattr(self, hook, tuple(getattr(member, hook) for member in ordered))
            self.runs = any(getattr(self, hook) for hook in _RUN_HOOKS)
            if self._state is mine:
                return
            mine = self._state
