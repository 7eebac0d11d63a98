"""The options that an embedded file's address takes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from skirret.errors import ImproperlyConfigured
from skirret.stores.sqlite.store import TIMEOUT
from skirret.url import Url


def timeout_of(url: Url, options: Mapping[str, Any]) -> float:
    """Seconds that a call waits for others who write: ``?timeout=`` or the option of that name, 5 if neither is given.

    Raises:
        ImproperlyConfigured: it is not a positive number.
    """
    given: Any = url.options.get("timeout", options.get("timeout", TIMEOUT))
    try:
        seconds = float(given)
    except (TypeError, ValueError):
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise ImproperlyConfigured(f"timeout={given!r} of {url} is not a positive number of seconds")
    return seconds
