"""The embedded file sits the exam; a second client is one with connections of its own, as another process has."""

from __future__ import annotations

import contextlib

import pytest

from skirret.backends.sqlite import SqliteBackend
from skirret.brokers.sqlite import SqliteBroker
from skirret.coordination.sqlite import SqliteCoordination
from skirret.testing.conformance import BackendExam, BrokerExam, CoordinationExam

OTHER_TIMEOUT = 4.0
"""Clients of one process share connections if they agree on everything, so the second one differs in this."""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "q" / "queue.sqlite3"


@pytest.fixture
def outage(path):
    @contextlib.contextmanager
    def cut():
        SqliteBroker(path).names()  # so that there is a file
        aside = path.with_name("aside")
        path.rename(aside)
        path.mkdir()  # so that nobody makes a new file in its place
        try:
            yield
        finally:
            path.rmdir()
            aside.rename(path)

    return cut


class OnFile:
    """Takes `outage` from this file rather than from the exam."""

    @pytest.fixture
    def outage(self, outage):
        return outage


class TestSqliteBroker(OnFile, BrokerExam):
    examples = 25

    @pytest.fixture
    def broker(self, path):
        broker = SqliteBroker(path)
        yield broker
        broker.close()

    @pytest.fixture
    def second_broker(self, path):
        broker = SqliteBroker(path, OTHER_TIMEOUT)
        yield broker
        broker.close()

    @pytest.fixture
    def backend(self, path):
        backend = SqliteBackend(path, OTHER_TIMEOUT)
        yield backend
        backend.close()


class TestSqliteBackend(OnFile, BackendExam):
    @pytest.fixture
    def backend(self, path):
        backend = SqliteBackend(path)
        yield backend
        backend.close()

    @pytest.fixture
    def second_backend(self, path):
        backend = SqliteBackend(path, OTHER_TIMEOUT)
        yield backend
        backend.close()


class TestSqliteCoordination(OnFile, CoordinationExam):
    shortest_ttl = 0.2  # a write waits for the disk, which others use as well

    @pytest.fixture
    def coordination(self, path):
        coordination = SqliteCoordination(path)
        yield coordination
        coordination.close()

    @pytest.fixture
    def second_coordination(self, path):
        coordination = SqliteCoordination(path, OTHER_TIMEOUT)
        yield coordination
        coordination.close()
