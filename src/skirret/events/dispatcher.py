"""Sends a program's own events: at once, or later if the broker is away; a program never fails because of them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self

from skirret import clock, loggers
from skirret.errors import SkirretError
from skirret.events.event import Event, group_from

logger = loggers.own("skirret.events")

KEPT = 10_000
"""Events that wait for a broker that is away; the oldest are dropped beyond that."""

PAUSE = 5.0
"""Seconds between two attempts at a broker that is away: who sends must not wait for it each time."""


class EventDispatcher:
    """Sends events. Nothing here raises because of a broker; what could not be told is counted in `dropped`.

    Args:
        publish: sends events now.
        enabled: begin enabled.
        buffer_while_offline: keep up to 10,000 events while the broker is away.
        groups: send events of these groups only, such as ``{"task"}``; none is all.
        buffer_group: hold back events of these groups until `flush`, or until there are `buffer_limit`.
        buffer_limit: how many.
        on_send_buffered: called before events that were held back are sent.
    """

    def __init__(
        self,
        publish: Callable[[list[dict[str, Any]]], None],
        *,
        enabled: bool = True,
        buffer_while_offline: bool = True,
        groups: Iterable[str] | None = None,
        buffer_group: Iterable[str] | None = None,
        buffer_limit: int = 24,
        on_send_buffered: Callable[[], object] | None = None,
    ) -> None:
        self._publish = publish
        self.enabled = False
        self.buffer_while_offline = buffer_while_offline
        self.groups = frozenset(groups or ())
        self.buffer_group = frozenset(buffer_group or ())
        self.buffer_limit = buffer_limit
        self.on_send_buffered = on_send_buffered
        self.on_enabled: set[Callable[[], object]] = set()
        self.on_disabled: set[Callable[[], object]] = set()
        self.dropped = 0
        """Events that nobody will hear of."""
        self._waiting: deque[dict[str, Any]] = deque()
        self._held: deque[dict[str, Any]] = deque()
        self._not_before = 0.0
        self._lock = threading.RLock()
        if enabled:
            self.enable()

    def enable(self) -> None:
        """Send from now on."""
        self.enabled = True
        for told in list(self.on_enabled):
            told()

    def disable(self) -> None:
        """Send nothing from now on."""
        if self.enabled:
            self.enabled = False
            self.close()
            for told in list(self.on_disabled):
                told()

    def send(
        self,
        type: str,
        blind: bool = False,
        retry: bool = False,
        retry_policy: Mapping[str, Any] | None = None,
        Event: Callable[..., dict[str, Any]] = Event,  # noqa: N803  Celery's public name
        **fields: Any,
    ) -> None:
        """Send one event.

        Args:
            type: such as ``task-progress``.
            blind: accepted for Celery's sake.
            retry, retry_policy: accepted for Celery's sake: an event waits for a broker that is away in any case.
            Event: makes the event.
            **fields: its fields; those of every event are added.
        """
        if self.enabled:
            group = group_from(type)
            if not self.groups or group in self.groups:
                self._take(Event(type, **fields), held=group in self.buffer_group)

    def publish(
        self,
        type: str,
        fields: Mapping[str, Any],
        producer: Any = None,
        blind: bool = False,
        Event: Callable[..., dict[str, Any]] = Event,  # noqa: N803  Celery's public name
        **options: Any,
    ) -> None:
        """Send one event, enabled or not; other arguments as `send`."""
        self._take(Event(type, fields), held=False)

    def _take(self, event: dict[str, Any], *, held: bool) -> None:
        with self._lock:
            if held:
                self._held.append(event)
                if len(self._held) < self.buffer_limit:
                    return
                self._release()
            else:
                self._waiting.append(event)
            self._deliver()

    def _release(self) -> None:
        if self._held and self.on_send_buffered is not None:
            self.on_send_buffered()
        self._waiting.extend(self._held)
        self._held.clear()

    def _deliver(self) -> None:
        waiting = self._waiting
        if waiting and clock.monotonic() >= self._not_before:
            try:
                self._publish(list(waiting))
            except SkirretError as exc:
                if not self._not_before:
                    logger.warning("Events cannot be sent for now, and the latest %d are kept: %s", KEPT, exc)
                self._not_before = clock.monotonic() + PAUSE
            else:
                self._not_before = 0.0
                waiting.clear()
        keep = KEPT if self.buffer_while_offline else 0
        while len(waiting) > keep:
            waiting.popleft()
            self.dropped += 1

    def flush(self, errors: bool = True, groups: bool = True) -> None:
        """Send what waits.

        Args:
            errors: try again what an absent broker did not take.
            groups: send what is held back by `buffer_group`.
        """
        with self._lock:
            if groups:
                self._release()
            if errors:
                self._not_before = 0.0
            self._deliver()

    def extend_buffer(self, other: EventDispatcher) -> None:
        """Take over what waits in another dispatcher."""
        with self._lock:
            self._waiting.extend(other._waiting)

    def close(self) -> None:
        """Send what is held back; the dispatcher may be used again."""
        self.flush(errors=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
