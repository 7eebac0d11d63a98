"""What workers do for reports."""

from __future__ import annotations

from collections import Counter

from flask import current_app

from skirret import shared_task


@shared_task
def count_words(words: str) -> dict[str, object]:
    """How often each word occurs."""
    return {"title": current_app.config["REPORT_TITLE"], "counts": Counter(words.split())}
