"""The app of a project that makes none: its settings are Django's, its tasks those of the installed apps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings as django_settings

from skirret.app import Skirret
from skirret.stores.sqlite.location import embedded_path


def project_settings() -> dict[str, Any]:
    """Django's settings behind ``SKIRRET_``, else those behind ``CELERY_``; and its time zone."""
    found: dict[str, Any] = {"TIME_ZONE": django_settings.TIME_ZONE}
    for prefix in ("CELERY_", "SKIRRET_"):
        for name in filter(str.isupper, dir(django_settings)):
            if name.startswith(prefix):
                found[f"SKIRRET_{name.removeprefix(prefix)}"] = getattr(django_settings, name)
    return found


def _make() -> Skirret:
    made = Skirret(
        django_settings.SETTINGS_MODULE.partition(".")[0],
        set_as_current=False,
        fixups=["skirret.integrations.django.fixup:fix_up"],
    )
    made.config_from_object(project_settings(), namespace="SKIRRET")
    made.autodiscover_tasks()
    base = getattr(django_settings, "BASE_DIR", None)
    if base is not None:  # web server and worker may run in other directories
        made.add_defaults({"embedded_path": str(embedded_path(Path(base) / "manage.py"))})
    return made


app = _make()
"""What ``skirret -A skirret.integrations.django.project worker`` serves."""
