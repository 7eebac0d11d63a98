"""The demo's independent account: each run of a task writes one line to a file that only grows."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

STARTED: Final = "started"
FAILED_ON_PURPOSE: Final = "failed on purpose"
MEASURED: Final = "measured"


def write(ledger: str, event: str, path: str, attempt: int, digest: str = "") -> None:
    """Add one line: event, path, process id, attempt (0 first), digest.

    One write to a file opened with O_APPEND, so that lines of several processes do not mix. It begins and ends with a
    line end: a line that a kill cut short cannot spoil the next one.
    """
    line = "\n" + json.dumps([event, path, os.getpid(), attempt, digest]) + "\n"
    file = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)


@dataclass(slots=True)
class Account:
    """What a ledger says.

    Args:
        started: runs begun, by path.
        on_purpose: runs that failed on purpose, by path.
        measured: runs that came to their end, by path.
        digests: the digests that were measured, by path.
        processes: ids of the processes that ran tasks.
        torn: lines that a kill cut short.
    """

    started: Counter[str] = field(default_factory=Counter)
    on_purpose: Counter[str] = field(default_factory=Counter)
    measured: Counter[str] = field(default_factory=Counter)
    digests: dict[str, set[str]] = field(default_factory=dict)
    processes: set[int] = field(default_factory=set)
    torn: int = 0

    @property
    def repeated(self) -> int:
        """Measurements beyond the first of each file."""
        return self.measured.total() - len(self.measured)

    @property
    def cut_off(self) -> int:
        """Runs that began and neither ended nor failed on purpose: their process was killed."""
        return self.started.total() - self.measured.total() - self.on_purpose.total()


def read(ledger: str) -> Account:
    """Count the lines of a ledger; one that was never written is empty."""
    account = Account()
    try:
        with Path(ledger).open(encoding="utf-8", errors="replace") as file:
            lines = [line for line in file if line.strip()]
    except FileNotFoundError:
        return account
    for line in lines:
        try:
            event, path, pid, _attempt, digest = json.loads(line)
        except ValueError:
            account.torn += 1
            continue
        account.processes.add(pid)
        if event == STARTED:
            account.started[path] += 1
        elif event == FAILED_ON_PURPOSE:
            account.on_purpose[path] += 1
        elif event == MEASURED:
            account.measured[path] += 1
            account.digests.setdefault(path, set()).add(digest)
    return account
