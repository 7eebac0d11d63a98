"""The options of the RabbitMQ broker, read once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from skirret.brokers.amqp.fanning import Listening
from skirret.errors import ImproperlyConfigured
from skirret.url import Url

QUEUE_TYPES = ("quorum", "classic")
EVENTS = Listening(ttl=5.0, expires=60.0)
CONTROL = Listening(ttl=300.0, expires=10.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a broker works by.

    Args:
        queue_type: of queues that are made here: ``quorum`` or ``classic``.
        delay_type: of the ladder's queues, in which delayed messages wait: ``quorum`` or ``classic``.
        max_priority: of classic queues that do not say; None is a queue without priorities.
        like_celery: queues are made with the arguments that Celery gives them and no others, so that its workers and
            clients, which declare their queues whenever they start, are not refused.
        delivery_limit: returns of one message after which a quorum queue that is made here dead-letters it by itself.
        consumer_timeout: seconds that the server lets a worker hold a message, as the operator says; None if he does
            not. Queues that are made here ask for it.
        events, control: how the queues of monitors and of nodes are made, with Celery's settings.
    """

    queue_type: str = "quorum"
    delay_type: str = "quorum"
    max_priority: int | None = None
    like_celery: bool = False
    delivery_limit: int = 20
    consumer_timeout: float | None = None
    events: Listening = EVENTS
    control: Listening = CONTROL


def options_of(url: Url, options: Mapping[str, Any]) -> Options:
    """Read the options of an address.

    Raises:
        ImproperlyConfigured: one of them makes no sense.
    """
    given = {**options, **url.options}
    kinds = {}
    for name in ("queue_type", "delay_queue_type"):
        kinds[name] = given.get(name) or "quorum"
        if kinds[name] not in QUEUE_TYPES:
            raise ImproperlyConfigured(f"{url}: {name} is one of {', '.join(QUEUE_TYPES)}, not {kinds[name]!r}")
    return Options(
        queue_type=kinds["queue_type"],
        delay_type=kinds["delay_queue_type"],
        max_priority=_number(url, given, "queue_max_priority", 255, None),
        like_celery=str(given.get("like_celery") or "no").lower() not in {"no", "0", "false"},
        delivery_limit=_number(url, given, "delivery_limit", 2**31 - 1, 20) or 20,
        consumer_timeout=_number(url, given, "consumer_timeout", 2**31 - 1, None),
        events=replace(EVENTS, **given.get("event_queue", {})),
        control=replace(CONTROL, **given.get("control_queue", {})),
    )


def _number(url: Url, given: Mapping[str, Any], name: str, most: int, usual: int | None) -> int | None:
    value = given.get(name)
    if value is None:
        return usual
    try:
        number = int(value)
    except (TypeError, ValueError):
        number = 0
    if not 0 < number <= most:
        raise ImproperlyConfigured(f"{url}: {name}={value!r} is not a number from 1 to {most}")
    return number
