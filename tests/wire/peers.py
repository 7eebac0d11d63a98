"""Real Celery and kombu as readers, and the golden files that they wrote."""

from __future__ import annotations

import base64
import functools
import json
import pathlib

from celery import Celery
from celery.backends.cache import CacheBackend
from kombu import Connection
from kombu.transport.virtual import Message
from kombu.utils import json as kombu_json

GOLDEN = pathlib.Path(__file__).parent / "golden"
EVERY = ["json", "msgpack", "yaml", "pickle"]


def golden_messages() -> list[dict]:
    return json.loads((GOLDEN / "messages.json").read_text(encoding="utf-8"))["cases"]


def golden_results() -> list[dict]:
    cases = json.loads((GOLDEN / "results.json").read_text(encoding="utf-8"))["cases"]
    return [{**case, "payload": base64.b64decode(case["payload"])} for case in cases]


@functools.cache
def celery_app() -> Celery:
    app = Celery("peer", broker="memory://", backend="cache+memory://", set_as_current=False)
    app.conf.accept_content = EVERY

    @app.task(name="capapp.add")
    def add(x, y):
        return x + y

    return app


@functools.cache
def _channel():
    return Connection("memory://").channel()


def as_kombu_sees(raw: bytes) -> Message:
    """The message as kombu's virtual transports hand it to a worker."""
    app = celery_app()
    return Message(kombu_json.loads(raw), channel=_channel(), accept=app.amqp.TaskConsumer(_channel()).accept)


def celery_store(serializer: str, *, extended: bool = False, compression: str | None = None) -> CacheBackend:
    class Store(CacheBackend):
        supports_result_compression = True

    app = Celery("peer", backend="cache+memory://", set_as_current=False)
    app.conf.update(
        accept_content=EVERY,
        result_serializer=serializer,
        result_extended=extended,
        result_compression=compression,
    )
    return Store(app, url="memory://")


def same(one: object, other: object) -> bool:
    """Equal values of equal types, NaN being equal to itself; lists and tuples are both what JSON calls arrays."""
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, BaseException) and isinstance(other, BaseException):
        return same(one.args, other.args)
    if isinstance(one, float) and isinstance(other, float):
        return repr(one) == repr(other)
    return type(one) is type(other) and one == other
