"""Keys of a call, made of its arguments: what it is counted by, and what makes it the only one of its kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from skirret.app.arguments import signature_of
from skirret.wire.marks import MOST


def key_of(
    spec: Any, name: str, task: Any, args: Sequence[Any], kwargs: Mapping[str, Any], *, option: str
) -> str | None:
    """The key of a call.

    Args:
        spec: a format over the arguments, by place or by name (``customer-{customer}``; one without braces is the same
            for all calls), or a function that is called with the arguments and returns the key.
        name: the task's name.
        task: the task, if this process knows it: its signature tells the names of arguments given by place.
        args, kwargs: the call's arguments.
        option: what `spec` is called, for messages.

    Returns:
        The key; None if the function returned None: this call is not counted.

    Raises:
        ValueError: the arguments make no key.
    """
    if callable(spec):
        made = spec(*args, **kwargs)
        if made is None:
            return None
        text = str(made)
    else:
        try:
            text = str(spec).format(*args, **named(task, args, kwargs))
        except (LookupError, AttributeError, ValueError) as exc:
            told = f"there is no argument {exc}" if isinstance(exc, LookupError) else str(exc)
            raise ValueError(f"{option}={spec!r} of task {name!r} does not fit this call: {told}") from exc
    if not text or "\0" in text:
        raise ValueError(f"{option} of task {name!r} made the key {text!r}; it must be text without NUL, and not empty")
    return text if len(text) <= MOST else digest(text)


def named(task: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a call by their names, with defaults, as far as they can be known."""
    run = getattr(task, "run", None)
    if run is None:
        return dict(kwargs)
    try:
        bound = signature_of(run).bind(*args, **kwargs)
    except (TypeError, ValueError):  # no signature, or a call that does not fit it: the worker will say so
        return dict(kwargs)
    bound.apply_defaults()
    return dict(bound.arguments)


def digest(text: str) -> str:
    """A short stand-in for a long text."""
    import hashlib

    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
