"""How a setting's value is checked, and made of text where it came from the environment.

A kind is a function from what somebody wrote to the value that the program reads; it raises ValueError with what it
expected. Values that already have the right type pass untouched, so that ``conf.beat_schedule["x"] = ...`` changes the
very dict that the user gave.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any

from skirret.errors import ImproperlyConfigured

Kind = Callable[[Any], Any]

_TRUE = frozenset({"1", "true", "t", "yes", "y", "on"})
_FALSE = frozenset({"0", "false", "f", "no", "n", "off"})
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 604800}
_BYTES = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
_QUANTITY = r"([-+]?[\d_]*\.?\d+(?:[eE][-+]?\d+)?)\s*([a-zA-Z]*)"
_RATE = r"\d+(\.\d+)?(/[smh])?"


def boolean(value: Any) -> bool:
    """True or false; text says it as true, yes, on, 1 or false, no, off, 0."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int) and value in {0, 1}:
        return bool(value)
    if isinstance(value, str):
        word = value.strip().lower()
        if word in _TRUE or word in _FALSE:
            return word in _TRUE
    raise ValueError("true or false")


def _quantity(value: Any, units: Mapping[str, float], expected: str) -> int | float:
    """A number, or text of a number with one of `units` behind it."""
    if isinstance(value, bool):
        raise ValueError(expected)  # noqa: TRY004  one kind of error for all faults
    if isinstance(value, str):
        if value.strip().lower() in {"inf", "infinity"}:
            return math.inf
        match = re.fullmatch(_QUANTITY, value.strip())
        factor = None if match is None else units.get(match[2].lower(), 1 if not match[2] else None)
        if match is None or factor is None:
            raise ValueError(expected)
        number = float(match[1])
        value = int(match[1]) if match[1].lstrip("+-").replace("_", "").isdigit() else number
        product = value * factor
        return int(product) if isinstance(product, float) and product.is_integer() else product
    if not isinstance(value, int | float) or math.isnan(value):
        raise ValueError(expected)
    return value


def whole(value: Any) -> int:
    """A whole number."""
    number = _quantity(value, {}, "a whole number")
    if isinstance(number, float):
        if not number.is_integer():
            raise ValueError("a whole number")
        return int(number)
    return number


def number(value: Any) -> int | float:
    """A number."""
    return _quantity(value, {}, "a number")


def seconds(value: Any) -> int | float:
    """Seconds: a number, a timedelta, or text such as ``90``, ``90s``, ``1.5h``, ``1d``."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    return _quantity(value, _SECONDS, "seconds as a number, a timedelta, or text such as '90s' or '1h'")


def duration(value: Any) -> int | float | timedelta:
    """As `seconds`, but a timedelta stays one."""
    return value if isinstance(value, timedelta) else seconds(value)


def size(value: Any) -> int:
    """A number of bytes, or text such as ``16MiB``."""
    return whole(_quantity(value, _BYTES, "bytes as a whole number or text such as '16MiB'"))


def text(value: Any) -> str:
    """Text."""
    if isinstance(value, str):
        return value
    raise ValueError("text")


def path(value: Any) -> str:
    """Where a file lies, as text or a Path."""
    if isinstance(value, str | os.PathLike):
        found = os.fspath(value)
        if isinstance(found, str):
            return found
    raise ValueError("the path of a file")


def names(value: Any) -> tuple[str, ...] | list[str]:
    """Several names: a list, or text with commas between them."""
    if isinstance(value, str):
        stripped = value.strip()
        value = (
            _json(stripped) if stripped.startswith("[") else tuple(p.strip() for p in stripped.split(",") if p.strip())
        )
    if isinstance(value, Iterable) and not isinstance(value, Mapping | bytes):
        found = value if isinstance(value, list | tuple) else tuple(value)
        if all(isinstance(name, str) for name in found):
            return found
    raise ValueError("names as a list or as text with commas between them")


def mapping(value: Any) -> Any:
    """Names with values: a dict, or a JSON object as text."""
    if isinstance(value, str):
        value = _json(value)
    if isinstance(value, Mapping):
        return value
    raise ValueError("a dict, or a JSON object as text")


def switch_or_mapping(value: Any) -> Any:
    """True or false, or a dict of details."""
    try:
        return boolean(value)
    except ValueError:
        pass
    try:
        return mapping(value)
    except ValueError:
        raise ValueError("true, false or a dict") from None


def anything(value: Any) -> Any:
    """Whatever Python can hold; text that is a JSON object or list is read as such."""
    if isinstance(value, str) and value.lstrip()[:1] in {"{", "["}:
        return _json(value)
    return value


def queues(value: Any) -> Any:
    """Queues: a list of them, a dict by name, or text with commas between their names."""
    if isinstance(value, str):
        return names(value) if value.lstrip()[:1] != "{" else mapping(value)
    if isinstance(value, Iterable) and not isinstance(value, bytes):
        return value
    raise ValueError("a list of queues, a dict of them by name, or their names")


def concurrency(value: Any) -> int | None:
    """A number of slots; ``auto`` stands for one a processor core."""
    if isinstance(value, str) and value.strip().lower() == "auto":
        return None
    try:
        return whole(value)
    except ValueError:
        raise ValueError("a whole number, or 'auto' for one a processor core") from None


def rate(value: Any) -> str | int | float:
    """Tasks a second, or text such as ``100/m``."""
    if isinstance(value, str):
        if re.fullmatch(_RATE, value.strip()):
            return value.strip()
    elif isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
        return value
    raise ValueError("a rate such as '10/s', '100/m' or '1000/h'")


def delivery_mode(value: Any) -> int | str:
    """Whether messages outlive a restart of the broker: 2 or ``persistent``, 1 or ``transient``."""
    if value in {"persistent", "transient"} or (value in {1, 2} and not isinstance(value, bool)):
        mode: int | str = value
        return mode
    if value in {"1", "2"}:
        return int(value)
    raise ValueError("2 or 'persistent', 1 or 'transient'")


def address(value: Any) -> Any:
    """A result store's address, or the class of one."""
    if isinstance(value, str) or callable(value):
        return value
    raise ValueError("an address such as 'redis://localhost:6379/0'")


