"""A Lua script kept as a file, told to the server by its hash and in full only when the server has forgotten it."""

from __future__ import annotations

import hashlib
from importlib.resources import files

MODERN = 7
"""The first major version whose scripts declare flags in a first line of their own (``#!lua``)."""


class Script:
    """One script, with the Lua functions that it shares with others put before it.

    Args:
        package: where its files lie, such as ``skirret.brokers.redis``.
        name: its file, without ``.lua``.
        before: (package, name) of files that come first.
        allow_oom: it frees more than it takes, so it also runs on a server that is full.
    """

    __slots__ = ("allow_oom", "name", "old", "old_sha", "sha", "text")

    def __init__(
        self, package: str, name: str, *, before: tuple[tuple[str, str], ...] = (), allow_oom: bool = False
    ) -> None:
        self.name = name
        self.allow_oom = allow_oom
        parts = [(files(where) / f"{one}.lua").read_text(encoding="utf-8") for where, one in (*before, (package, name))]
        # Until version 7 a script may write on a full server if its first write is one that needs no memory.
        self.old = ("redis.call('DEL', KEYS[1] .. ':')\n" if allow_oom else "") + "\n".join(parts)
        self.text = ("#!lua flags=allow-oom\n" if allow_oom else "#!lua\n") + "\n".join(parts)
        self.sha = _sha(self.text)
        self.old_sha = _sha(self.old)

    def source(self, major: int) -> tuple[str, str]:
        """(hash, text) for a server of that major version."""
        return (self.sha, self.text) if major >= MODERN else (self.old_sha, self.old)


def _sha(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
