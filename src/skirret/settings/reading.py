"""What one app's settings are to be read from, and the reading itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skirret.errors import ImproperlyConfigured
from skirret.settings import sources
from skirret.settings.layer import Fault, Layer, checked
from skirret.settings.origin import Origin
from skirret.settings.table import canonical

_UNNAMED = Origin("object")


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """The sources beside code and command line.

    Args:
        source: the configuration object, or text that names it; None if there is none.
        origin: how that object is shown.
        silent: whether an object that cannot be imported is no error.
        environment: whether environment variables count.
        project: directory of a pyproject.toml that counts.
        added: further defaults, the later the stronger.
    """

    source: Any = None
    origin: Origin = _UNNAMED
    silent: bool = False
    environment: bool = False
    project: Path | None = None
    added: tuple[Mapping[str, Any] | Callable[[], Mapping[str, Any]], ...] = ()

    def read(self, prefix: str, *, strict: bool) -> tuple[dict[str, Layer], list[Fault]]:
        """A layer for each source, by its kind, and every fault in any of them.

        Args:
            prefix: what the names of the configuration object stand behind, such as ``CELERY_``.
            strict: whether unknown keys that resemble known ones are faults.

        Raises:
            ImproperlyConfigured: a source cannot be read at all.
        """
        faults: list[Fault] = []
        environment = sources.from_environment(faults, strict=strict) if self.environment else []
        found = {
            "address": [item for item in environment if item[0] in sources.ADDRESSES],
            "object": self._object_items(prefix),
            "environment": [item for item in environment if item[0] not in sources.ADDRESSES],
            "pyproject": sources.from_pyproject(self.project) if self.project is not None else [],
            "added default": [
                (canonical(key, prefix), value, Origin("added default"))
                for given in self.added
                for key, value in (given() if callable(given) else given).items()
            ],
        }
        return {name: checked(items, strict=strict, faults=faults) for name, items in found.items()}, faults

    def _object_items(self, prefix: str) -> sources.Items:
        source, origin = self._named()
        if source is None:
            return []
        if isinstance(source, str):
            try:
                source = sources.imported(source)
            except ImportError as exc:
                if self.silent:
                    return []
                raise ImproperlyConfigured(f"cannot load the settings ({origin}): {exc}") from exc
        return sources.from_object(source, prefix=prefix, origin=origin)

    def _named(self) -> tuple[Any, Origin]:
        """The object, or else the module that the environment names for apps that name none."""
        if self.source is None and self.environment:
            for variable in sources.MODULE_VARIABLES:
                if module := os.environ.get(variable):
                    return module, Origin("object", f"{module} (environment {variable})")
        return self.source, self.origin
