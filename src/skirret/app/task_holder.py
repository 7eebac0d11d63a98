"""The half of an app that holds its tasks: how they are declared, named, found and finalised."""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Literal, ParamSpec, TypeVar, cast, overload

from skirret import context
from skirret.app.declaring import Declare, DeclareBound, install, make_task
from skirret.app.modules import Modules
from skirret.app.naming import gen_task_name
from skirret.app.registry import TaskRegistry
from skirret.app.task import AsyncTask
from skirret.app.task import Task as BaseTask
from skirret.app.task_app import TaskApp
from skirret.errors import ImproperlyConfigured
from skirret.plugins import import_object
from skirret.signals import Signal

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T", bound=BaseTask[..., Any])


class TaskHolder:
    """An app's tasks.

    Args:
        tasks: a registry to share.
        task_cls: base class of the tasks, or a path to one.
        autofinalize: finalise on first use of `tasks`; else only by `finalize`.
    """

    main: str | None

    def __init__(
        self, tasks: TaskRegistry | None, task_cls: type[BaseTask[..., Any]] | str | None, *, autofinalize: bool
    ) -> None:
        self.registry = TaskRegistry() if tasks is None else tasks
        self.task_cls: type[BaseTask[..., Any]] | str = task_cls or BaseTask
        self.autofinalize = autofinalize
        self.finalized = False
        self.duplicates: set[str] = set()
        self.modules = Modules(self._app)
        self.on_configure = Signal("app.on_configure")
        self.on_after_configure = Signal("app.on_after_configure", ("source",))
        self.on_after_finalize = Signal("app.on_after_finalize")
        self._finalizing = threading.RLock()
        self._task_class: type[BaseTask[..., Any]] | None = None

    def unlock(self) -> None:
        """In a forked child: forget locks that only threads of the parent could release."""
        self._finalizing = threading.RLock()

    @property
    def _app(self) -> TaskApp:
        return cast("TaskApp", self)

    @overload
    def task(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...
    @overload
    def task(self, function: Callable[P, R], /) -> BaseTask[P, R]: ...
    @overload
    def task(self, *, bind: Literal[True], **options: Any) -> DeclareBound: ...
    @overload
    def task(self, *, bind: Literal[False] = False, **options: Any) -> Declare: ...
    def task(self, function: Any = None, **options: Any) -> Any:
        """Make a task of a function; a decorator, plain or with options.

        Args:
            function: when used without parentheses.
            **options: ``name``, ``base``, ``bind``, any attribute of `Task` (``max_retries``, ``autoretry_for``,
                ``time_limit``, ``serializer``, ...), ``pydantic`` with ``pydantic_strict``, ``pydantic_context`` and
                ``pydantic_dump_kwargs``, ``shared`` (other apps have it too; default False), ``filter`` (a decorator
                put around the task), ``lazy`` (accepted; a task is always ready at once).
        """

        def declare(function: Callable[..., Any]) -> Any:
            made: Any = make_task(self._app, function, **options)
            if options.get("shared"):
                context.add_shared_task(lambda app: make_task(app, function, **options))
            around = options.get("filter")
            return around(made) if around else made

        return declare if function is None else declare(function)

    @overload
    def register_task(self, task: type[T], **options: Any) -> T: ...
    @overload
    def register_task(self, task: T, **options: Any) -> T: ...
    def register_task(self, task: Any, **options: Any) -> Any:
        """Register a class task: an instance of a `Task` subclass, or the class; the instance.

        Args:
            task: what to register; without a ``name`` it gets one from its class and module.
            **options: attributes to set on it.
        """
        instance = task() if isinstance(task, type) else task
        if not instance.name:
            instance.name = self.gen_task_name(type(instance).__name__, type(instance).__module__)
        for name, value in options.items():
            setattr(instance, name, value)
        install(self._app, instance)
        return instance

    def gen_task_name(self, name: str, module: str | None) -> str:
        """What a function of that name in that module is called as a task."""
        return gen_task_name(self, name, module)

    @property
    def tasks(self) -> TaskRegistry:
        """All tasks by name; looking finalises the app."""
        if not self.finalized:
            self.finalize(auto=True)
        return self.registry

    def task_class(self) -> type[BaseTask[..., Any]]:
        """The class that this app's tasks are made of."""
        given = self.task_cls
        cls = import_object(given) if isinstance(given, str) else given
        if not (isinstance(cls, type) and issubclass(cls, BaseTask)):
            raise ImproperlyConfigured(f"task_cls must be a subclass of Task, not {cls!r}")
        return cls

    @property
    def Task(self) -> type[BaseTask[..., Any]]:  # noqa: N802  Celery's public name
        """Base class for class tasks of this app."""
        if self._task_class is None:
            self._task_class = type("Task", (self.task_class(),), {"_app": self, "__module__": __name__})
        return self._task_class

    def finalize(self, auto: bool = False) -> None:
        """Take in shared tasks, annotations and the settings' middleware; done once, by itself on first use.

        Raises:
            RuntimeError: by itself, although ``autofinalize`` is off.
        """
        with self._finalizing:
            if self.finalized:
                return
            if auto and not self.autofinalize:
                raise RuntimeError("this app has autofinalize=False, so call app.finalize() before its first use")
            self.on_configure.send(sender=self)
            len(self._app.conf)
            self.on_after_configure.send(sender=self, source=self._app.conf)
            for member in self._app.conf.get("middleware") or ():
                self._app.middleware.add(member)
            self.finalized = True
            for register in context.shared_tasks():
                register(self._app)
            for task in list(self.registry.values()):
                task.annotated()
            self.on_after_finalize.send(sender=self)

    def annotate(self, task: BaseTask[..., Any]) -> None:
        """Apply ``task_annotations`` to a task."""
        annotations = self._app.conf.get("task_annotations")
        if annotations:
            from skirret.app.annotations import annotate

            annotate(task, annotations)

    def autodiscover_tasks(
        self,
        packages: Iterable[str] | Callable[[], Iterable[str]] | None = None,
        related_name: str | None = "tasks",
        force: bool = False,
    ) -> None:
        """Have workers import ``<package>.<related_name>`` of each package, where there is such a module.

        Args:
            packages: names, or a function that returns them when the time comes; None is the installed apps of Django.
            related_name: the module; None imports the package itself.
            force: import now.
        """
        self.modules.discover(packages, related_name, force=force)

    def import_modules(self, *, serving: bool = False) -> None:
        """Import everything that defines tasks: ``imports``, ``include`` and discovered modules.

        Args:
            serving: for a worker; a framework then looks whether its project is sound.

        Raises:
            ImproperlyConfigured: one of them cannot be imported; the message says why.
        """
        self.modules.load(serving=serving)
