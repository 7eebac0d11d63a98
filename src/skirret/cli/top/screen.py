"""The live view on the terminal: figures on top, workers beside queues, tasks below, keys that steer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar

from rich.text import Text
from textual import work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import DataTable, Footer, Input, Sparkline, Static

from skirret import states
from skirret.cli.output import printable
from skirret.cli.top.dialogs import Ask, Detail
from skirret.cli.top.feed import Feed
from skirret.cli.top.fleet import Fleet, QueueRow, TaskRow, WorkerRow, duration, quiet_workers, rate
from skirret.errors import SkirretError

TASKS = 200
"""Rows of tasks; the rest is found by searching."""

NUMBERS = frozenset({"running", "done", "tasks/s", "load", "ready", "held", "delayed", "dead", "time"})
"""Columns that are aligned to the right."""

STATE_STYLES = {
    states.SUCCESS: "green",
    states.FAILURE: "bold red",
    states.STARTED: "bold cyan",
    states.RETRY: "yellow",
    states.REVOKED: "magenta",
    states.REJECTED: "magenta",
    states.RECEIVED: "dim",
    states.PENDING: "dim",
}


class Figure(Static):
    """One number with its name."""

    def tell(self, value: str, name: str, style: str = "bold") -> None:
        """Show the number over its name."""
        self.update(Text.assemble((value, style), "\n", (name, "dim")))


class Top(App[None]):
    """The live view.

    Args:
        fleet: what is shown.
        feed: brings what is shown, and carries out what is asked.
        where: the broker's address without its password.
        freq: seconds between two looks.
    """

    CSS_PATH = "top.tcss"
    TITLE = "skirret top"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "Quit"),
        Binding("tab", "app.focus_next", "Next", show=False),
        Binding("slash", "search", "Search"),
        Binding("r", "running", "Running/all"),
        Binding("x", "revoke(False)", "Revoke"),
        Binding("t", "revoke(True)", "Terminate"),
        Binding("p", "pause", "Pause queue"),
        Binding("plus", "resize(1)", "Grow", key_display="+"),
        Binding("minus", "resize(-1)", "Shrink", key_display="-"),
        Binding("e", "tell_events", "Events on"),
        Binding("s", "shut_down", "Stop worker"),
        Binding("escape", "leave_search", show=False),
    ]

    def __init__(self, fleet: Fleet, feed: Feed, where: str, freq: float = 0.5) -> None:
        super().__init__()
        self.fleet = fleet
        self.feed = feed
        self._where = where
        self._freq = freq
        self._running_only = False
        self._search = ""
        self._shown: dict[str, Sequence[Any]] = {"workers": (), "queues": (), "tasks": ()}
        self._written: dict[str, list[tuple[str, list[str]]]] = {}

    def compose(self) -> ComposeResult:
        """The parts, top down."""
        yield Static(id="title")
        yield Static(id="trouble")
        with Horizontal(id="figures"):
            for name in ("alive", "active", "ready", "dead", "failures"):
                yield Figure(id=name)
            with Vertical(id="curve"):
                yield Sparkline(list(self.fleet.history), id="rates")
                yield Static(id="curve-label")
        with Horizontal(id="middle"):
            with Vertical(id="workers-panel", classes="panel"):
                yield DataTable(id="workers", cursor_type="row", zebra_stripes=False)
            with Vertical(id="queues-panel", classes="panel"):
                yield DataTable(id="queues", cursor_type="row")
        with Vertical(id="tasks-panel", classes="panel"):
            yield Input(placeholder="name, id, worker or argument", id="search")
            yield DataTable(id="tasks", cursor_type="row")
        yield Footer()

    def on_mount(self) -> None:
        """Name the columns, and begin."""
        for table, columns in (
            ("workers", ("", "worker", "running", "done", "tasks/s", "load", "software")),
            ("queues", ("queue", "ready", "held", "delayed", "dead", "")),
            ("tasks", ("state", "task", "time", "worker", "arguments", "result")),
        ):
            heads = [Text(name, justify="right" if name in NUMBERS else "left") for name in columns]
            self.table(table).add_columns(*heads)
        for panel in ("workers", "queues", "tasks"):
            self.query_one(f"#{panel}-panel").border_title = panel
        self.table("tasks").focus()
        self.feed.start()
        self.look()
        self.set_interval(self._freq, self.look)

    def on_unmount(self) -> None:
        """Let the feed end."""
        self.feed.stop()

    def table(self, name: str) -> DataTable[Any]:
        """One of the three tables."""
        return self.query_one(f"#{name}", DataTable)

    # -- showing -------------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Show what is known now."""
        # Somebody reads or answers, or it is on its way out.
        if len(self.screen_stack) != 1 or not self.query("#title"):
            return
        workers = self.fleet.workers()
        queues = self.fleet.queues
        tasks = self.fleet.tasks(TASKS, running_only=self._running_only, search=self._search)
        self._show_figures(workers)
        self._fill("workers", [(row.name, worker_cells(row)) for row in workers], workers)
        self._fill("queues", [(row.name, queue_cells(row)) for row in queues], queues)
        self._fill("tasks", [(row.id, task_cells(row)) for row in tasks], tasks)
        panel = self.query_one("#tasks-panel")
        panel.border_title = "running tasks" if self._running_only else "tasks"
        panel.border_subtitle = self._hint(workers)

    def _hint(self, workers: Sequence[WorkerRow]) -> str:
        quiet = quiet_workers(workers)
        if self._search:
            return f"only what holds {printable(self._search)!r}; esc shows all"
        if quiet and len(quiet) == sum(row.alive for row in workers):
            return "no worker has told of a task yet; e asks them to"
        return ""

    def _show_figures(self, workers: Sequence[WorkerRow]) -> None:
        figures = self.fleet.figures()
        title = Text.assemble((" skirret top ", "bold reverse"), f"  {printable(self._where)}")
        self.query_one("#title", Static).update(title)
        trouble = self.query_one("#trouble", Static)
        trouble.set_class(bool(self.fleet.trouble), "shown")
        trouble.update(Text(printable(self.fleet.trouble)))
        gone = f", {figures.gone} gone" if figures.gone else ""
        online = "bold green" if figures.workers else "bold red"
        self._figure("alive", f"{figures.workers}", f"workers{gone}", online)
        self._figure("active", f"{figures.active:,}", "running", "bold cyan" if figures.active else "bold")
        self._figure("ready", f"{figures.ready:,}", "waiting")
        self._figure("dead", f"{figures.dead:,}", "dead letters", "bold red" if figures.dead else "bold")
        self._figure("failures", rate(figures.failures), "failures/s", "bold red" if figures.failures else "bold")
        self.query_one("#rates", Sparkline).data = list(self.fleet.history)
        label = Text.assemble((rate(figures.rate), "bold"), (" tasks/s", "dim"), ("   the last two minutes", "dim"))
        self.query_one("#curve-label", Static).update(label)

    def _figure(self, key: str, value: str, name: str, style: str = "bold") -> None:
        self.query_one(f"#{key}", Figure).tell(value, name, style)

    def _fill(self, name: str, rows: Sequence[tuple[str, list[Text]]], shown: Sequence[Any]) -> None:
        """Show rows; the cursor stays on the row that it was on."""
        written = [(key, [cell.plain for cell in cells]) for key, cells in rows]
        chosen = self._chosen_key(name)
        self._shown[name] = shown
        if written == self._written.get(name):  # to lay a table out costs more than all else
            return
        self._written[name] = written
        table = self.table(name)
        with self.batch_update():
            scroll = table.scroll_offset
            table.clear()
            for key, cells in rows:
                table.add_row(*cells, key=key)
            if chosen is not None and any(key == chosen for key, _ in rows):
                table.move_cursor(row=table.get_row_index(chosen), scroll=False)
            table.scroll_to(scroll.x, scroll.y, animate=False)

    def _chosen_key(self, name: str) -> str | None:
        row = self.chosen(name)
        return None if row is None else str(getattr(row, "id", None) or row.name)

    def chosen(self, name: str) -> Any:
        """The row under a table's cursor, or None."""
        at, rows = self.table(name).cursor_row, self._shown[name]
        return rows[at] if 0 <= at < len(rows) else None

    # -- steering ------------------------------------------------------------------------------------------------

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        """Enter on a task shows all about it."""
        row = self.chosen("tasks") if event.data_table.id == "tasks" else None
        task = None if row is None else self.fleet.task(row.id)
        if task is not None:
            self.push_screen(Detail(task))

    def action_search(self) -> None:
        """Let a text be typed that tasks must hold."""
        field = self.query_one("#search", Input)
        field.add_class("shown")
        field.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Search as it is typed."""
        self._search = event.value
        self.look()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Keep the search, go to what it found."""
        event.input.remove_class("shown")
        self.table("tasks").focus()

    def action_leave_search(self) -> None:
        """Show all again."""
        field = self.query_one("#search", Input)
        field.value = ""
        field.remove_class("shown")
        self.table("tasks").focus()

    def action_running(self) -> None:
        """Show what runs, or everything."""
        self._running_only = not self._running_only
        self.look()

    def action_revoke(self, terminate: bool) -> None:
        """Revoke the chosen task, or terminate it."""
        row: TaskRow | None = self.chosen("tasks")
        if row is None:
            self.notify("Choose a task first.", severity="warning")
            return
        verb = "Terminate" if terminate else "Revoke"
        what = "It is ended if it runs." if terminate else "It will not start; if it runs already, it goes on."
        self._ask(f"{verb} {row.name}[{row.id}]? {what}", verb, partial(self.feed.revoke, row.id, terminate=terminate))

    def action_pause(self) -> None:
        """Pause the chosen queue, or resume it."""
        row: QueueRow | None = self.chosen("queues")
        if row is not None:
            self.carry_out(partial(self.feed.pause, row.name, on=not row.paused))

    def action_resize(self, by: int) -> None:
        """Give the chosen worker's pool one child more or less."""
        row: WorkerRow | None = self.chosen("workers")
        if row is not None:
            self.carry_out(partial(self.feed.resize, row.name, by))

    def action_tell_events(self) -> None:
        """Let all living workers tell of their tasks."""
        names = [row.name for row in self.fleet.workers() if row.alive]
        if names:
            self.carry_out(partial(self.feed.tell_events, names))

    def action_shut_down(self) -> None:
        """Stop the chosen worker when its tasks are done."""
        row: WorkerRow | None = self.chosen("workers")
        if row is not None:
            question = f"Stop {row.name}? It finishes the {row.active} task(s) that it runs, and starts no more."
            self._ask(question, "Stop", partial(self.feed.shut_down, row.name))

    def _ask(self, question: str, verb: str, do: Callable[[], str]) -> None:
        def answered(yes: bool | None) -> None:
            if yes:
                self.carry_out(do)

        self.push_screen(Ask(question, verb), answered)

    @work(thread=True)
    def carry_out(self, do: Callable[[], str]) -> None:
        """Do what was asked, away from the screen, and say what came of it."""
        try:
            told, severity = do(), "information"
        except SkirretError as exc:
            told, severity = str(exc), "error"
        self.call_from_thread(self.notify, printable(told), severity=severity)


