"""Pages about reports."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, request, url_for

from reports import queue
from reports.tasks import count_words

reports = Blueprint("reports", __name__, url_prefix="/reports")


@reports.post("/")
def ask() -> Any:
    """Have a report written."""
    result = count_words.delay(request.form["words"])
    return {"id": result.id}, 202, {"Location": url_for("reports.fetch", report=result.id)}


@reports.get("/<report>")
def fetch(report: str) -> Any:
    """A report, once it is there."""
    result = queue.AsyncResult(report)
    if not result.ready():
        return {"state": result.state}, 202
    return {"state": result.state, "report": result.result if result.successful() else None}
