"""Snapshot cameras: a picture of a fleet's state every so often, such as one kept in a database."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Protocol, Self

from skirret import clock, loggers
from skirret.events.state import State
from skirret.plugins import import_object
from skirret.signals import Signal

logger = loggers.own("skirret.events")


class Ticker(Protocol):
    """What a camera is driven by, if not by its own thread."""

    def call_repeatedly(self, interval: float, call: Callable[[], object]) -> Any:
        """Call every `interval` seconds; what is returned has a ``cancel`` method."""
        ...


class Threads:
    """A thread for each repeated call."""

    def call_repeatedly(self, interval: float, call: Callable[[], object]) -> Repeated:
        """Call every `interval` seconds until ``cancel()`` of what is returned."""
        return Repeated(interval, call)


class Repeated:
    """A call that is repeated in a thread of its own; one that raises is logged and repeated all the same."""

    def __init__(self, interval: float, call: Callable[[], object]) -> None:
        self._interval = interval
        self._call = call
        self._over = threading.Event()
        threading.Thread(target=self._run, name="skirret-camera", daemon=True).start()

    def _run(self) -> None:
        while not self._over.wait(self._interval):
            try:
                self._call()
            except Exception:
                logger.exception("A snapshot failed; the next one is tried in %s s", self._interval)

    def cancel(self) -> None:
        """Make it never happen again."""
        self._over.set()


class Polaroid:
    """A camera: subclasses say in `on_shutter` what becomes of a picture.

    Args:
        state: what is taken pictures of.
        freq: seconds between pictures.
        maxrate: at most so many pictures, such as ``10/m``.
        cleanup_freq: seconds between calls of `on_cleanup`.
        timer: drives the camera; its own threads by default.
        app: the app.
    """

    timer: Any = None
    shutter_signal = Signal("skirret.events.shutter", {"state"})
    cleanup_signal = Signal("skirret.events.cleanup")
    clear_after = False
    """Forget workers and ended tasks after each picture."""

    def __init__(
        self,
        state: State,
        freq: float = 1.0,
        maxrate: str | None = None,
        cleanup_freq: float = 3600.0,
        timer: Ticker | None = None,
        app: Any = None,
    ) -> None:
        self.app = app
        self.state = state
        self.freq = freq
        self.cleanup_freq = cleanup_freq
        self.timer = timer or self.timer or Threads()
        self._pause = pause_of(maxrate)
        self._next = 0.0
        self._running: list[Any] = []

    def install(self) -> None:
        """Begin to take pictures."""
        self._running = [
            self.timer.call_repeatedly(self.freq, self.capture),
            self.timer.call_repeatedly(self.cleanup_freq, self.cleanup),
        ]

    def on_shutter(self, state: State) -> None:
        """Keep a picture; `state` does not change meanwhile."""

    def on_cleanup(self) -> None:
        """Remove old pictures."""

    def cleanup(self) -> None:
        """Tell receivers of `cleanup_signal`, and call `on_cleanup`."""
        self.cleanup_signal.send(sender=self.state)
        self.on_cleanup()

    def shutter(self) -> None:
        """Take a picture, unless `maxrate` forbids it now."""
        now = clock.monotonic()
        if now >= self._next:
            self._next = now + self._pause
            self.shutter_signal.send(sender=self.state)
            self.on_shutter(self.state)

    def capture(self) -> None:
        """Take a picture of a state that holds still."""
        self.state.freeze_while(self.shutter, clear_after=self.clear_after)

    def cancel(self) -> None:
        """Take no more pictures."""
        for repeated in self._running:
            repeated.cancel()
        self._running = []

    def __enter__(self) -> Self:
        self.install()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.cancel()


def pause_of(rate: str | float | None) -> float:
    """Seconds between two of ``10/s``, ``10/m`` or ``10/h``; 0 for no limit.

    Raises:
        ValueError: it is not a rate.
    """
    if not rate:
        return 0.0
    number, _, unit = str(rate).partition("/")
    seconds = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}.get(unit.strip().lower())
    if seconds is None:
        raise ValueError(f"{rate!r} is not a rate such as 10/s, 10/m or 10/h")
    count = float(number)
    return seconds / count if count > 0 else 0.0


def evcam(
    camera: str | type[Polaroid],
    freq: float = 1.0,
    maxrate: str | None = None,
    timer: Ticker | None = None,
    app: Any = None,
    **options: Any,  # noqa: ARG001
) -> None:
    """Run a camera on an app's events until interrupted.

    Args:
        camera: the class, or its path such as ``module:Camera``.
        freq, maxrate, timer: as of `Polaroid`.
        app: the app.
        **options: accepted for Celery's sake: the command line sets up logs and the pidfile.

    Raises:
        ImproperlyConfigured: there is no such class.
    """
    kind = import_object(camera) if isinstance(camera, str) else camera
    state = app.events.State()
    with kind(state, freq=freq, maxrate=maxrate, timer=timer, app=app):
        app.events.Receiver(handlers={"*": state.event}).capture(limit=None)