def worker_cells(row: WorkerRow) -> list[Text]:
    """A worker's row."""
    style = "" if row.alive else "dim"
    return [
        Text("●", style="green" if row.alive else "red"),
        Text(printable(row.name), style="bold" if row.alive else style),
        _number(f"{row.active:,}", "cyan" if row.active else style),
        _number(f"{row.processed:,}", style),
        _number(rate(row.rate), style),
        _number(f"{row.load:.2f}", style),
        Text(printable(row.version), style="dim"),
    ]


def queue_cells(row: QueueRow) -> list[Text]:
    """A queue's row."""
    return [
        Text(printable(row.name), style="dim" if row.paused else "bold"),
        _number(f"{row.ready:,}", "yellow" if row.ready else "dim"),
        _number(f"{row.held:,}", "cyan" if row.held else "dim"),
        _number(f"{row.delayed:,}", "" if row.delayed else "dim"),
        _number(f"{row.dead:,}", "red" if row.dead else "dim"),
        Text("paused" if row.paused else "", style="yellow"),
    ]


def task_cells(row: TaskRow) -> list[Text]:
    """A task's row."""
    style = STATE_STYLES.get(row.state, "blue")
    failed = row.state in {states.FAILURE, states.RETRY}
    return [
        Text(printable(row.state.lower()), style=style),
        Text(printable(row.name), style="bold"),
        _number(duration(row.seconds), ""),
        Text(printable(row.worker), style="dim"),
        Text(printable(row.arguments)[:44]),
        Text(printable(row.text)[:60], style="red" if failed else "dim"),
    ]


def _number(text: str, style: str) -> Text:
    return Text(text, style=style, justify="right")
