"""The broker's scripts; each file tells its keys, arguments and answer at its head."""

from __future__ import annotations

from skirret.stores.redis.script import Script

_HERE = "skirret.brokers.redis"
_QUEUE = (_HERE, "queue")
_RESULTS = ("skirret.stores.redis", "results")


def _script(name: str, *, allow_oom: bool = True, results: bool = False) -> Script:
    before = (_QUEUE, _RESULTS) if results else (_QUEUE,)
    return Script(_HERE, name, before=before, allow_oom=allow_oom)


# Only what adds messages is refused by a server that is full; all else helps to empty it.
PUBLISH = _script("publish", allow_oom=False)
PUBLISH_ONE = Script(_HERE, "publish_one")
REPLAY = _script("replay", allow_oom=False)
REGISTER = _script("register", allow_oom=False)
TAKE = _script("take")
RECALL = _script("recall")
SETTLE = _script("settle", results=True)
BEAT = _script("beat")
LOOK = _script("look")
REAP = _script("reap")
CLOSE = _script("close")
SIZE = _script("size")
LENGTHS = _script("lengths")
PEEK = _script("peek")
DELAYED = _script("delayed")
PURGE = _script("purge")
