"""The reference sits the exam: if it fails, either it or the exam misreads the seams."""

from __future__ import annotations

import contextlib
import itertools

import pytest

from skirret.backends.memory import MemoryBackend
from skirret.brokers.memory import MemoryBroker
from skirret.coordination.memory import MemoryCoordination
from skirret.stores.memory import server
from skirret.testing.conformance import BackendExam, BrokerExam, CoordinationExam

_servers = itertools.count(1)


@pytest.fixture
def name():
    return f"exam-{next(_servers)}"


@pytest.fixture
def outage(name):
    @contextlib.contextmanager
    def cut():
        server(name).unreachable = True
        yield
        server(name).unreachable = False

    return cut


class OnMemory:
    """Takes `outage` from this file rather than from the exam."""

    @pytest.fixture
    def outage(self, outage):
        return outage


class TestMemoryBroker(OnMemory, BrokerExam):
    @pytest.fixture
    def broker(self, name):
        return MemoryBroker(name)

    @pytest.fixture
    def second_broker(self, name):
        return MemoryBroker(name)

    @pytest.fixture
    def backend(self, name):
        return MemoryBackend(name)


class TestMemoryBackend(OnMemory, BackendExam):
    @pytest.fixture
    def backend(self, name):
        return MemoryBackend(name)

    @pytest.fixture
    def second_backend(self, name):
        return MemoryBackend(name)


class TestMemoryCoordination(OnMemory, CoordinationExam):
    @pytest.fixture
    def coordination(self, name):
        return MemoryCoordination(name)

    @pytest.fixture
    def second_coordination(self, name):
        return MemoryCoordination(name)
