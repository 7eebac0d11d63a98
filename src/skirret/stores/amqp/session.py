"""What happens on one line: calls and their answers, messages put together from frames, confirms, refusals."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec
from pamqp import commands

from skirret import clock
from skirret.stores.amqp import content, frames
from skirret.stores.amqp.faults import Broken, Refused
from skirret.stores.amqp.line import Line
from skirret.stores.amqp.pulse import let_go


class Arrived(msgspec.Struct):
    """A message as it came: `tag` is the channel's, `consumer` whom it was for; header and body are the bytes."""

    consumer: str
    tag: int
    redelivered: bool
    exchange: str
    routing_key: str
    header: bytes
    body: bytes


@dataclass(slots=True)
class Returned:
    """A message that no queue wanted, given back by the server, and why."""

    reason: str
    exchange: str
    routing_key: str
    header: bytes
    body: bytes


@dataclass(slots=True)
class _Half:
    """A message whose frames are still coming in; `head` is the method that announced it."""

    head: Any
    header: bytes = b""
    size: int = 0
    got: int = 0
    parts: list[bytes] | None = None


class Session:
    """A line with the channels that its user opened. One thread uses it at a time.

    After a `Broken`, or a `Refused` with ``whole``, it is of no use any more; after another `Refused` the channel is
    closed and may be opened again.

    Args:
        line: a connection that stands.
    """

    def __init__(self, line: Line) -> None:
        self.line = line
        self.idle_since = 0.0
        self.arrived: deque[Arrived] = deque()
        """Messages for consumers of this session, in their order."""
        self.cancelled: list[str] = []
        """Consumers that the server ended."""
        self.confirmed: deque[tuple[int, bool, bool]] = deque()
        """Confirms: tag, whether all up to it are meant, whether the message was stored."""
        self.returned: list[Returned] = []
        self.published = 0
        """How many messages were published on the channel with confirms: the tag of the last."""
        self._answers: list[Any] = []
        self._asked: Counter[int] = Counter()
        self._heard: Counter[int] = Counter()
        self._halves: dict[int, _Half] = {}
        self._refusals: dict[int, Refused] = {}

    # -- calls -----------------------------------------------------------------------------------------------------

    def open_channel(self, channel: int, seconds: float) -> None:
        """Open a channel that is not open."""
        self._halves.pop(channel, None)
        self._refusals.pop(channel, None)
        del self._asked[channel], self._heard[channel]
        self.call(channel, commands.Channel.Open(), commands.Channel.OpenOk, seconds=seconds)

    def call(self, channel: int, command: Any, *answers: type[Any], seconds: float) -> Any:
        """Send a method and return the answer to it.

        Args:
            channel: an open one.
            command: pamqp's object.
            *answers: its possible answers.
            seconds: the deadline.

        Raises:
            Refused: the server closed the channel, or the connection, over it.
            Broken: the line is gone or the answer late.
        """
        return self.ask(channel, frames.method(channel, command), *answers, seconds=seconds)

    def ask(self, channel: int, data: bytes, *answers: type[Any], seconds: float) -> Any:
        """As `call`, for bytes that end in the frame of a method that is answered."""
        self._answers.clear()
        self.line.send(data, seconds)
        found: list[Any] = []

        def is_answered() -> bool:
            found.extend(told for told in self._answers if isinstance(told, answers))
            return bool(found)

        self._wait(channel, is_answered, seconds)
        return found[0]

    def consume(self, channel: int, consume: commands.Basic.Consume, prefetch: int, seconds: float) -> None:
        """Begin to consume a queue, of which so many messages may come before they are settled."""
        data = self._question(channel, prefetch) + frames.method(channel, consume)
        self.ask(channel, data, commands.Basic.ConsumeOk, seconds=seconds)

    def settle(self, channel: int, data: bytes, seconds: float) -> None:
        """Send frames that are not answered, and wait until the server has seen them."""
        self.hear(channel, self.tell(channel, data, seconds), seconds)

    def tell(self, channel: int, data: bytes, seconds: float) -> int:
        """Send frames that are not answered, and a question behind them; its number, for `hear`."""
        self.line.send(data + self._question(channel), seconds)
        return self._asked[channel]

    def hear(self, channel: int, number: int, seconds: float) -> None:
        """Wait until the server has answered a question, and so has seen what was sent before it.

        Raises:
            Refused: the server closed the channel, or the connection.
            Broken: the line is gone or the answer late.
        """
        self._wait(channel, lambda: self._heard[channel] >= number, seconds)

    def _question(self, channel: int, prefetch: int = 0) -> bytes:
        """Something cheap that the server answers, to be sent at once: the prefetch of consumers that come later."""
        self._asked[channel] += 1
        return _qos(channel, prefetch)

    def _wait(self, channel: int, is_over: Callable[[], bool], seconds: float) -> None:
        deadline = clock.Deadline(seconds)
        while not is_over():
            if channel in self._refusals:
                raise self._refusals.pop(channel)
            if deadline.passed():
                raise Broken(f"no answer within {seconds:.1f} s", timed_out=True)
            self.pump(deadline.left() or 0.0)

    def refusal(self, channel: int) -> Refused | None:
        """Why the server closed a channel meanwhile, told once."""
        return self._refusals.pop(channel, None)

    # -- reading ---------------------------------------------------------------------------------------------------

    def pump(self, seconds: float, wake: int = -1) -> bool:
        """Take in what came, waiting for the first frame; whether anything did.

        Args:
            seconds: how long to wait; 0 looks only.
            wake: a file descriptor that ends the wait.
        """
        came = self.line.read(seconds, wake)
        at, end = 0, len(came)
        while at < end:
            kind, channel, payload = came[at]
            at += 1
            if not channel:
                continue  # the connection's own
            if kind == frames.METHOD:
                if not payload.startswith(frames.DELIVER):
                    self._method(channel, payload)
                elif at + 1 < end and _makes_whole(channel, came[at], came[at + 1]):
                    self.arrived.append(Arrived(*frames.delivered(payload), came[at][2], came[at + 1][2]))
                    at += 2
                else:
                    self._halves[channel] = _Half(frames.delivered(payload))
            elif kind == frames.HEADER:
                self._header(channel, payload)
            elif kind == frames.BODY:
                self._body(channel, payload)
        return bool(came)

    def _method(self, channel: int, payload: bytes) -> None:
        name = payload[:4]
        if name in (frames.ACK, frames.NACK):
            tag, multiple = frames.settled(payload)
            self.confirmed.append((tag, multiple, name == frames.ACK))
        else:
            self._rare(channel, payload)

    def _rare(self, channel: int, payload: bytes) -> None:
        try:
            told = frames.read_method(payload)
        except ValueError as exc:
            raise Broken(f"what it sends is not AMQP: {exc}") from exc
        if isinstance(told, commands.Basic.Return | commands.Basic.GetOk):
            self._halves[channel] = _Half(told)
        elif isinstance(told, commands.Basic.Cancel):
            self.cancelled.append(str(told.consumer_tag))
        elif isinstance(told, commands.Channel.Close):
            self._refusals[channel] = Refused(int(told.reply_code or 0), str(told.reply_text))
            self.line.send(frames.method(channel, commands.Channel.CloseOk()), 1.0)
        elif isinstance(told, commands.Basic.QosOk):
            self._heard[channel] += 1
        else:
            self._answers.append(told)

    def _header(self, channel: int, payload: bytes) -> None:
        half = self._halves.get(channel)
        if half is None:
            raise Broken("it sends a message that it did not announce")
        half.header = payload
        half.size = content.size_of(payload)
        if half.size == 0:
            self._whole(channel, half, b"")

    def _body(self, channel: int, payload: bytes) -> None:
        half = self._halves.get(channel)
        if half is None:
            raise Broken("it sends a message that it did not announce")
        if half.parts is None and len(payload) == half.size:
            self._whole(channel, half, payload)
            return
        half.parts = half.parts or []
        half.parts.append(payload)
        half.got += len(payload)
        if half.got >= half.size:
            self._whole(channel, half, b"".join(half.parts))

    def _whole(self, channel: int, half: _Half, body: bytes) -> None:
        del self._halves[channel]
        head = half.head
        if isinstance(head, frames.Delivered):
            self.arrived.append(Arrived(*head, half.header, body))
        elif isinstance(head, commands.Basic.Return):
            self.returned.append(
                Returned(
                    f"{head.reply_code} {head.reply_text}", str(head.exchange), str(head.routing_key), half.header, body
                )
            )
        else:
            tag, again = int(head.delivery_tag), bool(head.redelivered)
            self._answers.append(Arrived("", tag, again, head.exchange, head.routing_key, half.header, body))

    def close(self, *, kindly: bool = True) -> None:
        """End the connection; `kindly` says so to the server and waits until it has done what was sent before."""
        let_go(self.line)
        if kindly:
            self.line.say_goodbye()
        else:
            self.line.close()


def _makes_whole(channel: int, header: frames.Frame, body: frames.Frame) -> bool:
    """Whether these two frames are all that a message has that was announced right before them."""
    is_behind = header[0] == frames.HEADER and body[0] == frames.BODY and header[1] == body[1] == channel
    return is_behind and content.size_of(header[2]) == len(body[2])


@lru_cache(maxsize=100)
def _qos(channel: int, prefetch: int) -> bytes:
    return frames.method(channel, commands.Basic.Qos(0, prefetch, False))
