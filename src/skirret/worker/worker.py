"""One worker from start to end: template, servers, fetcher, supervisor, children, in this order; stopped in reverse."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial

from skirret import loggers, logs
from skirret.backends.base import ResultBackend
from skirret.backends.open import open_backend
from skirret.brokers.base import Broker, Queue
from skirret.brokers.open import open_broker, require_exchanges
from skirret.coordination.base import Coordination
from skirret.coordination.memory import MemoryCoordination
from skirret.coordination.open import open_coordination
from skirret.errors import ImproperlyConfigured, SkirretError
from skirret.events.schema import HEARTBEAT_SECONDS
from skirret.nodes import node_name, node_path
from skirret.settings import Conf
from skirret.settings.transports import broker_options, coordination_options, result_options
from skirret.worker import RESTART, interpreter, processors
from skirret.worker.banner import banner, without_effect
from skirret.worker.child.slots import SLOTS
from skirret.worker.consuming import chosen_queues, missing_queue
from skirret.worker.events.node import node_events
from skirret.worker.fetch import Fetcher, Told
from skirret.worker.handler_line import HandlerLine, NodeHooks
from skirret.worker.log_forwarder import LogForwarder
from skirret.worker.loop import Loop
from skirret.worker.manifest import Manifest
from skirret.worker.options import WorkerOptions, WrongArguments
from skirret.worker.pool import Heard, Pool
from skirret.worker.reload import Reloader
from skirret.worker.remote.line import RemoteLine, remote_line
from skirret.worker.remote.node import Node
from skirret.worker.remote.own import Commander, OwnCommands
from skirret.worker.rules import Rules
from skirret.worker.service import Service
from skirret.worker.signals import Signals, shut_down
from skirret.worker.solo_pool import SoloPool
from skirret.worker.supervisor import Supervisor
from skirret.worker.template_line import AppFailed
from skirret.worker.template_process import Begun
from skirret.worker.trial import Trial

logger = loggers.own("skirret.worker")

EXIT_OK, EXIT_USAGE, EXIT_BROKER, EXIT_CONFIG = 0, 2, 69, 78
PATCHED = {"gevent", "eventlet"}
MANY_SLOTS = {"threads", "asyncio", *PATCHED}
IMPORTS = 5
"""So many times as long as the app's import may a child that imports it anew take, beside its time to be ready."""

PROCESSES = {"processes": "prefork"}


def run_worker(
    options: WorkerOptions, started: Callable[[], object] | None = None, template: Begun | None = None
) -> int:
    """Run one worker until it is told to stop; its exit code."""
    try:
        worker = Worker(options, started, template)
        with worker.service:
            return worker.run()
    except AppFailed as exc:
        _complain(f"{exc}\nThe app {options.app!r} raised while it was imported (above); the worker did not start.")
        return EXIT_CONFIG
    except WrongArguments as exc:
        _complain(f"The worker did not start: {exc}")
        return EXIT_USAGE
    except ImproperlyConfigured as exc:
        _complain(f"The worker did not start: {exc}")
        return EXIT_CONFIG
    except SkirretError as exc:
        _complain(f"The worker stopped: {exc}")
        return EXIT_BROKER
    except KeyboardInterrupt:  # before the worker listened to signals: nothing was taken yet
        return EXIT_OK


