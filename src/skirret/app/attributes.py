"""Attributes of tasks that the settings decide where neither the task nor its base class says."""

from __future__ import annotations

from typing import Any


class FromSettings:
    """A class attribute whose value is a setting of the task's app, until something else is assigned."""

    __slots__ = ("key", "name")

    def __init__(self, key: str) -> None:
        self.key = key
        self.name = key

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, task: Any, owner: type | None = None) -> Any:
        if task is None:
            return None
        task.annotated()
        return task.__dict__[self.name] if self.name in task.__dict__ else task.app.conf.get(self.key)


def from_settings(key: str) -> Any:
    """An attribute whose default is the setting `key`; typed as the attribute that it stands for."""
    return FromSettings(key)


def drop_unsaid(cls: type) -> None:
    """Remove attributes of `cls` that are None where a base class would ask the settings: None says nothing."""
    for name, value in list(cls.__dict__.items()):
        if value is None and any(isinstance(base.__dict__.get(name), FromSettings) for base in cls.__mro__[1:]):
            delattr(cls, name)


def said(task: Any, name: str) -> Any:
    """What the task or its classes themselves say about `name`; None if only the settings would answer."""
    if name in task.__dict__:
        return task.__dict__[name]
    for cls in type(task).__mro__:
        if name in cls.__dict__:
            value = cls.__dict__[name]
            return None if isinstance(value, FromSettings) else getattr(task, name)
    return None
