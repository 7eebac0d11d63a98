"""``manage.py skirret ...``: Skirret's command line for the project's app."""

from __future__ import annotations

import importlib.util
import os
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from skirret import context
from skirret.plugins import import_object


class Command(BaseCommand):
    """Everything behind ``skirret`` is handed on, as in ``manage.py skirret worker -l info``."""

    help = "Run workers, look after queues: Skirret's command line for this project."
    requires_system_checks = ()  # a worker checks for itself

    def run_from_argv(self, argv: list[str]) -> None:
        """Become the command line. What ``manage.py`` has loaded is left behind: a supervisor imports no app."""
        given = argv[2:]
        path = os.pathsep.join(filter(None, [sys.path[0], os.environ.get("PYTHONPATH")]))
        command = [sys.executable, "-m", "skirret", *app_option(given), *given]
        os.execve(sys.executable, command, {**os.environ, "PYTHONPATH": path})  # noqa: S606  no shell is wanted

    def handle(self, *args: Any, **options: Any) -> None:
        """By ``call_command("skirret", "worker", ...)``."""
        given = [str(argument) for argument in args]
        code = import_object("skirret.cli:main")([*app_option(given), *given])
        if code:
            sys.exit(code)

    def add_arguments(self, parser: Any) -> None:
        """Everything."""
        parser.add_argument("args", nargs="*")


def app_option(given: list[str]) -> list[str]:
    """``-A`` with the project's app, if none is given: in ``<project>.celery`` or ``.skirret``, else our own."""
    if any(argument == "-A" or argument.startswith("--app") for argument in given):
        return []
    root = settings.SETTINGS_MODULE.rpartition(".")[0]
    made = context.default_app()
    if made is not None and made.main != "default":
        from skirret.integrations.django import project

        if made is project.app:
            return ["-A", "skirret.integrations.django.project:app"]
    for name in ("celery", "skirret", "tasks"):
        module = f"{root}.{name}" if root else name
        if root and importlib.util.find_spec(module) is not None:
            return ["-A", module]
    return ["-A", "skirret.integrations.django.project:app"]