class Worker:
    """One worker.

    Args:
        options: what the command line asks.
        started: called once, when it is ready for tasks.
        template: its first template process, if that was begun already; it ends with this process at the latest.
    """

    def __init__(
        self,
        options: WorkerOptions,
        started: Callable[[], object] | None = None,
        template: Begun | None = None,
    ) -> None:
        self.options = options
        self._template = template
        self.hostname = node_name(options.hostname)
        self.service = Service(options, self.hostname, started)
        self.loop = Loop()
        self.signals = Signals(self.loop)
        self.trial = Trial(options, self.hostname, self.loop.call_from_thread)
        self.broken = False
        self.remote: RemoteLine | None = None
        self.forwarder: LogForwarder | None = None
        """Hands the log to handlers of the app, if it sets up any; under ``solo`` they are in this process."""
        self._was_ready = False

    def run(self) -> int:
        """Start, serve, stop; the exit code."""
        if self.options.pool == "solo":
            return self._run_solo()
        pool = Pool(self.loop, self.options, self.hostname, self._heard(), self._template)
        try:
            manifest = pool.import_app()
            if self.service.follow(manifest.settings):
                pool.close()
                pool = Pool(self.loop, self.options, self.hostname, self._heard())
                manifest = pool.import_app()
            kind = self._pool_kind(manifest)
            if kind in PATCHED and self.options.pool != kind:  # as the settings say: import it again, patched first
                pool.close()
                self.options.pool = kind
                pool = Pool(self.loop, self.options, self.hostname, self._heard())
                manifest = pool.import_app()
            if kind != "solo":
                interpreter.set_up()
                children, slots = self._size(manifest, kind)
                self._assemble(manifest, pool, kind, children, slots)
                if manifest.hooks or manifest.commands or manifest.logs:
                    pool.handler = HandlerLine(self.loop)
                    self._hand_over(pool.handler)
                self._catch_signals()
                pool.start(kind, children, slots)
                self._serve()
                with self._watched():
                    self.loop.run()
                self._tell_end()
        finally:
            pool.close()
        if kind == "solo":  # as the settings say
            return self._run_solo()
        self._let_go()
        return self._ended()

    def _run_solo(self) -> int:
        from skirret.worker.child.describe import describe, load_app
        from skirret.worker.child.handler import Handler, HandlerThread
        from skirret.worker.child.link import Link
        from skirret.worker.child.node import worker_node
        from skirret.worker.child.process import serve_link
        from skirret.worker.child.sources import source_files

        app = load_app(self.options, self.hostname)
        manifest = describe(app)
        if self.options.reload:
            manifest.sources = source_files()
        if self.options.autoscale:
            raise ImproperlyConfigured("--autoscale needs a pool that can grow, and solo has one slot; take another")
        self.service.follow(manifest.settings)
        pool = SoloPool(self.loop, self._heard(), options=self.options, anew=self._begin_anew)
        self._assemble(manifest, pool, "solo", 1, 1)
        pool.start()
        if manifest.hooks or manifest.commands:
            self._hand_over(HandlerThread(Handler(app, worker_node(app, self.hostname, self.options))))
        self._catch_signals()
        self._serve()
        # The kernel may tell a signal to any thread, and only the main one, which may be asleep, calls its handler.
        main = threading.get_ident()
        self.loop.signalled = partial(signal.pthread_kill, main, signal.SIGURG)
        supervising = threading.Thread(target=self._supervise_solo, name="skirret-supervisor")
        supervising.start()
        # The socket and pipe ends that a forked child would own belong to this thread.
        link = Link(pool.child.child_sock, pool.child.permits.read_fd, pool.chalk())
        serve_link(app, self.hostname, link, "solo", 1)
        supervising.join()
        self._tell_end()
        pool.close()
        self._let_go()
        return self._ended()

    def _begin_anew(self, otherwise: Callable[[], object]) -> None:
        """As HUP does, if the app can be imported."""
        supervisor = self.supervisor
        self.trial.then(lambda: shut_down(supervisor, "SIGHUP", supervisor.ending.restart), otherwise)

    def _hand_over(self, handler: Commander) -> None:
        """Let the handler call hooks of the worker and log handlers, and carry out the app's own commands."""
        self.supervisor.hooks = NodeHooks(handler, self.manifest.hooks)
        if self.forwarder is not None:
            self.forwarder.carrier = handler
        if self.remote is not None:
            self.remote.node.handler = OwnCommands(self.loop, handler)

    def _heard(self) -> Heard:
        # The pool is made before the supervisor, so it speaks to it through these.
        return Heard(self._frames, self._changed, self._died, self._app_broke)

    def _serve(self) -> None:
        if self.options.autoscale is not None:
            most, fewest = self.options.autoscale
            self.supervisor.scaler.between(fewest, most)
        self.fetcher.start()
        self.events.start()
        if self.remote is not None:
            self.remote.start()
        self._heart()

    def _heart(self) -> None:
        """Tell hooks now and then that the worker lives."""
        interval, hooks = self._heartbeat(), self.supervisor.hooks
        if interval and hooks is not None and "heartbeat_sent" in hooks.heard:
            hooks.heartbeat()
            self.loop.call_later(interval, self._heart)

    def _tell_end(self) -> None:
        if self.forwarder is not None:
            self.forwarder.end()
        if self.supervisor.hooks is not None:
            self.supervisor.hooks.stopped()

    def _let_go(self) -> None:
        if self.remote is not None:
            self.remote.close()
        self.events.close()
        self.signals.ignore()  # nothing is left to stop
        signal.set_wakeup_fd(-1)
        self.loop.close()

    def _ended(self) -> int:
        if self.fetcher.refused is not None:
            raise self.fetcher.refused
        if self.broken:
            return EXIT_CONFIG
        logger.info("%s stopped.", self.hostname)
        return RESTART if self.supervisor.ending.restarting else EXIT_OK

    def _supervise_solo(self) -> None:
        with self._watched():
            self.loop.run()
        if self.supervisor.ending.abandoned:
            self.service.close()
            os._exit(EXIT_OK)  # cold: the main thread is inside a task, which has gone back to its queue

    def _assemble(self, manifest: Manifest, pool: Pool | SoloPool, kind: str, children: int, slots: int) -> None:
        conf = Conf.from_plain(manifest.settings)
        options = self.options
        logfile = node_path(options.logfile or conf.worker_logfile or "", self.hostname) or None
        terminal, solo = sys.stdout, kind == "solo"  # what tasks of solo print goes to the log from now on
        logs.setup_from(conf, options.loglevel, logfile, json=options.log_json, color=options.color, redirect=solo)
        if manifest.logs and not solo:
            hijacked = bool(conf.worker_hijack_root_logger)
            self.forwarder = LogForwarder(self.loop, logging.getLogger() if hijacked else logs.logger)
        self.manifest, self.conf = manifest, conf
        if idle := without_effect(conf):
            logger.warning("%s", idle)
        broker, backend, shared, revokes = self._connect()
        queues = chosen_queues(options, manifest.queues, conf, self.hostname)
        if self.options.purge:
            purged = sum(broker.purge(queue.name) for queue in queues)
            logger.warning("Purged %d message(s).", purged)
        rules = Rules(manifest.tasks, conf, stores_results=backend.enabled, grace=self.options.grace)
        if solo:
            rules.without_kills()
        self.supervisor = Supervisor(self.loop, rules)
        self.fetcher = self._new_fetcher(broker, backend, shared, revokes, queues, rules)
        self.supervisor.attach(pool, self.fetcher)
        self.events = node_events(self.loop, broker, self.hostname, conf, self.supervisor, self._heartbeat())
        pool.quota = self.supervisor.recycling.quota
        pool.alive_within = (
            float(conf.worker_proc_alive_timeout) + (IMPORTS if manifest.threads else 1) * manifest.seconds
        )
        if conf.worker_enable_remote_control:
            servers = (broker, revokes, conf)
            self.remote = remote_line(
                Node(self.hostname, kind, self.supervisor, manifest, options, *servers, self.events)
            )
        if not self.options.quiet:
            names = [queue.name for queue in queues]
            text = banner(manifest, self.hostname, pool=kind, children=children, slots=slots, queues=names)
            terminal.write(text)
            terminal.flush()

    def _new_fetcher(
        self,
        broker: Broker,
        backend: ResultBackend,
        shared: Coordination | None,
        revokes: Coordination,
        queues: list[Queue],
        rules: Rules,
    ) -> Fetcher:
        supervisor = self.supervisor
        ending = supervisor.ending
        told = Told(
            supervisor.taken, supervisor.settled, supervisor.fenced, ending.closed, supervisor.claimed, supervisor.lost
        )
        if self.service.meter is not None:
            told.taken, told.settled = self.service.meter.counting(told.taken, told.settled)
        call = self.loop.call_from_thread
        return Fetcher(broker, backend, shared, queues, rules.limits, rules.max_bytes, call, told, revokes)

    def _heartbeat(self) -> float | None:
        """Seconds between the heartbeats that monitors hear; None for none."""
        return None if self.options.without_heartbeat else self.options.heartbeat_interval or HEARTBEAT_SECONDS

    def _watched(self) -> AbstractContextManager[None]:
        reloader = None
        if self.options.reload:
            reloader = Reloader(self.manifest.sources, self.loop, self.supervisor.pool, self.supervisor.rules.tasks)
        return self.service.serving(self.supervisor, self.supervisor.rules, self._open_broker, self._renew, reloader)

    def _open_broker(self) -> Broker:
        broker = open_broker(self.manifest.broker_url, broker_options(self.conf))
        require_exchanges(broker, self.manifest.queues)
        known = {queue.name: queue for queue in self.manifest.queues}
        broker.plan(lambda name: known.get(name) or missing_queue(name, self.conf))
        return broker

    def _connect(self) -> tuple[Broker, ResultBackend, Coordination | None, Coordination]:
        url, conf = self.manifest.coordination_url, self.conf
        shared = open_coordination(url, coordination_options(conf, url)) if url else None
        results = open_backend(self.manifest.backend_url, result_options(conf, self.manifest.broker_url))
        # Without a server that keeps them, a worker knows those revokes that it heard, as Celery's do.
        return self._open_broker(), results, shared, shared or MemoryCoordination(f"revokes-of-{self.hostname}")

    def _renew(self) -> None:
        """A whole new session in place of one that is stuck: what was held through that one runs elsewhere."""
        old, rules = self.fetcher, self.supervisor.rules
        old.retire()
        self.fetcher = self._new_fetcher(*self._connect(), old.queues, rules)
        self.supervisor.attach(self.supervisor.pool, self.fetcher)
        self.supervisor.fenced()
        self.fetcher.start()

    def _pool_kind(self, manifest: Manifest) -> str:
        kind = self.options.pool or str(Conf.from_plain(manifest.settings).worker_pool)
        kind = PROCESSES.get(kind, kind)
        if kind not in SLOTS.builtin:
            SLOTS.load(kind)  # an unknown name is refused here, with a suggestion
        return kind

    def _size(self, manifest: Manifest, kind: str) -> tuple[int, int]:
        """How many children, and slots in each."""
        conf = Conf.from_plain(manifest.settings)
        asked = self.options.concurrency or conf.worker_concurrency
        if self.options.autoscale is not None:  # it begins with the fewest
            asked = self.options.autoscale[1]
        processes = int(self.options.processes or conf.worker_processes or 1)
        if kind not in MANY_SLOTS:
            return int(asked or processors.count()), 1
        total = int(asked or (max(4, 4 * processors.count()) if kind == "threads" else 100))
        return processes, max(1, -(-total // processes))

    def _catch_signals(self) -> None:
        signal.set_wakeup_fd(self.loop.wakeup_fd, warn_on_full_buffer=False)
        self.signals.catch(self.supervisor, self.trial)

    def _frames(self, *args: object) -> None:
        self.supervisor.frames(*args)  # type: ignore[arg-type]
        if self.service.meter is not None:
            self.service.meter.finished(args[1])  # type: ignore[arg-type]

    def _changed(self) -> None:
        if all(child.ready for child in self.supervisor.pool.children):
            logger.info("%s ready.", self.hostname)
            self.service.ready()
            if self.supervisor.hooks is not None and not self._was_ready:
                self.supervisor.hooks.ready()
            self._was_ready = True
        self.events.mark()
        self.supervisor.pump()

    def _died(self, *args: object) -> None:
        self.supervisor.died(*args)  # type: ignore[arg-type]

    def _app_broke(self, exc: SkirretError) -> None:
        logger.critical("The app cannot be imported any more; this worker stops: %s", exc)
        self.broken = True
        self.supervisor.ending.warm()


def _complain(text: str) -> None:
    sys.stderr.write(text.rstrip() + "\n")
