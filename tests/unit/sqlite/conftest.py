"""What the tests of the embedded file share: a file, its clients, messages, and programs that are other processes."""

from __future__ import annotations

import contextlib
import itertools
import subprocess
import sys
import uuid

import pytest

from skirret.backends.sqlite import SqliteBackend
from skirret.brokers.sqlite import SqliteBroker
from skirret.stores.sqlite.store import store_at
from skirret.testing.conformance.material import HandClock, message

PREAMBLE = """
import os, sys, time, uuid
from pathlib import Path
from skirret.backends.sqlite import SqliteBackend
from skirret.brokers.base import Limits
from skirret.brokers.sqlite import SqliteBroker
from skirret.outcome import Ack
from skirret.testing.conformance.material import id_of, message, messages, record
path = Path(sys.argv[1])
broker = SqliteBroker(path)
def say(*words): print(*words, flush=True)
"""
_ids = itertools.count(1)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "q" / "queue.sqlite3"


@pytest.fixture
def broker(path):
    broker = SqliteBroker(path)
    yield broker
    broker.close()


@pytest.fixture
def backend(path):
    backend = SqliteBackend(path)
    yield backend
    backend.close()


@pytest.fixture
def store(path):
    return store_at(path)


@pytest.fixture
def clock():
    return HandClock()


@pytest.fixture
def publish(broker):
    def publish(count=1, queue="q", **options):
        ids = [f"t{next(_ids)}" for _ in range(count)]
        broker.publish([message(task_id, queue, **options) for task_id in ids])
        return ids

    return publish


@pytest.fixture
def consume(broker):
    """Makes consumers of the queue ``q`` that are closed in the end."""
    made = []

    def consume(*queues, limits=None):
        made.append(broker.consumer(queues or ("q",), uuid.uuid4().hex, limits=limits))
        return made[-1]

    yield consume
    for consumer in made:
        with contextlib.suppress(Exception):
            consumer.close()


@pytest.fixture
def program(path):
    """Starts Python programs on the same file; they are killed in the end. `line()` reads what they say."""
    started = []

    def start(code, *arguments):
        process = subprocess.Popen(
            [sys.executable, "-c", PREAMBLE + code, str(path), *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        process.line = lambda: process.stdout.readline().strip()
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
