"""The pool ``gevent``: greenlets on gevent's hub."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import gevent
import gevent.monkey
import gevent.socket

from skirret.worker.child.slots.greenlets import Greenlets
from skirret.worker.child.slots.hub import throw_now
from skirret.worker.child.slots.loops import share_loops

if TYPE_CHECKING:
    from skirret.worker.child.execute import Executor
    from skirret.worker.child.link import Link


class GeventHub:
    """gevent, as slots need it."""

    def spawn(self, function: Callable[..., object], *args: object) -> Any:
        """Start a greenlet, soon."""
        return gevent.spawn(function, *args)

    def wait_readable(self, fd: int) -> None:
        """Let others run until `fd` can be read."""
        gevent.socket.wait_read(fd)

    def throw(self, place: Any, error: BaseException, still: Callable[[], bool]) -> None:
        """Raise `error` in another greenlet, soon, if `still` holds then."""
        gevent.get_hub().loop.run_callback(throw_now, place, error, still)


def patch() -> None:
    """Make this process's blocking calls gevent's; before the app is imported."""
    gevent.monkey.patch_all()
    share_loops()


def forked() -> None:
    """Give a forked child a hub of its own, with the greenlets that the app's import left."""
    gevent.reinit()


def serve(executor: Executor, link: Link, slots: int) -> None:
    """Run permitted frames in greenlets until the supervisor wants no more; running ones finish."""
    Greenlets(GeventHub(), executor, link, slots).serve()
