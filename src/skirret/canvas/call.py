"""What a call consists of: the dict under a Signature, with the ways to complete and to extend it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Self

from skirret import saferepr
from skirret.canvas.keys import Key, Option

# What a group waits for must not change when the signature is completed.
_LASTING = frozenset({"group_id", "stamped_headers"})


class Call(dict[str, Any]):
    """A task's name, arguments and options, as a dict whose keys are attributes too."""

    task = Key[str]()
    args = Key[tuple[Any, ...]]()
    kwargs = Key[dict[str, Any]]()
    options = Key[dict[str, Any]]()
    subtask_type = Key["str | None"]()
    immutable = Key[bool]()
    id = Option[str]("task_id")
    parent_id = Option[str]("parent_id")
    root_id = Option[str]("root_id")

    @property
    def name(self) -> str:
        """The task's name, as a task says it."""
        return self.task

    # --- completing

    def merge(
        self,
        args: Iterable[Any] | None,
        kwargs: Mapping[str, Any] | None,
        options: Mapping[str, Any] | None,
        force: bool = False,
    ) -> tuple[tuple[Any, ...], dict[str, Any], dict[str, Any]]:
        """The call's arguments and options, completed.

        Args:
            args: put before its own.
            kwargs: win over its own.
            options: win over its own, except those that a group waits for, and stamps.
            force: complete the arguments of an immutable call too.
        """
        merged = self.options
        if options:
            fixed = _LASTING.union(merged.get("stamped_headers") or ())
            merged = merged | {k: v for k, v in options.items() if k not in fixed or k not in merged}
        if self.immutable and not force:
            return self.args, self.kwargs, merged
        return (
            (*args, *self.args) if args else self.args,
            {**self.kwargs, **kwargs} if kwargs else self.kwargs,
            merged,
        )

    def set(self, immutable: bool | None = None, **options: Any) -> Self:
        """Set options in place; returns this signature."""
        if immutable is not None:
            self.set_immutable(immutable)
        self.options.update(options)
        return self

    def set_immutable(self, immutable: bool) -> None:
        """Say whether it takes no further arguments."""
        self.immutable = immutable

    # --- links

    def append_to_list_option(self, key: str, value: Any) -> Any:
        """Append `value` to the option `key`, which becomes a list, unless it is in it; returns `value`."""
        items = self._list_option(key)
        if value not in items:
            items.append(value)
        return value

    def extend_list_option(self, key: str, value: Any) -> None:
        """Append `value`, or its items if it is a list or tuple, to the option `key`, which becomes a list."""
        if value is not None:
            self._list_option(key).extend(listed(value))

    def _list_option(self, key: str) -> list[Any]:
        items = self.options.get(key)
        if not isinstance(items, list):
            items = self.options[key] = listed(items)
        return items

    def link(self, callback: Any) -> Any:
        """Run `callback` with the return value once the task succeeded; returns `callback`."""
        return self.append_to_list_option("link", callback)

    def link_error(self, errback: Any) -> Any:
        """Run `errback` once the task failed; returns `errback`."""
        return self.append_to_list_option("link_error", errback)

    def on_error(self, errback: Any) -> Self:
        """As `link_error`, but returns this signature."""
        self.link_error(errback)
        return self

    # --- as text

    def reprcall(self, *args: Any, **kwargs: Any) -> str:
        """The call as text, such as ``tasks.add(2, 2)``; `args` and `kwargs` complete it for the text only."""
        args, kwargs, _ = self.merge(args, kwargs, None, force=True)
        told = [saferepr.saferepr(value) for value in args]
        told += [f"{name}={saferepr.saferepr(value)}" for name, value in kwargs.items()]
        return f"{self['task']}({', '.join(told)})"

    def __repr__(self) -> str:
        return self.reprcall()

    def __json__(self) -> dict[str, Any]:
        return dict(self)

    def __or__(self, other: Any) -> Any:
        # Never dict's merge: `|` composes signatures.
        return NotImplemented

    __ior__ = __or__


def listed(value: Any) -> list[Any]:
    """`value` as a list: its items if it is a list or tuple, empty for None."""
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]
