"""The pool ``eventlet``: greenlets on eventlet's hub, and the signals that Celery's pool of that name sends."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

with warnings.catch_warnings():  # at its import it says that it is in maintenance; whoever chose it knows
    warnings.simplefilter("ignore", DeprecationWarning)
    import eventlet
    import eventlet.hubs

from skirret import signals
from skirret.worker.child.slots.greenlets import Greenlets
from skirret.worker.child.slots.hub import throw_now
from skirret.worker.child.slots.loops import share_loops

if TYPE_CHECKING:
    from skirret.worker.child.execute import Executor
    from skirret.worker.child.link import Link
    from skirret.worker.frames import Run


class EventletHub:
    """eventlet, as slots need it."""

    def spawn(self, function: Callable[..., object], *args: object) -> Any:
        """Start a greenlet, soon."""
        return eventlet.spawn(function, *args)

    def wait_readable(self, fd: int) -> None:
        """Let others run until `fd` can be read."""
        eventlet.hubs.trampoline(fd, read=True)

    def throw(self, place: Any, error: BaseException, still: Callable[[], bool]) -> None:
        """Raise `error` in another greenlet, soon, if `still` holds then."""
        eventlet.hubs.get_hub().schedule_call_global(0, throw_now, place, error, still)


class EventletSlots(Greenlets):
    """Greenlet slots that tell Celery's ``eventlet_pool_*`` signals what they do."""

    def serve(self) -> None:
        """Run until the supervisor wants no more; running tasks finish."""
        signals.eventlet_pool_started.send(sender=self)
        super().serve()
        signals.eventlet_pool_postshutdown.send(sender=self)

    def start(self, run: Run) -> None:
        """Give a permitted frame its greenlet."""
        if signals.eventlet_pool_apply:
            signals.eventlet_pool_apply.send(sender=self, target=self.run, args=(run,), kwargs={})
        super().start(run)

    def stop(self) -> None:
        """Begin no more."""
        if not self.stopping:
            signals.eventlet_pool_preshutdown.send(sender=self)
        super().stop()


def patch() -> None:
    """Make this process's blocking calls eventlet's; before the app is imported."""
    eventlet.monkey_patch()
    share_loops()


def forked() -> None:
    """Give a forked child a hub of its own: the template's would share the kernel's list of descriptors with it."""
    eventlet.hubs.use_hub()


def serve(executor: Executor, link: Link, slots: int) -> None:
    """Run permitted frames in greenlets until the supervisor wants no more; running ones finish."""
    EventletSlots(EventletHub(), executor, link, slots).serve()
