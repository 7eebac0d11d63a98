"""Settings of parts that are still to come: known, checked, and reported as without effect until then."""

from __future__ import annotations

from typing import Final

_PARTS: Final = {
    "the beat scheduler is still to come": ("beat_",),
    "chords are still to come": ("result_chord_", "task_allow_error_cb_on_chord_header"),
    "signed messages are still to come": ("security_",),
    "the strict profile is still to come": ("security",),
    "this result store is still to come": ("database_", "mongodb_", "cache_backend", "cache_backend_options"),
}  # fmt: skip
"""Why, and for which keys; what ends in an underscore stands for all keys that begin so."""


def coming(key: str) -> str:
    """Why the setting `key` has no effect yet; empty if it has one."""
    for reason, names in _PARTS.items():
        for name in names:
            if key == name or (name.endswith("_") and key.startswith(name)):
                return reason
    return ""
