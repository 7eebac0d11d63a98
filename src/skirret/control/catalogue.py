"""The remote commands that every worker knows: names, arguments and what they are for; Celery's, and some of ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

Kind = Callable[[str], Any]


def switch(text: str) -> bool:
    """A yes or no as people type it.

    Raises:
        ValueError: it is neither.
    """
    word = str(text).strip().lower()
    if word in {"1", "true", "yes", "on", "y", "t"}:
        return True
    if word in {"0", "false", "no", "off", "n", "f", ""}:
        return False
    raise ValueError(f"{text!r} is neither yes nor no")


def seconds(text: str) -> float | None:
    """A number of seconds; ``none`` and ``0`` are no limit.

    Raises:
        ValueError: it is no number.
    """
    return None if text.strip().lower() in {"none", "null", ""} else float(text) or None


@dataclass(frozen=True, slots=True)
class Command:
    """One remote command.

    Args:
        name: as on the wire.
        kind: ``inspect`` looks, ``control`` changes something.
        doc: one sentence.
        usage: its arguments as people type them.
        arguments: (name, how a word of the command line becomes the value) in order.
        variadic: the argument that takes all further words, as a list.
        required: how many words there must be.
        alias: an older name that callers may use on the wire.
        timeout: seconds that callers wait for replies unless they say otherwise.
        visible: whether lists show it.
    """

    name: str
    kind: str
    doc: str
    usage: str = ""
    arguments: tuple[tuple[str, Kind], ...] = ()
    variadic: str = ""
    required: int = 0
    alias: str = ""
    timeout: float = 1.0
    visible: bool = True

    def read(self, words: Sequence[str]) -> dict[str, Any]:
        """The arguments that words of a command line tell.

        Raises:
            ValueError: a word is wrong, or there are too many or too few; the message says which.
        """
        if len(words) < self.required:
            raise ValueError(f"{self.name} needs more: {self.name} {self.usage}")
        found: dict[str, Any] = {}
        for (name, kind), word in zip(self.arguments, words, strict=False):
            try:
                found[name] = kind(word)
            except ValueError as exc:
                raise ValueError(f"{self.name}: {word!r} is no {name} ({exc})") from None
        rest = list(words[len(self.arguments) :])
        if self.variadic:
            found[self.variadic] = rest
        elif rest:
            raise ValueError(f"{self.name} takes no {' '.join(rest)!r}: {self.name} {self.usage}".rstrip())
        return found


def _inspect(name: str, doc: str, **fields: Any) -> Command:
    return Command(name, "inspect", doc, **fields)


def _control(name: str, doc: str, **fields: Any) -> Command:
    return Command(name, "control", doc, **fields)


_ALL: Final = (
    _inspect("active", "List the tasks that run now.", alias="dump_active"),
    _inspect("active_queues", "List the queues that are consumed."),
    _inspect("clock", "Tell the logical clock."),
    _inspect(
        "conf", "List the settings, secrets masked.", usage="[with_defaults=no]",
        arguments=(("with_defaults", switch),), alias="dump_conf",
    ),
    _inspect("hello", "Exchange revoked ids and clocks, as workers do at their start.", visible=False),
    _inspect(
        "memdump", "Tell the samples of memory that `memsample` took.", usage="[samples=10]",
        arguments=(("samples", int),),
    ),
    _inspect("memsample", "Take a sample of the resident memory."),
    _inspect(
        "objgraph", "Count the objects in memory by type, to find leaks.", usage="[type=Job [num=200 [max_depth=10]]]",
        arguments=(("type", str), ("num", int), ("max_depth", int)), timeout=60.0,
    ),
    _inspect("ping", "See who answers."),
    _inspect(
        "query_task", "Tell what is known here of tasks by their ids.", usage="<id> ...", variadic="ids", required=1
    ),
    _inspect(
        "registered", "List the tasks that are registered, with attributes if asked.", usage="[attribute ...]",
        variadic="taskinfoitems", alias="dump_tasks",
    ),
    _inspect("report", "Tell what a bug report needs."),
    _inspect("reserved", "List the tasks that were taken and have not begun.", alias="dump_reserved"),
    _inspect("revoked", "List the ids of revoked tasks.", alias="dump_revoked"),
    _inspect("scheduled", "List the tasks that wait for their time in the consumed queues.", alias="dump_schedule"),
    _inspect("stack", "Tell what each running task is doing now.", timeout=3.0),
    _inspect("stats", "Tell counts, the pool, the broker and the resources used."),
    _control(
        "add_consumer", "Consume a further queue.", usage="<queue> [exchange [type [routing_key]]]",
        arguments=(("queue", str), ("exchange", str), ("exchange_type", str), ("routing_key", str)), required=1,
    ),
    _control(
        "autoscale", "Let the pool grow and shrink by load between two sizes.", usage="[max [min]]",
        arguments=(("max", int), ("min", int)),
    ),
    _control("cancel_consumer", "Stop consuming a queue.", usage="<queue>", arguments=(("queue", str),), required=1),
    _control("disable_events", "Stop sending events about tasks."),
    _control("election", "Accepted for the sake of Celery's nodes; nothing is elected."),
    _control("enable_events", "Send events about tasks."),
    _control("heartbeat", "Send the heartbeat event now."),
    _control("pool_grow", "Add slots to the pool.", usage="[n=1]", arguments=(("n", int),)),
    _control(
        "pool_restart", "Import the app anew and put new children in the place of the old ones.",
        usage="[module ...]", variadic="modules", timeout=10.0,
    ),
    _control("pool_shrink", "Take slots from the pool.", usage="[n=1]", arguments=(("n", int),)),
    _control(
        "rate_limit", "Limit how often tasks of a name start.", usage="<task> <rate, such as 5/s, 10/m, 100/h>",
        arguments=(("task_name", str), ("rate_limit", str)), required=2,
    ),
    _control("revoke", "Keep tasks from starting.", usage="<id> ...", variadic="task_id", required=1),
    _control(
        "revoke_by_stamped_headers", "Keep tasks from starting that carry one of these stamps.",
        usage="<header>=<value> ...", variadic="headers", required=1,
    ),
    _control("shutdown", "Stop when running tasks are done."),
    _control(
        "terminate", "Revoke tasks, and end those that run.", usage="<signal> <id> ...", arguments=(("signal", str),),
        variadic="task_id", required=2,
    ),
    _control(
        "time_limit", "Limit how long tasks of a name run.", usage="<task> <soft seconds> [hard seconds]",
        arguments=(("task_name", str), ("soft", seconds), ("hard", seconds)), required=2,
    ),
)  # fmt: skip

COMMANDS: Final[Mapping[str, Command]] = {command.name: command for command in _ALL}
"""By name."""

ALIASES: Final[Mapping[str, str]] = {command.alias: command.name for command in _ALL if command.alias}
"""Name by older name."""
