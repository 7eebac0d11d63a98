"""The app's own remote commands: handed to the worker's handler, which runs user code; the answer comes by and by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from skirret.worker.handler_line import Carrier
from skirret.worker.loop import Loop
from skirret.worker.remote.node import Awaited
from skirret.worker.words import Answer

PATIENCE = 60.0
"""Seconds after which a caller is told that a command takes too long."""

Reply = Callable[[Any], None]


class Commander(Carrier, Protocol):
    """Who carries commands out as well: a process, or a thread under ``solo``."""

    def ask(self, name: str, arguments: dict[str, object], answered: Callable[[Answer], object]) -> None:
        """Have a command carried out; `answered` gets what it gave."""


class OwnCommands:
    """Has the app's own commands carried out.

    Args:
        loop: the supervisor's.
        carrier: who does it.
    """

    def __init__(self, loop: Loop, carrier: Commander) -> None:
        self._loop = loop
        self._carrier = carrier

    def command(self, name: str, arguments: dict[str, Any]) -> Awaited:
        """Have one carried out."""

        def ask(reply: Reply) -> None:
            waiting = [reply]

            def answer(value: Any) -> None:
                if waiting:
                    waiting.pop()(value)

            def answered(answered: Answer) -> None:
                answer({"error": answered.error} if answered.error else answered.value)

            self._loop.call_later(PATIENCE, lambda: answer({"error": f"no answer within {PATIENCE:g} s"}))
            self._carrier.ask(name, arguments, answered)

        return Awaited(ask)
