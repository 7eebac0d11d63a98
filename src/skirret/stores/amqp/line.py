"""One connection to a RabbitMQ node: the handshake, frames out and in, signs of life, and what it says of itself."""

from __future__ import annotations

from typing import Any

from skirret import clock
from skirret.stores.amqp import frames, tables
from skirret.stores.amqp.address import Address
from skirret.stores.amqp.faults import Broken, Refused
from skirret.stores.amqp.pipe import Pipe

GREETING = b"AMQP\x00\x00\x09\x01"
FRAME_MAX = 131072

_CLIENT: dict[str, Any] = {
    "product": "Skirret",
    "platform": "Python",
    "capabilities": {
        "publisher_confirms": True,
        "consumer_cancel_notify": True,
        "basic.nack": True,
        "connection.blocked": True,
        "authentication_failure_close": True,
    },
}


class Line:
    """A connection that one thread uses at a time; only `sign` may be called beside it.

    Args:
        address: whose user, password and virtual host.
        node: (host, port).
        seconds: until it must stand.
        heartbeat: seconds between signs of life that are asked of the server and promised to it; 0 for none.

    Raises:
        Broken: it cannot be reached.
        Refused: it does not let us in.
    """

    def __init__(self, address: Address, node: tuple[str, int], seconds: float, heartbeat: float = 0.0) -> None:
        self.node = node
        self.blocked = ""
        """Why the server takes no messages now; "" if it does."""
        self.properties: dict[str, Any] = {}
        self.version: tuple[int, ...] = (0,)
        self.frame_max = FRAME_MAX
        self.heartbeat = 0.0
        self.used_at = self.heard_at = clock.monotonic()
        self._left = b""
        deadline = clock.Deadline(seconds)
        self._pipe = Pipe(address, node, seconds)
        try:
            self._shake_hands(address, deadline, heartbeat)
        except BaseException:
            self.close()
            raise

    # -- the handshake ---------------------------------------------------------------------------------------------

    def _shake_hands(self, address: Address, deadline: clock.Deadline, heartbeat: float) -> None:
        from pamqp import commands

        self.send(GREETING, deadline.left() or 0.0)
        start = self._expect(commands.Connection.Start, deadline)
        self.properties = dict(start.server_properties or {})
        self.version = _version(str(self.properties.get("version", "")))
        told = commands.Connection.StartOk(dict(_CLIENT), address.login, _response(address), "en_US")
        self.send(frames.method(0, told), deadline.left() or 0.0)
        tune = self._expect(commands.Connection.Tune, deadline)
        self.frame_max = min(tune.frame_max or FRAME_MAX, FRAME_MAX)
        self.heartbeat = float(min(tune.heartbeat, round(heartbeat)) if tune.heartbeat else round(heartbeat))
        agreed = commands.Connection.TuneOk(tune.channel_max, self.frame_max, int(self.heartbeat))
        self.send(
            frames.method(0, agreed) + frames.method(0, commands.Connection.Open(address.vhost)), deadline.left() or 0.0
        )
        self._expect(commands.Connection.OpenOk, deadline)

    def _expect(self, kind: type[Any], deadline: clock.Deadline) -> Any:
        while True:
            answer = None
            for sort, _, payload in self._frames(
                deadline.left() or 0.0
            ):  # all of them: an alarm may be told behind the answer
                if sort == frames.METHOD:
                    found = self._heard(payload)
                    answer = found if isinstance(found, kind) else answer
            if answer is not None:
                return answer
            if deadline.passed():
                raise Broken("it does not answer the greeting", timed_out=True)

    # -- out -------------------------------------------------------------------------------------------------------

    def send(self, data: bytes, seconds: float) -> None:
        """Write bytes, whole.

        Raises:
            Broken: the line is gone, or did not take them within `seconds`.
        """
        self.used_at = clock.monotonic()
        try:
            self._pipe.send(data, seconds)
        except Broken as exc:
            if self.blocked:
                raise Broken(self.blocked, timed_out=exc.timed_out) from exc
            raise

    def sign(self) -> None:
        """Say that we live, if nobody is writing just now; for the thread of `pulse`."""
        try:
            self._pipe.word(frames.ALIVE, 0.5)
        except Broken:
            self.wake()  # half a sign may be out: whoever uses the line notices, and says so

    # -- in --------------------------------------------------------------------------------------------------------

    def read(self, seconds: float, wake: int = -1) -> list[frames.Frame]:
        """The frames that came, waiting for the first; what those of the connection itself ask is done here.

        Args:
            seconds: how long to wait; 0 looks only.
            wake: a file descriptor that ends the wait when it can be read; -1 is none.

        Raises:
            Broken: the line is gone, or silent for longer than its heartbeat allows.
            Refused: the server closes the connection.
        """
        found = self._frames(seconds, wake)
        own = [payload for kind, channel, payload in found if not channel and kind == frames.METHOD]
        for payload in own:
            self._heard(payload)
        return found

    def _frames(self, seconds: float, wake: int = -1) -> list[frames.Frame]:
        self.used_at = clock.monotonic()
        data = self._pipe.receive(seconds, wake)
        if not data:
            if self.heartbeat and clock.monotonic() - self.heard_at > 2.5 * self.heartbeat:
                raise Broken(f"it was silent for {2.5 * self.heartbeat:.0f} s", timed_out=True)
            return []
        self.heard_at = clock.monotonic()
        data = self._left + data
        if data[:4] == b"AMQP":
            raise Broken(f"it speaks another version of AMQP: {data[:8]!r}")
        try:
            found, self._left = frames.cut(data)
        except ValueError as exc:
            raise Broken(f"what it sends is not AMQP: {exc}") from exc
        if len(self._left) > self.frame_max + 8:
            raise Broken("it sends a frame that is larger than was agreed on")
        return found

    def _heard(self, payload: bytes) -> Any:
        from pamqp import commands

        try:
            told = frames.read_method(payload)
        except ValueError as exc:
            raise Broken(f"what it sends is not AMQP: {exc}") from exc
        if isinstance(told, commands.Connection.Close):
            try:
                self.send(frames.method(0, commands.Connection.CloseOk()), 0.5)
            except Broken:
                pass
            raise Refused(int(told.reply_code or 0), str(told.reply_text), whole=True)
        if isinstance(told, commands.Connection.Blocked):
            self.blocked = told.reason or "an alarm is on"
        elif isinstance(told, commands.Connection.Unblocked):
            self.blocked = ""
        return told

    def say_goodbye(self) -> None:
        """End the connection as AMQP wants it, so that the server's log has nothing to wonder about."""
        from pamqp import commands

        try:
            self.send(frames.method(0, commands.Connection.Close(200, "bye", 0, 0)), 0.5)
            deadline = clock.Deadline(0.5)
            while not deadline.passed():  # until it hangs up: what was sent before is done then
                for kind, channel, _ in self._frames(deadline.left() or 0.0):
                    if channel == 0 and kind == frames.METHOD:
                        return
        except (Broken, Refused):
            pass
        finally:
            self.close()

    def wake(self) -> None:
        """End the connection under whoever waits on it, so that the wait ends; from any thread of this process."""
        self._pipe.shut()

    def close(self) -> None:
        """Let go of the socket."""
        self._pipe.close()


def _response(address: Address) -> str:
    match address.login:
        case "EXTERNAL":
            return ""
        case "AMQPLAIN":
            table = tables.encode({"LOGIN": address.username, "PASSWORD": address.password})
            return table[4:].decode()  # pamqp wants text; the lengths in it are small
    return f"\x00{address.username}\x00{address.password}"


def _version(text: str) -> tuple[int, ...]:
    numbers = [int(part) for part in text.split("+", maxsplit=1)[0].split(".")[:3] if part.isdigit()]
    return tuple(numbers) or (0,)
