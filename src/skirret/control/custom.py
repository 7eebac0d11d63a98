"""Remote commands of the app's own: the decorators that make them, and where workers and callers find them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, overload

from skirret.control.catalogue import COMMANDS, Command

Function = TypeVar("Function", bound=Callable[..., Any])


class Custom:
    """One command of the app's own: what it is called and the function ``function(state, **arguments)``."""

    __slots__ = ("command", "function")

    def __init__(self, command: Command, function: Callable[..., Any]) -> None:
        self.command = command
        self.function = function


_registered: dict[str, Custom] = {}


def registered() -> dict[str, Custom]:
    """The commands that the modules imported so far define, by name and by alias."""
    return {**{one.command.alias: one for one in _registered.values() if one.command.alias}, **_registered}


@overload
def control_command(function: Function, /) -> Function: ...
@overload
def control_command(**options: Any) -> Callable[[Function], Function]: ...
def control_command(function: Any = None, /, **options: Any) -> Any:
    """Make a function a remote command that changes something; it runs in a process of its own beside the worker.

    Args:
        function: called as ``function(state, **arguments)``; what it returns is the reply.
        **options: ``name`` (the function's own by default), ``alias``, ``args`` (pairs of a name and a type, for the
            command line), ``signature`` (how its arguments are shown), ``variadic`` (the argument that takes further
            words), ``help`` (else the docstring's first line), ``default_timeout``, ``visible``.

    Raises:
        ValueError: the name is that of a built-in command.
    """
    return _decorator("control", function, options)


@overload
def inspect_command(function: Function, /) -> Function: ...
@overload
def inspect_command(**options: Any) -> Callable[[Function], Function]: ...
def inspect_command(function: Any = None, /, **options: Any) -> Any:
    """Make a function a remote command that looks at something; as `control_command`."""
    return _decorator("inspect", function, options)


def _decorator(kind: str, function: Any, options: dict[str, Any]) -> Any:
    def register(function: Function) -> Function:
        command = _command(kind, function, **options)
        if command.name in COMMANDS:
            raise ValueError(f"{command.name!r} is a command that every worker has; give yours another name")
        _registered[command.name] = Custom(command, function)
        return function

    return register if function is None else register(function)


def _command(
    kind: str,
    function: Callable[..., Any],
    *,
    name: str | None = None,
    alias: str | None = None,
    args: Sequence[tuple[str, Callable[[str], Any]]] = (),
    signature: str | None = None,
    variadic: str | None = None,
    help: str | None = None,
    default_timeout: float = 1.0,
    visible: bool = True,
    **_: Any,
) -> Command:
    return Command(
        name=name or str(getattr(function, "__name__", "")),
        kind=kind,
        doc=help or (function.__doc__ or "").strip().partition("\n")[0],
        usage=signature or "",
        arguments=tuple(args or ()),
        variadic=variadic or "",
        alias=alias or "",
        timeout=default_timeout,
        visible=visible,
    )
