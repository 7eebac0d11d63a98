"""The modules that define an app's tasks: named ones and discovered ones, imported when a worker starts."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterable
from typing import Any

from skirret import signals
from skirret.app.protocol import ConnectedApp
from skirret.errors import ImproperlyConfigured

Packages = Iterable[str] | Callable[[], Iterable[str]] | None


class Modules:
    """What is to be imported for one app."""

    def __init__(self, app: ConnectedApp) -> None:
        self.prepare: list[Callable[..., object]] = []
        """Called before anything is imported, with ``serving=`` (whether for a worker); what they raise stops it."""
        self.installed: Callable[[], Iterable[str]] = list
        """The packages in which a discovery looks that names none: a framework's installed ones."""
        self._app = app
        self._discoveries: list[tuple[Packages, str | None]] = []

    def discover(self, packages: Packages, related_name: str | None, *, force: bool) -> None:
        """See ``Skirret.autodiscover_tasks``."""
        if force:
            self._discover(packages, related_name)
        else:
            self._discoveries.append((packages, related_name))

    def load(self, *, serving: bool) -> None:
        """See ``Skirret.import_modules``."""
        for prepare in self.prepare:
            prepare(serving=serving)
        signals.import_modules.send(sender=self._app)
        conf = self._app.conf
        for setting in ("imports", "include"):
            for name in _listed(conf.get(setting)):
                _import(name, f"the setting {setting!r}")
        for packages, related_name in self._discoveries:
            self._discover(packages, related_name)

    def _discover(self, packages: Packages, related_name: str | None) -> None:
        _discover(self.installed if packages is None else packages, related_name)


def _listed(value: Any) -> list[str]:
    if not value:
        return []
    return [value] if isinstance(value, str) else [str(name) for name in value]


def _import(name: str, source: str) -> None:
    try:
        importlib.import_module(name)
    except ImportError as exc:
        raise ImproperlyConfigured(f"cannot import {name!r}, which {source} names: {exc}") from exc


def _discover(packages: Packages, related_name: str | None) -> None:
    for package in _listed(packages() if callable(packages) else packages):
        found = _package(package)
        if related_name is None:
            continue
        module = f"{found}.{related_name}"
        try:
            present = importlib.util.find_spec(module) is not None
        except (ModuleNotFoundError, ValueError):  # the package is a plain module
            present = False
        if present:
            _import(module, "autodiscover_tasks")


def _package(name: str) -> str:
    """Import a package; Django's ``package.apps.Config`` means the package."""
    try:
        importlib.import_module(name)
        return name
    except ModuleNotFoundError as exc:
        parent, _, last = name.rpartition(".")
        if parent and last[:1].isupper() and exc.name == name:
            module = importlib.import_module(parent)
            return str(getattr(getattr(module, last, None), "name", parent.removesuffix(".apps")))
        raise ImproperlyConfigured(f"cannot import {name!r}, which autodiscover_tasks names: {exc}") from exc
    except ImportError as exc:
        raise ImproperlyConfigured(f"cannot import {name!r}, which autodiscover_tasks names: {exc}") from exc
