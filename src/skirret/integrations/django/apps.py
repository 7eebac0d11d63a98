"""The installed app: it gives a project that has made no app of its own the one of ``project``."""

from __future__ import annotations

from django.apps import AppConfig

from skirret import context


class SkirretConfig(AppConfig):
    """For ``INSTALLED_APPS``."""

    name = "skirret.integrations.django"
    label = "skirret"
    verbose_name = "Skirret"

    def ready(self) -> None:
        """All apps are loaded; whoever makes an app does so at import, hence before."""
        if context.default_app() is None:
            from skirret.integrations.django.project import app

            app.set_default()
