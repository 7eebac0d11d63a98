"""The errors under the module name that Celery's users import them from; they are drawn in `skirret.errors`."""

from __future__ import annotations

from skirret.errors import *  # noqa: F403
from skirret.errors import SkirretError as CeleryError
from skirret.errors import SkirretWarning as CeleryWarning

__all__ = ["CeleryError", "CeleryWarning"]
