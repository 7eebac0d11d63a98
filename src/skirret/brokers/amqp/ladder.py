"""Celery's ladder of delay queues: a message falls from level to level, and waits where its delay has a binary one.

Source of names, arguments and keys: kombu/transport/native_delayed_delivery.py. Level n holds messages for 2^n seconds;
the routing key is the delay in 28 binary digits with dots between them, and then the key of the destination.
"""

from __future__ import annotations

import math
import re
from typing import Any

from pamqp import commands

LEVELS = 28
MAX_DELAY = 2**LEVELS - 1
"""Seconds, eight and a half years; who waits longer comes out and goes in again."""

ENTRY = f"celery_delayed_{LEVELS - 1}"
EXIT = "celery_delayed_delivery"

_DELAY = re.compile(rf"^(?:[01]\.){{{LEVELS}}}")


def seconds_until(due: float, now: float) -> int:
    """Whole seconds from `now` to `due`, rounded up so that nothing comes early; 0 is due."""
    return int(min(MAX_DELAY, max(0, math.ceil(due - now))))


def key(seconds: int, routing_key: str) -> str:
    """The routing key with which a message enters the ladder."""
    return ".".join(f"{seconds:0{LEVELS}b}") + "." + plain(routing_key)


def plain(routing_key: str) -> str:
    """A routing key without a delay of its own."""
    return _DELAY.sub("", routing_key, count=1)


def exit_key(queue: str) -> str:
    """How a queue is bound to the ladder's exit: 28 words of delay, then its name and nothing else."""
    return "*." * LEVELS + queue


def level(number: int) -> str:
    """The name of a level's exchange and queue."""
    return f"celery_delayed_{number}"


def queue_arguments(number: int, queue_type: str) -> dict[str, Any]:
    """The arguments of a level's queue."""
    found: dict[str, Any] = {
        "x-queue-type": queue_type,
        "x-overflow": "reject-publish",
        "x-message-ttl": 2**number * 1000,
        "x-dead-letter-exchange": level(number - 1) if number else EXIT,
    }
    if queue_type == "quorum":
        found["x-dead-letter-strategy"] = "at-least-once"
    return found


def rungs(queue_type: str) -> list[tuple[Any, type[Any]]]:
    """All that makes the ladder, in order, the exit last: whoever sees the exit sees a whole ladder."""
    made: list[tuple[Any, type[Any]]] = []
    for number in range(LEVELS - 1, -1, -1):
        name, above = level(number), "*." * (LEVELS - 1 - number)
        made += [
            (
                commands.Exchange.Declare(exchange=name, exchange_type="topic", durable=True),
                commands.Exchange.DeclareOk,
            ),
            (
                commands.Queue.Declare(queue=name, durable=True, arguments=queue_arguments(number, queue_type)),
                commands.Queue.DeclareOk,
            ),
            (
                commands.Queue.Bind(queue=name, exchange=name, routing_key=f"{above}1.#", arguments={}),
                commands.Queue.BindOk,
            ),
        ]
    for number in range(LEVELS - 1, 0, -1):
        skipped = "*." * (LEVELS - 1 - number) + "0.#"
        made.append((_bind_exchange(level(number - 1), level(number), skipped), commands.Exchange.BindOk))
    return made + exit_rungs()


def exit_rungs() -> list[tuple[Any, type[Any]]]:
    """The last exchange and how the lowest level leads to it."""
    declared = commands.Exchange.Declare(exchange=EXIT, exchange_type="topic", durable=True)
    bound = _bind_exchange(EXIT, level(0), "*." * (LEVELS - 1) + "0.#")
    return [(declared, commands.Exchange.DeclareOk), (bound, commands.Exchange.BindOk)]


def _bind_exchange(destination: str, source: str, routing_key: str) -> commands.Exchange.Bind:
    return commands.Exchange.Bind(destination=destination, source=source, routing_key=routing_key, arguments={})
