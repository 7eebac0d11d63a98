"""The libraries that bring their own I/O: py-amqp and pika."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import amqp
import pika

from benchmarks.amqp.client import ACKED_TOGETHER, BODY, HEADERS, ID, KIND, PREFETCH, Client


class PyAmqp(Client):
    """py-amqp, whose own confirmed publish waits for each."""

    title = f"py-amqp {version('amqp')}"

    def __init__(self, url: str, queue: str) -> None:
        super().__init__(url, queue)
        place = "{}:{}".format(*self.place)
        self.connection = amqp.Connection(place, virtual_host=self.host, userid=self.user, password=self.password)
        self.connection.connect()
        self.channel = self.connection.channel()
        self.channel.confirm_select()
        self.channel.events["basic_ack"].add(self.on_ack)

    def close(self) -> None:
        self.connection.close()

    def on_ack(self, tag: int, multiple: bool) -> None:
        """Confirms of classic and quorum queues come in order here: one queue, one channel."""
        self.confirmed = max(self.confirmed, tag)

    def publish(self, count: int) -> None:
        for _ in range(count):
            message = amqp.Message(
                BODY, application_headers=HEADERS, delivery_mode=2, correlation_id=ID, reply_to="r", **KIND
            )
            self.channel.basic_publish(message, routing_key=self.queue, mandatory=True)

    def hear(self) -> None:
        self.connection.drain_events()

    def consume(self, count: int) -> None:
        self.channel.basic_qos(0, PREFETCH, False)
        seen = 0

        def on_message(message: Any) -> None:
            nonlocal seen
            seen += 1
            assert message.headers["task"] == "proj.tasks.add"
            if seen % ACKED_TOGETHER == 0:
                self.channel.basic_ack(message.delivery_tag, multiple=True)

        tag = self.channel.basic_consume(self.queue, callback=on_message)
        while seen < count:
            self.connection.drain_events()
        self.channel.basic_cancel(tag)


class Pika(Client):
    """pika's blocking connection: what it sends is written, and what arrives is handled, by `process_data_events`.

    Its blocking channel waits for each confirm; so the channel below it is used.
    """

    title = f"pika {version('pika')}"

    def __init__(self, url: str, queue: str) -> None:
        super().__init__(url, queue)
        self.connection = pika.BlockingConnection(pika.URLParameters(url))
        self.channel = self.connection.channel()
        self.below = self.channel._impl  # noqa: SLF001 - see above
        selected: list[Any] = []
        self.below.confirm_delivery(self.on_ack, callback=selected.append)
        self.connection._flush_output(lambda: bool(selected))  # noqa: SLF001
        self.properties = pika.BasicProperties(
            headers=HEADERS, delivery_mode=2, correlation_id=ID, reply_to="r", **KIND
        )

    def close(self) -> None:
        self.connection.close()

    def on_ack(self, heard: Any) -> None:
        """A confirm."""
        self.confirmed = max(self.confirmed, heard.method.delivery_tag)

    def publish(self, count: int) -> None:
        for _ in range(count):
            self.below.basic_publish("", self.queue, BODY, self.properties, mandatory=True)

    def hear(self) -> None:
        before = self.confirmed
        while self.confirmed == before:
            self.connection._flush_output(lambda: self.confirmed > before)  # noqa: SLF001

    def consume(self, count: int) -> None:
        self.channel.basic_qos(prefetch_count=PREFETCH)
        seen = 0

        def on_message(_: Any, method: Any, properties: Any, __: bytes) -> None:
            nonlocal seen
            seen += 1
            assert properties.headers["task"] == "proj.tasks.add"
            if seen % ACKED_TOGETHER == 0:
                self.channel.basic_ack(method.delivery_tag, multiple=True)

        tag = self.channel.basic_consume(self.queue, on_message)
        while seen < count:
            self.connection.process_data_events(time_limit=1)
        self.channel.basic_cancel(tag)
