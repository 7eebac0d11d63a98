"""Finds the app that ``-A`` names."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from skirret.app.app import Skirret
from skirret.app.current import living_apps
from skirret.errors import ImproperlyConfigured


def find_app(path: str) -> Skirret:
    """The app at `path`, imported with the current directory on the import path.

    Args:
        path: ``package.module``, ``package.module:attribute``, ``package`` or a file. Without an attribute it is looked
            for as ``app`` or ``celery`` in the module, then in its submodules ``celery`` and ``app``, then as the one
            app that the module holds.

    Raises:
        ImproperlyConfigured: nothing is found; the message says where it was looked for and what to write.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    module_name, _, attribute = path.partition(":")
    if module_name.endswith(".py"):
        module_name = _module_of_file(Path(module_name))
    if not module_name:
        raise ImproperlyConfigured(f"{path!r} names no module; write it as 'module' or 'module:app'")
    if not attribute:
        module_name, attribute = _split(module_name)
    module = _import(module_name, path)
    found = _named(module, attribute, path) if attribute else _search(module)
    if found is None:
        candidates = [name for name, value in vars(module).items() if isinstance(value, Skirret)]
        several = (
            f" It holds several apps ({', '.join(candidates)}): write {module_name}:{candidates[0]}."
            if (len(candidates) > 1)
            else ""
        )
        raise ImproperlyConfigured(
            f"module {module_name!r} was imported, but holds no app: looked for 'app' and 'celery' in it and in "
            f"{module_name}.celery and {module_name}.app.{several} An app is made by: app = Skirret({module_name!r})"
        )
    found.set_default()
    found.set_current()
    return found


def _module_of_file(path: Path) -> str:
    # Below the current directory the path says the package; elsewhere its __init__ files do.
    file = path.absolute()
    if file.is_relative_to(Path.cwd()):
        parts = file.relative_to(Path.cwd()).with_suffix("").parts
        if all(part.isidentifier() for part in parts):
            return ".".join(parts)
    names, directory = [file.stem], file.parent
    while (directory / "__init__.py").exists():
        names.insert(0, directory.name)
        directory = directory.parent
    if str(directory) not in sys.path:
        sys.path.insert(0, str(directory))
    return ".".join(names)


def _split(name: str) -> tuple[str, str]:
    # "package.module.attribute" is allowed too, where that is no module.
    parent, _, last = name.rpartition(".")
    if not parent or importlib.util.find_spec(parent) is None:
        return name, ""
    try:
        if importlib.util.find_spec(name) is not None:
            return name, ""
    except ModuleNotFoundError:  # the parent is no package
        pass
    return (parent, last) if hasattr(importlib.import_module(parent), last) else (name, "")


def _import(name: str, path: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as exc:
        missing = exc.name or ""
        if missing == name or name.startswith(f"{missing}."):
            raise ImproperlyConfigured(
                f"there is no module {missing!r} (from -A {path}). Looked in the current directory {Path.cwd()} and "
                "on the import path: run this in the directory that holds it, or name it in full."
            ) from exc
        raise ImproperlyConfigured(f"importing {name!r} failed: it needs {missing!r}, which is not installed") from exc
    except ImproperlyConfigured:
        raise
    except Exception as exc:
        raise ImproperlyConfigured(f"importing {name!r} failed: {type(exc).__name__}: {exc}") from exc


def _named(module: ModuleType, attribute: str, path: str) -> Skirret:
    found: Any = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise ImproperlyConfigured(f"module {module.__name__!r} has no {attribute!r} (from -A {path})")
        found = getattr(found, part)
    if isinstance(found, ModuleType):
        inner = _search(found)
        if inner is not None:
            return inner
    if callable(found) and not isinstance(found, (Skirret, type)):
        found = found()
    if not isinstance(found, Skirret):
        raise ImproperlyConfigured(
            f"{path!r} is {type(found).__name__} {found!r}, not an app. An app is made by: app = Skirret('name')"
        )
    return found


def _search(module: ModuleType) -> Skirret | None:
    for name in ("app", "celery"):
        found = getattr(module, name, None)
        if isinstance(found, Skirret):
            return found
        if isinstance(found, ModuleType):
            inner = next(
                (value for n in ("app", "celery") if isinstance(value := getattr(found, n, None), Skirret)), None
            )
            if inner is not None:
                return inner
    if hasattr(module, "__path__"):
        for name in ("celery", "app"):
            full = f"{module.__name__}.{name}"
            if importlib.util.find_spec(full) is not None:
                inner = _search(_import(full, full))
                if inner is not None:
                    return inner
    held = {id(value): value for value in vars(module).values() if isinstance(value, Skirret)}
    if len(held) == 1:
        return next(iter(held.values()))
    # A module may make its app inside a function and keep it elsewhere: its file tells.
    made = [app for app in living_apps() if str(app.origin) == getattr(module, "__file__", None)] if not held else []
    return made[0] if len(made) == 1 else None
