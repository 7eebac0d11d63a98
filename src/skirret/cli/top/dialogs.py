"""What the live view asks and shows over itself: a question before anything is ended, and all about one task."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from skirret.cli.output import printable
from skirret.events.tasks import Task

MOMENTS = ("sent", "received", "started", "succeeded", "failed", "retried", "revoked", "rejected", "eta", "expires")


class Ask(ModalScreen[bool]):
    """A question that is answered with yes or no.

    Args:
        question: the question.
        verb: what yes does, in one word.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "Yes"),
        Binding("n,escape", "answer(False)", "No"),
    ]

    def __init__(self, question: str, verb: str) -> None:
        super().__init__()
        self._question = question
        self._verb = verb

    def compose(self) -> ComposeResult:
        """A sentence and two buttons."""
        with VerticalScroll(id="dialog"):
            yield Static(Text(printable(self._question)))
            with Horizontal(id="buttons"):
                yield Button("No", id="no")
                yield Button(self._verb, id="yes", variant="error")

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Answer."""
        self.dismiss(event.button.id == "yes")

    def action_answer(self, yes: bool) -> None:
        """Answer by a key."""
        self.dismiss(yes)


class Detail(ModalScreen[None]):
    """All that is known of a task.

    Args:
        task: the task.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,enter,q", "dismiss", "Close")]

    def __init__(self, task: Task) -> None:
        super().__init__()
        self._about = task

    def compose(self) -> ComposeResult:
        """A table of fields, then the traceback."""
        task = self._about
        table = Table.grid(padding=(0, 2))
        table.add_column(style="dim", no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in _fields(task).items():
            table.add_row(name, Text(printable(value)))
        with VerticalScroll(id="dialog") as dialog:
            dialog.border_title = printable(str(task.name or "task"))
            dialog.border_subtitle = "esc closes"
            yield Static(table)
            if task.traceback:
                yield Static(Text(f"\n{task.traceback}", style="red"))


def _fields(task: Task) -> dict[str, str]:
    found = {"id": str(task.uuid), "state": task.state}
    if task.worker is not None:
        found["worker"] = str(task.worker.hostname)
    for name in ("args", "kwargs", "result", "exception", "runtime", "retries", "routing_key", "client"):
        value = getattr(task, name, None)
        if value not in (None, "", "{}", "()", 0):
            found[name] = f"{value:.6f} s" if name == "runtime" and isinstance(value, float) else str(value)
    for name in MOMENTS:
        value = getattr(task, name, None)
        if isinstance(value, (int, float)):
            found[name] = datetime.fromtimestamp(value).astimezone().strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
        elif value:
            found[name] = str(value)
    for name in ("root_id", "parent_id"):
        value = getattr(task, name, None)
        if value and value != task.uuid:
            found[name.removesuffix("_id")] = str(value)
    return found
