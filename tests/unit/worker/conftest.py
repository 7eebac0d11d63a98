"""What several of these files use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.worker.stage import Stage


@pytest.fixture
def stage() -> Iterator[Stage]:
    """A supervisor with one child of one slot."""
    stage = Stage()
    yield stage
    stage.close()
