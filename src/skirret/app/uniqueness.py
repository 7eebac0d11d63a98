"""Sends a call only if no other one with its key is under way: the key is taken before, and noted in the message."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

import msgspec

from skirret.app.keys import digest, key_of, named
from skirret.app.lineage import uuid
from skirret.coordination import keys
from skirret.wire.marks import HEADER, MOST

LONGEST: Final = 24 * 3600.0
"""Seconds for which a key is kept at most, where ``unique_for`` does not say: a purged message gives none free."""

UNTIL: Final = ("start", "end", "window")
"""What gives a key free: the start of the run, its end, or only the end of ``unique_for``."""

OPTIONS: Final = ("unique", "unique_for", "unique_until")


class Once:
    """One call's right to be the only one of its key.

    Args:
        shared: where keys are kept.
        key: the key.
        owner: the id of the task that has it.
        is_first: whether that is this call.
    """

    __slots__ = ("_key", "_shared", "is_first", "owner")

    def __init__(self, shared: Any, key: str, owner: str, *, is_first: bool) -> None:
        self._shared = shared
        self._key = key
        self.owner = owner
        self.is_first = is_first

    def give_up(self) -> None:
        """The call was not sent: others may be."""
        with contextlib.suppress(Exception):  # then it ends with its window
            self._shared.compare_and_set(self._key, self.owner.encode(), None)


def claim(
    app: Any, task: Any, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], options: dict[str, Any]
) -> Once:
    """Take the key of a call, or learn who has it.

    Args:
        app: whose shared state keeps it.
        task: the task, if this process knows it.
        name: its name.
        args, kwargs: the call's arguments.
        options: of the call; those of uniqueness are taken out, and what the message must carry is put in.

    Raises:
        ValueError: an option makes no sense, or the arguments make no key.
        ImproperlyConfigured: nothing here keeps shared state.
        OperationalError: it cannot be reached.
    """
    said = {option: options.pop(option, None) for option in OPTIONS}
    for option in OPTIONS:
        if said[option] is None:
            said[option] = getattr(task, option, None)
    key = _key(said["unique"], name, task, args, kwargs)
    owner = str(options.get("task_id") or uuid())
    options["task_id"] = owner
    if key is None:
        return Once(app.coordination, "", owner, is_first=True)
    until, seconds = _ends(said["unique_until"] or "end", said["unique_for"], name)
    place = keys.unique(key)
    while True:
        if app.coordination.compare_and_set(place, None, owner.encode(), ttl=seconds):
            break
        other = app.coordination.get(place)
        if other is not None:  # else it ended just now
            return Once(app.coordination, place, other.decode(), is_first=False)
    if until != "window":
        headers = dict(options.get("headers") or {})
        headers[HEADER] = {**headers.get(HEADER, {}), "unique": key, "until": until}
        options["headers"] = headers
    return Once(app.coordination, place, owner, is_first=True)


def _key(spec: Any, name: str, task: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str | None:
    if spec is not True:
        made = key_of(spec, name, task, args, kwargs, option="unique")
        text = None if made is None else f"{name}:{made}"
    else:
        arguments = (args, kwargs) if task is None else named(task, args, kwargs)
        try:
            text = f"{name}:{digest(msgspec.json.encode(arguments, order='deterministic').decode())}"
        except (TypeError, ValueError, msgspec.MsgspecError) as exc:
            raise ValueError(
                f"unique=True of task {name!r} cannot tell whether two calls are the same, because of their arguments: "
                f"{exc}. Give a format or a function that makes the key: unique='order-{{order_id}}'."
            ) from exc
    return text if text is None or len(text) <= MOST else digest(text)


def _ends(until: str, seconds: Any, name: str) -> tuple[str, float]:
    if until not in UNTIL:
        raise ValueError(f"unique_until of task {name!r} is {until!r}, and must be one of {', '.join(UNTIL)}")
    if seconds is None:
        if until == "window":
            raise ValueError(f"unique_until='window' of task {name!r} needs unique_for: how many seconds")
        return until, LONGEST
    total = seconds.total_seconds() if isinstance(seconds, timedelta) else float(seconds)
    if total <= 0:
        raise ValueError(f"unique_for of task {name!r} is {seconds!r}; it must be more than 0 seconds")
    return until, total
