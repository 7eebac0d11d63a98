"""Asks workers, and collects what they reply until the last one that was asked has spoken."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from skirret import clock
from skirret.brokers.base import Broker
from skirret.brokers.subscription import Subscription
from skirret.control.protocol import ControlApp
from skirret.control.registry import living
from skirret.errors import CapabilityError
from skirret.message import Malformed
from skirret.wire import commands
from skirret.wire.commands import Request

Callback = Callable[[dict[str, Any]], object]

LATEST = 3600.0
"""Seconds after which a command that wants no reply is not carried out any more; Celery's nodes go by it too."""

_clock = itertools.count(1)


class Mailbox:
    """Asks the workers of an app.

    Args:
        app: whose.
    """

    def __init__(self, app: ControlApp) -> None:
        self._app = app
        self._exchange, self._reply_exchange = commands.exchanges(str(app.conf.control_exchange))

    def tell(self, request: Request) -> None:
        """Send a command that nobody answers.

        Raises:
            OperationalError: the broker cannot be reached.
        """
        request.expires = clock.wall() + LATEST
        self._send(self._fit(), request)

    def ask(
        self,
        request: Request,
        timeout: float | None = 1.0,
        limit: int | None = None,
        callback: Callback | None = None,
    ) -> list[dict[str, Any]]:
        """Send a command; the replies as ``{node: value}``, in the order of their coming.

        It returns when all who were asked have replied: the nodes named, or else as many as heard the command.

        Args:
            request: the command.
            timeout: seconds to wait at most.
            limit: replies that are enough.
            callback: called with each reply as it comes.

        Raises:
            OperationalError: the broker cannot be reached.
        """
        broker = self._fit()
        deadline = clock.Deadline(1.0 if timeout is None else timeout)
        most = limit
        if request.pattern is not None and limit is None:
            most = self._count_matching(request, deadline)
            if most == 0:
                return []
        request.ticket, key = str(uuid.uuid4()), str(uuid.uuid4())
        request.reply_to = (self._reply_exchange, key)
        request.expires = clock.wall() + (deadline.left() or 0.0) if deadline.at is not None else None
        box = broker.mailbox(self._reply_exchange, key)
        try:
            heard = self._send(broker, request)
            most = _fewest(most, self._count_asked(request, heard))
            return self._collect(box, request, deadline, most, callback)
        finally:
            box.close()

    def _fit(self) -> Broker:
        broker = self._app.broker
        if not broker.capabilities.fan_out:
            raise CapabilityError(
                "This broker cannot send to all workers at once, so remote commands do not work with it. Name another "
                "broker, or ask the workers' health addresses instead."
            )
        return broker

    def _send(self, broker: Broker, request: Request) -> int | None:
        request.clock = next(_clock)
        return broker.fan_out(self._exchange, [("", commands.encode_request(request, self._exchange))])

    def _count_asked(self, request: Request, heard: int | None) -> int | None:
        """How many will reply, as far as anybody knows."""
        if request.destination is not None:
            named = len(set(request.destination))
            return named if heard is None else min(named, heard)
        if heard is not None:
            return heard
        # The registry knows our workers. Where Celery's may have heard it too, all that can be done is to wait.
        if not self._app.broker.capabilities.ours_alone or self._app.coordination_url_in_use() is None:
            return None
        return len(living(self._app.coordination)) or None

    def _count_matching(self, request: Request, deadline: clock.Deadline) -> int:
        """How many nodes match a pattern: only the nodes know their names, so they are asked."""
        everybody = self.ask(Request(method="ping"), deadline.left())
        names = {name for reply in everybody for name in reply}
        return sum(commands.matches(request.pattern or "", request.matcher, name) for name in names)

    def _collect(
        self,
        box: Subscription,
        request: Request,
        deadline: clock.Deadline,
        most: int | None,
        callback: Callback | None,
    ) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while most is None or len(found) < most:
            raws = [raw for _, raw in box.receive(deadline.left() or 0.0)]
            for raw in raws:
                reply = commands.decode_reply(raw, tuple(self._app.conf.accept_content))
                if isinstance(reply, Malformed) or reply.ticket != request.ticket or len(found) == most:
                    continue
                found.append(reply.values)
                if callback is not None:
                    callback(reply.values)
            if not raws and deadline.passed():
                break
        return found


def _fewest(*counts: int | None) -> int | None:
    known = [count for count in counts if count is not None]
    return min(known) if known else None


def merged(replies: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The replies as one dict by node name."""
    return {node: value for reply in replies for node, value in reply.items()}
