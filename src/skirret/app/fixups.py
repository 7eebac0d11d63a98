"""Frameworks that fit an app to their program when it is made there; an environment variable tells that it is."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

from skirret.plugins import import_object

DJANGO = "skirret.integrations.django.fixup:fix_up"

FIXUPS = {"DJANGO_SETTINGS_MODULE": DJANGO}
"""Environment variable -> what is called with the app if it is set."""

_CELERYS = {"celery.fixups.django:fixup": DJANGO}


def fix_up(app: Any, asked: Iterable[Callable[[Any], object] | str] | None) -> None:
    """Fit an app.

    Args:
        app: the new app.
        asked: functions of the app, or paths of such; None is what the environment tells.
    """
    if asked is None:
        asked = [path for variable, path in FIXUPS.items() if os.environ.get(variable)]
    for one in asked:
        found: Any = import_object(_CELERYS.get(one, one)) if isinstance(one, str) else one
        found(app)
