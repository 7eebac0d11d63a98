"""The app: what a program's tasks, settings and connections belong to."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

from skirret import context
from skirret.app.caller import user_file
from skirret.app.calling import call_by_name, call_many
from skirret.app.clients import Clients
from skirret.app.current import add_app, make_default_by
from skirret.app.fixups import fix_up
from skirret.app.publisher import Publisher
from skirret.app.registry import TaskRegistry
from skirret.app.task import Task
from skirret.app.task_holder import TaskHolder
from skirret.backends.base import ResultBackend
from skirret.brokers.base import Broker
from skirret.coordination.base import Coordination
from skirret.middleware import Stack
from skirret.plugins import import_object
from skirret.settings import Conf
from skirret.signals import Signal

if TYPE_CHECKING:
    from datetime import tzinfo

    from skirret.app.connection import Connection
    from skirret.app.events import Events
    from skirret.app.log import Logging
    from skirret.app.queues import Queues
    from skirret.app.user_options import UserOptions
    from skirret.canvas import Signature
    from skirret.control.control import Control
    from skirret.results import AsyncResult, GroupResult, ResultReader, ResultSet


class Skirret(TaskHolder):
    """An app.

    Args:
        main: its name; in a script it also stands for the module in the names of tasks.
        broker: the message server's address; none is the embedded file of the project's directory.
        backend: the result store's address.
        include: modules that a worker imports, a list or one text.
        set_as_current: make it the app that is meant where none is named.
        tasks: a registry to share.
        changes: settings by key.
        config_source: as of `config_from_object`.
        task_cls: base class of its tasks, or a path to one.
        autofinalize: finalise on first use of `tasks`; else only by `finalize`.
        namespace: prefix of the settings in ``config_source``, such as ``CELERY``.
        strict_typing: check arguments at the call, where a task does not say otherwise.
        config_source_silent: whether a config module that is not there is no error.
        fixups: what fits it to a framework, functions or paths; None is Django's if ``DJANGO_SETTINGS_MODULE`` is set.
        loader, amqp, events, log, control: accepted for Celery's sake; Skirret has no such parts to replace.
        **kwargs: settings by key.

    Raises:
        ImproperlyConfigured: a setting cannot be used as given.
    """

    def __init__(
        self,
        main: str | None = None,
        loader: Any = None,
        backend: Any = None,
        amqp: Any = None,
        events: Any = None,
        log: Any = None,
        control: Any = None,
        set_as_current: bool = True,
        tasks: TaskRegistry | None = None,
        broker: Any = None,
        include: Any = None,
        changes: Mapping[str, Any] | None = None,
        config_source: Any = None,
        fixups: Any = None,
        task_cls: type[Task[..., Any]] | str | None = None,
        autofinalize: bool = True,
        namespace: str | None = None,
        strict_typing: bool = True,
        config_source_silent: bool = False,
        **kwargs: Any,
    ) -> None:
        self.main = main
        self.origin = user_file()
        self.conf = Conf()
        self.middleware = Stack()
        super().__init__(tasks, task_cls, autofinalize=autofinalize)
        self.strict_typing = strict_typing
        self.clients = Clients(lambda: self.conf, self.origin, self._forked, lambda: self.queues)
        self.publisher = Publisher(self)
        self.on_after_fork = Signal("app.on_after_fork")
        self.user_options: UserOptions = defaultdict(set)
        """What it adds to the command line: sets of ``click.Option`` by command; ``preload`` is for all commands."""
        self._events: Events | None = None
        self._configure(
            {"broker_url": broker, "result_backend": backend, "include": include}, changes, kwargs,
            config_source=config_source, namespace=namespace, silent=config_source_silent,
        )  # fmt: skip
        add_app(self)
        if context.default_app() is None or set_as_current:
            self.set_default()
        if set_as_current:
            self.set_current()
        fix_up(self, fixups)

    def _configure(
        self, named: Mapping[str, Any], changes: Mapping[str, Any] | None, extra: Mapping[str, Any],
        *, config_source: Any, namespace: str | None, silent: bool,
    ) -> None:  # fmt: skip
        self.conf.load_environment()
        project = _project_of(self.origin)
        if project is not None:
            self.conf.load_pyproject(project)
        if config_source is not None:
            self.conf.config_from_object(config_source, namespace=namespace, silent=silent)
        given = {key: value for key, value in named.items() if value is not None}
        given.update(changes or {}, **extra)
        if isinstance(given.get("include"), str):
            given["include"] = [given["include"]]
        if given:
            self.conf.update(given)

    # -- settings ------------------------------------------------------------------------------------------------

    def config_from_object(
        self, obj: Any, silent: bool = False, force: bool = False, namespace: str | None = None
    ) -> None:
        """Take settings from a module, class, mapping or path to one; read when the first setting is (`force`: now)."""
        self.conf.config_from_object(obj, namespace=namespace, silent=silent)
        if force:
            len(self.conf)

    def config_from_envvar(self, variable_name: str, silent: bool = False, force: bool = False) -> bool:
        """Take settings from the module that an environment variable names; whether there is such a variable."""
        found = self.conf.config_from_envvar(variable_name, silent=silent)
        if force:
            len(self.conf)
        return found

    def add_defaults(self, defaults: Mapping[str, Any] | Callable[[], Mapping[str, Any]]) -> None:
        """Give defaults that win over the built-in ones."""
        self.conf.add_defaults(defaults)

    # -- calling -------------------------------------------------------------------------------------------------

    def send_task(
        self, name: str, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> AsyncResult[Any]:
        """Send a call by the task's name, whether or not this process knows the task; options as of ``apply_async``."""
        return cast("AsyncResult[Any]", call_by_name(self, name, args, kwargs, options))

    def send_many(self, calls: Iterable[Signature[Any]]) -> list[AsyncResult[Any]]:
        """Send many calls with as few round trips as possible.

        Raises:
            OperationalError: the broker failed; calls before the failing batch of 1,000 were sent.
        """
        return call_many(self, calls)

    def signature(self, *args: Any, **kwargs: Any) -> Signature[Any]:
        """A call as a value: ``signature("name", args=(...), ...)``."""
        from skirret.canvas import signature

        kwargs.setdefault("app", self)
        return signature(*args, **kwargs)

    @property
    def control(self) -> Control:
        """Asks and steers the workers."""
        from skirret.control.control import Control

        return Control(self)

    def revoke(
        self, task_id: str | Sequence[str], wait: bool = False, timeout: float | None = None, **options: Any
    ) -> Any:
        """Tell workers not to run tasks; see ``AsyncResult.revoke``."""
        return self.control.revoke(task_id, reply=wait, timeout=timeout, **options)

    def pause_queue(self, queue: str | Sequence[str]) -> list[str]:
        """Let no worker take from a queue, or several, until it is resumed; those that were not paused before.

        Tasks that run go on, and publishing does too. Workers follow within about a second, and so do those that start
        later.

        Raises:
            OperationalError: the shared state cannot be reached.
        """
        from skirret.app.pausing import pause

        return pause(self, queue)

    def resume_queue(self, queue: str | Sequence[str]) -> list[str]:
        """Let workers take from a queue again; those that were paused."""
        from skirret.app.pausing import resume

        return resume(self, queue)

    def paused_queues(self) -> list[str]:
        """The queues that are paused across the fleet, sorted."""
        from skirret.app.pausing import paused

        return paused(self)

    # -- results -------------------------------------------------------------------------------------------------

    def AsyncResult(self, id: str, **options: Any) -> AsyncResult[Any]:  # noqa: N802  Celery's public name
        """The handle of a task's result by its id."""
        from skirret.results import AsyncResult

        return AsyncResult(id, app=self, **options)

    def ResultSet(self, results: Iterable[Any] = (), **options: Any) -> ResultSet:  # noqa: N802
        """Several results as one."""
        from skirret.results import ResultSet

        return ResultSet(list(results), app=self, **options)

    def GroupResult(self, id: str | None = None, results: Iterable[Any] = (), **options: Any) -> GroupResult:  # noqa: N802
        """The results of a group."""
        from skirret.results import GroupResult

        return GroupResult(id, list(results), app=self, **options)

    # -- connections ---------------------------------------------------------------------------------------------

    @property
    def broker(self) -> Broker:
        """The broker of this process, opened on first use."""
        return self.clients.broker

    @property
    def backend(self) -> ResultBackend:
        """The result store of this process, opened on first use."""
        return self.clients.backend

    @property
    def coordination(self) -> Coordination:
        """The state that workers share, opened on first use."""
        return self.clients.coordination

    @property
    def reader(self) -> ResultReader:
        """Reads the results of this process."""
        return self.clients.reader

    def coordination_url_in_use(self) -> str | None:
        """The address of the state that workers share (with its password); None where nothing keeps it."""
        return self.clients.coordination_url()

    def broker_url_in_use(self) -> str:
        """The address that messages go to (with its password)."""
        return self.clients.broker_url()

    def backend_url_in_use(self) -> str:
        """The address that results go to (with its password); ``disabled://`` for none."""
        return self.clients.backend_url()

    def connection(self, *args: Any, **kwargs: Any) -> Connection:
        """This app's connection to its broker, in the form that Celery's users pass around; arguments are ignored."""
        from skirret.app.connection import Connection

        return Connection(self)

    connection_for_read = connection_for_write = connection_or_acquire = connection

    @property
    def events(self) -> Events:
        """Sending and hearing events."""
        if self._events is None:
            from skirret.app.events import Events

            self._events = Events(self)
        return self._events

    @property
    def queues(self) -> Queues:
        """The declared queues by name, the default one first."""
        return self.publisher.view.router.queues

    def close(self) -> None:
        """Let go of connections; they open again on the next use."""
        self.clients.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _forked(self) -> None:
        self.unlock()
        self.on_after_fork.send(sender=self)

    # -- state ---------------------------------------------------------------------------------------------------

    @property
    def log(self) -> Logging:
        """Sets up this process's logging by the app's settings."""
        from skirret.app.log import Logging

        found: Logging | None = self.__dict__.get("_log")
        if found is None:
            found = self.__dict__["_log"] = Logging(self.conf)
        return found

    def set_current(self) -> None:
        """Make this the current app of this thread or coroutine."""
        context.set_current_app(self)

    def set_default(self) -> None:
        """Make this the app of threads that have no current one."""
        context.set_default_app(self)

    @property
    def current_task(self) -> Any:
        """The task that runs here, or None."""
        return context.current_task()

    @property
    def current_worker_task(self) -> Any:
        """The innermost task that a worker runs here, or None."""
        from skirret.app.lineage import worker_call

        running = worker_call()
        return None if running is None else running[0]

    @property
    def thread_oid(self) -> str:
        """An id of this thread of this process, as messages carry it in ``reply_to``; the process's with ``rpc://``."""
        return self.publisher.view.reply_to()

    @property
    def timezone(self) -> tzinfo:
        """The time zone of the settings, UTC by default."""
        from skirret.app.moments import zone

        return zone(self.conf.get("timezone"))

    def now(self) -> datetime:
        """The present moment in the app's time zone."""
        return datetime.now(self.timezone)

    def start(self, argv: Sequence[str] | None = None) -> int:
        """Run the command line for this app; its exit code.

        Args:
            argv: arguments without the program's name; None is ``sys.argv``. ``-A`` is this app's own file unless said.
        """
        given = list(sys.argv[1:] if argv is None else argv)
        if not {"-A", "--app"} & set(given):
            given = ["-A", str(self.origin), *given]
        code: int = import_object("skirret.cli:main")(given)
        return code

    worker_main = start

    def bugreport(self) -> str:
        """What a bug report needs, as ``skirret report`` prints it: versions, addresses, settings; no secrets."""
        told: str = import_object("skirret.cli.report:text")(self)
        return told

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.main or '__main__'} at {id(self):#x}>"


def _project_of(origin: Path) -> Path | None:
    from skirret.stores.sqlite.location import project_directory

    directory = project_directory(origin)
    return directory if (directory / "pyproject.toml").is_file() else None


Celery = Skirret
make_default_by(lambda: Skirret("default", set_as_current=False))
