"""Settings as lists for people and as plain data for other processes."""

from __future__ import annotations

import enum
import os
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, NamedTuple

from skirret.settings.layer import Fault
from skirret.settings.origin import Origin
from skirret.settings.table import OPTIONS, shown


class Row(NamedTuple):
    """One setting as it is shown.

    Args:
        key: its name.
        value: its value, with secrets masked.
        origin: where the value came from.
        doc: what it is for, in one sentence; empty for a setting of the user's own.
        default: its default.
        used: whether Skirret does anything with it.
        unused: why not; empty if it does.
    """

    key: str
    value: Any
    origin: Origin
    doc: str
    default: Any
    used: bool
    unused: str = ""


def row(key: str, value: Any, origin: Origin) -> Row:
    """The row of `key`, whose `value` is already masked."""
    known = OPTIONS.get(key)
    if known is None:
        return Row(key, value, origin, "", None, used=True)
    return Row(key, value, origin, known.doc, shown(key, known.default), known.used, known.unused)


def has_effect(key: str) -> bool:
    """Whether Skirret, or the user's own code, does anything with the setting `key`."""
    known = OPTIONS.get(key)
    return known is None or known.used


def full_key(name: str, group: str = "") -> str:
    """The key called `name`, or `name` within `group`, or within any other group.

    Raises:
        KeyError: there is none.
    """
    if f"{group}_{name}" in OPTIONS:
        return f"{group}_{name}"
    if name in OPTIONS:
        return name
    found = next((key for key in OPTIONS if key.partition("_")[2] == name), None)
    if found is None:
        raise KeyError(f"there is no setting {name!r}")
    return found


def contradictions(values: Mapping[str, Any], origin: Callable[[str], Origin]) -> list[Fault]:
    """What is wrong with `values` taken together."""
    found = []

    def less(small: str, large: str, why: str) -> None:
        if values[small] and values[large] and values[small] > values[large]:
            text = f"{small} = {values[small]:g} is more than {large} = {values[large]:g}: {why}"
            found.append(Fault(small, text, origin(small)))

    less("task_soft_time_limit", "task_time_limit", "the task would be stopped before it was told to finish")
    less(
        "result_backend_base_sleep_between_retries_ms",
        "result_backend_max_sleep_between_retries_ms",
        "the first pause cannot be longer than the longest",
    )
    return found


class _NotPlain(Exception):
    """A value that is code or an object."""


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` without those that are, or hold, more than None, bool, number, text, list and dict.

    Durations become seconds, tuples and sets become lists, paths become text, and infinite numbers the text ``inf``,
    which JSON could not say.
    """
    found = {}
    for key, value in values.items():
        try:
            found[key] = _plain(value)
        except (_NotPlain, RecursionError):
            continue
    return found


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, enum.Enum):
        return _plain(value.value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if abs(value) != float("inf") else str(float(value))
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise _NotPlain from None
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        if not all(isinstance(key, str | int) for key in value):
            raise _NotPlain
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, set | frozenset):
        value = sorted(value, key=repr)
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    raise _NotPlain
