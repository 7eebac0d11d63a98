"""Fixtures for tests of results."""

import pytest

from skirret import context
from tests.unit.results.stage import Stage


@pytest.fixture
def stage() -> Stage:
    """An app with a memory backend of its own."""
    return Stage()


@pytest.fixture(autouse=True)
def _no_app(monkeypatch: pytest.MonkeyPatch):
    """No app is current, whatever other tests left behind."""
    before = context._current_app.get()
    monkeypatch.setattr(context, "_default_app", None)
    context.set_current_app(None)
    yield
    context.set_current_app(before)
