"""The settings by group, one frozen class each."""

from __future__ import annotations

from skirret.settings.sections.absent import AbsentSettings
from skirret.settings.sections.beat import BeatSettings
from skirret.settings.sections.broker import BrokerSettings
from skirret.settings.sections.events import EventSettings
from skirret.settings.sections.general import GeneralSettings
from skirret.settings.sections.own import OwnSettings
from skirret.settings.sections.result import ResultSettings
from skirret.settings.sections.security import SecuritySettings
from skirret.settings.sections.stores import StoreSettings
from skirret.settings.sections.task import TaskSettings
from skirret.settings.sections.worker import WorkerSettings

SECTIONS = (
    GeneralSettings,
    BeatSettings,
    BrokerSettings,
    TaskSettings,
    WorkerSettings,
    ResultSettings,
    EventSettings,
    StoreSettings,
    SecuritySettings,
    AbsentSettings,
    OwnSettings,
)
"""All groups, in the order in which they are shown."""

__all__ = [
    "SECTIONS",
    "AbsentSettings",
    "BeatSettings",
    "BrokerSettings",
    "EventSettings",
    "GeneralSettings",
    "OwnSettings",
    "ResultSettings",
    "SecuritySettings",
    "StoreSettings",
    "TaskSettings",
    "WorkerSettings",
]
