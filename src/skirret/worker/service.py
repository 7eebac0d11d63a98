"""A worker as a service of its machine: who it is there, its pid file, and all that tells others how it is."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from skirret import loggers, logs
from skirret.brokers.base import Broker
from skirret.nodes import node_path
from skirret.worker import meter
from skirret.worker.health import Answer, HealthServer
from skirret.worker.identity import identity, refuse_root, take_on
from skirret.worker.notify import Notifier
from skirret.worker.options import WorkerOptions
from skirret.worker.pidfile import PidFile
from skirret.worker.pulse import Guard, Pulse
from skirret.worker.reload import Reloader, need_library
from skirret.worker.rules import Rules
from skirret.worker.status_socket import StatusSocket
from skirret.worker.supervisor import Supervisor
from skirret.worker.vitals import Vitals
from skirret.worker.watchdog import Watchdog

logger = loggers.own("skirret.worker")

TEXT = "text/plain; charset=utf-8"


class Service:
    """Entered before the app is imported, left when the worker has ended.

    Args:
        options: what the command line asks.
        hostname: the node's name.
        started: called once, when the worker is ready for tasks.
    """

    def __init__(self, options: WorkerOptions, hostname: str, started: Callable[[], object] | None) -> None:
        self.meter: meter.Meter | None = None
        """Counts for /metrics, where they are asked for."""
        self._options = options
        self._hostname = hostname
        self._started = started
        self._pidfile: PidFile | None = None
        self._answers: dict[str, Answer] = {}
        self._health: HealthServer | None = None
        self._notifier = Notifier()

    def __enter__(self) -> None:
        options = self._options
        take_on(identity(options.uid, options.gid, options.umask))
        self._write_pidfile(options.pidfile)
        logfile = options.logfile and node_path(options.logfile, self._hostname)
        logs.setup(options.loglevel, logfile, json=options.log_json, color=options.color)
        if options.beat:
            logger.warning("-B: this version has no scheduler inside yet; it comes separately, as `skirret beat`.")
        if options.reload:
            need_library()
        if options.health:
            self._health = HealthServer(options.health, self._answers)
            if meter.available():
                self.meter = meter.Meter()

    def __exit__(self, *exc: object) -> None:
        self.close()

    def follow(self, settings: Mapping[str, Any]) -> bool:
        """Do what the app's settings ask of its service, where the command line is silent.

        Returns:
            Whether this process became somebody else, so that the app must be imported anew.

        Raises:
            ImproperlyConfigured: that cannot be done, or this is the superuser and pickle is accepted.
        """
        options = self._options
        wanted = {name: settings.get(f"worker_{name}") for name in ("uid", "gid", "umask")}
        wanted = {name: value for name, value in wanted.items() if value is not None and getattr(options, name) is None}
        if options.uid is not None:  # whoever names the user on the command line names the group there too
            wanted.pop("gid", None)
        changed = take_on(identity(wanted.get("uid"), wanted.get("gid"), wanted.get("umask")))
        if not options.pidfile:
            self._write_pidfile(settings.get("worker_pidfile"))
        refuse_root(settings.get("accept_content") or ())
        return changed

    @contextlib.contextmanager
    def serving(
        self,
        supervisor: Supervisor,
        rules: Rules,
        open_broker: Callable[[], Broker],
        renew: Callable[[], object],
        reloader: Reloader | None = None,
    ) -> Iterator[None]:
        """While the supervisor's loop runs: watch it, and answer those who ask how it is.

        Args:
            supervisor: of this worker.
            rules: its numbers.
            open_broker: gives a broker beside the fetcher's.
            renew: gives the worker a whole new session with the broker.
            reloader: watches the app's files.
        """
        loop = supervisor.loop
        pulse = Pulse(loop)
        vitals = Vitals(self._hostname, supervisor, pulse, rules.limits.lease)
        watchdog = Watchdog(vitals, open_broker, renew, loop.call_from_thread, rules.progress_timeout)
        pulse.looks += [watchdog.look, lambda: self._tell(vitals)]
        self._prepare(vitals)
        guard, status = Guard(pulse), StatusSocket(loop, self._hostname, vitals.plain)
        pulse.begin()
        guard.start()
        for thread in (self._health, reloader):
            if thread is not None:
                thread.start()
        try:
            yield
        finally:
            if reloader is not None:
                reloader.stop()
            guard.stop()
            pulse.end()
            status.close()
            self._part(vitals)

    def ready(self) -> None:
        """The children are ready for tasks."""
        started, self._started = self._started, None
        if started is not None:
            started()
        self._notifier.ready()

    def close(self) -> None:
        """Take back what was left on the machine."""
        if self._health is not None:
            self._health.stop()
        self._notifier.close()
        if self._pidfile is not None:
            self._pidfile.release()

    def _tell(self, vitals: Vitals) -> None:
        if self._notifier.wanted:
            self._notifier.feed()
            self._notifier.status(vitals.sentence())
            if not vitals.supervisor.ending.running:
                self._part(vitals)

    def _part(self, vitals: Vitals) -> None:
        """Tell the init system that this is the end, or that this very process begins anew."""
        if vitals.supervisor.ending.restarting:
            self._notifier.reloading()
        else:
            self._notifier.stopping()

    def _prepare(self, vitals: Vitals) -> None:
        """Fill in what the health endpoints answer."""

        def told(complaints: Callable[[], list[str]]) -> Answer:
            def answer() -> tuple[int, str, bytes]:
                found = complaints()
                return (503 if found else 200), TEXT, "".join(f"{line}\n" for line in found or ["ok"]).encode()

            return answer

        self._answers["/livez"] = told(vitals.death_signs)
        self._answers["/readyz"] = told(vitals.hindrances)
        if self.meter is not None:
            page = meter.Page(self.meter, vitals)
            self._answers["/metrics"] = lambda: (200, *page.text())
        else:
            self._answers["/metrics"] = lambda: (501, TEXT, b'metrics need a library: pip install "skirret[metrics]"\n')

    def _write_pidfile(self, path: str | None) -> None:
        if path:
            pidfile = PidFile(node_path(path, self._hostname))
            pidfile.acquire()
            self._pidfile = pidfile
