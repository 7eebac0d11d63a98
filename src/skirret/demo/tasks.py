"""The demo's app and its one task, as anybody would write them."""

from __future__ import annotations

import hashlib
from typing import Any, Final

from skirret.app import Skirret
from skirret.demo import ledger as ledgers
from skirret.demo.measure import measure

# Of 256 files about so many fail on purpose at the first attempt.
FLAKY_IN_256: Final = 13

# What the demo relies on is said here, so that settings of the machine do not change it.
app = Skirret(
    "skirret-demo",
    task_always_eager=False,
    task_ignore_result=False,
    task_routes=None,
    task_queues=None,
    task_serializer="json",
    result_serializer="json",
    accept_content=["json"],
    result_accept_content=None,
    task_annotations=None,
)


class FirstAttempt(Exception):
    """Raised on purpose, to show a retry."""


def fails_first(path: str) -> bool:
    """Whether the file's first attempt fails on purpose: the same files in each run, chosen by a hash of the path."""
    return hashlib.sha256(path.encode()).digest()[0] < FLAKY_IN_256


@app.task(bind=True, name="skirret.demo.measure_file", max_retries=5, default_retry_delay=0.2)
def measure_file(self: Any, path: str, ledger: str) -> dict[str, Any]:
    """Measure one file and account for it.

    Args:
        path: the file.
        ledger: where each run writes what it did.

    Returns:
        What `measure` gives, and ``attempts``.
    """
    attempt = int(self.request.retries)
    ledgers.write(ledger, ledgers.STARTED, path, attempt)
    if attempt == 0 and fails_first(path):
        ledgers.write(ledger, ledgers.FAILED_ON_PURPOSE, path, attempt)
        raise self.retry(exc=FirstAttempt(f"the first attempt at {path} fails on purpose"))
    facts = measure(path)
    ledgers.write(ledger, ledgers.MEASURED, path, attempt, facts["sha256"])
    return {**facts, "attempts": attempt + 1}
