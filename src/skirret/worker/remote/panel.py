"""From a request to its answer: the command is looked up, its arguments are checked, and no fault gets out."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from skirret import loggers
from skirret.control.catalogue import ALIASES
from skirret.wire.commands import Request
from skirret.worker.remote import controlling, inspecting, stacks
from skirret.worker.remote.node import Node

logger = loggers.own("skirret.worker")

Function = Callable[..., Any]


class Panel:
    """The commands that one worker carries out.

    Args:
        node: the worker.
    """

    def __init__(self, node: Node) -> None:
        self.node = node
        self._functions: dict[str, Function] = {
            **inspecting.COMMANDS,
            **controlling.COMMANDS,
            "stack": stacks.stack,
        }

    def call(self, request: Request) -> Any:
        """Carry out a command on the loop; its answer, which may be `Later` or `Awaited`. Never raises."""
        name = ALIASES.get(request.method, request.method)
        function = self._functions.get(name)
        if function is None:
            if name in self.node.manifest.commands and self.node.handler is not None:
                return self.node.handler.command(name, request.arguments)
            return {"error": f"KeyError({request.method!r})"}
        try:
            return function(self.node, **_known(function, request.arguments))
        except Exception as exc:  # noqa: BLE001  whatever a caller sent, it is told, and the worker goes on
            return fault(request.method, exc)


def fault(method: str, exc: BaseException) -> dict[str, str]:
    """The reply of a command that failed."""
    logger.warning("The remote command %.100r failed: %s: %s", method, type(exc).__name__, exc)
    return {"error": repr(exc)}


def _known(function: Function, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Those arguments that the function takes; Celery's nodes leave others aside too."""
    names = inspect.signature(function).parameters
    return {name: value for name, value in arguments.items() if name in names and name != "node"}
