"""The names that kombu and Celery use on a Redis server, so that both sides find each other's messages and results.

Source of the names: kombu 5.7 ``transport/redis.py`` and ``transport/virtual``, Celery 5.7 ``backends``.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

SEPARATOR = "\x06\x16"
"""Between the parts of a list's name and of a binding."""

PRIORITY_STEPS = (0, 3, 6, 9)
"""The priorities that have a list of their own; others go to the next lower one."""

DEFAULT_EXCHANGE = ""
"""AMQP's: it leads to the queue that the routing key names, and nothing is bound to it."""

_WORDS = {"*": r"[^\.]+", "#": r".*?"}


def ready_list(queue: str, priority: int, steps: Sequence[int] = PRIORITY_STEPS, separator: str = SEPARATOR) -> str:
    """The list that holds a queue's messages of a priority.

    Args:
        queue: its name.
        priority: 0 to 9.
        steps: kombu's ``priority_steps``, ascending.
        separator: kombu's ``sep``.
    """
    step = steps[max(0, bisect_right(steps, priority) - 1)]
    return f"{queue}{separator}{step}" if step else queue


def ready_lists(queue: str, steps: Sequence[int] = PRIORITY_STEPS, separator: str = SEPARATOR) -> list[str]:
    """All lists of a queue, in the order of `steps`."""
    return [ready_list(queue, step, steps, separator) for step in steps]


def bindings(exchange: str) -> tuple[str, str]:
    """The two sets in which kombu keeps what is bound to an exchange: what is looked up, and what never expires."""
    return f"_kombu.binding.{exchange}", f"_kombu.binding_permanent.{exchange}"


def binding(queue: str, routing_key: str, exchange_type: str = "direct", separator: str = SEPARATOR) -> str:
    """A member of those sets."""
    pattern = topic_pattern(routing_key) if exchange_type == "topic" else ""
    return separator.join((routing_key, pattern, queue))


def topic_pattern(routing_key: str) -> str:
    """The regular expression by which kombu matches a topic: ``*`` is one word, ``#`` any number."""
    escaped = "".join(sign if sign.isalnum() or sign in ".#*" else f"\\{sign}" for sign in routing_key)
    return "^" + r"\.".join(_WORDS.get(word, word) for word in escaped.split(".")) + "$"


def result(task_id: str) -> str:
    """The key, and the channel, of a task's result."""
    return f"celery-task-meta-{task_id}"


def group_result(group_id: str) -> str:
    """The key of a saved group."""
    return f"celery-taskset-meta-{group_id}"


FANOUT_PREFIX = "/{db}."
"""kombu's default ``fanout_prefix``."""


def fanout_base(db: int, prefix: str = FANOUT_PREFIX) -> str:
    """What the channels of fanout exchanges begin with.

    Args:
        db: the database.
        prefix: kombu's ``fanout_prefix``.
    """
    return prefix.replace("{db}", str(db))
