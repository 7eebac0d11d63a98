"""What every test stands on: no settings or embedded file of the machine leak in, and hypothesis is repeatable."""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from skirret import loggers
from tests.servers.rabbitmq_programs import rabbitmq as rabbitmq_programs
from tests.servers.rabbitmq_servers import RabbitServer

settings.register_profile(
    "test", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
settings.register_profile("soak", parent=settings.get_profile("test"), max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "test"))

OURS = ("SKIRRET_", "CELERY_", "C_FORCE_ROOT")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a run write what only a run can know."""
    parser.addoption("--write-pools-page", action="store_true", help="write docs/pools.md from what tests/pools shows")


def pytest_configure(config: pytest.Config) -> None:
    """Forget the machine's settings, also for the processes that tests start."""
    for name in [name for name in os.environ if name.startswith(OURS)]:
        del os.environ[name]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the long runs out unless they are asked for by `-m soak`."""
    if "soak" in (config.option.markexpr or ""):
        return
    left_out = [item for item in items if item.get_closest_marker("soak")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


_COUNT = itertools.count()


@pytest.fixture(scope="session")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the embedded files of this run lie."""
    return tmp_path_factory.mktemp("homes")


@pytest.fixture(autouse=True)
def home(homes: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of the embedded file, a fresh one for each test: nothing is ever written beside the sources.

    It does not exist yet: whoever writes there first makes it.
    """
    path = homes / str(next(_COUNT))
    monkeypatch.setenv("SKIRRET_HOME", str(path))
    return path


@pytest.fixture(autouse=True)
def _log_lines_can_be_written(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A line whose arguments do not fit fails its test: pytest's handler raises then, which our loggers would hide."""
    faults: list[Exception] = []
    tell = loggers.tell

    def told(culprit: logging.Handler | logging.Logger, exc: Exception, logger: logging.Logger) -> None:
        if type(culprit).__module__.startswith("_pytest"):
            faults.append(exc)
        else:
            tell(culprit, exc, logger)

    monkeypatch.setattr(loggers, "tell", told)
    yield
    assert not faults


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitServer]:
    """A RabbitMQ for all tests of this process, since it takes six seconds to start: who ends it starts it again."""
    server = RabbitServer(rabbitmq_programs(), tmp_path_factory.mktemp("rabbitmq"))
    yield server
    server.stop()


@pytest.fixture
def rabbitmq_host(rabbitmq: RabbitServer) -> Iterator[str]:
    """The name of a virtual host that is the test's own."""
    with rabbitmq.host() as name:
        yield name
