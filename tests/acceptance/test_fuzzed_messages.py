"""Twenty thousand broken messages between a thousand good ones: the worker lives, and nothing is mixed up."""

from __future__ import annotations

import base64
import json
import random
from collections import Counter
from pathlib import Path

import pytest

from skirret.wire import envelope as wire_envelope
from tests.acceptance.faulty import Project, wait_until

BAD = 20_000
GOOD = 1_000

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


def _with(good: dict, **changes) -> bytes:
    return json.dumps({**good, **changes}).encode()


def _headers(good: dict, **changes) -> bytes:
    return _with(good, headers={**good["headers"], **changes})


def _body(good: dict, body: bytes) -> bytes:
    return _with(good, body=base64.b64encode(body).decode())


# Each of them breaks a message in a way that no reader could take for a task.
BREAKERS = [
    lambda good, r: r.randbytes(r.randrange(1, 400)).replace(b"{", b"<"),
    lambda good, r: json.dumps(good).encode()[: r.randrange(1, 300)],
    lambda good, r: json.dumps(r.choice([None, 1, "x", [good], True])).encode(),
    lambda good, r: _with(good, body="!" * r.randrange(1, 50)),
    lambda good, r: _with(good, body=r.randrange(1000)),
    lambda good, r: _with(good, **{"content-type": r.choice(["application/x-nothing", "text/html", 7])}),
    lambda good, r: _with(good, **{"content-type": "application/x-python-serialize"}),
    lambda good, r: _with(good, **{"content-encoding": "utf-99"}),
    lambda good, r: _headers(good, task=r.choice([7, ["x"], {"a": 1}])),
    lambda good, r: _headers(good, id=r.choice([7, ["x"], {}])),
    lambda good, r: _headers(good, eta=r.choice(["tomorrow", 99, [], "2026-13-45T99:99:99"])),
    lambda good, r: _headers(good, expires=r.choice(["never", {"a": 1}])),
    lambda good, r: _headers(good, retries=r.choice(["many", -5, 10**9])),
    lambda good, r: _headers(good, timelimit=r.choice(["long", {"a": 1}])),
    lambda good, r: _headers(good, compression="application/x-gzip"),
    lambda good, r: _headers(good, compression="application/x-what"),
    lambda good, r: _body(good, r.randbytes(60)),
    lambda good, r: _body(good, b"[" * r.randrange(100, 5000)),
    lambda good, r: _body(good, json.dumps(r.choice([None, 7, "args", {"a": 1}, [1], [1, 2]])).encode()),
    lambda good, r: _body(good, b"[[" + b"9" * 10_000 + b"], {}, {}]"),
    lambda good, r: b"[" * r.randrange(1000, 100_000),
]


def test_each_broken_message_is_dead_lettered_once_and_all_good_ones_succeed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SKIRRET_HOME")
    project = Project(tmp_path)
    broker = project.app.broker
    good = json.loads(wire_envelope.encode(project.app.publisher.prepare("faults_app.quick", ("x",))))
    draw = random.Random(20_261_123)
    broken = [BREAKERS[n % len(BREAKERS)](good, draw) for n in range(BAD)]
    draw.shuffle(broken)
    results = []
    share = BAD // 50
    for n in range(50):
        broker.inject("celery", *broken[n * share : (n + 1) * share])
        results += project.send_many("quick", list(range(n * GOOD // 50, (n + 1) * GOOD // 50)))
    with project.worker("-c 2", level="CRITICAL") as program:
        for result in results:
            result.get(timeout=60)
        wait_until(lambda: broker.size("celery").dead == BAD, seconds=60)
        assert program.process.poll() is None
    left = broker.size("celery")
    assert (left.ready, left.held, left.delayed) == (0, 0, 0)
    dead = broker.dead(limit=2 * BAD)
    assert Counter(letter.raw for letter in dead) == Counter(broken)
    assert all("malformed" in letter.reason for letter in dead)
    assert len({letter.reason for letter in dead}) >= 10, "the reasons tell one fault from another"
    assert set(project.count("start").values()) == {1}
    project.app.close()
