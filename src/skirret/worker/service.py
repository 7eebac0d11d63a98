"""A worker as a service of its machine: who it is there, its pid file, and word to whoever waits for its start."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from skirret import logs
from skirret.nodes import node_path
from skirret.worker.identity import identity, refuse_root, take_on
from skirret.worker.options import WorkerOptions
from skirret.worker.pidfile import PidFile

logger = logging.getLogger("skirret.worker")


class Service:
    """Entered before the app is imported, left when the worker has ended.

    Args:
        options: what the command line asks.
        hostname: the node's name.
        started: called once, when the worker is ready for tasks.
    """

    def __init__(self, options: WorkerOptions, hostname: str, started: Callable[[], object] | None) -> None:
        self._options = options
        self._hostname = hostname
        self._started = started
        self._pidfile: PidFile | None = None

    def __enter__(self) -> None:
        options = self._options
        take_on(identity(options.uid, options.gid, options.umask))
        self._write_pidfile(options.pidfile)
        logfile = options.logfile and node_path(options.logfile, self._hostname)
        logs.setup(options.loglevel, logfile, json=options.log_json, color=options.color)
        if options.beat:
            logger.warning("-B: this version has no scheduler inside yet; it comes separately, as `skirret beat`.")

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

    def ready(self) -> None:
        """The children are ready for tasks."""
        started, self._started = self._started, None
        if started is not None:
            started()

    def close(self) -> None:
        """Take back what was left on the machine."""
        if self._pidfile is not None:
            self._pidfile.release()

    def _write_pidfile(self, path: str | None) -> None:
        if path:
            pidfile = PidFile(node_path(path, self._hostname))
            pidfile.acquire()
            self._pidfile = pidfile
