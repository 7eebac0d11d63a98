"""The remote commands that change a worker."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from skirret import loggers
from skirret.control import revoking
from skirret.worker.consuming import missing_queue
from skirret.worker.manifest import Manifest
from skirret.worker.remote.node import Later, Node
from skirret.worker.remote.revoked import Ended, Marked, number_of, sweep, terminate_running

logger = loggers.own("skirret.worker")

MAX_NAME = 255
MAX_SLOTS = 10_000
MAX_SECONDS = 1e9


def ok(text: str) -> dict[str, str]:
    """A command that was carried out."""
    return {"ok": text}


def shutdown(node: Node, msg: str = "") -> Any:
    """Stop when running tasks are done."""
    logger.warning("Told to shut down by a remote command.")
    node.supervisor.loop.call_later(0.0, node.supervisor.ending.warm)
    return ok("shutting down")


def revoke(node: Node, task_id: Any = (), terminate: bool = False, signal: Any = None) -> Any:
    """Keep tasks from starting, and end them if asked."""
    number = number_of(signal) if terminate else 0
    ids = revoking.ids_of(task_id)
    marked = Marked(ids=frozenset(ids))
    sweep(node, marked)
    ended = terminate_running(node, marked, number) if terminate else Ended([])
    logger.info("Revoked by a remote command: %s", ", ".join(ids))

    def remember() -> Any:
        revoking.revoke(node.shared, ids)
        node.supervisor.loop.call_from_thread(lambda: sweep(node, marked))  # what was taken in the meantime
        ended.check()  # no sooner: the tasks are revoked all the same
        if terminate:
            return ok(f"terminate: {', '.join(ended.ids) or 'tasks unknown'}")
        return ok(f"tasks {set(ids)!r} flagged as revoked")

    return Later(remember)


def terminate(node: Node, signal: Any = "SIGTERM", task_id: Any = ()) -> Any:
    """Revoke tasks and end those that run."""
    return revoke(node, task_id, terminate=True, signal=signal)


def revoke_by_stamped_headers(node: Node, headers: Any = None, terminate: bool = False, signal: Any = None) -> Any:
    """Keep tasks with certain stamps from starting, and end them if asked."""
    number = number_of(signal) if terminate else 0
    told = _stamps(headers)
    marked = Marked(stamps=frozenset(revoking.stamps_of(told)))
    hit = _stamps_that_run(node, told) if terminate else {}
    sweep(node, marked)
    ended = terminate_running(node, marked, number) if terminate else Ended([])
    logger.info("Revoked by a remote command: tasks stamped %s", told)

    def remember() -> Any:
        revoking.revoke_stamps(node.shared, told)
        node.supervisor.loop.call_from_thread(lambda: sweep(node, marked))
        ended.check()
        if not terminate:
            return ok(f"headers {told!r} flagged as revoked, but not terminated")
        if not ended.ids:
            return ok(f"headers {told!r} were not terminated")
        return ok(f"headers {hit!r} revoked")

    return Later(remember)


def _stamps_that_run(node: Node, headers: dict[str, Any]) -> defaultdict[str, set[Any]]:
    """Those of the stamps that tasks carry which run now; a `defaultdict`, since Celery's reply is the text of one."""
    found: defaultdict[str, set[Any]] = defaultdict(set)
    for _, job, _ in node.running():
        carried = revoking.stamps_of(job.head.stamps) if job.head.stamps else set()
        for header, value in headers.items():
            values = value if isinstance(value, (list, tuple, set, frozenset)) else [value]
            if mine := {one for one in values if revoking.stamp(header, one) in carried}:
                found[header] |= mine
    return found


def _stamps(headers: Any) -> dict[str, Any]:
    """Stamps as a dict; the command line of Celery sends them as a list of ``header=value``."""
    if isinstance(headers, dict):
        return headers
    found: dict[str, list[str]] = {}
    for pair in headers or ():
        header, _, value = str(pair).partition("=")
        found.setdefault(header, []).append(value)
    return {header: values if len(values) > 1 else values[0] for header, values in found.items()}


def add_consumer(
    node: Node,
    queue: Any = "",
    exchange: Any = None,
    exchange_type: Any = None,
    routing_key: Any = None,
) -> Any:
    """Consume a further queue."""
    name = str(queue)
    if not name or len(name) > MAX_NAME or not name.isprintable():
        raise ValueError(f"{name[:MAX_NAME]!r} is no name of a queue")
    found = next((one for one in node.manifest.queues if name in {one.name, one.alias}), missing_queue(name, node.conf))
    if exchange or exchange_type or routing_key:  # the command says how it is bound
        found = dataclasses.replace(
            found,
            exchange=str(exchange or found.exchange),
            routing_key=str(routing_key or found.routing_key),
            exchange_type=str(exchange_type or found.exchange_type),
            bindings=(),
        )
    node.supervisor.fetcher.add_consumer(found)
    logger.info("Consumes %r now, as a remote command says.", name)
    return ok(f"add consumer {name}")


