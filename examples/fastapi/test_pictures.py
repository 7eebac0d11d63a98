"""Tests of the pictures: tasks run in place."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from pictures import app, queue


@pytest.fixture
def client() -> Iterator[TestClient]:
    """The service, with nothing outside of this process."""
    queue.conf.update(broker_url="memory://", result_backend="memory://")
    queue.conf.update(task_always_eager=True, task_store_eager_result=True)
    with TestClient(app) as client:
        yield client


def test_a_picture_is_drawn_while_a_request_waits(client: TestClient) -> None:
    """Row by row."""
    assert client.get("/pictures/now", params={"width": 3}).json() == ["*", "**", "***"]


def test_a_picture_is_ordered_and_fetched(client: TestClient) -> None:
    """By its id."""
    picture = client.post("/pictures/", params={"width": 1}).json()["id"]
    assert client.get(f"/pictures/{picture}").json() == {"state": "SUCCESS", "rows": ["*"]}
