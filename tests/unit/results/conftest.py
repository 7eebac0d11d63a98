"""Fixtures for tests of results."""

import pytest

from tests.unit.results.stage import Stage


@pytest.fixture
def stage() -> Stage:
    """An app with a memory backend of its own."""
    return Stage()
