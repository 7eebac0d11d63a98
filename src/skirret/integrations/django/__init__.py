"""Skirret in Django projects: settings, tasks of installed apps, connections, transactions, checks, Django's own tasks.

An app that is made where ``DJANGO_SETTINGS_MODULE`` is set is fitted to the project by itself. Add this package to
``INSTALLED_APPS`` for ``manage.py skirret``, and for a project that makes no app of its own.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skirret.integrations.django.backend import SkirretBackend as SkirretBackend
    from skirret.integrations.django.task import DjangoTask as DjangoTask

_WHERE = {
    "DjangoTask": "skirret.integrations.django.task",
    "SkirretBackend": "skirret.integrations.django.backend",
    "app": "skirret.integrations.django.project",
}


def __getattr__(name: str) -> Any:
    module = _WHERE.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(module), name)
