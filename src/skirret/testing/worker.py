"""A worker inside the test's own process: real messages, real supervisor, real slots, no subprocess."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from skirret import loggers
from skirret.app import Skirret
from skirret.brokers.base import Limits
from skirret.worker.child.describe import describe
from skirret.worker.child.handler import Handler, HandlerThread
from skirret.worker.child.link import Link
from skirret.worker.child.node import worker_node
from skirret.worker.child.process import serve_link
from skirret.worker.events.node import node_events
from skirret.worker.fetch import Fetcher, Told
from skirret.worker.handler_line import NodeHooks
from skirret.worker.loop import Loop
from skirret.worker.options import WorkerOptions
from skirret.worker.pool import Heard
from skirret.worker.remote.line import remote_line
from skirret.worker.remote.node import Node
from skirret.worker.rules import Rules
from skirret.worker.solo_pool import SoloPool
from skirret.worker.supervisor import Supervisor

logger = loggers.own("skirret.worker")


@contextmanager
def worker(
    app: Skirret,
    *,
    pool: str = "solo",
    slots: int = 1,
    hostname: str = "test@localhost",
    limits: Limits | None = None,
    heartbeat: float | None = None,
) -> Iterator[Supervisor]:
    """Serve `app`'s queues while the ``with`` block runs; at its end running tasks finish.

    Args:
        app: the app; its broker may be ``memory://``.
        pool: ``solo`` (one slot), ``threads`` or ``asyncio``.
        slots: how many tasks run at a time.
        hostname: the node's name.
        limits: lease and delivery numbers.
        heartbeat: seconds between heartbeat events; None sends none.

    Raises:
        RuntimeError: it did not stop within 30 s.
    """
    app.finalize()
    manifest = describe(app)
    loop = Loop()
    rules = Rules.of(manifest, stores_results=app.backend.enabled)
    supervisor = Supervisor(loop, rules)
    children = SoloPool(loop, Heard(supervisor.frames, supervisor.pump, supervisor.died, logger.critical), slots=slots)
    fetcher = _fetcher(app, supervisor, limits or rules.limits)
    supervisor.attach(children, fetcher)
    events = node_events(loop, app.broker, hostname, app.conf, supervisor, heartbeat)
    events.start()
    options = WorkerOptions(app=app.main or "")
    servers = (app.broker, app.coordination, app.conf)
    remote = remote_line(Node(hostname, pool, supervisor, manifest, options, *servers, events))
    supervisor.hooks = _hooks(app, hostname, manifest.hooks)
    link = Link(children.child.child_sock, children.child.permits.read_fd, children.chalk())
    threads = [
        threading.Thread(target=loop.run, name="skirret-supervisor", daemon=True),
        threading.Thread(target=serve_link, args=(app, hostname, link, pool, slots), name="skirret-slots", daemon=True),
        fetcher,
    ]
    for thread in threads:
        thread.start()
    remote.start()
    try:
        yield supervisor
    finally:
        remote.close()
        loop.call_from_thread(supervisor.ending.warm)
        for thread in threads:
            thread.join(30)
        events.close()
        if supervisor.hooks is not None:
            supervisor.hooks.stopped()
        if any(thread.is_alive() for thread in threads):
            raise RuntimeError("the worker did not stop within 30 s: is a task still running?")
        children.close()
        loop.close()


def _hooks(app: Skirret, hostname: str, heard: list[str]) -> NodeHooks | None:
    return NodeHooks(HandlerThread(Handler(app, worker_node(app, hostname))), heard) if heard else None


def _fetcher(app: Skirret, supervisor: Supervisor, limits: Limits) -> Fetcher:
    return Fetcher(
        app.broker,
        app.backend,
        app.coordination,
        list(app.queues.values()),
        limits,
        supervisor.rules.max_bytes,
        supervisor.loop.call_from_thread,
        Told(supervisor.taken, supervisor.settled, supervisor.fenced, supervisor.ending.closed, supervisor.claimed),
    )
