"""What a fleet tells of itself while it works: sent by clients and workers, heard by monitors; Celery's on the wire."""

from __future__ import annotations

from skirret.events.dispatcher import EventDispatcher
from skirret.events.event import Event, group_from
from skirret.events.receiver import EventReceiver
from skirret.events.state import State

__all__ = ["Event", "EventDispatcher", "EventReceiver", "State", "group_from"]
