"""Writes ``golden/*.json``: messages and results as a real Celery makes them. Run it by hand when Celery changes.

    python tests/wire/capture.py

Needs no server: messages are caught where kombu's in-memory transport would keep them, in the JSON that its Redis
and filesystem transports write; results come from a key-value backend in memory.
"""

from __future__ import annotations

import base64
import datetime as dt
import decimal
import json
import pathlib
import uuid
import warnings

import celery
import kombu
from celery import Celery, chain, chord, group
from celery.app.task import Context
from celery.backends.cache import CacheBackend
from celery.canvas import StampingVisitor
from celery.result import AsyncResult, GroupResult
from kombu.transport.memory import Channel
from kombu.utils import json as kombu_json

GOLDEN = pathlib.Path(__file__).parent / "golden"
MOMENT = dt.datetime(2031, 5, 6, 7, 8, 9, 101112, tzinfo=dt.UTC)
ODD = {
    "uuid": uuid.UUID("00112233-4455-6677-8899-aabbccddeeff"),
    "moment": MOMENT,
    "day": dt.date(2030, 2, 28),
    "time": dt.time(23, 59, 58, 1),
    "money": decimal.Decimal("12.340"),
    "text_bytes": b"plain",
    "bytes": b"\xff\x00\xfe",
    "big": 2**200,
    "infinite": float("inf"),
    "words": "naïve ✓ \U0001f955",
}


class Stamp(StampingVisitor):
    def on_signature(self, sig, **headers):
        return {"monitoring_id": "m1", "stamped_headers": ["monitoring_id"]}


class Store(CacheBackend):
    supports_result_compression = True


class OddError(Exception):
    def __init__(self, code, *, detail):
        super().__init__(f"{code}: {detail}")
        self.code = code

    class Inner(Exception):
        pass


def make_app(**conf):
    app = Celery("capapp", broker="memory://", backend="cache+memory://", set_as_current=True)
    app.conf.update(accept_content=["json", "msgpack", "yaml", "pickle"], **conf)

    @app.task(name="capapp.add")
    def add(x, y):
        return x + y

    @app.task(name="capapp.total")
    def total(parts):
        return sum(parts)

    return app, add, total


def catch(channel, message, exchange, routing_key):
    augment(channel, message, exchange, routing_key)
    raws.append((routing_key, kombu_json.dumps(message)))


raws: list[tuple[str, str]] = []
augment = Channel._inplace_augment_message


def messages() -> list[dict]:
    Channel._inplace_augment_message = catch
    _, add, total = make_app()
    s = add.s
    cases = {
        "plain": lambda: add.apply_async((2, 3)),
        "kwargs": lambda: add.apply_async((), {"x": 2, "y": {"deep": [1, [2, {"a": None}]]}}),
        "odd types": lambda: add.apply_async((ODD,), {"y": list(ODD.values())}),
        "countdown": lambda: add.apply_async((2, 3), countdown=10),
        "eta aware": lambda: add.apply_async((2, 3), eta=MOMENT),
        "eta offset": lambda: add.apply_async(
            (2, 3), eta=MOMENT.astimezone(dt.timezone(dt.timedelta(hours=5, minutes=30)))
        ),
        "eta naive": lambda: add.apply_async((2, 3), eta=MOMENT.replace(tzinfo=None)),
        "expires number": lambda: add.apply_async((2, 3), expires=120),
        "expires moment": lambda: add.apply_async((2, 3), expires=MOMENT),
        "expires past": lambda: add.apply_async((2, 3), expires=MOMENT.replace(year=2001)),
        "headers": lambda: add.apply_async((2, 3), headers={"x-my": "h", "n": 1, "at": MOMENT}),
        "priority": lambda: add.apply_async((2, 3), priority=7),
        "limits": lambda: add.apply_async((2, 3), time_limit=30, soft_time_limit=12.5),
        "ignore result": lambda: add.apply_async((2, 3), ignore_result=True),
        "shadow": lambda: add.apply_async((2, 3), shadow="other name"),
        "free id": lambda: add.apply_async((2, 3), task_id="order 17/ä"),
        "reply to": lambda: add.apply_async((2, 3), reply_to="somewhere"),
        "other queue": lambda: add.apply_async((2, 3), queue="slow"),
        "exchange": lambda: add.apply_async((2, 3), exchange="ex", routing_key="a.b"),
        "retry": lambda: add.apply_async((2, 3), retries=3, root_id="r", parent_id="p", group_id="g", group_index=4),
        "callbacks": lambda: add.apply_async((2, 3), link=[s(1), s(2).set(queue="slow")], link_error=s(3)),
        "chain": lambda: chain(s(1, 2), s(3), s(4)).apply_async(),
        "group": lambda: group(s(1, 2), s(3, 4)).apply_async(),
        "chord": lambda: chord([s(1, 2), s(3, 4)])(total.s()),
        "chord in a chain": lambda: chain(s(1, 2), group(s(3), s(4)), total.s(), s(5)).apply_async(),
        "stamped": lambda: stamped(s(1, 2)),
        "many arguments": lambda: add.apply_async((list(range(300)), "x" * 3000)),
    }
    for serializer in ("json", "msgpack", "yaml", "pickle"):
        cases[f"serializer {serializer}"] = lambda n=serializer: add.apply_async(
            ("ü",), {"y": [1.5, None, True]}, serializer=n
        )
    for method in ("gzip", "zlib", "bzip2", "bzip", "lzma", "xz", "brotli"):
        cases[f"compression {method}"] = lambda n=method: add.apply_async(("text " * 200, 3), compression=n)
    found = run(cases)
    _, add, total = make_app(task_protocol=1)
    legacy = {
        "v1 plain": lambda: add.apply_async((2, 3)),
        "v1 kwargs": lambda: add.apply_async((2,), {"y": 3}),
        "v1 countdown": lambda: add.apply_async((2, 3), countdown=5, expires=100),
        "v1 eta naive": lambda: add.apply_async((2, 3), eta=MOMENT.replace(tzinfo=None)),
        "v1 callbacks": lambda: add.apply_async((2, 3), link=add.s(1), link_error=add.s(2)),
        "v1 group": lambda: group(add.s(1, 2), add.s(3, 4)).apply_async(),
        "v1 chord": lambda: chord([add.s(1, 2), add.s(3, 4)])(total.s()),
        "v1 limits": lambda: add.apply_async((2, 3), time_limit=30, soft_time_limit=12, retries=2),
        "v1 compression": lambda: add.apply_async((2, 3), compression="gzip"),
        "v1 headers": lambda: add.apply_async((2, 3), headers={"x-my": "h"}),
        "v1 msgpack": lambda: add.apply_async((2, 3), serializer="msgpack"),
    }
    return found + run(legacy)


