"""The transport options of the Redis broker, read once; names that kombu has are kombu's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from skirret.errors import ImproperlyConfigured
from skirret.url import Url
from skirret.wire import redis_keys

TIERS = ("memory", "fsync", "replicated")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a broker works by.

    Args:
        steps: kombu's ``priority_steps``, ascending: the priorities that have a list of their own.
        separator: kombu's ``sep``.
        order: the steps in the order of taking: 9 first ("guide") or 0 first ("celery"), by ``priority_order``.
        durability: when a publish or a settlement counts as done. ``memory``: the server has it. ``fsync``: its
            append-only file is on the disk. ``replicated``: so many ``durability_replicas`` have it as well.
        replicas: how many, with ``replicated``.
        patience: seconds that disk and replicas may take, ``durability_timeout``.
        fanout_prefix: kombu's, before the channels of fanout exchanges; ``{db}`` is the database.
        fanout_patterns: kombu's: whether those channels tell the routing key.
    """

    steps: tuple[int, ...] = redis_keys.PRIORITY_STEPS
    separator: str = redis_keys.SEPARATOR
    order: tuple[int, ...] = redis_keys.PRIORITY_STEPS[::-1]
    durability: str = "memory"
    replicas: int = 1
    patience: float = 2.0
    fanout_prefix: str = redis_keys.FANOUT_PREFIX
    fanout_patterns: bool = True


def options_of(url: Url, options: Mapping[str, Any]) -> Options:
    """Read the options of an address.

    Raises:
        ImproperlyConfigured: one of them makes no sense.
    """
    given = {**options, **url.options}
    try:
        steps = tuple(sorted({int(step) for step in given.get("priority_steps") or redis_keys.PRIORITY_STEPS}))
    except (TypeError, ValueError):
        steps = ()
    if not steps or steps[0] < 0 or steps[-1] > 9:
        raise ImproperlyConfigured(
            f"{url}: priority_steps={given['priority_steps']!r} is not a list of numbers from 0 to 9, such as "
            "[0, 3, 6, 9]"
        )
    order = given.get("priority_order") or "guide"
    if order not in {"guide", "celery"}:
        raise ImproperlyConfigured(f"{url}: priority_order is 'guide' (9 first) or 'celery' (0 first), not {order!r}")
    durability = given.get("durability") or "memory"
    if durability not in TIERS:
        raise ImproperlyConfigured(f"{url}: durability is one of {', '.join(TIERS)}, not {durability!r}")
    return Options(
        steps=steps,
        separator=str(given.get("sep") or redis_keys.SEPARATOR),
        order=steps if order == "celery" else steps[::-1],
        durability=durability,
        replicas=_positive(url, "durability_replicas", given.get("durability_replicas", 1)),
        patience=_positive(url, "durability_timeout", given.get("durability_timeout", 2.0), float),
        fanout_prefix=_fanout_prefix(given.get("fanout_prefix", True)),
        fanout_patterns=str(given.get("fanout_patterns", True)).lower() not in {"false", "0", "no", "off", ""},
    )


def _fanout_prefix(value: Any) -> str:
    """True is kombu's default, False none, and text is the prefix itself."""
    words = {"true": redis_keys.FANOUT_PREFIX, "1": redis_keys.FANOUT_PREFIX, "false": "", "0": "", "none": ""}
    return words.get(str(value).lower(), str(value))


def _positive(url: Url, name: str, value: Any, kind: type[Any] = int) -> Any:
    try:
        number = kind(value)
    except (TypeError, ValueError):
        number = 0
    if not 0 < number < 1e6:
        raise ImproperlyConfigured(f"{url}: {name}={value!r} is not a positive number")
    return number
