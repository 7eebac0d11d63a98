"""Where a project's embedded file is, so that its app and its workers find the same one wherever they are started."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote, unquote

from skirret.errors import ImproperlyConfigured
from skirret.url import Url

MARKS = ("pyproject.toml", "setup.py", "setup.cfg", "manage.py", ".git", ".skirret")
"""What the top directory of a project contains."""

DIRECTORY = ".skirret"
FILE = "queue.sqlite3"


def project_directory(start: Path) -> Path:
    """The directory of the project that `start` belongs to.

    It is the nearest ancestor that holds one of `MARKS`; else, for a file, the directory that holds its topmost
    package (or the file itself), and for a directory, the directory. A `start` among installed packages says nothing
    about the project, so the search starts at the current directory then.

    Args:
        start: the module that creates the app, or a directory. It need not exist.
    """
    start = Path(os.path.abspath(start))  # noqa: PTH100  resolve() would leave a project through its symbolic links
    if _is_installed(start):
        start = Path.cwd()
    first = start if start.is_dir() else start.parent
    for directory in (first, *first.parents):
        if any((directory / mark).exists() for mark in MARKS):
            return directory
    while (first / "__init__.py").exists() and first != first.parent:
        first = first.parent
    return first


def _is_installed(start: Path) -> bool:
    if {"site-packages", "dist-packages"} & set(start.parts):
        return True
    return start.is_relative_to(Path(os.__file__).parent)  # the standard library


def embedded_path(start: Path) -> Path:
    """The embedded file of the project of `start`: ``.skirret/queue.sqlite3`` in its directory.

    The environment variable ``SKIRRET_HOME`` names another directory for the file.
    """
    home = os.environ.get("SKIRRET_HOME")
    directory = Path(home).expanduser().absolute() if home else project_directory(start) / DIRECTORY
    return directory / FILE


def path_of(url: Url) -> Path:
    """The file that an address means: ``sqlite:///relative`` to the current directory, ``sqlite:////absolute``.

    ``sqlite://`` alone is the embedded file of the project in the current directory.

    Raises:
        ImproperlyConfigured: the address names a host, or SQLite's private memory.
    """
    if url.host:
        raise ImproperlyConfigured(
            f"{url} names a host, but SQLite is a file on this machine: write sqlite:///relative/path or "
            "sqlite:////absolute/path (three or four slashes)"
        )
    text = unquote(url.path)
    text = text.removeprefix("/")
    if text == ":memory:":
        raise ImproperlyConfigured("SQLite's :memory: is private to one connection; use memory:// instead")
    if not text:
        return embedded_path(Path.cwd())
    return Path(os.path.abspath(Path(text).expanduser()))  # noqa: PTH100  as above


def url_of(path: Path) -> str:
    """The address of a file, with what is special in addresses quoted."""
    return f"sqlite:///{quote(str(path.absolute()))}"
