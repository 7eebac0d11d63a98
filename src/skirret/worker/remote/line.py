"""Hears remote commands and replies, on threads of its own: the loop never waits for a server because of them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from skirret import backoff, clock, loggers
from skirret.brokers.base import Broker
from skirret.brokers.subscription import Subscription
from skirret.control import registry
from skirret.coordination.base import Coordination
from skirret.errors import EncodeError, SkirretError
from skirret.message import Malformed
from skirret.wire import commands
from skirret.wire.commands import Reply, Request
from skirret.worker.remote.node import Awaited, Later, Node
from skirret.worker.remote.panel import Panel, fault

logger = loggers.own("skirret.worker")

MAX_PENDING = 100
"""Commands that are carried out at a time; more are dropped, so that a flood costs no memory."""

MAX_REPLY = 4 * 1024 * 1024
"""Bytes of a reply; the caller of a longer one is told so instead."""

MAX_KEY = 255
"""Characters of a caller's routing key."""

FAREWELL = 1.0
"""Seconds that replies get at the end of a worker."""


class RemoteLine:
    """Listens for one worker and replies.

    Args:
        panel: carries commands out.
        broker, shared: the servers.
        exchange: ``control_exchange``.
        call: runs a callable on the supervisor's loop.
    """

    def __init__(
        self,
        panel: Panel,
        broker: Broker,
        shared: Coordination | None,
        exchange: str,
        call: Callable[[Callable[[], object]], None],
    ) -> None:
        self.node = panel.node
        self._panel = panel
        self._name = panel.node.name
        self._broker = broker
        self._shared = shared
        self._exchange, self._reply_exchange = commands.exchanges(exchange)
        self._call = call
        self._closed = threading.Event()
        self._ear: Subscription | None = None
        self._lock = threading.Lock()
        self._answers: queue.SimpleQueue[tuple[Request, Any] | None] = queue.SimpleQueue()
        self._pending = 0
        self._next_word = 0.0
        self._complained = 0.0
        self._listening = threading.Thread(target=self._listen, name="skirret-remote", daemon=True)
        self._replying: threading.Thread | None = None

    def start(self) -> None:
        """Listen from now on."""
        if self._broker.capabilities.fan_out:
            self._listening.start()

    def close(self) -> None:
        """Say what is still to be said, then be silent."""
        self._closed.set()
        with self._lock:
            ear, self._ear = self._ear, None
        if ear is not None:
            ear.close()
        if self._replying is not None:
            self._answers.put(None)
            self._replying.join(FAREWELL)
        if self._listening.ident is not None:
            self._listening.join(FAREWELL)

    # -- listening

    def _listen(self) -> None:
        failures = 0
        while not self._closed.is_set():
            try:
                self._hear()
                failures = 0
            except SkirretError as exc:
                self._complain("Remote commands cannot be heard; trying again until they can: %s", exc)
            except Exception:
                logger.exception("A bug while listening to remote commands; the worker goes on. Please report it.")
            failures += 1
            self._closed.wait(backoff.exponential(failures, factor=0.1, maximum=2.0))
        if self._shared is not None:
            try:
                registry.leave(self._shared, self._name)
            except SkirretError:
                return  # it expires

    def _hear(self) -> None:
        """Listen until something breaks, or the end."""
        ear = self._ear
        if ear is None:
            ear = self._broker.listen(self._exchange, ("",), name=commands.mailbox(self._name, self._exchange))
            with self._lock:
                self._ear = ear
                closed = self._closed.is_set()
            if closed:
                ear.close()
        while not self._closed.is_set():
            self._say_that_we_live()
            for _, raw in ear.receive(max(0.0, self._next_word - clock.monotonic())):
                self._heard(raw)

    def _say_that_we_live(self) -> None:
        if clock.monotonic() < self._next_word:
            return
        self._next_word = clock.monotonic() + registry.RENEWAL
        if self._shared is not None:
            registry.enrol(self._shared, self._name)

    def _heard(self, raw: bytes) -> None:
        request = commands.decode_request(raw)
        if isinstance(request, Malformed):
            self._complain("A remote command cannot be read and is left aside: %s", request.reason)
        elif request.means(self._name) and not request.is_late():
            if self._pending >= MAX_PENDING:
                self._complain("More than %d remote commands at a time; the rest is left aside.", MAX_PENDING)
                return
            with self._lock:
                self._pending += 1
            self._call(partial(self._carry_out, request))

    def _complain(self, text: str, *details: object) -> None:
        now = clock.monotonic()
        if now >= self._complained:
            self._complained = now + 10.0
            logger.warning(text, *details)

    # -- on the loop

    def _carry_out(self, request: Request) -> None:
        self._panel.node.lamport.adjust(request.clock)
        answer = self._panel.call(request)
        if isinstance(answer, Awaited):
            answer.ask(partial(self._answer, request))
        else:
            self._answer(request, answer)

    def _answer(self, request: Request, answer: Any) -> None:
        if self._replying is None:
            self._replying = threading.Thread(target=self._reply, name="skirret-replies", daemon=True)
            self._replying.start()
        self._answers.put((request, answer))

    # -- replying

    def _reply(self) -> None:
        while (entry := self._answers.get()) is not None:
            request, answer = entry
            try:
                if isinstance(answer, Later):
                    answer = self._worked_out(request, answer)
                if request.reply_to is not None:
                    self._send(request, answer)
            except SkirretError as exc:
                self._complain("A reply to a remote command could not be sent: %s", exc)
            except Exception:
                logger.exception("A bug while replying to a remote command; the worker goes on. Please report it.")
            finally:
                with self._lock:
                    self._pending -= 1

    def _worked_out(self, request: Request, later: Later) -> Any:
        try:
            return later.work()
        except Exception as exc:  # noqa: BLE001  whatever it is, the caller is told
            return fault(request.method, exc)

    def _send(self, request: Request, answer: Any) -> None:
        if request.reply_to is None:
            return
        exchange, key = request.reply_to
        if exchange != self._reply_exchange or not 0 < len(key) <= MAX_KEY or not key.isprintable():
            self._complain("A remote command wants its reply sent to a strange place; it gets none.")
            return
        self._broker.reply(exchange, key, self._written(request, answer, exchange, key))

    def _written(self, request: Request, answer: Any, exchange: str, key: str) -> bytes:
        reply = Reply(values={self._name: answer}, ticket=request.ticket, clock=self._panel.node.lamport.forward())
        try:
            raw = commands.encode_reply(reply, exchange, key)
            if len(raw) <= MAX_REPLY:
                return raw
            text = f"the reply has {len(raw)} bytes, more than {MAX_REPLY}; ask for less"
        except EncodeError as exc:
            text = f"the reply cannot be written: {exc}"
        reply.values = {self._name: {"error": text}}
        return commands.encode_reply(reply, exchange, key)


def remote_line(node: Node) -> RemoteLine:
    """The line by which a worker is asked and steered."""
    exchange = str(node.conf.control_exchange)
    return RemoteLine(Panel(node), node.broker, node.shared, exchange, node.supervisor.loop.call_from_thread)
