"""All settings in one table, with their old names and the search for what a misspelt one may have meant."""

from __future__ import annotations

from typing import Any

from skirret.settings.option import Option
from skirret.settings.secrets import censor
from skirret.settings.sections import SECTIONS

OPTIONS: dict[str, Option] = {key: known for section in SECTIONS for key, known in section.options.items()}
"""Key -> what is known of it, in the order in which settings are shown."""

OLD_NAMES: dict[str, str] = {old: key for key, known in OPTIONS.items() for old in known.old}
"""Celery's upper-case name from before version 4 -> key."""

_NEAR = 0.86
"""Likeness (difflib's ratio) from which a name counts as misspelt: ``task_ack_late`` is one, ``broker`` is none."""


def canonical(name: str, prefix: str = "") -> str:
    """The key that `name` stands for; `name` itself if it is nobody's.

    Args:
        name: a key, an old name, or either behind `prefix`.
        prefix: such as ``CELERY_``, or empty.
    """
    if name in OPTIONS:
        return name
    if prefix and name.startswith(prefix):
        rest = name[len(prefix) :].lower()
        if rest in OPTIONS or name not in OLD_NAMES:
            return rest
    return OLD_NAMES.get(name, name)


def misspelt(name: str) -> str | None:
    """What to write instead of the unknown `name`; None if it resembles no setting, and so is the user's own."""
    from difflib import get_close_matches

    if name.islower():
        near = get_close_matches(name, OPTIONS, n=1, cutoff=_NEAR)
        # A known key with more behind it, such as result_backend_replica, was meant so.
        return near[0] if near and not name.startswith(f"{near[0]}_") else None
    if not name.isupper() or not name.startswith(("CELERY", "BROKER_")):
        return None
    if name.startswith("CELERY_") and name[7:].lower() in OPTIONS:
        return f'{name[7:].lower()}, or read the names with namespace="CELERY"'
    near = get_close_matches(name, OLD_NAMES, n=1, cutoff=_NEAR)
    return near[0] if near else None


def shown(key: str, value: Any) -> Any:
    """`value` of `key` as people may see it."""
    known = OPTIONS.get(key)
    return censor(key, value, secret=None if known is None else known.secret)
