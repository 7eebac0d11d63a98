"""The handler of a worker: calls hooks and commands of the app that concern the worker and no single run.

It is a child without slots, forked like the others and started only if the app has such hooks or commands; under
``solo`` it is a thread. What it does is done one after another, in the order in which it happened.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from skirret import context, loggers
from skirret.control.custom import registered
from skirret.errors import InvalidTaskError, NotRegistered
from skirret.worker.child import forwarded
from skirret.worker.child.received import MessageSeen, RequestSeen
from skirret.worker.frames import Splitter
from skirret.worker.words import LOG, Answer, Word, pack, unpack_word

if TYPE_CHECKING:
    from skirret.app import Skirret
    from skirret.worker.child.node import WorkerNode

logger = loggers.own("skirret.worker")

RECEIVE = 65536


class State:
    """What a remote command of the app's own is given first.

    Args:
        app: the app.
        hostname: the node's name.
    """

    def __init__(self, app: Skirret, hostname: str) -> None:
        self.app = app
        self.hostname = hostname

    def __repr__(self) -> str:
        return f"<State of {self.hostname}>"


class Handler:
    """Carries out what the supervisor says.

    Args:
        app: the finalised app.
        node: the worker as hooks see it.
    """

    def __init__(self, app: Skirret, node: WorkerNode) -> None:
        self.app = app
        self.node = node

    def carry_out(self, word: Word) -> None:
        """Call the hooks of a word, or the app's log handlers; what they raise is logged."""
        if word.hook == LOG:
            forwarded.emit(word.values)
            return
        hooks = self.app.middleware
        calls = getattr(hooks, word.hook)
        if not calls:
            return
        try:
            hooks.tell(calls, *self._arguments(word))
        except Exception:
            logger.exception("Hooks of %s could not be told", word.hook)

    def answer(self, word: Word) -> Answer:
        """Carry out a command of the app's own; whatever it raises is told."""
        name, arguments = word.values["name"], word.values["arguments"]
        try:
            return Answer(word.id, registered()[name].function(State(self.app, self.node.hostname), **arguments))
        except BaseException as exc:
            logger.exception("The remote command %r failed", name)
            return Answer(word.id, None, repr(exc))

    def _arguments(self, word: Word) -> tuple[Any, ...]:
        node, values = self.node, word.values
        match word.hook:
            case "received":
                return RequestSeen.of(self.app, node, word), node
            case "revoked":
                seen = RequestSeen.of(self.app, node, word)
                return seen.task, seen, values["terminated"], values["signum"], values["expired"]
            case "rejected":
                return MessageSeen.of(word), InvalidTaskError(values["reason"]), node
            case "unknown":
                name = values["name"]
                return MessageSeen.of(word), name, values["id"], NotRegistered(name), node
            case "worker_shutting_down":
                return node, values["sig"], values["how"], values["exitcode"]
        return (node,)


def serve(handler: Handler, sock: int) -> None:
    """Carry out what comes over the line `sock`, a descriptor, until the supervisor closes it."""
    line = socket.socket(fileno=sock)
    context.set_default_app(handler.app)
    context.set_current_app(handler.app)
    splitter = Splitter()
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        while data := line.recv(RECEIVE):
            for body in splitter.feed(data):
                word = unpack_word(body)
                if word.hook:
                    handler.carry_out(word)
                else:
                    line.sendall(_packed(handler.answer(word)))


def _packed(answer: Answer) -> bytes:
    try:
        return pack(answer)
    except (TypeError, ValueError, OverflowError) as exc:
        return pack(Answer(answer.id, None, f"the reply cannot be written: {exc}"))


class HandlerThread:
    """The handler of a worker that has no processes.

    Args:
        handler: what carries words out.
    """

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._words: queue.SimpleQueue[Word | None] = queue.SimpleQueue()
        self._asked: dict[int, Callable[[Answer], object]] = {}
        self._thread = threading.Thread(target=self._run, name="skirret-handler", daemon=True)
        self._thread.start()

    def say(self, word: Word) -> None:
        """Have it carried out soon."""
        self._words.put(word)

    def ask(self, name: str, arguments: dict[str, object], answered: Callable[[Answer], object]) -> None:
        """Have a command carried out; `answered` gets what it gave, on the handler's thread."""
        number = max(self._asked, default=0) + 1
        self._asked[number] = answered
        self.say(Word("", values={"name": name, "arguments": arguments}, id=number))

    def finish(self, patience: float) -> None:
        """Carry out what was said, for `patience` seconds at most."""
        self._words.put(None)
        self._thread.join(patience)

    def _run(self) -> None:
        context.set_current_app(self._handler.app)
        while (word := self._words.get()) is not None:
            if word.hook:
                self._handler.carry_out(word)
            else:
                self._asked.pop(word.id)(self._handler.answer(word))
