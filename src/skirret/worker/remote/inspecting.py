"""The remote commands that look at a worker."""

from __future__ import annotations

import gc
import resource
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from skirret.control import revoking
from skirret.settings.listing import has_effect, plain
from skirret.worker.manifest import TaskTraits
from skirret.worker.remote import figures
from skirret.worker.remote.node import MAX_SAMPLES, Later, Node
from skirret.worker.remote.tasks import told, told_waiting

MAX_TOLD = 1000
"""Tasks in one reply."""

SHOWN_TRAITS = ("exchange", "routing_key", "rate_limit")
"""Attributes of a task that ``registered`` shows without being asked, where they are set."""

TRAITS = frozenset(TaskTraits.__struct_fields__) - {"shown"}


def ping(node: Node) -> Any:
    """That it lives."""
    return {"ok": "pong"}


def clock(node: Node) -> Any:
    """The logical clock."""
    return {"clock": node.lamport.value}


def active(node: Node, safe: bool | None = None) -> Any:
    """What runs."""
    return [told(job, node.name, pid=child.pid, began=began) for child, job, began in node.running()][:MAX_TOLD]


def reserved(node: Node, safe: bool | None = None) -> Any:
    """What was taken and has not begun."""
    return [told(job, node.name) for job, _ in zip(node.waiting(), range(MAX_TOLD), strict=False)]


def scheduled(node: Node, safe: bool | None = None) -> Any:
    """What waits for its time in the consumed queues."""
    names = [queue.name for queue in node.supervisor.fetcher.queues]

    def look() -> list[dict[str, Any]]:
        found = [entry for name in names for entry in node.broker.delayed(name, MAX_TOLD)]
        found.sort(key=lambda entry: entry.due or 0.0)
        return [entry for message in found[:MAX_TOLD] if (entry := told_waiting(message, node.name)) is not None]

    return Later(look)


def revoked(node: Node) -> Any:
    """The ids that must not run."""
    return Later(lambda: _revoked(node))


def hello(node: Node, from_node: str = "", revoked: Any = None) -> Any:
    """Another node starts: take in what it knows to be revoked, and tell it the same."""
    if from_node == node.name:
        return None
    theirs = revoking.ids_of(revoked)

    def exchange() -> dict[str, Any]:
        if theirs:
            revoking.revoke(node.shared, theirs)
        return {"revoked": _revoked(node), "clock": node.lamport.forward()}

    return Later(exchange)


def _revoked(node: Node) -> list[str]:
    return node.shared.members(revoking.IDS)[: revoking.MAX_IDS]


def query_task(node: Node, ids: Any = ()) -> Any:
    """What is known here of tasks."""
    wanted = set(revoking.ids_of(ids))
    found: dict[str, Any] = {}
    for job in node.waiting():
        if job.head.id in wanted:
            found[job.head.id] = ["reserved", told(job, node.name)]
    for child, job, began in node.running():
        if job.head.id in wanted:
            found[job.head.id] = ["active", told(job, node.name, pid=child.pid, began=began)]
    if len(found) == len(wanted):
        return found
    waiting = scheduled(node)

    def look() -> dict[str, Any]:
        for entry in waiting.work():
            request = entry["request"]
            if request["id"] in wanted:
                found.setdefault(request["id"], ["scheduled", request])
        return found

    return Later(look)


def registered(node: Node, taskinfoitems: Any = None, builtins: bool = False) -> Any:
    """The tasks by name, with attributes."""
    names = [str(item) for item in taskinfoitems or ()] or list(SHOWN_TRAITS)

    def line(name: str, traits: TaskTraits) -> str:
        known = {item: getattr(traits, item) if item in TRAITS else traits.shown.get(item) for item in names}
        shown = [f"{item}={value}" for item, value in known.items() if value is not None]
        return f"{name} [{' '.join(shown)}]" if shown else name

    tasks = sorted(node.supervisor.rules.tasks.items())
    return [line(name, traits) for name, traits in tasks if builtins or not name.startswith("celery.")]


def active_queues(node: Node) -> Any:
    """The queues that are consumed, with Celery's fields."""
    return [figures.queue_told(queue) for queue in node.supervisor.fetcher.queues]


def conf(node: Node, with_defaults: bool = False) -> Any:
    """The settings that have an effect, secrets masked."""
    values = node.conf.table(with_defaults=bool(with_defaults), censored=True)
    return plain({key: value for key, value in values.items() if has_effect(key)})


def stats(node: Node) -> Any:
    """Counts, pool, broker and resources."""
    return figures.stats(node)


def report(node: Node) -> Any:
    """What a bug report needs."""
    return {"ok": figures.report(node)}


def memsample(node: Node) -> Any:
    """Take a sample of the resident memory."""
    sample = f"{_resident() / 1024:.1f} MB"
    node.samples = [*node.samples, sample][-MAX_SAMPLES:]
    return sample


def memdump(node: Node, samples: int = 10) -> Any:
    """The samples that were taken, and the memory now."""
    lines = [f"- {sample}" for sample in node.samples[-max(1, int(samples)) :]]
    return "\n".join([*lines, f"- rss: {_resident() / 1024:.1f} MB."]) + "\n"


def objgraph(node: Node, type: str = "Job", num: int = 200, max_depth: int = 10) -> Any:
    """Counts of the objects in memory: of one type, and the most frequent ones."""
    counts = Counter(each.__class__.__name__ for each in gc.get_objects())
    most = dict(counts.most_common(max(1, min(int(num), 1000))))
    return {"type": type, "count": counts.get(str(type), 0), "most": most}


def _resident() -> float:
    """Resident memory in KiB."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * resource.getpagesize() / 1024
    except (OSError, IndexError, ValueError):
        most = float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        return most / 1024 if sys.platform == "darwin" else most


COMMANDS: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (
        active, active_queues, clock, conf, hello, memdump, memsample, objgraph, ping, query_task, registered, report,
        reserved, revoked, scheduled, stats,
    )
}  # fmt: skip
"""By name."""
