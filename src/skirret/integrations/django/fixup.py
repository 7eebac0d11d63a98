"""Fits an app to the Django project in whose process it is made; ``DJANGO_SETTINGS_MODULE`` says that there is one."""

from __future__ import annotations

import os
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path

from skirret.app import Skirret
from skirret.app.task import Task
from skirret.errors import FixupWarning, ImproperlyConfigured

SKIP_CHECKS = ("SKIRRET_SKIP_CHECKS", "CELERY_SKIP_CHECKS")
"""Environment variables that ``--skip-checks`` sets."""


def fix_up(app: Skirret) -> None:
    """Give `app` what a Django project expects of it. Nothing of Django is loaded before it is needed."""
    if find_spec("django") is None:
        warnings.warn(
            "DJANGO_SETTINGS_MODULE is set, but Django is not installed: the app is not fitted to it.",
            FixupWarning,
            stacklevel=2,
        )
        return
    from skirret.integrations.django.connections import Connections

    here = str(Path.cwd())
    if here not in sys.path:  # as manage.py would have it
        sys.path.insert(0, here)
    if app.task_cls is Task:
        app.task_cls = "skirret.integrations.django.task:DjangoTask"
    app.modules.prepare.append(set_up)
    app.modules.installed = installed_packages
    app.middleware.add(Connections())


def set_up(*, serving: bool) -> None:
    """Load the project's apps, and look for what is wrong with them before a worker serves.

    Raises:
        ImproperlyConfigured: Django's system checks found an error; the message is theirs.
    """
    import django
    from django.apps import apps
    from django.conf import settings
    from django.utils.module_loading import import_string

    if not apps.ready:
        django.setup()
    if serving:
        for backend in getattr(settings, "TASKS", {}).values():
            import_string(backend["BACKEND"])  # ours brings the tasks that run Django's
    if serving and not any(os.environ.get(name) for name in SKIP_CHECKS):
        run_checks()


def run_checks() -> None:
    """Run the system checks as ``manage.py runserver`` does.

    Raises:
        ImproperlyConfigured: there are errors; warnings are printed.
    """
    from django.core.management.base import BaseCommand, SystemCheckError

    try:
        BaseCommand().check()
    except SystemCheckError as exc:
        raise ImproperlyConfigured(
            f"Django's system checks found what is wrong with the project (--skip-checks leaves them out): {exc}"
        ) from exc


def installed_packages() -> list[str]:
    """The packages of the project's installed apps, where ``autodiscover_tasks()`` looks."""
    import django
    from django.apps import apps

    if not apps.ready:
        django.setup()
    return [config.name for config in apps.get_app_configs()]
