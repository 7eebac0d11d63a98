"""Under which names clients and workers keep the state that they share."""

from __future__ import annotations

from typing import Final

PAUSED: Final = "paused"
"""The set of queues that nobody takes from."""
