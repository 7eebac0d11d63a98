"""Messages as a worker's hooks see them: a request that will run or was dropped, a message that cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skirret.app.requests import request_of
from skirret.message import Malformed, TaskMessage
from skirret.request import Context
from skirret.wire import envelope as wire_envelope
from skirret.wire import task as wire_task

if TYPE_CHECKING:
    from skirret.app import Skirret
    from skirret.worker.child.node import WorkerNode
    from skirret.worker.words import Word


class MessageSeen:
    """A message that nothing could be made of, or whose task nobody knows.

    Args:
        raw: the bytes that the broker has.
        queue: where it waited.
    """

    def __init__(self, raw: bytes, queue: str) -> None:
        self.raw = raw
        self.delivery_info = {"exchange": "", "routing_key": queue}
        self.headers: dict[str, Any] = {}
        self.properties: dict[str, Any] = {}
        self.body: bytes | str = raw
        self.content_type = self.content_encoding = ""
        received = wire_envelope.decode(raw)
        if not isinstance(received, Malformed):
            envelope = received.envelope
            self.headers, self.body = envelope.headers, envelope.body
            self.content_type, self.content_encoding = envelope.content_type, envelope.content_encoding
            self.properties = {**envelope.properties, "correlation_id": envelope.correlation_id}

    @classmethod
    def of(cls, word: Word) -> MessageSeen:
        """The message that a word is about."""
        return cls(word.raw, word.queue)


class RequestSeen:
    """A call at a worker, before it runs or instead of it. Every field of ``self.request`` is here too.

    Args:
        context: its request.
        task: the task, or None if this process does not know it.
        node: the worker.
        message: what it came in.
    """

    def __init__(self, context: Context, task: Any, node: WorkerNode, message: MessageSeen) -> None:
        self.context = context
        self.task = task
        self.app = node.app
        self.message = message
        self.task_id = context.id
        self.name = self.task_name = self.type = context.task
        self.request_dict = message.headers

    @classmethod
    def of(cls, app: Skirret, node: WorkerNode, word: Word) -> RequestSeen:
        """The call that a word is about."""
        message = MessageSeen.of(word)
        headers = message.headers
        context = Context(id=headers.get("id"), task=headers.get("task"), hostname=node.hostname)
        received = wire_envelope.decode(word.raw)
        if not isinstance(received, Malformed):
            decoded = wire_task.decode(received.envelope, accept=frozenset(app.conf.accept_content))
            if isinstance(decoded, TaskMessage):
                info = {**message.delivery_info, "priority": decoded.priority, "redelivered": word.deliveries > 0}
                context = request_of(
                    decoded, delivery_info=info, hostname=node.hostname, properties=message.properties,
                    deliveries=word.deliveries,
                )  # fmt: skip
        return cls(context, app.tasks.get(context.task or ""), node, message)

    def __getattr__(self, name: str) -> Any:
        if name == "context":
            raise AttributeError(name)
        return getattr(self.context, name)

    def __repr__(self) -> str:
        return f"<Request: {self.name}[{self.task_id}]>"
