"""Signature: a call of a task as a value, a dict that messages carry as it is.

Source of the keys: Celery's task protocol 2 (callbacks, errbacks and the chain of a message hold such dicts).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from functools import partial
from typing import Any, ClassVar, Generic, TypeVar

from skirret.canvas.call import Call, listed
from skirret.canvas.protocol import CanvasApp, app_in_use
from skirret.results import AsyncResult, EagerResult
from skirret.results.base import R

Kind = TypeVar("Kind", bound="type[Signature[Any]]")


class Signature(Call, Generic[R]):
    """A task's name, arguments and options: to be completed, passed on, linked to others, sent later.

    The dict has the keys ``task``, ``args``, ``kwargs``, ``options``, ``subtask_type`` and ``immutable``, which are
    attributes too.

    Args:
        task: a task or its name, or a mapping with the keys above (the other arguments are then not used).
        args: positional arguments.
        kwargs: keyword arguments.
        options: as ``apply_async`` takes them.
        type: accepted for Celery's sake.
        subtask_type: the kind of signature, such as "chain"; None is a single task.
        immutable: takes no further arguments.
        app: the app that knows the task; by default the current one when it is needed.
        ex: more options.
    """

    TYPES: ClassVar[dict[str, type[Signature[Any]]]] = {}
    """The registered kinds by ``subtask_type``."""

    def __init__(
        self,
        task: Any = None,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        type: Any = None,
        subtask_type: str | None = None,
        immutable: bool = False,
        app: CanvasApp | None = None,
        **ex: Any,
    ) -> None:
        self._app = app
        self._type: Any = None
        if isinstance(task, Mapping):
            super().__init__(task)
            # Serializers turn tuples into lists, and foreign senders leave out what is empty.
            self["args"] = tuple(task.get("args") or ())
            for key, empty in (("kwargs", {}), ("options", {}), ("subtask_type", None), ("immutable", False)):
                if self.get(key) is None:
                    self[key] = empty
            return
        if not isinstance(task, str) and hasattr(task, "name"):
            self._type, task = task, task.name
        super().__init__(
            task=task,
            args=tuple(args or ()),
            kwargs=dict(kwargs or {}),
            options={**(options or {}), **ex},
            subtask_type=subtask_type,
            immutable=immutable,
        )

    # --- kinds

    @classmethod
    def register_type(cls, name: str | None = None) -> Callable[[Kind], Kind]:
        """A class decorator that makes `from_dict` use the class for ``subtask_type`` `name` (the class's name)."""

        def register(kind: Kind) -> Kind:
            cls.TYPES[name or kind.__name__] = kind
            return kind

        return register

    @classmethod
    def from_dict(cls, d: Mapping[str, Any], app: CanvasApp | None = None) -> Signature[Any]:
        """The signature that a mapping describes.

        Args:
            d: as a message or a serializer gives it. An unregistered ``subtask_type`` stays a plain signature, which
                a worker that knows its task can still run.
            app: the app that knows the task.
        """
        kind = cls.TYPES.get(str(d.get("subtask_type")))
        if kind is not None and kind is not cls:
            return kind.from_dict(d, app=app)
        return (kind or Signature)(d, app=app)

    # --- calling

    def __call__(self, *args: Any, **kwargs: Any) -> R:
        """Run the task here and now, in this process; `args` come before the signature's own."""
        args, kwargs, _ = self.merge(args, kwargs, None)
        value: R = self.type(*args, **kwargs)
        return value

    def delay(self, *args: Any, **kwargs: Any) -> AsyncResult[R]:
        """Send the call; `args` come before the signature's own."""
        return self.apply_async(args, kwargs)

    async def adelay(self, *args: Any, **kwargs: Any) -> AsyncResult[R]:
        """As `delay`, without blocking the event loop."""
        return await self.aapply_async(args, kwargs)

    def apply(
        self, args: Iterable[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> EagerResult[R]:
        """Run the task here and now, and return its result as a handle; arguments as `apply_async`."""
        merged = self.merge(args, kwargs, _said(options))
        result: EagerResult[R] = self.type.apply(merged[0], merged[1], **merged[2])
        return result

    def apply_async(
        self,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        route_name: str | None = None,
        **options: Any,
    ) -> AsyncResult[R]:
        """Send the call.

        Args:
            args: positional arguments, put before the signature's own.
            kwargs: keyword arguments, which win over the signature's own.
            route_name: the name to route by; by default the task's.
            options: as ``Task.apply_async``, which win over the signature's own; None says nothing.

        Raises:
            OperationalError: the broker cannot be reached.
        """
        merged = self.merge(args, kwargs, _said(options | {"route_name": route_name}))
        result: AsyncResult[R] = self._sender("apply_async", "send_task")(merged[0], merged[1], **merged[2])
        return result

    async def aapply_async(
        self,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        route_name: str | None = None,
        **options: Any,
    ) -> AsyncResult[R]:
        """As `apply_async`, without blocking the event loop."""
        merged = self.merge(args, kwargs, _said(options | {"route_name": route_name}))
        result: AsyncResult[R] = await self._sender("aapply_async", "asend_task")(merged[0], merged[1], **merged[2])
        return result

    def _sender(self, of_task: str, of_app: str) -> Callable[..., Any]:
        try:
            sender: Callable[..., Any] = getattr(self.type, of_task)
        except KeyError:
            # A task of other workers, known by name only.
            sender = partial(getattr(self.app, of_app), self.task)
        return sender

    def __invert__(self) -> R:
        return self.apply_async().get()

    # --- completing

    def clone(
        self, args: Iterable[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **opts: Any
    ) -> Signature[R]:
        """A copy, completed as `apply_async` would; options are copied in depth, argument values are shared."""
        merged = self.merge(args, kwargs, opts)
        described = {
            **self,
            "args": tuple(merged[0]),
            "kwargs": dict(merged[1]),
            "options": deepcopy(merged[2]),
        }
        twin: Signature[R] = Signature.from_dict(described, app=self._app)
        twin._type = self._type
        return twin

    partial = clone

    def replace(
        self,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Signature[R]:
        """A copy with other arguments or options; None keeps them."""
        twin = self.clone()
        if args is not None:
            twin.args = tuple(args)
        if kwargs is not None:
            twin.kwargs = dict(kwargs)
        if options is not None:
            twin.options = dict(options)
        return twin

    def freeze(
        self,
        _id: str | None = None,
        group_id: str | None = None,
        chord: Any = None,
        root_id: str | None = None,
        parent_id: str | None = None,
        group_index: int | None = None,
    ) -> AsyncResult[R]:
        """Give the call its task id now, before it is sent, and return the handle of its result.

        An id, a group and a reply address that are there already stay. Sending it twice makes two messages of one
        id.

        Args:
            _id: the id; by default a new one.
            group_id: the group it belongs to.
            chord: the chord's body.
            root_id: the first task of the whole tree.
            parent_id: the task that starts this one.
            group_index: its place in the group, from 0.
        """
        options = self.options
        task_id = options.setdefault("task_id", _id or str(uuid.uuid4()))
        if root_id:
            options["root_id"] = root_id
        if parent_id:
            options["parent_id"] = parent_id
        oid = getattr(self.app, "thread_oid", None)
        if oid is not None:
            options.setdefault("reply_to", oid)
        if group_id:
            options.setdefault("group_id", group_id)
        if chord:
            options["chord"] = chord
        if group_index is not None:
            options["group_index"] = group_index
        return self.AsyncResult(task_id)

    # --- links

    def flatten_links(self) -> list[Signature[Any]]:
        """This signature, its callbacks, their callbacks and so on."""
        flat: list[Signature[Any]] = [self]
        for callback in listed(self.options.get("link")):
            found = callback if isinstance(callback, Signature) else Signature.from_dict(callback, app=self._app)
            flat.extend(found.flatten_links())
        return flat

    # --- what it belongs to

    def bind(self, app: CanvasApp) -> Signature[R]:
        """Say which app knows the task; returns this signature."""
        self._app = app
        return self

    @property
    def app(self) -> CanvasApp:
        """The app that knows the task."""
        return app_in_use(self._app, self.get("task"))

    @property
    def type(self) -> Any:
        """The task.

        Raises:
            NotRegistered: this process has no task of that name.
        """
        return self._type if self._type is not None else self.app.tasks[self["task"]]

    @property
    def AsyncResult(self) -> Callable[[str], AsyncResult[R]]:  # noqa: N802  Celery's public name
        """Makes handles of this task's results."""
        try:
            made: Callable[[str], AsyncResult[R]] = self.type.AsyncResult
        except KeyError:
            made = self.app.AsyncResult
        return made

    # --- as text and as a value

    def __reduce__(self) -> tuple[Any, ...]:
        # The app and the task do not travel; the reader finds its own by name.
        return _from_plain, (dict(self),)

    def __copy__(self) -> Signature[R]:
        twin = type(self)(self, app=self._app)
        twin._type = self._type  # noqa: SLF001  its own class
        return twin

    copy = __copy__

    def __deepcopy__(self, memo: dict[int, Any]) -> Signature[R]:
        twin = self.__copy__()
        memo[id(self)] = twin
        # Arguments may be lazy or large and are shared, as in every clone.
        twin["kwargs"] = dict(self.kwargs)
        twin["options"] = deepcopy(self.options, memo)
        return twin


def _from_plain(plain: Mapping[str, Any]) -> Signature[Any]:
    return Signature.from_dict(plain)


def _said(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}
