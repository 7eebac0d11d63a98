"""Small state with expiry that workers share on a Redis server: each operation is one script, by the server's clock."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from skirret.coordination.base import Coordination
from skirret.stores.redis.keys import Keys
from skirret.stores.redis.results import tagged
from skirret.stores.redis.script import Script
from skirret.stores.redis.store import Store, store_at
from skirret.url import Url

FEW = 8
"""So many members are looked up in one round trip, without asking whether the set exists."""

CHUNK = 1000
"""Members in one script; no other client is served while it runs."""


def _script(name: str) -> Script:
    return Script("skirret.coordination.redis", name, before=(("skirret.coordination.redis", "shared"),))


_COMPARE_AND_SET = _script("compare_and_set")
_INCREMENT = _script("increment")
_TAKE_TOKENS = _script("take_tokens")
_ADD = _script("add")
_ENTER = _script("enter")
_DISCARD = _script("discard")
_CONTAINS = _script("contains")
_MEMBERS = _script("members")
_ACQUIRE = _script("acquire")
_RELEASE = _script("release")


class RedisCoordination(Coordination):
    """Shared state in one database of a Redis or Valkey server, or in a cluster, under names of our own.

    Args:
        store: the server; its prefix is ``global_keyprefix``.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._base = Keys(store.prefix).base

    @classmethod
    def from_url(cls, url: Url, options: Mapping[str, Any]) -> RedisCoordination:
        """The coordination at an address; forms and options are those of ``stores.redis.address_of``."""
        return cls(store_at(url, options))

    # -- values

    def get(self, key: str) -> bytes | None:
        """The value, or None."""
        name = self._name("value", key)
        found: bytes | None = self._store.call("GET", name, key=name)
        return found

    def compare_and_set(self, key: str, expected: bytes | None, new: bytes | None, ttl: float | None = None) -> bool:
        """Look and write in one script."""
        known = ("0", b"") if expected is None else ("1", expected)
        wanted = ("0", b"") if new is None else ("1", new)
        return bool(self._once(_COMPARE_AND_SET, "value", key, *known, *wanted, _life(ttl)) == b"1")

    def increment(self, key: str, by: int = 1, ttl: float | None = None) -> int:
        """Add; a counter that exists keeps its end. Numbers have 64 bits."""
        return int(self._once(_INCREMENT, "counter", key, by, _life(ttl)))

    def take_tokens(self, key: str, rate: float, capacity: float, count: float = 1.0) -> float:
        """Fill the bucket for the time that passed on the server, then take, or say how long it will be."""
        return float(self._once(_TAKE_TOKENS, "bucket", key, repr(rate), repr(capacity), repr(count)))

    # -- sets

    def add(self, key: str, members: Sequence[str], ttl: float | None = None) -> int:
        """Add or renew."""
        return sum(self._in_chunks(_ADD, key, members, _life(ttl)))

    def enter(self, key: str, members: Sequence[str], limit: int, ttl: float) -> set[str]:
        """Renew who is in, let others in while there is room."""
        inside: set[str] = set()
        for i in range(0, len(members), CHUNK):
            chunk = members[i : i + CHUNK]
            words = [limit, _life(ttl), *(_bytes(one) for one in chunk)]
            places = self._store.run(_ENTER, [self._name("set", key)], words)
            inside.update(str(chunk[place]) for place in places)
        return inside

    def discard(self, key: str, members: Sequence[str]) -> int:
        """Remove."""
        return sum(self._in_chunks(_DISCARD, key, members))

    def contains(self, key: str, members: Sequence[str]) -> set[str]:
        """Look each of them up; of many only if there is such a set at all: packing their names takes 1 us each."""
        found: set[str] = set()
        if len(members) > FEW and not self._store.call("EXISTS", name := self._name("set", key), key=name):
            return found
        for i in range(0, len(members), CHUNK):
            chunk = members[i : i + CHUNK]
            places = self._store.run(_CONTAINS, [self._name("set", key)], [_bytes(one) for one in chunk])
            found.update(str(chunk[place]) for place in places)
        return found

    def members(self, key: str) -> list[str]:
        """All, sorted."""
        found = self._store.run(_MEMBERS, [self._name("set", key)], [])
        return sorted(one.decode("utf-8", "surrogatepass") for one in found)

    # -- leases

    def acquire(self, key: str, owner: str, ttl: float) -> bool:
        """Take it if it is free or mine already, for `ttl` seconds from now."""
        return bool(self._store.run(_ACQUIRE, [self._name("lease", key)], [_bytes(owner), _life(ttl)]) == 1)

    def release(self, key: str, owner: str) -> bool:
        """Give it up if it is mine."""
        return bool(self._once(_RELEASE, "lease", key, _bytes(owner)) == b"1")

    def close(self) -> None:
        """Let go of lines that nobody uses."""
        self._store.close()

    # -- parts

    def _once(self, script: Script, kind: str, key: str, *arguments: Any) -> Any:
        # A line may break after the server did it: the second try is told what the first one answered.
        name = self._name(kind, key)
        call = _bytes(f"{self._base}call:") + _bytes(tagged(name.decode("utf-8", "surrogatepass"))) + _token()
        return self._store.run(script, [name, call], arguments)

    def _in_chunks(self, script: Script, key: str, members: Sequence[str], *arguments: Any) -> list[int]:
        name = self._name("set", key)
        return [
            int(self._store.run(script, [name], [*arguments, *(_bytes(one) for one in members[i : i + CHUNK])]))
            for i in range(0, len(members), CHUNK)
        ]

    def _name(self, kind: str, key: str) -> bytes:
        if self._store.is_cluster:  # a tag of ours, so that a key with odd braces has its calls in its own slot
            return _bytes(f"{self._base}{kind}:{{{hashlib.sha256(_bytes(key)).hexdigest()[:16]}}}:{key}")
        return _bytes(f"{self._base}{kind}:{key}")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _token() -> bytes:
    return b":" + secrets.token_hex(8).encode()


def _life(ttl: float | None) -> int | str:
    return "" if ttl is None else max(1, round(ttl * 1000))