def stamped(sig):
    sig.stamp(visitor=Stamp())
    sig.apply_async()


def run(cases) -> list[dict]:
    found = []
    for name, call in cases.items():
        raws.clear()
        call()
        if not raws:
            raise SystemExit(f"{name}: nothing was published")
        for position, (routing_key, raw) in enumerate(raws):
            title = name if len(raws) == 1 else f"{name} {position}"
            found.append({"name": title, "routing_key": routing_key, "raw": raw})
    return found


def results() -> list[dict]:
    found = []
    request = Context(
        {"id": "t", "group": "g-1", "parent_id": "p-1", "task": "capapp.add", "args": [2, 3], "kwargs": {"k": "v"}}
    )
    request.update(hostname="w1@host", retries=2, delivery_info={"routing_key": "celery"}, children=[])
    request.update(stamped_headers=["monitoring_id"], stamps={"monitoring_id": "m1"})
    for serializer in ("json", "msgpack", "yaml", "pickle"):
        for compression in (None, "gzip"):
            for extended in (False, True):
                app, _, _ = make_app(
                    result_serializer=serializer, result_compression=compression, result_extended=extended
                )
                store = Store(app, url="memory://")
                for name, args in states_of(app, serializer).items():
                    title = f"{name}, {serializer}, {compression}, extended {extended}"
                    store.store_result("t-1", *args, request=request if "asked" in name or extended else None)
                    payload = store.get(store.get_key_for_task("t-1"))
                    store.forget("t-1")
                    raw = payload.encode() if isinstance(payload, str) else payload
                    found.append(
                        {"name": title, "serializer": serializer, "payload": base64.b64encode(raw).decode("ascii")}
                    )
    return found


def states_of(app, serializer) -> dict:
    child = AsyncResult("c-1", app=app, parent=AsyncResult("c-0", app=app))
    many = GroupResult("g-2", [AsyncResult("c-2", app=app), child], app=app)
    found = {
        "success": (5, "SUCCESS", None),
        "success asked": ("text ✓", "SUCCESS", None),
        "nothing": (None, "SUCCESS", None),
        "nested": ({"a": [1, 2.5, {"b": None}]}, "SUCCESS", None),
        "started": ({"pid": 12, "hostname": "w1@host"}, "STARTED", None),
        "progress": ({"current": 3, "total": 9}, "PROGRESS", None),
        "failure": (ValueError("bad", 1), "FAILURE", "Traceback (most recent call last):\n  ..."),
        "failure without arguments": (KeyError(), "FAILURE", "tb"),
        "failure of the system": (FileNotFoundError(2, "No such file"), "FAILURE", "tb"),
        "revoked": (celery.exceptions.TaskRevokedError("terminated"), "REVOKED", None),
        "retry": (OSError("again"), "RETRY", "tb"),
        "lost": (celery.exceptions.WorkerLostError("signal 9"), "FAILURE", "tb"),
        "limit": (celery.exceptions.TimeLimitExceeded(30), "FAILURE", "tb"),
    }
    if serializer != "pickle":
        found["a handle"] = (child, "SUCCESS", None)
        found["a group's handle"] = (many, "SUCCESS", None)
        found["odd failure"] = (OddError(7, detail="x"), "FAILURE", "tb")
        found["inner failure"] = (OddError.Inner("deep"), "FAILURE", "tb")
        found["unwritable failure"] = (RuntimeError(object, {1, 2}), "FAILURE", "tb")
    if serializer == "json":
        found["odd types"] = (ODD, "SUCCESS", None)
    return found


def write(name: str, found: list[dict]) -> None:
    versions = {"celery": celery.__version__, "kombu": kombu.__version__}
    text = json.dumps({"made_by": versions, "cases": found}, indent=0, ensure_ascii=True)
    (GOLDEN / name).write_text(text + "\n", encoding="utf-8")
    print(f"{len(found)} cases in {GOLDEN / name}")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    GOLDEN.mkdir(exist_ok=True)
    write("messages.json", messages())
    write("results.json", results())