def addresses(value: Any) -> Any:
    """A broker's address, or several in a list or with ``;`` between them, of which one is used at a time."""
    from skirret.url import parse

    expected = "an address such as 'redis://localhost:6379/0', or a list of them"
    if isinstance(value, str) and value.lstrip().startswith("["):
        value = _json(value)
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list | tuple) or not all(isinstance(one, str) for one in found):
        raise ValueError(expected)
    for one in found:
        for part in one.split(";"):
            try:
                parse(part)
            except ImproperlyConfigured:  # its text may hold a piece of the password
                raise ValueError(
                    f"{expected}; characters such as / : # ? @ in a user name or password must be percent-encoded"
                ) from None
    return value


def timezone(value: Any) -> Any:
    """A time zone: its name in the IANA database, or a tzinfo."""
    from datetime import tzinfo

    if isinstance(value, tzinfo):
        return value
    if isinstance(value, str):
        if value.lower() in {"utc", "local", "localtime"}:
            return value
        import zoneinfo

        try:
            zoneinfo.ZoneInfo(value)
        except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
            raise ValueError(
                "the name of a time zone such as 'Europe/Berlin' known to this system (or `pip install tzdata`)"
            ) from None
        return value
    raise ValueError("the name of a time zone such as 'Europe/Berlin'")


def importable(value: Any) -> Any:
    """A class or function, or where to import it from."""
    if isinstance(value, str) or callable(value):
        return value
    raise ValueError("a name, a path such as 'package.module:Class', or the class itself")


POOLS_BY_NAME = (
    "Classes of Celery's pools do not run here; a pool of your own is an entry point of the group 'skirret.pools', "
    "asked for by that entry's name"
)


def pool(value: Any) -> str:
    """The name of a pool; a class of Celery's, or the path of one, is no pool of ours."""
    if isinstance(value, str) and value and value != "custom" and not (":" in value or "." in value):
        return value
    raise ValueError(f"the name of a pool, such as 'prefork' or 'threads'. {POOLS_BY_NAME}")


def start_method(value: Any) -> str:
    """How child processes begin."""
    if value == "forkserver":
        raise ValueError("'fork' or 'spawn': take 'spawn' for children that begin without the parent's memory")
    return text(value)


def secret(value: Any) -> str | bytes:
    """A password, as text or bytes."""
    if isinstance(value, str | bytes):
        return value
    raise ValueError("text or bytes")


def loglevel(value: Any) -> str | int:
    """A log level by name or number."""
    if isinstance(value, str) and value.upper() in {"DEBUG", "INFO", "WARNING", "WARN", "ERROR", "CRITICAL", "FATAL"}:
        return value
    try:
        return whole(value)
    except ValueError:
        raise ValueError("a log level such as 'INFO' or 'WARNING'") from None


def _json(value: str) -> Any:
    import json

    try:
        return json.loads(value)
    except ValueError as exc:
        raise ValueError(f"JSON ({exc})") from None


OF_ANNOTATION: dict[str, Kind] = {
    "bool": boolean,
    "int": whole,
    "float": number,
    "str": text,
    "tuple[str, ...]": names,
    "dict[str, Any]": mapping,
    "bool | dict[str, Any]": switch_or_mapping,
    "Any": anything,
}
"""The kind that follows from a field's type, where the field names none."""
