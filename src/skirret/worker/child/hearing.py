"""The hooks of one run: who is told of it, and what waits until a coroutine among them is awaited."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from skirret import context
from skirret.app.publisher import outgoing_of
from skirret.coroutines import run_coroutine
from skirret.message import Publication
from skirret.middleware import Stack, telling


class Hearing:
    """What an execution adds for those who want to hear of it; two empty fields while nobody does."""

    __slots__ = ("hooks", "waits")

    hooks: Stack | None
    """The app's stack, if anybody listens to this run."""
    waits: telling.Waits | None
    """Hooks that are coroutines, and what must not overtake them; for `catch_up`."""

    def tell(self, calls: Sequence[telling.Call], *args: Any, veto: bool = False) -> None:
        """Call hooks; from the first coroutine on they wait."""
        self.waits = telling.begin(calls, args, veto=veto, waits=self.waits)

    def sent(self, publications: Sequence[Publication]) -> None:
        """Tell of messages that leave with the outcome."""
        calls = self.hooks.after_publish if self.hooks is not None else ()
        if calls:
            for publication in publications:
                self.tell(calls, outgoing_of(publication))

    def in_turn(self, call: telling.Call, *args: Any) -> None:
        """Make a call that is no hook, after those that wait if any do."""
        if self.waits:
            self.waits.append(telling.Waiting(call, args, hook=False))
        else:
            call(*args)

    def leave_task(self) -> None:
        """Leave the task; if hooks of its end wait, whoever awaits them leaves it after them."""
        if not self.waits:
            context.pop_task()

    async def catch_up(self) -> None:
        """Await what waits; after `enter`, and after the outcome (then `context.pop_task` is due)."""
        if self.waits:
            await telling.drain(self.waits)

    def catch_up_alone(self) -> None:
        """Run what waits after the outcome to its end, where no slot will, and leave the task."""
        if self.waits:
            run_coroutine(self.catch_up())
            context.pop_task()
