"""An app without results says so, and how to turn them on."""

from __future__ import annotations

import pytest

from skirret.backends.open import open_backend
from skirret.errors import BackendError
from skirret.message import Record


@pytest.fixture
def backend():
    return open_backend("disabled")


def test_storing_does_nothing(backend):
    assert not backend.enabled
    assert backend.store([Record(task_id="one", state="SUCCESS", payload=b"{}")]) == [True]
    assert backend.forget(["one"]) == backend.cleanup() == 0
    backend.interrupt()
    backend.close()


@pytest.mark.parametrize("error", [BackendError, NotImplementedError])
def test_reading_says_how_to_turn_results_on(backend, error):
    for read in (lambda: backend.fetch(["one"]), lambda: backend.wait(["one"], 0.0)):
        with pytest.raises(error, match="result_backend ="):
            read()


def test_it_is_no_brokers_store(backend):
    assert backend.identity == "disabled"
