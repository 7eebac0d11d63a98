"""The result store on Redis: Celery's keys, values and notifications, so that both sides read each other's results."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from skirret import clock, states
from skirret.backends.base import ResultBackend
from skirret.backends.redis.ear import Ear, Wish
from skirret.errors import BackendError, OperationalError
from skirret.message import Record
from skirret.stores.redis.results import LUA, ResultKeys, marked_state, seal
from skirret.stores.redis.script import Script
from skirret.stores.redis.store import Store, store_at
from skirret.url import Url
from skirret.wire.told import read_state, told_state

READ_CHUNK = 500
"""Keys that are read with one command."""

STORE_CHUNK = 100
"""Results that one script stores; no other client is served while it runs."""

STORE_BYTES = 1024 * 1024
"""Bytes of payload after which a script is full, unless one result alone is larger."""

TRIES = 3
"""How often a result is stored again after others wrote one whose state had to be read first."""

_STORE = Script("skirret.backends.redis", "store", before=(LUA,))


class RedisBackend(ResultBackend):
    """Results in one database of a Redis or Valkey server, or in a cluster.

    Args:
        store: the server; its prefix is ``global_keyprefix``.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.keys = ResultKeys(store.prefix, is_cluster=store.is_cluster)
        self._ears: dict[int, Ear] = {}  # by process: after a fork, a thread that is gone may hold the parent's lock

    @classmethod
    def from_url(cls, url: Url, options: Mapping[str, Any]) -> RedisBackend:
        """The result store at an address; forms and options are those of ``stores.redis.address_of``."""
        return cls(store_at(url, options))

    @property
    def store_in_use(self) -> Store:
        """The server and database."""
        return self._store

    @property
    def identity(self) -> str:
        """The server's own id: equal to that of a broker on the same server."""
        with _as_backend_error():
            return self._store.identity

    # -- writing

    def store(self, records: Sequence[Record]) -> list[bool]:
        """Write in order, each by compare-and-set; those who wait are told in the same step.

        The batch is done in portions, so after an error the first ones may have been stored; storing all of them again
        does no harm.
        """
        flags: list[bool] = []
        with _as_backend_error():
            for portion in _portions(records):
                flags += self._store_portion(portion)
        return flags

    def begin_store(self, records: Sequence[Record]) -> Callable[[], object]:
        """All portions in one go, if they are small; in a cluster as `store`."""
        size = sum(len(record.payload) for record in records)
        if self._store.is_cluster or not records or size > STORE_BYTES:
            return super().begin_store(records)
        portions = list(_portions(records))
        with _as_backend_error():
            answers = self._store.begin_many(_STORE, [self._together(portion) for portion in portions])

        def finish() -> None:
            with _as_backend_error():
                for portion, flags in zip(portions, answers(), strict=True):
                    if min(map(int, flags)) < 0:  # a state must be read first
                        self._store_portion(portion)

        return finish

    def _store_portion(self, records: Sequence[Record]) -> list[bool]:
        flags = self._run(records, [b""] * len(records))
        for _ in range(TRIES):
            unread = [n for n, flag in enumerate(flags) if flag < 0]
            if not unread:
                break
            # Others wrote it, and Lua cannot tell its state: a compressed one.
            stored = self._get([self._key(records[n].task_id) for n in unread])
            learnt = [b"" if one is None else _learnt(one) for one in stored]
            again = self._run([records[n] for n in unread], learnt)
            for n, flag in zip(unread, again, strict=True):
                flags[n] = flag
        return [flag == 1 for flag in flags]

    def _run(self, records: Sequence[Record], learnt: Sequence[bytes]) -> list[int]:
        if not self._store.is_cluster:
            return [int(flag) for flag in self._store.run(_STORE, *self._together(records, learnt))]
        calls = [self._call(record, one) for record, one in zip(records, learnt, strict=True)]
        flags = [0] * len(calls)
        for places in self._by_node([names[0] for names, _ in calls]):
            answers = self._store.run_many(_STORE, [calls[n] for n in places])
            for n, answer in zip(places, answers, strict=True):
                flags[n] = int(answer[0])
        return flags

    def _together(self, records: Sequence[Record], learnt: Sequence[bytes] = ()) -> tuple[list[bytes], list[Any]]:
        """Keys and arguments of one call for several results."""
        keys: list[bytes] = []
        arguments: list[Any] = []
        for record, one in zip(records, learnt or [b""] * len(records), strict=True):
            names, values = self._call(record, one)
            keys += names
            arguments += values
        return keys, arguments

    def _call(self, record: Record, learnt: bytes) -> tuple[tuple[bytes, bytes], tuple[Any, ...]]:
        life = "" if record.ttl is None else max(1, round(record.ttl * 1000))
        state = record.state.encode("utf-8", "replace")
        return (self._key(record.task_id), self._mark(record.task_id)), (state, record.payload, life, learnt)

    # -- reading

    def fetch(self, task_ids: Sequence[str]) -> dict[str, bytes]:
        """What is there."""
        with _as_backend_error():
            return self._read(list(dict.fromkeys(task_ids)))

    def wait(self, task_ids: Sequence[str], timeout: float) -> dict[str, bytes]:
        """Read, listen, read again, and then wait for what the server tells; see ``ear``.

        A server that cannot be reached is tried again for as long as one call may take, so that its restart or a
        failover goes unnoticed.
        """
        deadline = clock.Deadline(timeout)
        ear = self._ear()
        with _as_backend_error(), ear.wish(task_ids) as wish:
            well = clock.monotonic()
            while not wish.interrupted:
                try:
                    unsure = ear.unsure(wish)
                    found = self._look(ear, wish, unsure, deadline)
                    if unsure:
                        well = clock.monotonic()
                    if found or deadline.passed():
                        return found
                except OperationalError:
                    if deadline.passed() or clock.monotonic() - well >= self._store.address.deadline:
                        raise
                    ear.pause(wish, deadline)
        return {}

    def _look(self, ear: Ear, wish: Wish, unsure: Sequence[str], deadline: clock.Deadline) -> dict[str, bytes]:
        """One round of `wait`: those that are finished, {} when it is time for the next round."""
        early = ear.is_early and not deadline.passed()
        if not early:
            found = self._finished(unsure, ear)
            if found or deadline.passed():
                ear.is_early = False
                return found
        if unsure:
            if ear.listen(unsure, deadline) or early:
                found = self._finished(unsure, ear)
                ear.is_early = not found
                if found:
                    return found
            ear.found_none(wish, unsure)
        news = ear.hear(wish, deadline)
        found = {one: payload for one, payload in news.items() if told_state(payload) is not None}
        return found | self._finished([one for one in news if one not in found])

    def _finished(self, task_ids: Sequence[str], ear: Ear | None = None) -> dict[str, bytes]:
        """Those of these that are in a ready state."""
        if not task_ids:
            return {}
        start = clock.monotonic()
        found = self._read(task_ids)
        if ear is not None:
            ear.read_took(clock.monotonic() - start)
        told = {task_id: told_state(payload) for task_id, payload in found.items()}
        dumb = [task_id for task_id, state in told.items() if state is None]
        if dumb:
            marks = self._get([self._mark(task_id) for task_id in dumb])
            for task_id, mark in zip(dumb, marks, strict=True):
                told[task_id] = marked_state(found[task_id], mark) or read_state(found[task_id])
        return {task_id: payload for task_id, payload in found.items() if told[task_id] in states.READY_STATES}

    def _read(self, task_ids: Sequence[str]) -> dict[str, bytes]:
        payloads = self._get([self._key(task_id) for task_id in task_ids])
        return {task_id: one for task_id, one in zip(task_ids, payloads, strict=True) if one is not None}

    def _get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        values: list[bytes | None] = []
        for i in range(0, len(keys), READ_CHUNK):
            chunk = keys[i : i + READ_CHUNK]
            values += self._get_spread(chunk) if self._store.is_cluster else self._store.call("MGET", *chunk)
        return values

    def _get_spread(self, keys: Sequence[bytes]) -> list[bytes | None]:
        values: list[bytes | None] = [None] * len(keys)
        for places in self._by_node(keys):
            answers = self._store.pipeline([("GET", keys[n]) for n in places], key=keys[places[0]])
            for n, answer in zip(places, answers, strict=True):
                values[n] = answer
        return values

    # -- groups

    def store_group(self, group_id: str, payload: bytes, ttl: float | None = None) -> None:
        """Where Celery's ``GroupResult.restore`` looks."""
        key = self._group(group_id)
        life = () if ttl is None else ("PX", max(1, round(ttl * 1000)))
        with _as_backend_error():
            self._store.call("SET", key, payload, *life, key=key)

    def fetch_group(self, group_id: str) -> bytes | None:
        """What either side saved."""
        key = self._group(group_id)
        with _as_backend_error():
            found: bytes | None = self._store.call("GET", key, key=key)
            return found

    def forget_group(self, group_id: str) -> int:
        """Delete what either side saved."""
        key = self._group(group_id)
        with _as_backend_error():
            return int(self._store.call("DEL", key, key=key))

    def _group(self, group_id: str) -> bytes:
        return self.keys.group(group_id).encode("utf-8", "surrogatepass")

    # -- the rest

    def forget(self, task_ids: Sequence[str]) -> int:
        """Delete what is there."""
        names = list(dict.fromkeys(task_ids))
        deleted = 0
        with _as_backend_error():
            for i in range(0, len(names), READ_CHUNK):
                keys = [self._key(task_id) for task_id in names[i : i + READ_CHUNK]]
                marks = [self._mark(task_id) for task_id in names[i : i + READ_CHUNK]]
                if not self._store.is_cluster:
                    deleted += self._store.pipeline([("DEL", *keys), ("UNLINK", *marks)])[0]
                    continue
                for places in self._by_node(keys):
                    commands = [("DEL", keys[n]) for n in places] + [("UNLINK", marks[n]) for n in places]
                    deleted += sum(self._store.pipeline(commands, key=keys[places[0]])[: len(places)])
        return deleted

    def interrupt(self) -> None:
        """Make all waits of this backend, or else the next one, return at once."""
        self._ear().interrupt()

    def cleanup(self) -> int:
        """Nothing to do: the server drops what has expired. 0, if it can be reached."""
        with _as_backend_error():
            self._store.call("PING")
        return 0

    def close(self) -> None:
        """Hang up."""
        ear = self._ears.get(os.getpid())
        if ear is not None:
            ear.close()
        self._store.close()

    # -- parts

    def _ear(self) -> Ear:
        pid = os.getpid()
        ear = self._ears.get(pid)
        # setdefault decides between two threads that come first together.
        return ear if ear is not None else self._ears.setdefault(pid, Ear(self._store, self.keys.tasks))

    def _key(self, task_id: str) -> bytes:
        return self.keys.result(task_id).encode("utf-8", "surrogatepass")

    def _mark(self, task_id: str) -> bytes:
        return self.keys.mark(task_id).encode("utf-8", "surrogatepass")

    def _by_node(self, keys: Sequence[bytes]) -> list[list[int]]:
        """Places in `keys`, together where one node of the cluster serves them."""
        nodes: dict[str, list[int]] = {}
        for place, key in enumerate(keys):
            nodes.setdefault(self._store.node_of(key), []).append(place)
        return list(nodes.values())


def _portions(records: Sequence[Record]) -> Iterator[list[Record]]:
    portion: list[Record] = []
    size = 0
    for record in records:
        if portion and (len(portion) == STORE_CHUNK or size + len(record.payload) > STORE_BYTES):
            yield portion
            portion, size = [], 0
        portion.append(record)
        size += len(record.payload)
    if portion:
        yield portion


def _learnt(payload: bytes) -> bytes:
    return seal(payload) + b"\n" + read_state(payload).encode("utf-8", "replace")


@contextmanager
def _as_backend_error() -> Iterator[None]:
    try:
        yield
    except OperationalError as exc:
        raise BackendError(str(exc)) from exc
