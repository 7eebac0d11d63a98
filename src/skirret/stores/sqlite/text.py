"""Text as SQLite can hold it."""

from __future__ import annotations


def storable(text: str) -> str:
    """`text` with lone surrogates, which UTF-8 cannot hold, written out as escapes; the same text each time."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text
