"""One source of settings after checking: its values with their origins, and every fault that was found on the way."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any, NamedTuple

from skirret.errors import ImproperlyConfigured, SkirretWarning
from skirret.saferepr import saferepr
from skirret.settings.origin import Origin
from skirret.settings.table import OPTIONS, misspelt, shown

Layer = dict[str, tuple[Any, Origin]]
"""Key -> value and where it came from."""


class Fault(NamedTuple):
    """Something wrong with one setting.

    Args:
        key: the setting.
        text: what is wrong and what was expected; holds no secret.
        origin: where it was set.
    """

    key: str
    text: str
    origin: Origin

    def __str__(self) -> str:
        return f"{self.text} ({self.origin})"


def checked(items: Iterable[tuple[str, Any, Origin]], *, strict: bool, faults: list[Fault]) -> Layer:
    """The items of one source as a layer; what cannot be used is left out and added to `faults`.

    Args:
        items: key, value and origin of each; the last one wins.
        strict: whether an unknown key that resembles a known one is a fault; else it is kept, with a warning.
        faults: where faults are collected.
    """
    layer: Layer = {}
    unknown: list[tuple[str, Any, Origin]] = []
    for key, value, origin in items:
        known = OPTIONS.get(key)
        if known is None:
            unknown.append((key, value, origin))
            continue
        try:
            layer[key] = known.coerce(value), origin
        except ValueError as exc:
            what = saferepr(shown(key, value), 200)
            faults.append(Fault(key, f"{key} = {what}: {exc}", origin))
    for key, value, origin in unknown:
        near = misspelt(key)
        # Where the known key is set beside it, the other name is a variable of the user's own.
        if near is not None and near not in layer:
            text = f"there is no setting {key!r}; did you mean {near}?"
            if strict:
                faults.append(Fault(key, text, origin))
                continue
            warnings.warn(f"{text} ({origin})", SkirretWarning, stacklevel=2)
        layer[key] = value, origin
    return layer


def complain(faults: list[Fault]) -> None:
    """Raise one error that tells all `faults`; do nothing if there are none.

    Raises:
        ImproperlyConfigured: there are some.
    """
    if len(faults) == 1:
        raise ImproperlyConfigured(str(faults[0]))
    if faults:
        lines = "".join(f"\n  - {fault}" for fault in faults)
        raise ImproperlyConfigured(f"{len(faults)} settings cannot be used:{lines}")
