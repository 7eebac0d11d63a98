"""When something counts as stored: in the server's memory, on its disk, or with its replicas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from skirret.brokers.redis.options import Options
from skirret.errors import ImproperlyConfigured, OperationalError
from skirret.stores.redis.session import Command
from skirret.stores.redis.store import Store

WAITAOF = (7, 2)
"""The version from which a server can be asked to wait for its disk."""


def confirmation(store: Store, options: Options) -> tuple[Command, ...]:
    """What is sent behind each script that stores something; the server answers it when the tier is reached.

    Raises:
        ImproperlyConfigured: this server cannot reach that tier as it is set.
    """
    milliseconds = round(min(options.patience, store.address.deadline * 0.75) * 1000.0)
    if options.durability == "memory":
        return ()
    if options.durability == "replicated":
        return (("WAIT", options.replicas, milliseconds),)
    facts = store.facts
    if not facts.has_aof:
        raise ImproperlyConfigured(
            f"durability 'fsync' needs an append-only file, and the {store.address} keeps none. Set `appendonly yes` "
            "there, or choose durability 'memory'."
        )
    if (facts.major, facts.minor) >= WAITAOF:
        return (("WAITAOF", 1, 0, milliseconds),)
    policy = store.call("CONFIG", "GET", "appendfsync")[1]
    if policy != b"always":
        raise ImproperlyConfigured(
            f"durability 'fsync' on the {store.address}, version {facts.major}.{facts.minor}, needs `appendfsync "
            f"always` there; it is {policy.decode()}. Set it, or use Redis 7.2 or Valkey, which can be asked to wait."
        )
    return ()


def check(answers: Sequence[Any], options: Options, where: object) -> None:
    """Raise if the tier was not reached.

    Raises:
        OperationalError: it is stored, and not as safely as asked for; repeating the call stores nothing twice.
    """
    for answer in answers:
        reached = answer[0] if isinstance(answer, list) else answer
        wanted = 1 if isinstance(answer, list) else options.replicas
        if reached < wanted:
            what = "is not on its disk" if isinstance(answer, list) else f"is with {reached} of {wanted} replicas"
            raise OperationalError(
                f"the {where} has it in memory, but it {what} after {options.patience:g} s (durability "
                f"{options.durability!r}). Calling again is safe."
            )
