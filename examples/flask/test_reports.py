"""Tests of the reports: tasks run in place."""

from __future__ import annotations

from reports import create_app


def test_a_report_is_written_and_fetched() -> None:
    """Title and counts."""
    settings = {"task_always_eager": True, "task_store_eager_result": True, "broker_url": "memory://"}
    client = create_app({"SKIRRET": {**settings, "result_backend": "memory://"}}).test_client()
    answer = client.post("/reports/", data={"words": "a b a"})
    assert answer.status_code == 202
    report = client.get(answer.headers["Location"])
    assert report.json == {"state": "SUCCESS", "report": {"title": "Words", "counts": {"a": 2, "b": 1}}}
