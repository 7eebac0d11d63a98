"""Where settings are read from: a configuration object, the environment, pyproject.toml."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from skirret.errors import ImproperlyConfigured
from skirret.plugins import import_object
from skirret.settings.layer import Fault
from skirret.settings.origin import Origin
from skirret.settings.table import OLD_NAMES, OPTIONS, canonical, misspelt

Items = list[tuple[str, Any, Origin]]
"""Key, value and origin of each setting that a source holds, the weaker first."""

CELERY_VARIABLES = {
    "CELERY_BROKER_URL": "broker_url",
    "CELERY_BROKER_READ_URL": "broker_read_url",
    "CELERY_BROKER_WRITE_URL": "broker_write_url",
    "CELERY_RESULT_BACKEND": "result_backend",
}
"""Celery's environment variables that set a value -> key."""

ADDRESSES = frozenset(CELERY_VARIABLES.values())
"""Where servers are: the environment's word on these beats code."""

MODULE_VARIABLES = ("SKIRRET_CONFIG_MODULE", "CELERY_CONFIG_MODULE")
"""Environment variables that name a configuration module, for apps that name none; the first one set wins."""

OTHER_VARIABLES = frozenset({"app", "home", "config_module", "workdir", "loglevel", "logfile"})
"""Variables behind SKIRRET_ that are no settings."""

PREFIX = "SKIRRET_"


def imported(source: str) -> Any:
    """The configuration object that text names: ``package.module``, ``package.module:name`` or ``package.module.name``.

    The current directory is searched as well, as for the app itself.

    Raises:
        ImportError: there is no such module; the message says how the name was read.
        ImproperlyConfigured: the module has no such name.
    """
    here = str(Path.cwd())
    added = here not in sys.path and "" not in sys.path
    if added:
        sys.path.insert(0, here)
    try:
        if ":" in source:
            return import_object(source)
        try:
            return importlib.import_module(source)
        except ModuleNotFoundError as exc:
            parent, _, name = source.rpartition(".")
            if not parent or exc.name not in {source, parent}:
                raise
            if name == "py":
                raise ImproperlyConfigured(
                    f"cannot load the settings {source!r}: name the module, {parent!r}, not its file"
                ) from exc
            module = importlib.import_module(parent)
            if not hasattr(module, name):
                raise
            return getattr(module, name)
    finally:
        if added and here in sys.path:
            sys.path.remove(here)


def from_object(source: Any, *, prefix: str, origin: Origin) -> Items:
    """What a mapping, module, class or other object sets.

    Args:
        source: keys are items of a mapping, else attributes; those that begin with an underscore are left aside.
        prefix: only names behind it count, beside keys and old names; empty without a namespace.
        origin: where it came from.

    Raises:
        ImproperlyConfigured: without a prefix, old and new names stand side by side.
    """
    found = dict(_members(source, prefix))
    if not prefix:
        _refuse_mixture(found, origin)
    old: Items = []
    new: Items = []
    own: Items = []
    for name, value in found.items():
        key = canonical(name, prefix)
        behind_prefix = bool(prefix) and name.startswith(prefix) and name[len(prefix) :].lower() == key
        if key in OPTIONS:
            (new if key == name or behind_prefix else old).append((key, value, origin))
        elif (behind_prefix or not prefix) and not isinstance(value, ModuleType) and not callable(value):
            own.append((key, value, origin))  # but not the modules and functions that a settings module imports
    weakest: Items = []
    if isinstance(found.get("TIME_ZONE"), str):  # Django's setting
        weakest.append(("timezone", found["TIME_ZONE"], origin))
    return weakest + old + new + own


def _members(source: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    """Name and value of what an object holds; with a prefix nothing is read that cannot count.

    Reading is not free of effects: Django's settings warn where one is read that will be no more.
    """
    if isinstance(source, Mapping):
        yield from ((name, value) for name, value in source.items() if isinstance(name, str) and name[:1] != "_")
        return
    for name in dir(source):
        counts = not prefix or name.startswith(prefix) or name == "TIME_ZONE" or canonical(name, prefix) in OPTIONS
        if counts and not name.startswith("_"):
            try:
                yield name, getattr(source, name)
            except AttributeError:
                continue


def _refuse_mixture(found: Mapping[str, Any], origin: Origin) -> None:
    """Celery refuses a configuration that is half renamed, because one half used to be ignored; so do we."""
    new = [name for name in found if name in OPTIONS]
    old = [name for name in found if name in OLD_NAMES]
    stray = [name for name in old if OLD_NAMES[name] not in found]
    if new and stray and len(old) > len(new):
        pairs = [(name, " or ".join(OPTIONS[name].old)) for name in new if not set(OPTIONS[name].old) & found.keys()]
    elif new:
        pairs = [(name, OLD_NAMES[name]) for name in stray]
    else:
        return
    if pairs:
        lines = "".join(f"\n  - {name} -> {better or 'has no old name'}" for name, better in sorted(pairs))
        raise ImproperlyConfigured(f"old and new names of settings are mixed ({origin}); rename:{lines}")


def from_environment(faults: list[Fault], *, strict: bool) -> Items:
    """What environment variables set: ``SKIRRET_`` and the key in capitals, and Celery's own; empty ones do not count.

    Args:
        faults: where a variable that resembles a setting is reported.
        strict: whether to report it.
    """
    found: Items = []
    for variable, key in CELERY_VARIABLES.items():
        if text := os.environ.get(variable):
            found.append((key, _plain(key, text), Origin("environment", variable)))
    for variable, text in sorted(os.environ.items()):
        key = variable.removeprefix(PREFIX).lower()
        if not variable.startswith(PREFIX) or not text or key in OTHER_VARIABLES:
            continue
        origin = Origin("environment", variable)
        if key in OPTIONS:
            found.append((key, _plain(key, text), origin))
        elif strict and (near := misspelt(key)):
            faults.append(
                Fault(variable, f"there is no setting {variable}; did you mean {PREFIX}{near.upper()}?", origin)
            )
    return found


def _plain(key: str, text: str) -> str | None:
    """Text from the environment, in which ``none`` stands for None where the setting allows that."""
    return None if OPTIONS[key].optional and text.strip().lower() in {"none", "null"} else text


def from_pyproject(directory: Path) -> Items:
    """What the table ``[tool.skirret]`` of the directory's pyproject.toml sets; nothing if there is none.

    Raises:
        ImproperlyConfigured: the file is no TOML.
    """
    path = directory / "pyproject.toml"
    try:
        text = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as exc:
        raise ImproperlyConfigured(f"cannot read {path}: {exc.strerror}") from exc
    if b"skirret" not in text:
        return []
    import tomllib

    try:
        table = tomllib.loads(text.decode()).get("tool", {}).get("skirret", {})
    except (ValueError, AttributeError) as exc:
        raise ImproperlyConfigured(f"cannot read {path}: {exc}") from exc
    if not isinstance(table, dict):
        raise ImproperlyConfigured(f"cannot read {path}: [tool.skirret] must be a table")
    return [(canonical(key), value, Origin("pyproject", str(path))) for key, value in table.items()]