def cancel_consumer(node: Node, queue: Any = "") -> Any:
    """Stop consuming a queue; what was taken from it still runs."""
    node.supervisor.fetcher.cancel_consumer(str(queue))
    logger.info("Consumes %r no more, as a remote command says.", queue)
    return ok(f"no longer consuming from {queue}")


def rate_limit(node: Node, task_name: Any = "", rate_limit: Any = None) -> Any:
    """Limit how often tasks of a name start."""
    rate = rate_limit if rate_limit is None or isinstance(rate_limit, (int, float)) else str(rate_limit)
    try:
        node.supervisor.gates.change_rate(str(task_name), rate)
    except KeyError:
        return {"error": "unknown task"}
    except ValueError as exc:
        return {"error": f"Invalid rate limit string: {exc!r}"}
    logger.info("Tasks %s start at the rate %s from now on, as a remote command says.", task_name, rate)
    return ok("new rate limit set successfully" if rate else "rate limit disabled successfully")


def time_limit(node: Node, task_name: Any = "", hard: Any = None, soft: Any = None) -> Any:
    """Limit how long tasks of a name run."""
    limits = [None if value in (None, "") else float(value) or None for value in (hard, soft)]
    if any(limit is not None and not 0 < limit < MAX_SECONDS for limit in limits):
        raise ValueError("a time limit is a positive number of seconds")
    if limits[0] is not None and not node.supervisor.pool.kills:
        raise ValueError("the pool solo cannot end a task that runs too long; use another pool, or a soft limit alone")
    try:
        node.supervisor.limits.change(str(task_name), *limits)
    except KeyError:
        return {"error": "unknown task"}
    return ok("time limits set successfully")


def autoscale(node: Node, max: Any = None, min: Any = None) -> Any:
    """Scale the pool between two numbers of slots."""
    scaler = node.supervisor.scaler
    most = int(max) if max is not None else scaler.most or node.supervisor.pool.size
    fewest = int(min) if min is not None else scaler.fewest or 1
    if most > MAX_SLOTS:
        raise ValueError(f"more than {MAX_SLOTS} slots are no help")
    scaler.between(fewest, most)
    return ok(f"autoscale now max={most} min={fewest}")


def pool_grow(node: Node, n: Any = 1) -> Any:
    """Add slots to the pool."""
    _resize(node, abs(int(n)))
    return ok("pool will grow")


def pool_shrink(node: Node, n: Any = 1) -> Any:
    """Take slots from the pool."""
    _resize(node, -abs(int(n)))
    return ok("pool will shrink")


def pool_restart(node: Node, modules: Any = None, reload: Any = None, reloader: Any = None) -> Any:
    """Import the app anew, and put new children in the place of the old ones."""
    names = [str(name) for name in modules or ()]
    options = node.options
    if names:
        options = replace(options, include=[*(options.include or ()), *names])

    def imported(manifest: Manifest) -> None:
        node.manifest = manifest
        node.supervisor.rules.tasks.update(manifest.tasks)

    node.supervisor.pool.restart(imported, options)
    return ok("reload started")


def _resize(node: Node, change: int) -> None:
    if node.supervisor.pool.size + change > MAX_SLOTS:
        raise ValueError(f"more than {MAX_SLOTS} slots are no help")
    size = node.supervisor.scaler.by_hand(change)
    logger.info("The pool has %d slot(s) now, as a remote command says.", size)


def enable_events(node: Node) -> Any:
    """Send events about tasks."""
    return ok("task events enabled" if node.events.enable() else "task events already enabled")


def disable_events(node: Node) -> Any:
    """Stop sending events about tasks."""
    return ok("task events disabled" if node.events.disable() else "task events already disabled")


def heartbeat(node: Node) -> Any:
    """Send the heartbeat event now."""
    node.events.beat()


def election(node: Node, id: Any = None, topic: Any = None, action: Any = None) -> Any:
    """Nothing is elected here."""
    return


COMMANDS: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (
        add_consumer, autoscale, cancel_consumer, disable_events, election, enable_events, heartbeat, pool_grow,
        pool_restart, pool_shrink, rate_limit, revoke, revoke_by_stamped_headers, shutdown, terminate, time_limit,
    )
}  # fmt: skip
"""By name."""
