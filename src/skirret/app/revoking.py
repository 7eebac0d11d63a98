"""Revokes tasks: a durable note that workers look up before they start one, and a broadcast hint for those that run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from skirret.app.protocol import ConnectedApp

KEY = "revoked"
"""The set in `Coordination` that holds revoked ids."""

TOPIC = "revoke"
"""The broadcast topic; the payload is JSON: ``ids``, ``terminate``, ``signal``."""

LIFETIME = 3 * 24 * 3600.0
"""Seconds for which a revoke is remembered."""


def revoke(
    app: ConnectedApp, task_id: str | Sequence[str], *, terminate: bool = False, signal: str = "SIGTERM", **_: Any
) -> None:
    """Keep tasks from running.

    Args:
        app: whose workers.
        task_id: one id or several.
        terminate: end those that run already.
        signal: by which signal.

    Raises:
        OperationalError: the shared state cannot be reached.
    """
    ids = [task_id] if isinstance(task_id, str) else [str(one) for one in task_id]
    app.coordination.add(KEY, ids, ttl=LIFETIME)
    hint = {"ids": ids, "terminate": terminate, "signal": signal}
    app.broker.broadcast(TOPIC, json.dumps(hint).encode())
