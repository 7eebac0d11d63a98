"""``python -m benchmarks.amqp URL``: measure what each client of RabbitMQ costs, in turns, and print a table.

    python -m benchmarks.amqp URL [--messages 20000] [--rounds 3] [--quorum]

Needs py-amqp, pika and pamqp. Each client does the same in turns, on a durable queue of its own: publishes persistent
messages with pipelined confirms (at most 1,000 unconfirmed), publishes them one by one, each confirmed before the next,
and consumes them with a prefetch of 100, acknowledging 50 at a time. The floor writes and reads by hand only the frames
that this needs; with pamqp the same loop speaks through that library. Message: 770 bytes of JSON, Celery's 12 headers.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import pika
from pamqp import commands, frame

from benchmarks.amqp.client import HEADERS, PREFETCH, Client
from benchmarks.amqp.libraries import Pika, PyAmqp
from benchmarks.amqp.lines import Floor, Pamqp

CLIENTS: tuple[type[Client], ...] = (PyAmqp, Pika, Pamqp, Floor)


COUNT = 5_000  # of a codec alone


def timed(work: Callable[[], Any], count: int) -> tuple[float, float]:
    """Messages a second, and CPU microseconds of this process for each."""
    began, cpu = time.perf_counter(), time.process_time()
    work()
    return count / (time.perf_counter() - began), (time.process_time() - cpu) / count * 1e6


def codecs(url: str, queue: str) -> None:
    """What the two codecs cost without any server's work."""
    lines = [Pamqp(url, queue), Floor(url, queue)]
    method = frame.marshal(commands.Basic.Deliver("taker", 123456, False, "", queue), 1)
    message = lines[1].message()
    head = message[message.index(b"\xce\x02") + 1 : message.index(b"\xce\x03") + 1]
    for line in lines:
        assert line.headers(head) == HEADERS
        assert line.method(method) == ("Deliver", 123456)
    print("\n| codec alone, us | a publish (method, header, body) | a deliver's method | its header |")
    print("|---|---|---|---|")
    for line in lines:
        steps = (line.message, lambda line=line: line.method(method), lambda line=line: line.headers(head))
        costs = (
            min(timed(lambda step=step: [step() for _ in range(COUNT)], COUNT)[1] for _ in range(5)) for step in steps
        )
        print(f"| {line.title} | {' | '.join(f'{cost:.1f}' for cost in costs)} |")


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description="What client libraries for RabbitMQ cost.")
    parser.add_argument("url")
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quorum", action="store_true", help="on quorum queues instead of classic ones")
    options = parser.parse_args()
    many, few = options.messages, options.messages // 10
    found: dict[str, list[list[tuple[float, float]]]] = {}
    boss = pika.BlockingConnection(pika.URLParameters(options.url)).channel()
    kind = {"x-queue-type": "quorum" if options.quorum else "classic"}
    for _ in range(options.rounds):
        for each in CLIENTS:
            queue = f"clients-{each.__name__.lower()}"
            boss.queue_delete(queue)  # of a run that was broken off
            boss.queue_declare(queue, durable=True, arguments=kind)
            client = each(options.url, queue)
            found.setdefault(each.title, []).append([
                timed(lambda client=client: client.publish_pipelined(many), many),
                timed(lambda client=client: client.publish_single(few), few),
                timed(lambda client=client: client.consume(many), many),
            ])  # fmt: skip
            client.close()
            left = boss.queue_delete(queue).method.message_count
            assert few - PREFETCH <= left <= few, left  # those on their way may not be back yet
    print("| client | pipelined publish/s | CPU us | single publish/s | CPU us | consume + ack/s | CPU us |")
    print("|---|---|---|---|---|---|---|")
    for title, rounds in found.items():
        columns = [statistics.median(pair[at] for pair in step) for step in zip(*rounds, strict=True) for at in (0, 1)]
        print(f"| {title} | {' | '.join(f'{value:,.0f}' for value in columns)} |")
    boss.queue_declare("clients-codec", durable=True)
    codecs(options.url, "clients-codec")
    boss.queue_delete("clients-codec")


if __name__ == "__main__":
    main()
