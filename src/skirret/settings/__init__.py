"""The settings: every key typed, checked and documented; where each value came from; nothing secret shown.

`Conf` is what ``app.conf`` is. The keys stand in `skirret.settings.sections`, one frozen class for each group.
"""

from __future__ import annotations

from skirret.settings.conf import Conf
from skirret.settings.listing import Row
from skirret.settings.option import Option, Section
from skirret.settings.origin import Origin
from skirret.settings.table import OPTIONS

__all__ = ["OPTIONS", "Conf", "Option", "Origin", "Row", "Section"]
