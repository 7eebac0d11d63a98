"""The one plugin loader: a name is looked up in a literal table, then among installed entry points."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from skirret.errors import ImproperlyConfigured, MissingDependency


def import_object(path: str) -> Any:
    """The object at ``package.module:name`` or ``package.module.name``.

    Raises:
        ImproperlyConfigured: there is no such module or name.
    """
    module_name, sep, attribute = path.partition(":")
    if not sep:
        module_name, _, attribute = path.rpartition(".")
    if not module_name:
        raise ImproperlyConfigured(f"{path!r} is not a path such as 'package.module:name'")
    try:
        found: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as exc:
        raise ImproperlyConfigured(f"cannot load {path!r}: {exc}") from exc
    return found


@dataclass(frozen=True, slots=True)
class Plugins:
    """What a family of plugins knows.

    Args:
        kind: the noun for messages, such as ``broker``.
        group: the entry-point group for third parties, such as ``skirret.brokers``.
        builtin: name -> ``module:object``.
        extras: name -> the extra of ``pip install "skirret[...]"`` that brings its driver.
    """

    kind: str
    group: str
    builtin: Mapping[str, str]
    extras: Mapping[str, str]

    def names(self) -> list[str]:
        """All known names, sorted."""
        return sorted({*self.builtin, *(entry.name for entry in self._entries())})

    def knows(self, name: str) -> bool:
        """Whether `name` stands for anything."""
        return name in self.builtin or any(entry.name == name for entry in self._entries())

    def load(self, name: str) -> Any:
        """The object that `name` stands for.

        Raises:
            ImproperlyConfigured: nothing has that name; near names are suggested.
            MissingDependency: its driver is not installed; the message names the extra.
        """
        path = self.builtin.get(name)
        if path is None:
            path = next((entry.value for entry in self._entries() if entry.name == name), None)
        if path is None and (":" in name or "." in name):
            path = name
        if path is None:
            near = difflib.get_close_matches(name, self.names(), n=1)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            raise ImproperlyConfigured(f"no {self.kind} {name!r}{hint} Known: {', '.join(self.names())}")
        try:
            return import_object(path)
        except ImproperlyConfigured as exc:
            cause = exc.__cause__
            if isinstance(cause, ModuleNotFoundError) and not (cause.name or "").startswith("skirret"):
                extra = self.extras.get(name)
                what = f'pip install "skirret[{extra}]"' if extra else f"pip install {cause.name}"
                raise MissingDependency(
                    f"the {self.kind} {name!r} needs {cause.name!r}, which is not installed: {what}"
                ) from cause
            raise

    def _entries(self) -> Any:
        from importlib.metadata import entry_points

        return entry_points(group=self.group)
