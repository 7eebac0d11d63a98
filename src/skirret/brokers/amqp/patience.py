"""How long RabbitMQ lets a worker hold a message (its `consumer_timeout`), as far as a client can know.

Who holds one for longer is cut off, and the message goes to somebody else, so that a task that takes longer runs twice
at a time. The server tells nobody how long it waits. But a queue can be made with a patience of its own.
"""

from __future__ import annotations

from skirret.brokers.amqp.options import Options

USUAL = 1800.0
"""Seconds that a server waits by default."""

OURS = 86_400.0
"""Seconds that queues of ours ask for: a long task is no fault, and what is held for ever fills the server's disk."""

HEEDED = (3, 11, 15)
"""The first version that heeds what a queue asks for; those before it pass over it."""

ARGUMENT = "x-consumer-timeout"

MARGIN = 60.0
"""Seconds between a task's end and the last moment at which that may be told."""


def asked(options: Options) -> int:
    """What a queue of ours asks for, in milliseconds."""
    return round((options.consumer_timeout or OURS) * 1000)


def known(options: Options, version: tuple[int, ...]) -> float:
    """Seconds that a server of a version waits: as the operator says, or as it most likely is for a queue of ours.

    A queue that was made by Celery, or by us before we asked for anything, has the server's own patience.
    """
    if options.consumer_timeout is not None:
        return options.consumer_timeout
    return USUAL if options.like_celery or version < HEEDED else OURS


def caution(longest: float | None, patience: float) -> str | None:
    """What to tell the operator, if anything.

    Args:
        longest: seconds that a task may run, as far as that is limited.
        patience: seconds that the server waits.
    """
    if longest is None or longest + MARGIN <= patience:
        return None
    return (
        f"Tasks may run for {longest:g} s here (the longest hard time limit), and RabbitMQ gives a message to another "
        f"worker after {patience:g} s, as far as is known: such a task would run twice at a time. Raise its "
        "consumer_timeout, and tell it by the transport option consumer_timeout (seconds)"
    )
